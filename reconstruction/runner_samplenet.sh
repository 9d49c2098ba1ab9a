#!/usr/bin/env bash
# Reconstruction from set-up to table: autoencoder, SampleNet and S-NET, evaluation.
#   --preset smoke|quick|paper  settings in configs/ (quick)
#   --data-root DIR             a folder of <synset>/<id>.ply, as ShapeNetCore's; without it, the built-in shapes
#   --skip-bad                  leave out clouds that cannot be used, and say which
#   --sizes "32 16"             sample sizes to train for (32 16; paper: 1024 512 256 128 64 32 16)
#   --seeds "0 1 2"             sampler seeds (0)
#   --out DIR                   where the runs go (results/<preset>/reconstruction[-<data folder>])
# Finished runs are kept and killed ones continued, so the same command can be given again.
extras="tf viz" task=autoencoder switches=--skip-bad sizes_smoke=8 sizes_quick="32 16" sizes_paper="1024 512 256 128 64 32 16"
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-3}
source "$(dirname "$0")/../common/runner.sh"

run train_autoencoder.py "${task_flags[@]}" --out "$out/autoencoder" --resume
train_samplers
run evaluate.py --task "$out/autoencoder" --samplers random fps "${samplers[@]}" --out "$out/evaluation"
