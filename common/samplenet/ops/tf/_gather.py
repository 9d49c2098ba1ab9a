"""Rows of each cloud by their indices, and copies of a tensor with a fixed gradient order."""

import tensorflow as tf

from samplenet.errors import InputError
from samplenet.ops.tf.checks import check_indices


def gather(points, idx) -> tf.Tensor:
    """Return rows of each cloud: points (B, N, C), idx (B, ...) -> (B, ..., C).

    Differentiable in points.
    """
    points = tf.convert_to_tensor(points)
    if points.shape.rank != 3:
        raise InputError(f"gather: points must have shape (B, N, C), got {tuple(points.shape)}")
    idx = check_indices("gather", "idx", idx, points.shape[0], points)
    return tf.gather(points, idx, batch_dims=1)


def fan_out(tensor, count: int) -> tuple[tf.Tensor, ...]:
    """Return `count` copies of the tensor, whose gradients are added in the order of the copies.

    TensorFlow adds three or more gradients of a tensor (AddN) in an order that depends on which
    buffers are free at that moment, even with `enable_op_determinism`: two runs would differ first
    in the last digits, then everywhere.
    """

    @tf.custom_gradient
    def copy(tensor):
        def add(*grads):
            return tf.reduce_sum(tf.stack(grads), 0)

        return tuple(tf.identity(tensor) for _ in range(count)), add

    return copy(tf.convert_to_tensor(tensor))
