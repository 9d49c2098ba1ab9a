"""Point cloud ops: kNN, balls, Chamfer distance, farthest points, gather, layers, renderers.

Each backend has the same functions with one contract. README.md beside this file says how to
build the native ops.

    samplenet.ops.reference   NumPy, slow and obvious: the specification
    samplenet.ops.tf          TensorFlow
    samplenet.ops.torch       PyTorch

Clouds are (B, N, 3). Distances are squared, `d2 = ((dx*dx + dy*dy) + dz*dz)` with every operation
rounded, so that indices agree on every backend; equal distances go to the lowest index. float16,
bfloat16 and float32 are computed and returned in float32, float64 in float64; all inputs of a call
share a dtype. Arguments outside the contract raise `InputError` (a ValueError) with the argument's
name and value. Non-finite coordinates are an error only after `check_inputs(True)` (or with
SAMPLENET_CHECK=1 in the environment); otherwise a NaN distance counts as infinite.

`pooled_linear` works on features (B, N, C), `batch_norm_relu` on (R, C). Their values and those of
`render_voxels` agree to rounding, as those of matrix products do. So do those of `project_mask` and
`project_features`, which draw points on images, and of `mask_cross_entropy` and `mask_affinity`,
which compare masks.
"""

from samplenet.ops.contract import Chamfer, check_inputs
from samplenet.ops.mask_losses import Affinity
from samplenet.ops.native import use_native
from samplenet.ops.projections import Projected
from samplenet.ops.voxels import Rendered, Voxels

__all__ = [
    "Affinity",
    "Chamfer",
    "Projected",
    "Rendered",
    "Voxels",
    "check_inputs",
    "use_native",
]
