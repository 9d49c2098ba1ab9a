"""A sampler's inference in PyTorch's own operations, for `torch.export` and `torch.compile`."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch._higher_order_ops import while_loop  # no public name yet

from samplenet.export.network import Layer, Network

SAVES_LOOPS = tuple(map(int, torch.__version__.split(".")[:2])) >= (
    2,
    7,
)  # 2.6 cannot run a loop that it has loaded


class Inference(nn.Module):
    """Simplify, match, complete by farthest point sampling: `SampleNet` after `eval()`, without batch norm.

    All (B, m, N) distances are held at once.
    """

    def __init__(self, network: Network):
        super().__init__()
        self.m = network.m
        self.convs = nn.ModuleList(
            _filled(nn.Conv1d(*a.weight.shape[::-1], 1), a) for a in network.convs
        )
        self.fcs = nn.ModuleList(_filled(nn.Linear(*a.weight.shape[::-1]), a) for a in network.fcs)
        self.requires_grad_(False)

    def forward(self, cloud) -> dict[str, Tensor]:
        """cloud (B, N, 3) float32, N >= m -> points (B, m, 3), idx (B, m) int64, queries (B, m, 3)."""
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
        """nearest (B, m), repeats among them -> m distinct indices (B, m): those in order, then farthest first."""
        position = torch.arange(self.m, device=cloud.device)
        same = nearest[:, :, None] == nearest[:, None]
        repeat = (same & (position < position[:, None])).any(2)  # (B, m)
        kept = nearest.gather(1, torch.argsort(torch.where(repeat, position + self.m, position), 1))
        count = self.m - repeat.sum(1, keepdim=True)  # (B, 1)
        left = _dist2(_rows(cloud, nearest)[:, :, None], cloud[:, None]).amin(
            1
        )  # (B, N), -1 once picked
        left = left.scatter(1, nearest, -1.0)

        def more(i, picks, left):
            return i < self.m

        def pick_next(i, picks, left):  # of the clouds that have i points by now
            pick = torch.argmax(left, 1, keepdim=True)
            picks = torch.where((position == i) & (position >= count), pick, picks)
            nearer = torch.minimum(left, _dist2(_rows(cloud, pick), cloud))
            left = torch.where(i >= count, nearer.scatter(1, pick, -1.0), left)
            return i + 1, picks, left

        state = (count.min(), kept, left)
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
    """cloud (B, N, 3), idx (B, m) -> (B, m, 3)."""
    return cloud.gather(1, idx[..., None].expand(-1, -1, 3))


def _dist2(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances of broadcastable (..., 3) tensors, in the order of operations of `samplenet.ops`."""
    x, y, z = (a - b).square().unbind(-1)
    return (x + y) + z


def save(network: Network, path: Path) -> None:
    """Write what `torch.export.load(path).module()` runs, on batches and clouds of any size."""
    clouds = torch.zeros(2, 2 * network.m + 2, 3)
    sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim("N", min=network.m)}
    torch.export.save(
        torch.export.export(Inference(network), (clouds,), dynamic_shapes=(sizes,)), path
    )
