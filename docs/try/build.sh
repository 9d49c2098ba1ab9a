#!/usr/bin/env bash
# Build the page "Try it" into docs/try/build: bash docs/try/build.sh [FOLDER]
#
# Needs node and npm. FOLDER is written anew; it can be served from any static host. PYTHON names an
# interpreter with PyTorch, onnx and onnxruntime, instead of the one of setup.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
case "${1:-}" in -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$(basename "$0")"; exit ;; esac
command -v npm >/dev/null || { echo "build.sh: npm is missing; install Node.js 18 or later" >&2; exit 2; }
if [ -z "${PYTHON:-}" ]; then
    bash ../../setup.sh torch export
    PYTHON=$PWD/../../.venv/bin/python
fi
exec 9<package-lock.json && flock 9 # a second build waits while this one installs
if ! cmp -s package-lock.json node_modules/.installed; then
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
    cp package-lock.json node_modules/.installed # last, so that a killed installation starts over
fi
"$PYTHON" make.py "${1:-build}"
