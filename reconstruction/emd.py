"""Earth mover's distance of clouds, by Sinkhorn's algorithm (arXiv 1306.0895) with over-relaxation (arXiv 1711.01851).

POT, the library for this, has TensorFlow functions, but they solve one pair of clouds at a time, outside of
`tf.function`, and need TensorFlow's NumPy behaviour switched on for the whole process.
"""

import numpy as np
import tensorflow as tf

from samplenet.errors import InputError

STEP = 1.9  # of the plain update; with 1, two samples of one surface come out up to 35 % too near, and 2 diverges


def approximate_emd(a, b, temperature=1e-3, iterations=100) -> tf.Tensor:
    """Mean Euclidean distance (not squared) that the points of one cloud move to become the other.

    EMD is the least such mean over all one-to-one matchings (arXiv 1612.00603, there the sum); for clouds of two sizes,
    over all ways to divide each point's weight. Here the plan minimises cost - temperature * entropy, solved in the log
    domain while the temperature falls. Differentiable in both clouds; the plan is held constant, as its own change is
    of second order at the optimum.

    The defaults are within 1 % of the exact value for up to 256 points, within 3 % for 1024. Slow: `iterations` times
    two passes over (B, M, N) floats; 2048 points are for a GPU.

    Args:
        a, b: (B, M, 3), (B, N, 3).
        temperature: the last one, in halves of the largest distance of a pair of points, where it starts; lower is more
            exact and needs more iterations.
        iterations: updates of both clouds' potentials.

    Returns:
        (B,), in the units of the clouds.

    Raises:
        InputError: an empty cloud, or settings out of range.
    """
    if not 0 < temperature <= 1 or iterations < 1:
        raise InputError(
            f"approximate_emd: temperature must be in (0, 1] and iterations at least 1, got {temperature}, {iterations}"
        )
    a, b = tf.convert_to_tensor(a), tf.convert_to_tensor(b)
    if 0 in (a.shape[1], b.shape[1]):
        raise InputError(
            f"approximate_emd: both clouds need points, got shapes {tuple(a.shape)} and {tuple(b.shape)}"
        )
    cost = _distances(a, b)  # (B, M, N)
    plan = tf.stop_gradient(_plan(tf.stop_gradient(cost), temperature, iterations))
    return tf.reduce_sum(plan * cost, axis=(1, 2))


def _distances(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Euclidean distances (B, M, N); where points coincide the gradient is 0."""
    a, b = tf.unstack(a[:, :, None], 3, -1), tf.unstack(b[:, None], 3, -1)
    dx, dy, dz = (p - q for p, q in zip(a, b, strict=True))
    return tf.sqrt(tf.maximum(dx * dx + dy * dy + dz * dz, 1e-12))


def _plan(cost: tf.Tensor, temperature: float, iterations: int) -> tf.Tensor:
    """What moves from each point to each, (B, M, N): every row sums to 1 / M, every column to about 1 / N."""
    cost = cost / (tf.reduce_max(cost, axis=(1, 2), keepdims=True) / 2)
    temperatures = tf.constant(np.geomspace(1, temperature, iterations), cost.dtype)
    log_m, log_n = (
        tf.math.log(tf.cast(size, cost.dtype)) for size in tf.unstack(tf.shape(cost)[1:])
    )

    def fit_rows(g, t):  # the potentials (B, M, 1) of a's points that make the rows sum to 1 / M
        return -t * (tf.reduce_logsumexp((g - cost) / t, axis=2, keepdims=True) - log_n)

    def fit_columns(f, t):  # those of b's points, (B, 1, N)
        return -t * (tf.reduce_logsumexp((f - cost) / t, axis=1, keepdims=True) - log_m)

    def update(i, f, g):
        g += STEP * (fit_columns(f, temperatures[i]) - g)
        f += STEP * (fit_rows(g, temperatures[i]) - f)
        return i + 1, f, g

    start = (0, tf.zeros_like(cost[:, :, :1]), tf.zeros_like(cost[:, :1]))
    _, f, _ = tf.while_loop(lambda i, *_: i < iterations, update, start)
    g = fit_columns(
        f, temperature
    )  # a plain step at the end: over-relaxed ones swing about the solution
    return tf.exp((fit_rows(g, temperature) + g - cost) / temperature - log_m - log_n)
