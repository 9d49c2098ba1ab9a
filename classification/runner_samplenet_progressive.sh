#!/usr/bin/env bash
# Classification from set-up to table: classifier, SampleNet-Progressive and ProgressiveNet, one network for every sample size, evaluation.
#   --preset smoke|quick|paper  settings in configs/ (quick)
#   --data-root DIR             the data set; without it, the built-in shapes
# --help lists the rest. Finished runs are kept and killed ones continued, so the same command can be given again.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../reproduce.sh" classification --samplers progressivenet samplenet_progressive "$@"
