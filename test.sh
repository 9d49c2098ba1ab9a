#!/usr/bin/env bash
# Set up and run the tests: bash test.sh [--slow | --oldest] [pytest arguments]
#
# Runs one worker per core and ends with the minutes per folder. With -n0 the tests run one after the
# other, so that -s shows what they print.
#
#   --slow      also run the tests that take minutes
#   --oldest    instead test the library and the experiments with the lowest versions allowed by
#               common/pyproject.toml, in their own environment, .venv-oldest (8 GB). PYTHON names
#               another interpreter than python3.11.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # sh test.sh
set -euo pipefail
cd "$(dirname "$0")"
case " $* " in *" -h "* | *" --help "*) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit ;; esac
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-3}
pytest=(-m pytest --numprocesses logical --maxprocesses 4 --dist loadgroup --durations 8) # a worker a core

if [ "${1:-}" = --oldest ]; then
    shift
    versions=$(cat common/pyproject.toml constraints-oldest.txt)
    if [ "$(cat .venv-oldest/.installed 2>/dev/null)" != "$versions" ]; then
        echo "test.sh: creating .venv-oldest (downloads 4 GB the first time)"
        "${PYTHON:-python3.11}" -m venv --clear .venv-oldest
        .venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-oldest.txt \
            -e "common[tf,torch,viz,export,io,build,train,test]"
        echo "$versions" >.venv-oldest/.installed # last, so that a killed installation starts over
    fi
    .venv-oldest/bin/python -m samplenet.ops.build --tf --quiet # this PyTorch is too old for native ops
    # the pages, images and shell scripts do not depend on these versions
    exec .venv-oldest/bin/python "${pytest[@]}" -m "not slow" --ignore tests/docs --ignore tests/docker "$@"
fi

slow=(-m "not slow")
if [ "${1:-}" = --slow ]; then slow=(); shift; fi
bash setup.sh tf torch viz export docs test
.venv/bin/ruff check .
.venv/bin/ruff format --check .
[ ${#slow[@]} -eq 0 ] || echo "test.sh: leaving out slow tests; to run them: bash test.sh --slow"
.venv/bin/python "${pytest[@]}" "${slow[@]}" "$@"
