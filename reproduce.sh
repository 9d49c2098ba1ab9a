#!/usr/bin/env bash
# Set up and make the tables and figures: bash reproduce.sh [experiment ...] [--preset smoke|quick|paper] [--help for the rest]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$here/.venv/bin/python
[ -e "$here/.venv/.made" ] || python=${PYTHON:-python3}
case " $* " in *" -h "* | *" --help "*) exec "$python" "$here/reproduce.py" --help ;; esac
extras=$("$python" "$here/reproduce.py" --extras "$@") || exit # says what is wrong before anything is installed
bash "$here/setup.sh" $extras
exec "$here/.venv/bin/python" "$here/reproduce.py" "$@"
