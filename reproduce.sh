#!/usr/bin/env bash
# Set up and make the tables and figures: bash reproduce.sh [experiment ...] [--preset smoke|quick|paper] [--help for the rest]
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # sh reproduce.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
case " $* " in *" --cpu "*) export CUDA_VISIBLE_DEVICES= ;; esac # as on a machine without a GPU
python=$(bash "$here/setup.sh" --python)
case " $* " in *" -h "* | *" --help "*) exec "$python" "$here/reproduce.py" --help ;; esac
frameworks=$("$python" "$here/reproduce.py" --frameworks "$@") || exit # says what is wrong before anything is installed
for framework in $frameworks; do
    bash "$here/setup.sh" "$framework" viz # an environment of its own on a machine with a GPU
    python=$(bash "$here/setup.sh" --python "$framework" viz)
done
exec "$python" "$here/reproduce.py" "$@"
