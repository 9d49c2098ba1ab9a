#!/usr/bin/env bash
# CAPNet and DIFFER from set-up to table: points by masks alone, with colours, with parts, and the
# network that true points teach; and their evaluation.
#   --preset NAME               smoke, quick or paper: settings in configs/ (quick)
#   --views-root DIR            renderings of ShapeNetCore; without it, the built-in chairs
# --help lists the rest. Given again, the command keeps finished runs and continues killed ones.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../reproduce.sh" feature_rendering "$@"
