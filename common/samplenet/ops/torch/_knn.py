"""The k nearest neighbours."""

import torch
from torch import Tensor

from samplenet.ops import contract
from samplenet.ops.torch._gather import rows
from samplenet.ops.torch.build import serves_natively
from samplenet.ops.torch.checks import check_clouds, check_count
from samplenet.ops.torch.search import distance_to_neighbours, search_nearest


def knn(queries, points, k: int) -> tuple[Tensor, Tensor]:
    """Find the k nearest points of each query; differentiable in both clouds through dist2.

    Args:
        queries: (B, M, 3).
        points: (B, N, 3), 1 <= k <= N.

    Returns:
        dist2 (B, M, k) squared and idx (B, M, k) int64: nearest first, equal distances lowest
        index first.
    """
    queries, points = check_clouds("knn", queries=queries, points=points)
    contract.check_not_empty("knn", "points", points.shape[1])
    k = check_count("knn", "k", k, points.shape[1])
    if serves_natively(points):
        return torch.ops.samplenet.knn(queries, points, k)
    idx = search_nearest(queries, points, k)
    return distance_to_neighbours(queries[:, :, None], rows(points, idx)), idx
