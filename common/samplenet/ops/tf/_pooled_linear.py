"""The maximum over the points of a per-point linear layer, without the layer's output."""

from collections.abc import Callable
from math import inf

import tensorflow as tf

from samplenet.ops import contract
from samplenet.ops.tf.build import native_library

MAX_PRODUCTS = 1 << 24  # products held at once by framework operations: 64 MB in float32


def pooled_linear(features, weight) -> tuple[tf.Tensor, tf.Tensor]:
    """Pool a linear layer over the points: (B, N, C), (C, F) -> values (B, F), idx (B, F) int32.

    `values` is the maximum over n of features @ weight, `idx` the lowest n that has it.
    Differentiable in both arguments through `values`: each channel sends its gradient to one point
    of a cloud. The native op never holds the (B, N, F) products, framework operations hold some
    points' at a time. N >= 1.
    """
    features, weight = tf.convert_to_tensor(features), tf.convert_to_tensor(weight)
    dtypes = {"features": features.dtype.name, "weight": weight.dtype.name}
    contract.check_layer("pooled_linear", dtypes, tuple(features.shape), tuple(weight.shape))
    if features.dtype != tf.float64:
        features, weight = tf.cast(features, tf.float32), tf.cast(weight, tf.float32)
    if serves_layers():
        values, idx = native_library().samplenet_pooled_linear(features, weight)
        return values, idx
    idx = _search(tf.stop_gradient(features), tf.stop_gradient(weight))
    return _products(features, weight, idx), idx


def serves_layers() -> bool:
    """Return whether native ops of layers serve what is computed or traced now: none on a GPU."""
    return native_library() is not None and not tf.config.list_logical_devices("GPU")


def _search(features, weight):
    """Find the point that holds each channel's maximum, some points at a time: (B, F)."""
    batch, count, channels = tf.shape(features)[0], tf.shape(features)[1], tf.shape(weight)[1]
    size = tf.maximum(1, MAX_PRODUCTS // tf.maximum(1, batch * channels))

    def search(first, largest, idx):
        products = tf.matmul(features[:, first : first + size], weight)
        # TensorFlow's maximum passes over NaN, which has to show: above infinity for the search
        wrong = tf.math.is_nan(products)
        largest_finite = tf.constant(products.dtype.max, products.dtype)
        products = tf.where(wrong, inf, tf.minimum(products, largest_finite))
        values, at = tf.reduce_max(products, 1), tf.argmax(products, 1, tf.int32)
        exceeds = values > largest
        return first + size, tf.where(exceeds, values, largest), tf.where(exceeds, first + at, idx)

    shape = (batch, channels)
    lowest = tf.fill(shape, tf.constant(-inf, features.dtype))
    start = (0, lowest, tf.zeros(shape, tf.int32))
    shapes = (tf.TensorShape([]), *2 * [tf.TensorShape([features.shape[0], weight.shape[1]])])
    return tf.while_loop(
        lambda first, *_: first < count, search, start, shapes, parallel_iterations=1
    )[2]


def _products(features, weight, idx):
    """Compute the layer at each channel's point alone: (B, F)."""
    kept = tf.gather(features, idx, batch_dims=1)  # (B, F, C)
    return tf.reduce_sum(kept * tf.transpose(weight), -1)


def pooled_linear_backward(grad, features, weight, idx) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the gradients of sum(grad * values) of `pooled_linear`, whose `idx` is known."""
    if serves_layers():
        return tuple(native_library().samplenet_pooled_linear_backward(grad, features, weight, idx))
    with tf.GradientTape() as tape:
        tape.watch([features, weight])
        values = _products(features, weight, idx)
    return tuple(tape.gradient(values, [features, weight], grad))


def normalised_pooled_linear(
    features,
    weight,
    sign,
    over_replicas: Callable = lambda mean: mean,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Pool a linear layer minus its mean, and return the statistics that batch norm needs.

    The layer's mean and variance follow from its input's: the variance is diag(W^T cov W), with the
    (C, C) covariance of the features. Differentiable in features and weight through the extremes
    and the variance.

    Args:
        features: (B, N, C).
        weight: (C, F).
        sign: (F,), 1 where the maximum is wanted, -1 where the minimum is.
        over_replicas: averages a tensor over all devices whose batches are normalised together.

    Returns:
        extremes: (B, F), the maximum or minimum over n of (features - mean) @ weight.
        mean: (C,), of the features over all B * N points; no gradient flows through it.
        variance: (F,), of the layer over all B * N points, not corrected for bias.
    """

    @tf.custom_gradient
    def pool(features, weight):
        count = tf.cast(tf.shape(features)[0] * tf.shape(features)[1], features.dtype)
        # a cloud at a time: TensorFlow adds up in one float32, which soon rounds small features off
        mean = over_replicas(tf.reduce_mean(tf.reduce_mean(features, 1), 0))
        centred = features - mean  # first, as a product of off-centre features loses digits
        flat = tf.reshape(centred, (-1, features.shape[2]))  # (B N, C)
        covariance = over_replicas(tf.matmul(flat, flat, transpose_a=True) / count)
        spread = tf.matmul(covariance, weight)  # (C, F)
        largest, idx = pooled_linear(centred, weight * sign)

        def gradient(grad_extreme, _, grad_variance):
            grad_features, grad_weight = pooled_linear_backward(grad_extreme, centred, weight, idx)
            grad_weight += 2 * grad_variance * spread
            # Each point has its share in the statistics. Every device's loss depends on them.
            total = over_replicas(tf.reduce_sum(grad_extreme, 0))  # (F,)
            of_mean = tf.linalg.matvec(weight, total) / count  # (C,)
            of_spread = tf.matmul(
                weight * over_replicas(grad_variance) * (2 / count), weight, transpose_b=True
            )  # (C, C)
            of_statistics = tf.reshape(tf.matmul(flat, of_spread), tf.shape(features)) - of_mean
            return grad_features + of_statistics, grad_weight

        return (largest * sign, mean, tf.reduce_sum(spread * weight, 0)), gradient

    return pool(tf.convert_to_tensor(features), tf.convert_to_tensor(weight))
