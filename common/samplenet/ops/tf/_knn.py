"""The k nearest neighbours."""

import tensorflow as tf

from samplenet.ops import contract
from samplenet.ops.tf.build import native_library
from samplenet.ops.tf.checks import check_clouds, require
from samplenet.ops.tf.search import distance_to_neighbours, search_nearest


def knn(queries, points, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Find the k nearest points of each query; differentiable in both clouds through dist2.

    Args:
        queries: (B, M, 3).
        points: (B, N, 3), 1 <= k <= N.

    Returns:
        dist2 (B, M, k) squared and idx (B, M, k) int32: nearest first, equal distances lowest
        index first.
    """
    queries, points = check_clouds("knn", queries=queries, points=points)
    contract.check_not_empty("knn", "points", points.shape[1])
    k = contract.check_count("knn", "k", k, points.shape[1])
    if ops := native_library():
        dist2, idx = ops.samplenet_knn(queries, points, k=k)
        return dist2, idx
    if points.shape[1] is None:
        points = require(tf.shape(points)[1] >= k, f"knn: k must be in [1, N], got {k}", points)
    idx = search_nearest(queries, points, k)
    return distance_to_neighbours(queries[:, :, None], tf.gather(points, idx, batch_dims=1)), idx
