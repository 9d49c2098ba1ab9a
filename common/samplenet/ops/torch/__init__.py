"""PyTorch ops: native where a build has kernels for the tensors' device, else framework operations.

Contract: `samplenet.ops`; specification: `reference.py`. Indices are int64. The ops work eagerly
and under `torch.compile` (without graph breaks). Framework operations hold the distances of a chunk
of the queries at a time, never a (B, M, N, 3) tensor.

Under `torch.autocast` half and float32 inputs may be mixed; all are cast to float32. The gradients
of the native ops are deterministic; they have no second derivatives. Values are checked, with an
`InputError`, on the CPU and outside `torch.compile`; elsewhere an index outside its cloud is an
error only when the device or the compiled code meets it.
"""

from samplenet.ops.contract import Chamfer
from samplenet.ops.torch._ball_query import ball_query
from samplenet.ops.torch._batch_norm_relu import batch_norm_relu
from samplenet.ops.torch._chamfer import chamfer
from samplenet.ops.torch._farthest_points import farthest_points
from samplenet.ops.torch._gather import gather
from samplenet.ops.torch._knn import knn
from samplenet.ops.torch._mask_losses import mask_affinity, mask_cross_entropy
from samplenet.ops.torch._pooled_linear import (
    normalised_pooled_linear,
    pooled_linear,
    serves_layers,
)
from samplenet.ops.torch._projections import project_features, project_mask
from samplenet.ops.torch._render_voxels import render_voxels
from samplenet.ops.voxels import Rendered

__all__ = [
    "Chamfer",
    "Rendered",
    "ball_query",
    "batch_norm_relu",
    "chamfer",
    "farthest_points",
    "gather",
    "knn",
    "mask_affinity",
    "mask_cross_entropy",
    "normalised_pooled_linear",
    "pooled_linear",
    "project_features",
    "project_mask",
    "render_voxels",
    "serves_layers",
]
