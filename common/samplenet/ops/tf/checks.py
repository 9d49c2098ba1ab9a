"""Checks of an op's arguments: what `contract` says, of tensors."""

import numpy as np
import tensorflow as tf

from samplenet.errors import InputError
from samplenet.ops import contract


def check_clouds(op: str, **arrays) -> list[tf.Tensor]:
    """Check the named clouds; return them in the dtype the op computes in."""
    arrays = {name: tf.convert_to_tensor(a) for name, a in arrays.items()}
    for name, a in arrays.items():
        if a.shape.rank is None:
            raise InputError(f"{op}: {name} must have shape (B, N, 3), got an unknown rank")
    contract.check_clouds(
        op,
        {n: a.dtype.name for n, a in arrays.items()},
        **{n: tuple(a.shape) for n, a in arrays.items()},
    )
    if contract.checking():
        for name, a in arrays.items():
            arrays[name] = require(
                tf.reduce_all(tf.math.is_finite(a)), contract.non_finite(op, name), a
            )
    return [a if a.dtype == tf.float64 else tf.cast(a, tf.float32) for a in arrays.values()]


def require(condition: tf.Tensor, message: str, tensor: tf.Tensor) -> tf.Tensor:
    """`tensor`, after the condition was found true: else InputError, or in a graph the assertion's error."""
    if tf.executing_eagerly():
        if not bool(condition):
            raise InputError(message)
        return tensor
    with tf.control_dependencies([tf.debugging.Assert(condition, [message])]):
        return tf.identity(tensor)


def index_tensor(idx) -> tf.Tensor:
    """`idx` as a tensor. In eager mode a list or array stays in the host's memory, where its values can be checked."""
    if tf.is_tensor(idx) or not tf.executing_eagerly():
        return tf.convert_to_tensor(idx)
    with tf.device("CPU"):
        return tf.convert_to_tensor(idx)


def _readable(idx: tf.Tensor) -> bool:
    """Whether the values of `idx` can be checked without waiting for a GPU."""
    if tf.executing_eagerly():
        return "GPU" not in idx.backing_device
    return not tf.config.list_logical_devices("GPU")


def check_indices(
    op: str, name: str, idx, batch, points: tf.Tensor, rank: int | None = None
) -> tf.Tensor:
    """Check an index tensor against `points` (B, N, ...); return it as int32.

    Its values are checked where nothing has to wait for a GPU. Elsewhere the operation that uses them guards itself.
    """
    idx = index_tensor(idx)
    contract.check_index(op, name, tuple(idx.shape), idx.dtype.name, batch, rank)
    eager, readable = tf.executing_eagerly(), _readable(idx)
    if eager and readable:
        n, values = points.shape[1], np.asarray(idx)
        if values.size and not 0 <= values.min() <= values.max() < n:
            raise InputError(contract.out_of_range(op, name, values.min(), values.max(), n))
    if idx.dtype != tf.int32:  # values beyond int32 must stay outside the cloud
        idx = tf.cast(tf.clip_by_value(tf.cast(idx, tf.int64), -1, tf.int32.max), tf.int32)
    if readable and not eager:
        inside = tf.reduce_all((idx >= 0) & (idx < tf.shape(points)[1]))
        idx = require(inside, f"{op}: {name} must be in [0, N)", idx)
    return idx
