"""The argument checks of `contract`, for tensors."""

import numpy as np
import tensorflow as tf

from samplenet.errors import InputError
from samplenet.ops import contract


def check_clouds(op: str, **arrays) -> list[tf.Tensor]:
    """Check the named clouds; return them in the dtype that the op computes in."""
    arrays = {name: tf.convert_to_tensor(a) for name, a in arrays.items()}
    for name, a in arrays.items():
        if a.shape.rank is None:
            raise InputError(f"{op}: {name} must have shape (B, N, 3), got an unknown rank")
    dtypes = {name: a.dtype.name for name, a in arrays.items()}
    contract.check_clouds(op, dtypes, **{name: tuple(a.shape) for name, a in arrays.items()})
    if contract.checking():
        for name, a in arrays.items():
            finite = tf.reduce_all(tf.math.is_finite(a))
            arrays[name] = require(finite, contract.non_finite(op, name), a)
    dtype = tf.float64 if "float64" in dtypes.values() else tf.float32
    return [tf.cast(a, dtype) for a in arrays.values()]


def require(condition: tf.Tensor, message: str, tensor: tf.Tensor) -> tf.Tensor:
    """Return `tensor` if the condition is true, else raise InputError (a graph: the assertion's).

    A graph runs an assertion only if something depends on it: use the tensor that is returned.
    """
    if tf.executing_eagerly():
        if not bool(condition):
            raise InputError(message)
        return tensor
    with tf.control_dependencies([tf.debugging.Assert(condition, [message])]):
        return tf.identity(tensor)


def index_tensor(idx) -> tf.Tensor:
    """Convert `idx` to a tensor; in eager mode in the host's memory, where it can be checked."""
    if tf.is_tensor(idx) or not tf.executing_eagerly():
        return tf.convert_to_tensor(idx)
    with tf.device("CPU"):
        return tf.convert_to_tensor(idx)


def _readable(idx: tf.Tensor) -> bool:
    """Return whether the values of `idx` can be checked without waiting for a GPU."""
    if tf.executing_eagerly():
        return "GPU" not in idx.backing_device
    return not tf.config.list_logical_devices("GPU")


def check_indices(
    op: str, name: str, idx, batch, points: tf.Tensor, rank: int | None = None
) -> tf.Tensor:
    """Check an index tensor against `points` (B, N, ...); return it as int32.

    Its values are checked unless that would mean waiting for a GPU; then the operation that uses
    them must guard itself.
    """
    idx = index_tensor(idx)
    contract.check_index(op, name, tuple(idx.shape), idx.dtype.name, batch, rank)
    eager, readable = tf.executing_eagerly(), _readable(idx)
    if eager and readable:
        n, values = points.shape[1], np.asarray(idx)
        if values.size and not 0 <= values.min() <= values.max() < n:
            raise InputError(contract.out_of_range(op, name, values.min(), values.max(), n))
    if idx.dtype != tf.int32:  # clip first: a cast alone would turn 2**32 into the valid index 0
        idx = tf.cast(tf.clip_by_value(tf.cast(idx, tf.int64), -1, tf.int32.max), tf.int32)
    if readable and not eager:
        inside = tf.reduce_all((idx >= 0) & (idx < tf.shape(points)[1]))
        idx = require(inside, f"{op}: {name} must be in [0, N)", idx)
    return idx
