#!/usr/bin/env bash
# Reconstruction from set-up to table: train autoencoder, SampleNet-Progressive and
# ProgressiveNet (one network each for all sample sizes), and evaluate them.
#   --preset NAME               smoke, quick, full or paper: settings in configs/ (quick)
#   --data-root DIR             the data set; without it, the built-in shapes
# --help lists the rest. Given again, the command keeps finished runs and continues killed ones.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../reproduce.sh" \
    reconstruction --samplers progressivenet samplenet_progressive "$@"
