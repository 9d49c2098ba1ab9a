"""The points within a radius of each query."""

import math

import tensorflow as tf

from samplenet.ops import contract
from samplenet.ops.tf.build import native_library
from samplenet.ops.tf.checks import check_clouds, require
from samplenet.ops.tf.search import search


def ball_query(queries, points, radius: float, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Find the points nearer than the radius to each query: the k of lowest index.

    Args:
        queries: (B, M, 3).
        points: (B, N, 3), N >= 1.
        radius: 1.2e-38 to 3.4e38. A point is in the ball if its squared distance is below
            radius * radius, which is rounded as the clouds are; one at the radius is not.
        k: at least 1, also more than N.

    Returns:
        idx (B, M, k) int32 and count (B, M) int32: the first `count` indices of a row ascend, the
        others repeat the first of them, or are 0 where no point is in the ball (count 0).
    """
    op = "ball_query"
    queries, points = map(tf.stop_gradient, check_clouds(op, queries=queries, points=points))
    contract.check_not_empty(op, "points", points.shape[1])
    radius, k = contract.check_radius(op, radius), contract.check_count(op, "k", k, math.inf)
    ops = native_library()
    if ops and points.dtype == tf.float32:  # the native op's radius has no more digits
        idx, count = ops.samplenet_ball_query(queries, points, radius=radius, k=k)
        return idx, count
    n = tf.shape(points)[1]
    if points.shape[1] is None:
        points = require(n >= 1, f"{op}: points is empty (N = 0)", points)
    bound, most = tf.square(tf.constant(radius, points.dtype)), tf.minimum(k, n)

    def first_within(dist2):  # (B, c, N) -> (B, c, most), n where there are no more
        order = tf.where(dist2 < bound, tf.range(n), n)
        return -tf.math.top_k(-order, most).values

    idx = search(queries, points, most, first_within)
    found = idx < n
    first = tf.where(found[..., :1], idx[..., :1], 0)
    idx = tf.concat([tf.where(found, idx, first), tf.repeat(first, k - most, 2)], 2)
    count = tf.reduce_sum(tf.cast(found, tf.int32), 2)
    return tf.ensure_shape(idx, (*queries.shape[:2], k)), count
