"""Batch norm in training and ReLU as one op."""

import tensorflow as tf

from samplenet.ops import contract
from samplenet.ops.tf._pooled_linear import serves_layers
from samplenet.ops.tf.build import native_library


def batch_norm_relu(features, scale, shift, epsilon: float) -> tuple[tf.Tensor, ...]:
    """Normalise features (R, C) by the batch's statistics, scale (C,), shift (C,), and cut at 0.

    The native op, of float32, reads the features twice and writes once, and in the backward pass
    likewise; the framework's own layers pass over them for norm and ReLU apart. Differentiable in
    features, scale and shift through `out`.

    Returns:
        out: (R, C).
        mean, variance: (C,), over the rows; the variance is not corrected for bias.
    """
    arrays = {"features": features, "scale": scale, "shift": shift}
    arrays = {name: tf.convert_to_tensor(array) for name, array in arrays.items()}
    dtypes = {name: array.dtype.name for name, array in arrays.items()}
    shapes = [tuple(array.shape) for array in arrays.values()]
    contract.check_norm("batch_norm_relu", dtypes, *shapes)
    dtype = tf.float64 if "float64" in dtypes.values() else tf.float32
    features, scale, shift = (tf.cast(array, dtype) for array in arrays.values())
    if serves_layers() and dtype == tf.float32:  # the native op's epsilon has no more digits
        return tuple(
            native_library().samplenet_batch_norm_relu(features, scale, shift, epsilon=epsilon)
        )
    mean, variance = tf.nn.moments(features, 0)
    out = tf.nn.relu(tf.nn.batch_normalization(features, mean, variance, shift, scale, epsilon))
    return out, tf.stop_gradient(mean), tf.stop_gradient(variance)
