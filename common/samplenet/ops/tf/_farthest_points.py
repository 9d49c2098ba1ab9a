"""Farthest point sampling."""

import numpy as np
import tensorflow as tf

from samplenet.ops import contract
from samplenet.ops.tf.build import native_library
from samplenet.ops.tf.checks import check_clouds, check_indices, index_tensor, require
from samplenet.ops.tf.search import squared_distance


def farthest_points(points, m: int, start=0, chosen=None) -> tf.Tensor:
    """Sample farthest points: points (B, N, 3) -> m distinct indices (B, m) int32, as picked.

    Args:
        start: first index, a scalar for all clouds or (B,).
        chosen: (B, S) indices to keep, in order and without repeats; of more than m, the first m.
            The rest are picked farthest-first from them, and `start` is ignored. With the nearest
            neighbours of Q this is SampleNet's inference matching. Differs from the released code,
            which repeats an index when every remaining distance is 0: here the lowest unchosen
            index follows.
    """
    op = "farthest_points"
    (points,) = check_clouds(op, points=points)
    points = tf.stop_gradient(points)
    contract.check_not_empty(op, "points", points.shape[1])
    m = contract.check_count(op, "m", m, points.shape[1])
    batch, n = tf.shape(points)[0], tf.shape(points)[1]
    if chosen is None:
        start = index_tensor(start)
        start = tf.fill((batch,), start) if start.shape.rank == 0 else start
        kept = check_indices(op, "start", start, points.shape[0], points, 1)[:, None]  # (B, 1)
    else:
        kept = check_indices(op, "chosen", chosen, points.shape[0], points, 2)
        contract.check_some_chosen(op, tuple(kept.shape))
    if ops := native_library():
        return ops.samplenet_farthest_points(points, kept, m=m)
    if points.shape[1] is None:
        points = require(n >= m, f"{op}: m must be in [1, N], got {m}", points)
    kept, count = _distinct(kept, n)
    picks = _pick(points, kept, count, tf.constant(m))
    return tf.ensure_shape(picks, (points.shape[0], m))


@tf.function(reduce_retracing=True)  # always a graph: an eager loop would cost a call per operation
def _pick(points: tf.Tensor, kept: tf.Tensor, count: tf.Tensor, m: tf.Tensor) -> tf.Tensor:
    """Pick the first `count` (B,) of `kept` (B, S), then farthest-first; returns (B, m)."""
    batch, n = tf.shape(points)[0], tf.shape(points)[1]

    # nearest (B, N): squared distance to the nearest picked point, -1 for a picked one
    def pick_next(i, picks, nearest):
        farthest = tf.argmax(nearest, axis=1, output_type=tf.int32)  # ties: the lowest index
        given = kept[:, tf.minimum(i, tf.shape(kept)[1] - 1)]
        pick = tf.where(i < count, given, farthest)
        dist2 = squared_distance(tf.gather(points, pick, batch_dims=1)[:, None], points)
        nearest = tf.where(dist2 < nearest, dist2, nearest)  # false for NaN
        picked = tf.range(n)[None] == pick[:, None]
        nearest = tf.where(picked, tf.constant(-1, nearest.dtype), nearest)
        return i + 1, picks.write(i, pick), nearest

    picks = tf.TensorArray(tf.int32, m, element_shape=(None,))
    nearest = tf.fill((batch, n), tf.constant(np.inf, points.dtype))
    state, any_shape = (0, picks, nearest), tf.TensorShape((None, None))
    invariants = (tf.TensorShape(()), tf.TensorShape(None), any_shape)
    _, picks, _ = tf.while_loop(
        lambda i, *_: i < m, pick_next, state, invariants, parallel_iterations=1
    )
    return tf.transpose(picks.stack())


def _distinct(chosen: tf.Tensor, n: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Move the repeats in `chosen` (B, S) to the end; also return the distinct counts (B,)."""
    batch, size = tf.shape(chosen)[0], tf.shape(chosen)[1]
    if chosen.shape[1] is None:
        message = "farthest_points: chosen must hold at least one index a cloud, got none"
        chosen = require(size > 0, message, chosen)
    position = tf.broadcast_to(tf.range(size)[None], (batch, size))
    where = tf.stack([tf.broadcast_to(tf.range(batch)[:, None], (batch, size)), chosen], -1)
    # (B, N): where each point occurs first in `chosen`
    first = tf.tensor_scatter_nd_min(tf.fill((batch, n), size), where, position)
    is_first = tf.gather(first, chosen, batch_dims=1) == position
    order = tf.argsort(tf.where(is_first, position, position + size), stable=True)
    return tf.gather(chosen, order, batch_dims=1), tf.reduce_sum(tf.cast(is_first, tf.int32), 1)
