"""Rows of each cloud by their indices, and a tensor for each of its uses."""

import tensorflow as tf

from samplenet.errors import InputError
from samplenet.ops.tf.checks import check_indices


def gather(points, idx) -> tf.Tensor:
    """points (B, N, C), idx (B, ...) -> (B, ..., C): rows of each cloud; differentiable in points."""
    points = tf.convert_to_tensor(points)
    if points.shape.rank != 3:
        raise InputError(f"gather: points must have shape (B, N, C), got {tuple(points.shape)}")
    return tf.gather(
        points, check_indices("gather", "idx", idx, points.shape[0], points), batch_dims=1
    )


def fan_out(tensor, count: int) -> tuple[tf.Tensor, ...]:
    """Return the tensor `count` times, one for each use; the gradients of the uses are added in this order.

    TensorFlow adds three gradients or more of one tensor (AddN) in an order that depends on which buffers are free at
    that moment, also with `enable_op_determinism`: two runs would differ in the last digits, then in all.
    """

    @tf.custom_gradient
    def copy(tensor):
        return tuple(tf.identity(tensor) for _ in range(count)), lambda *grads: tf.reduce_sum(
            tf.stack(grads), 0
        )

    return copy(tf.convert_to_tensor(tensor))
