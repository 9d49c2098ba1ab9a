"""Nearest-neighbour search with framework operations, and squared distances."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

MAX_DISTANCES = 1 << 22  # distances held at once by a nearest-neighbour search: 16 MB in float32


def squared_distance(queries: Tensor, points: Tensor) -> Tensor:
    """Return squared distances of broadcastable (..., 3) tensors, in the contract's order."""
    return _length2(*(queries[..., c] - points[..., c] for c in range(3)))


def distance_to_neighbours(queries: Tensor, points: Tensor) -> Tensor:
    """Return `squared_distance`, infinite for NaN; other coordinates keep their gradient."""
    # One coordinate at a time: for (..., 3) tensors Inductor 2.13 on a single thread compiles wrong
    # gradients.
    deltas = (queries[..., c] - points[..., c] for c in range(3))
    return _length2(*(torch.where(delta.isnan(), math.inf, delta) for delta in deltas))


def _length2(dx: Tensor, dy: Tensor, dz: Tensor) -> Tensor:
    return (dx * dx + dy * dy) + dz * dz


def _lowest(dist2: Tensor, k: int) -> Tensor:
    """Return the indices of the k smallest of the last axis; ties: the lowest index first."""
    if k == 1:
        return torch.argmin(dist2, -1, keepdim=True)  # the first of equal ones
    if dist2.dtype == torch.float64:
        return torch.sort(dist2, dim=-1, stable=True).indices[..., :k]
    # topk promises no order of ties, so give it keys without ties: the bits of a nonnegative float
    # sort as the float does, and the index in the lower half decides between equal ones.
    index = torch.arange(dist2.shape[-1], device=dist2.device)
    key = (dist2.view(torch.int32).to(torch.int64) << 32) | index
    return torch.topk(key, k, -1, largest=False).values & 0xFFFFFFFF


def search_nearest(queries: Tensor, points: Tensor, k: int) -> Tensor:
    """Return the indices (B, M, k) of the k nearest points; not differentiable."""

    def nearest(dist2):
        return _lowest(dist2.nan_to_num(nan=math.inf, posinf=math.inf), k)

    return search(queries, points, nearest)


def search(queries: Tensor, points: Tensor, choose: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the indices (B, M, k) that `choose` takes from c queries' squared distances (B, c, N).

    Not differentiable.
    """
    queries, points = queries.detach(), points.detach()
    size = max(1, MAX_DISTANCES // max(1, points.shape[0] * points.shape[1]))

    def chosen(chunk):  # (B, c, 3) -> (B, c, k)
        return choose(squared_distance(chunk[:, :, None], points[:, None]))

    if queries.shape[1] <= size:
        return chosen(queries)
    return torch.cat([chosen(chunk) for chunk in queries.split(size, 1)], 1)
