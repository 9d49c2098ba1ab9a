#!/usr/bin/env bash
# Shapes and cameras from silhouettes alone: set-up, training and evaluation.
#   --preset NAME               smoke, quick or paper: settings in configs/ (quick)
#   --data-root DIR             the published renderings; without it, the built-in chairs
# --help lists the rest. Given again, the command keeps finished runs and continues killed ones.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../reproduce.sh" \
    shape_and_pose --supervision unsupervised "$@"
