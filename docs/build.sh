#!/usr/bin/env bash
# Build the documentation into site/, warnings as errors: bash docs/build.sh [mkdocs build arguments]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash setup.sh docs
.venv/bin/python -m mkdocs build --strict "$@"
echo "open site/index.html, or with search: .venv/bin/python -m http.server -d site"
