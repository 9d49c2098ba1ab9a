#!/usr/bin/env bash
# Classification from set-up to table: classifier, SampleNet and S-NET, evaluation.
#   --preset smoke|quick|paper  settings in configs/ (quick)
#   --data-root DIR             a folder in the ModelNet40 h5 layout; without it, the built-in shapes
#   --sizes "32 16"             sample sizes to train for (32; paper: 512 256 128 64 32 16 8)
#   --seeds "0 1 2"             sampler seeds (0)
#   --out DIR                   where the runs go (results/<preset>/classification[-<data folder>])
# Finished runs are kept and killed ones continued, so the same command can be given again.
extras="tf viz" task=classifier sizes_smoke=8 sizes_quick=32 sizes_paper="512 256 128 64 32 16 8"
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-3}
source "$(dirname "$0")/../common/runner.sh"

run train_classifier.py --out "$out/classifier" --resume
train_samplers
run evaluate.py --task "$out/classifier" --samplers random fps "${samplers[@]}" --out "$out/evaluation"
