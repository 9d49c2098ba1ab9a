#!/usr/bin/env bash
# Build the documentation into site/, warnings as errors: bash docs/build.sh [FOLDER]
#
# FOLDER is written anew. It has the page "Try it in the browser" too, if docs/try/build.sh has built
# that. PYTHON names an interpreter with the extra `docs`, instead of the one of setup.sh.
set -euo pipefail
site=''
case "${1:-}" in '' | -h | --help) ;; *) site=$(realpath -m "$1") ;; esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."
case "${1:-}" in -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' docs/build.sh; exit ;; esac
site=${site:-$PWD/site}
if [ -e "$site" ] && [ ! -e "$site/searchindex.js" ]; then
    echo "build.sh: $site exists and is no site; name another folder" >&2
    exit 2
fi
if [ -z "${PYTHON:-}" ]; then
    bash setup.sh docs
    PYTHON=.venv/bin/python
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$PYTHON" docs/site/pages.py "$work/pages"
"$PYTHON" -m sphinx -c docs/site -d "$work/trees" -q -W --keep-going "$work/pages" "$work/site"
[ ! -e docs/try/build ] || cp -r docs/try/build "$work/site/try"
rm -rf "$site"
mv "$work/site" "$site"
echo "open $site/index.html"
