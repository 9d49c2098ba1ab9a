"""Farthest point sampling."""

import math

import torch
from torch import Tensor

from samplenet.errors import InputError
from samplenet.ops import contract
from samplenet.ops.torch._gather import rows
from samplenet.ops.torch.build import picks_shape, serves_natively
from samplenet.ops.torch.checks import check_clouds, check_count, check_indices
from samplenet.ops.torch.search import squared_distance


def farthest_points(points, m: int, start=0, chosen=None) -> Tensor:
    """Sample farthest points: points (B, N, 3) -> m distinct indices (B, m) int64, as picked.

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
    points = points.detach()
    batch, n = points.shape[:2]
    contract.check_not_empty(op, "points", n)
    m = check_count(op, "m", m, n)
    on_host = chosen is None and type(start) is int  # whatever the device of the points
    if chosen is not None:
        chosen = check_indices(op, "chosen", chosen, points, 2)
        contract.check_some_chosen(op, tuple(chosen.shape))
    elif on_host:
        if not 0 <= start < n:
            raise InputError(contract.out_of_range(op, "start", start, start, n))
        chosen = torch.full((batch, 1), start, dtype=torch.int64, device=points.device)
    else:
        start = start if isinstance(start, Tensor) else torch.as_tensor(start, device=points.device)
        start = start.expand(batch) if start.ndim == 0 else start
        chosen = check_indices(op, "start", start, points, 1)[:, None]
    if not serves_natively(points):
        return torch.ops.samplenet_framework.farthest_points(points, chosen, m)
    if points.is_cuda and not on_host:
        # an assertion on the device, because reading the values here would make the host wait
        inside = ((chosen >= 0) & (chosen < n)).all()
        torch._assert_async(inside, f"{op}: start or chosen must be in [0, N)")
    return torch.ops.samplenet.farthest_points(points, chosen, m)


def _distinct(chosen: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Move the repeats in `chosen` (B, S) to the end; also return the distinct counts (B,)."""
    batch, size = chosen.shape
    position = torch.arange(size, device=chosen.device).expand(batch, size)
    # (B, N): where each point occurs first in `chosen`
    first = chosen.new_full((batch, n), size).scatter_reduce(1, chosen, position, "amin")
    is_first = first.gather(1, chosen) == position
    order = torch.argsort(torch.where(is_first, position, position + size), 1)
    return chosen.gather(1, order), is_first.sum(1)


# an operator, because torch.compile would unroll the loop: m copies of its body
@torch.library.custom_op("samplenet_framework::farthest_points", mutates_args=())
def _farthest_points(points: Tensor, chosen: Tensor, m: int) -> Tensor:
    """Pick the distinct ones of `chosen` (B, S), then farthest-first."""
    kept, count = _distinct(chosen, points.shape[1])
    # squared distance to the nearest picked point, -1 for a picked one
    nearest = points.new_full(points.shape[:2], math.inf)
    picks = chosen.new_empty((points.shape[0], m))
    for i in range(m):
        pick = torch.argmax(nearest, 1)  # ties: the lowest index
        if i < kept.shape[1]:
            pick = torch.where(i < count, kept[:, i], pick)
        picks[:, i] = pick
        dist2 = squared_distance(rows(points, pick)[:, None], points)
        nearest = torch.where(dist2 < nearest, dist2, nearest)  # false for NaN
        nearest.scatter_(1, pick[:, None], -1)
    return picks


_farthest_points.register_fake(picks_shape)
