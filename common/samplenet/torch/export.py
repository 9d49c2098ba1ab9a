"""A sampler's inference in PyTorch's own operations, for `torch.export` and `torch.compile`."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch._higher_order_ops import while_loop  # no public name yet

from samplenet.export.network import Layer, Network

VERSION = tuple(map(int, torch.__version__.split(".")[:2]))
SAVES_LOOPS = VERSION >= (2, 7)  # 2.6 cannot run a loop that it has loaded


class Inference(nn.Module):
    """`SampleNet` after `eval()`, its batch norm folded: simplify, match, complete by FPS.

    All (B, m, N) distances are in memory at once.
    """

    def __init__(self, network: Network):
        super().__init__()
        self.m = network.m
        convs = [_filled(nn.Conv1d(*a.weight.shape[::-1], 1), a) for a in network.convs]
        fcs = [_filled(nn.Linear(*a.weight.shape[::-1]), a) for a in network.fcs]
        self.convs, self.fcs = nn.ModuleList(convs), nn.ModuleList(fcs)
        self.requires_grad_(False)

    def forward(self, cloud) -> dict[str, Tensor]:
        """Sample cloud (B, N, 3) float32, N >= m.

        Returns points (B, m, 3), idx (B, m) int64 and queries (B, m, 3) by name.
        """
        out = cloud.transpose(1, 2)  # (B, 3, N)
        for conv in self.convs:
            out = torch.relu(conv(out))
        out = out.amax(2)
        for fc in self.fcs[:-1]:
            out = torch.relu(fc(out))
        queries = self.fcs[-1](out).reshape(-1, self.m, 3)
        nearest = torch.argmin(_dist2(queries[:, :, None], cloud[:, None]), -1)  # (B, m)
        idx = self._complete(cloud, nearest)
        return {"points": _rows(cloud, idx), "idx": idx, "queries": queries}

    def _complete(self, cloud, nearest) -> Tensor:
        """Drop repeats in nearest (B, m) and complete it, farthest first: distinct idx (B, m)."""
        position = torch.arange(self.m, device=cloud.device)
        same = nearest[:, :, None] == nearest[:, None]
        repeat = (same & (position < position[:, None])).any(2)  # (B, m)
        # repeats are moved behind the others, where picks will replace them
        kept = nearest.gather(1, torch.argsort(torch.where(repeat, position + self.m, position), 1))
        count = self.m - repeat.sum(1, keepdim=True)  # (B, 1)
        # each point's distance to the sample (B, N); -1 for those in it, which are never farthest
        dist2 = _dist2(_rows(cloud, nearest)[:, :, None], cloud[:, None]).amin(1)
        dist2 = dist2.scatter(1, nearest, -1.0)

        def more(i, picks, dist2):
            return i < self.m

        def pick_next(i, picks, dist2):
            # in step i, a cloud that kept more than i points picks nothing
            pick = torch.argmax(dist2, 1, keepdim=True)
            picks = torch.where((position == i) & (position >= count), pick, picks)
            nearer = torch.minimum(dist2, _dist2(_rows(cloud, pick), cloud))
            dist2 = torch.where(i >= count, nearer.scatter(1, pick, -1.0), dist2)
            return i + 1, picks, dist2

        state = (count.min(), kept, dist2)
        if SAVES_LOOPS:
            return while_loop(more, pick_next, state)[1]
        for _ in range(self.m):  # a step past the last one picks nothing
            state = pick_next(*state)
        return state[1]


def _filled(module: nn.Module, layer: Layer) -> nn.Module:
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(layer.weight).reshape(module.weight.shape))
        module.bias.copy_(torch.from_numpy(layer.bias))
    return module


def _rows(cloud: Tensor, idx: Tensor) -> Tensor:
    """Gather the points of cloud (B, N, 3) at idx (B, m): (B, m, 3)."""
    return cloud.gather(1, idx[..., None].expand(-1, -1, 3))


def _dist2(a: Tensor, b: Tensor) -> Tensor:
    """Return the squared distances of points (..., 3), rounded as `samplenet.ops` rounds them."""
    x, y, z = (a - b).square().unbind(-1)
    return (x + y) + z


def save(network: Network, path: Path) -> None:
    """Write a program for any batch and cloud size, for `torch.export.load(path).module()`."""
    clouds = torch.zeros(2, 2 * network.m + 2, 3)
    sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim("N", min=network.m)}
    program = torch.export.export(Inference(network), (clouds,), dynamic_shapes=(sizes,))
    torch.export.save(program, path)
