#!/usr/bin/env bash
# Set up and create the tables and figures; --help lists the flags:
#
#   bash reproduce.sh [experiment ...] [--preset smoke|quick|full|paper]
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # sh reproduce.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
case " $* " in *" --cpu "*) export CUDA_VISIBLE_DEVICES= ;; esac # hides the GPU from set-up too
python=$(bash "$here/setup.sh" --python)
case " $* " in *" -h "* | *" --help "*) exec "$python" "$here/reproduce.py" --help ;; esac
# checks the flags, so that a wrong one is reported before anything is installed
frameworks=$("$python" "$here/reproduce.py" --frameworks "$@") || exit
for extras in $frameworks; do # of each framework, as torch,render
    # shellcheck disable=SC2086 # words
    bash "$here/setup.sh" ${extras//,/ } viz # with a GPU, TensorFlow has its own environment
    # shellcheck disable=SC2086
    python=$(bash "$here/setup.sh" --python ${extras//,/ } viz)
done
exec "$python" "$here/reproduce.py" "$@"
