#!/usr/bin/env bash
# Registration from set-up to table: PCRNet, SampleNet and S-NET, evaluation.
#   --preset smoke|quick|paper  settings in configs/ (quick)
#   --data-root DIR             a folder in the ModelNet40 h5 layout with cars; without it, the built-in shapes
#   --sizes "32 16"             sample sizes to train for (16; paper: 512 256 128 64 32 16 8)
#   --seeds "0 1 2"             sampler seeds (0)
#   --out DIR                   where the runs go (results/<preset>/registration[-<data folder>])
# Finished runs are kept and killed ones continued, so the same command can be given again.
extras="torch viz" task=pcrnet sizes_smoke=8 sizes_quick=16 sizes_paper="512 256 128 64 32 16 8"
source "$(dirname "$0")/../common/runner.sh"

run train_pcrnet.py --out "$out/pcrnet" --resume
train_samplers
others=(random fps fps_same_start)
if "$python" -c "import open3d" 2>/dev/null; then others+=(icp); else echo "no row of ICP: bash setup.sh icp adds Open3D"; fi
run evaluate.py --task "$out/pcrnet" --samplers "${others[@]}" "${samplers[@]}" --out "$out/evaluation"
