"""Nearest-neighbour search with framework operations, and squared distances."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

MAX_DISTANCES = 1 << 22  # distances held at once by a nearest-neighbour search: 16 MB in float32


def squared_distance(queries: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """Return squared distances of broadcastable (..., 3) tensors, in the contract's order."""
    # one coordinate at a time: no (B, M, N, 3) tensor
    pairs = zip(tf.unstack(queries, 3, -1), tf.unstack(points, 3, -1), strict=True)
    return _length2(*(q - p for q, p in pairs))


def distance_to_neighbours(queries: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """Return `squared_distance`, infinite for NaN; other coordinates keep their gradient."""
    delta = queries - points
    delta = tf.where(tf.math.is_nan(delta), tf.constant(np.inf, delta.dtype), delta)
    return _length2(*tf.unstack(delta, 3, -1))


def _length2(dx: tf.Tensor, dy: tf.Tensor, dz: tf.Tensor) -> tf.Tensor:
    return (dx * dx + dy * dy) + dz * dz


def search_nearest(queries: tf.Tensor, points: tf.Tensor, k: int) -> tf.Tensor:
    """Return the indices (B, M, k) of the k nearest points; not differentiable."""

    def nearest(dist2):
        dist2 = tf.where(tf.math.is_nan(dist2), tf.constant(np.inf, dist2.dtype), dist2)
        return tf.math.top_k(-dist2, k).indices  # equal values come lowest index first

    idx = search(queries, points, k, nearest)
    return tf.ensure_shape(idx, (queries.shape[0], queries.shape[1], k))


def search(
    queries: tf.Tensor,
    points: tf.Tensor,
    k: int | tf.Tensor,
    choose: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """Return the indices (B, M, k) that `choose` takes from c queries' squared distances (B, c, N).

    Not differentiable.
    """
    queries, points = tf.stop_gradient(queries), tf.stop_gradient(points)

    def chosen(chunk):  # (B, c, 3) -> (B, c, k)
        return choose(squared_distance(chunk[:, :, None], points[:, None]))

    # the loop over chunks below is for clouds too large, or of unknown size, to search at once
    if None not in (*queries.shape, *points.shape):
        batch, m, n = queries.shape[0], queries.shape[1], points.shape[1]
        if batch * m * n <= MAX_DISTANCES:
            return chosen(queries)
    m = tf.shape(queries)[1]
    size = tf.maximum(1, MAX_DISTANCES // tf.maximum(1, tf.shape(points)[0] * tf.shape(points)[1]))
    chunks = -(-m // size)  # rounded up

    def body(i, found):
        part = chosen(queries[:, i * size : (i + 1) * size])
        return i + 1, found.write(i, tf.transpose(part, (1, 0, 2)))

    # queries first (c, B, k), because concat joins along the first axis; the last chunk is shorter
    part_shape = (None, queries.shape[0], k if isinstance(k, int) else None)
    found = tf.TensorArray(tf.int32, chunks, infer_shape=False, element_shape=part_shape)
    _, found = tf.while_loop(lambda i, _: i < chunks, body, (0, found), parallel_iterations=1)
    # not made by `chosen`: with its shapes the graph optimiser changes the last digits of distances
    none = tf.zeros((0, tf.shape(queries)[0], k), tf.int32)  # concat refuses an empty array
    idx = tf.cond(chunks > 0, found.concat, lambda: none)
    return tf.transpose(idx, (1, 0, 2))
