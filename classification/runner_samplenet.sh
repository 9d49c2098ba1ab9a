#!/usr/bin/env bash
# Classification from set-up to table: train classifier, SampleNet and S-NET, and evaluate them.
#   --preset NAME               smoke, quick, full or paper: settings in configs/ (quick)
#   --data-root DIR             the data set; without it, the built-in shapes
# --help lists the rest. Given again, the command keeps finished runs and continues killed ones.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../reproduce.sh" \
    classification --samplers snet samplenet "$@"
