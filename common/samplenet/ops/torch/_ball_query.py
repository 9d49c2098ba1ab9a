"""The points within a radius of each query."""

import math

import torch
from torch import Tensor

from samplenet.ops import contract
from samplenet.ops.torch.build import serves_natively
from samplenet.ops.torch.checks import check_clouds, check_count
from samplenet.ops.torch.search import search


def ball_query(queries, points, radius: float, k: int) -> tuple[Tensor, Tensor]:
    """Find the points nearer than the radius to each query: the k of lowest index.

    Args:
        queries: (B, M, 3).
        points: (B, N, 3), N >= 1.
        radius: 1.2e-38 to 3.4e38. A point is in the ball if its squared distance is below
            radius * radius, which is rounded as the clouds are; one at the radius is not.
        k: at least 1, also more than N.

    Returns:
        idx (B, M, k) int64 and count (B, M) int64: the first `count` indices of a row ascend, the
        others repeat the first of them, or are 0 where no point is in the ball (count 0).
    """
    op = "ball_query"
    queries, points = (c.detach() for c in check_clouds(op, queries=queries, points=points))
    n = points.shape[1]
    contract.check_not_empty(op, "points", n)
    radius, k = contract.check_radius(op, radius), check_count(op, "k", k, math.inf)
    if serves_natively(points):
        return torch.ops.samplenet.ball_query(queries, points, radius, k)
    bound = torch.full((), radius, dtype=points.dtype, device=points.device).square()
    index = torch.arange(n, device=points.device)

    def first_within(dist2):  # (B, c, N) -> (B, c, min(k, N)), n where there are no more
        return torch.where(dist2 < bound, index, n).topk(min(k, n), largest=False).values

    idx = search(queries, points, first_within)
    found = idx < n
    first = torch.where(found[..., :1], idx[..., :1], 0)
    idx = torch.where(found, idx, first)
    return torch.cat([idx, first.expand(-1, -1, k - idx.shape[2])], 2), found.sum(2)
