"""TensorFlow ops: native where built, else framework operations. Contract: `samplenet.ops`.

They work eagerly, inside `tf.function` and in Keras models; `reference.py` is the specification.
Indices are int32.

Limits of the native ops, which `samplenet.ops.use_native(False)` lifts:

- XLA has none of them. What is traced for XLA (`jit_compile=True`) uses framework operations, but a
  `tf.function` that was traced earlier without XLA keeps its native ops, and XLA then refuses it:
  "No registered 'SamplenetKnn' OpKernel".
- A second-order gradient is a NotImplementedError.
- A saved model with native ops loads only where they are built, after `import samplenet.ops.tf`.
- Built without CUDA they run on the CPU; tensors on a GPU are copied there and back. The renderers
  are framework operations then.

An index outside its cloud is an InputError, in a graph an InvalidArgumentError. Not so on a GPU,
where checking would make the host wait: there `gather` returns zeros for such an index and
`farthest_points` ignores it.

Framework operations hold the distances of a chunk of the queries at a time, never a (B, M, N, 3)
tensor.
"""

from samplenet.ops.contract import Chamfer
from samplenet.ops.tf._ball_query import ball_query
from samplenet.ops.tf._batch_norm_relu import batch_norm_relu
from samplenet.ops.tf._chamfer import chamfer
from samplenet.ops.tf._farthest_points import farthest_points
from samplenet.ops.tf._gather import fan_out, gather
from samplenet.ops.tf._knn import knn
from samplenet.ops.tf._mask_losses import mask_affinity, mask_cross_entropy
from samplenet.ops.tf._pooled_linear import (
    normalised_pooled_linear,
    pooled_linear,
    serves_layers,
)
from samplenet.ops.tf._projections import project_features, project_mask
from samplenet.ops.tf._render_voxels import render_voxels
from samplenet.ops.voxels import Rendered

__all__ = [
    "Chamfer",
    "Rendered",
    "ball_query",
    "batch_norm_relu",
    "chamfer",
    "fan_out",
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
