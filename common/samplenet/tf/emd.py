"""Earth mover's distance between clouds, by Sinkhorn's algorithm (arXiv 1306.0895).

Over-relaxed (arXiv 1711.01851). Not by POT, the library for this: its TensorFlow functions solve
one pair of clouds at a time, outside of `tf.function`, and need TensorFlow's NumPy behaviour
switched on for the whole process.
"""

import numpy as np
import tensorflow as tf

from samplenet.errors import InputError

# Over-relaxation, in plain updates. With 1 it converges so slowly that two samples of one surface
# come out up to 35 % too near; with 2 it diverges.
STEP = 1.9


def approximate_emd(a, b, temperature=1e-3, iterations=100) -> tf.Tensor:
    """Compute the mean Euclidean distance (not squared) that points of a move to become b.

    EMD is the least such mean over all one-to-one matchings (arXiv 1612.00603, there the sum); for
    clouds of two sizes, over all ways to divide each point's weight. Here the transport plan
    minimises cost - temperature * entropy, solved in the log domain while the temperature falls.
    Differentiable in both clouds. The gradient takes the plan as constant: at the optimum, changes
    of the plan do not count to first order.

    The defaults are within 1 % of the exact value for up to 256 points, within 3 % for 1024. Slow:
    `iterations` times two passes over (B, M, N) floats; 2048 points are for a GPU.

    Args:
        a, b: (B, M, 3), (B, N, 3).
        temperature: the last one; it starts at 1, which is half the largest distance between points
            of a pair. Lower is more exact and needs more iterations.
        iterations: updates of both clouds' potentials.

    Returns:
        (B,), in the units of the clouds.

    Raises:
        InputError: an empty cloud, or settings out of range.
    """
    if not 0 < temperature <= 1 or iterations < 1:
        raise InputError(
            "approximate_emd: temperature must be in (0, 1] and iterations at least 1, "
            f"got {temperature}, {iterations}"
        )
    a, b = tf.convert_to_tensor(a), tf.convert_to_tensor(b)
    if 0 in (a.shape[1], b.shape[1]):
        raise InputError(
            "approximate_emd: both clouds need points, "
            f"got shapes {tuple(a.shape)} and {tuple(b.shape)}"
        )
    cost = _distances(a, b)  # (B, M, N)
    plan = tf.stop_gradient(_plan(tf.stop_gradient(cost), temperature, iterations))
    return tf.reduce_sum(plan * cost, axis=(1, 2))


def _distances(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Compute the Euclidean distances (B, M, N); where points coincide the gradient is 0."""
    # coordinate by coordinate: (B, M, N, 3) would take three times the memory
    a, b = tf.unstack(a[:, :, None], 3, -1), tf.unstack(b[:, None], 3, -1)
    dx, dy, dz = (p - q for p, q in zip(a, b, strict=True))
    return tf.sqrt(tf.maximum(dx * dx + dy * dy + dz * dz, 1e-12))


def _plan(cost: tf.Tensor, temperature: float, iterations: int) -> tf.Tensor:
    """Solve for the weight that moves from each point of a to each of b, (B, M, N).

    Every row sums to 1 / M, every column to about 1 / N.
    """
    cost = cost / (tf.reduce_max(cost, axis=(1, 2), keepdims=True) / 2)
    temperatures = tf.constant(np.geomspace(1, temperature, iterations), cost.dtype)
    log_m, log_n = tf.unstack(tf.math.log(tf.cast(tf.shape(cost)[1:], cost.dtype)))

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
    # end with a plain step, as over-relaxed steps swing about the solution
    g = fit_columns(f, temperature)
    return tf.exp((fit_rows(g, temperature) + g - cost) / temperature - log_m - log_n)
