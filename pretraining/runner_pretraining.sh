#!/usr/bin/env bash
# Pre-training from set-up to table: the image network, PointNet from it, and what it helps with.
#   --preset NAME               smoke, quick or paper: settings in configs/ (quick)
#   --pairs-root DIR            pictures with pixel-point pairs; without it, the built-in shapes
#   --data-root DIR             labelled clouds; without it, the built-in shapes
#   --backbones pointnet dgcnn  networks to pre-train (pointnet)
# --help lists the rest. Given again, the command keeps finished runs and continues killed ones.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../reproduce.sh" pretraining "$@"
