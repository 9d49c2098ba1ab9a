"""PyTorch ops: native where a build serves the tensors' device, else made of framework operations.

Contract: `samplenet.ops`; specification: `reference.py`. Indices are int64. Work eagerly and under `torch.compile`
(without graph breaks). The framework operations hold distances for a chunk of the queries at a time, never as a
(B, M, N, 3) tensor.

Under `torch.autocast` half and float32 inputs may be mixed; all are taken to float32. The gradients of the native ops
are deterministic; they cannot be differentiated a second time. Values are checked, with an `InputError`, on the CPU
and outside `torch.compile`; elsewhere an index outside its cloud is an error when the device or the compiled code
finds it.
"""

from samplenet.ops.contract import Chamfer
from samplenet.ops.torch._chamfer import chamfer
from samplenet.ops.torch._farthest_points import farthest_points
from samplenet.ops.torch._gather import gather
from samplenet.ops.torch._knn import knn
from samplenet.ops.torch._pooled_linear import normalised_pooled_linear, pooled_linear

__all__ = [
    "Chamfer",
    "chamfer",
    "farthest_points",
    "gather",
    "knn",
    "normalised_pooled_linear",
    "pooled_linear",
]
