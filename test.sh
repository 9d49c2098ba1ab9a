#!/usr/bin/env bash
# Set up and run the tests: bash test.sh [--slow] [pytest arguments]
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # sh test.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
slow=(-m "not slow")
if [ "${1:-}" = --slow ]; then slow=(); shift; fi
bash "$here/setup.sh" tf torch viz export docs test
cd "$here"
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-3}
.venv/bin/ruff check .
.venv/bin/ruff format --check .
[ ${#slow[@]} -eq 0 ] || echo "test.sh: tests marked slow are left out; run them with: bash test.sh --slow"
.venv/bin/python -m pytest "${slow[@]}" --durations=8 "$@"
