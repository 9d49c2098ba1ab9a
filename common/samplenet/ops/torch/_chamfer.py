"""The Chamfer distance."""

import torch

from samplenet.ops import contract
from samplenet.ops.contract import Chamfer
from samplenet.ops.torch._gather import rows
from samplenet.ops.torch.build import serves_natively
from samplenet.ops.torch.checks import check_clouds
from samplenet.ops.torch.search import distance_to_neighbours, search_nearest


def chamfer(a, b) -> Chamfer:
    """Return squared nearest-neighbour distances of a (B, M, 3) and b (B, N, 3), both ways."""
    a, b = check_clouds("chamfer", a=a, b=b)
    contract.check_not_empty("chamfer", "a", a.shape[1])
    contract.check_not_empty("chamfer", "b", b.shape[1])
    if serves_natively(a):
        return Chamfer(*torch.ops.samplenet.chamfer(a, b))
    idx_ab, idx_ba = search_nearest(a, b, 1)[..., 0], search_nearest(b, a, 1)[..., 0]
    a2b = distance_to_neighbours(a, rows(b, idx_ab))
    b2a = distance_to_neighbours(b, rows(a, idx_ba))
    return Chamfer(a2b, b2a, idx_ab, idx_ba)
