"""TensorFlow ops: native where built, else made of framework operations. Contract: `samplenet.ops`.

Work eagerly, inside `tf.function` and in Keras models; the specification is `reference.py`. Indices are int32.

Limits of the native ops, which `samplenet.ops.use_native(False)` lifts:

- XLA has none of them. What is traced for it (`jit_compile=True`) is made of framework operations, but a `tf.function`
  traced before for other use keeps its native ops, and XLA refuses it: "No registered 'SamplenetKnn' OpKernel".
- The gradient of a gradient is a NotImplementedError.
- A saved model that holds them needs a build, and `import samplenet.ops.tf`, where it is loaded.
- Built without CUDA they run on the CPU; tensors on a GPU are copied.

An index outside its cloud is an InputError, in a graph an InvalidArgumentError. Not on a GPU, where finding it would
make the host wait: `gather` gives zeros for it there and `farthest_points` passes over it.

Framework operations hold the distances for a chunk of the queries at a time, never as a (B, M, N, 3) tensor.
"""

from samplenet.ops.contract import Chamfer
from samplenet.ops.tf._chamfer import chamfer
from samplenet.ops.tf._farthest_points import farthest_points
from samplenet.ops.tf._gather import fan_out, gather
from samplenet.ops.tf._knn import knn
from samplenet.ops.tf._pooled_linear import (
    normalised_pooled_linear,
    pooled_linear,
    searches_natively,
)

__all__ = [
    "Chamfer",
    "chamfer",
    "fan_out",
    "farthest_points",
    "gather",
    "knn",
    "normalised_pooled_linear",
    "pooled_linear",
    "searches_natively",
]
