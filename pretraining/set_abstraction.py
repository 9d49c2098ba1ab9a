"""PointNet++'s layers, and the backbone that VoteNet makes of them.

"PointNet++: Deep Hierarchical Feature Learning on Point Sets in a Metric Space" (Qi et al., NeurIPS
2017) and "Deep Hough Voting for 3D Object Detection in Point Clouds" (Qi et al., ICCV 2019).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from point_layers import PointLayer
from samplenet.errors import InputError
from samplenet.ops import torch as ops


class Level(NamedTuple):
    """The size of a set abstraction.

    Attributes:
        m: centres.
        radius: of the ball around a centre, in the unit of the points.
        k: points that are taken of a ball, at most.
        widths: of the shared MLP's layers.
    """

    m: int
    radius: float
    k: int
    widths: tuple[int, ...]


VOTENET = (  # radii in metres
    Level(2048, 0.2, 64, (64, 64, 128)),
    Level(1024, 0.4, 32, (128, 128, 256)),
    Level(512, 0.8, 16, (128, 128, 256)),
    Level(256, 1.2, 16, (128, 128, 256)),
)


class Centres(NamedTuple):
    """Points that stand for the cloud around them.

    Attributes:
        points: (B, m, 3).
        features: (B, m, C).
        idx: (B, m) int64, which of the points they were picked from.
    """

    points: Tensor
    features: Tensor
    idx: Tensor


class SetAbstraction(nn.Module):
    """Describe centres by the points around them: farthest points, balls, shared MLP, maximum.

    Points are seen from their centre, in units of the radius. Where a ball holds fewer than k
    points the first of them counts again, in the batch norm too, as published.

    Args:
        level: its sizes.
        inputs: features of a point besides its coordinates; 0: none.
    """

    def __init__(self, level: Level, inputs: int):
        super().__init__()
        self.level, self.inputs = level, inputs
        *hidden, (before, width) = pairwise([3 + inputs, *level.widths])
        self.hidden = nn.Sequential(*(PointLayer(*pair) for pair in hidden))
        self.widest = PointLayer(before, width)

    def forward(
        self, points: Tensor, features: Tensor | None, idx: Tensor | None = None
    ) -> Centres:
        """Describe points (B, N, 3) with features (B, N, inputs), or None.

        Args:
            idx: (B, m), the centres; by default the farthest points.
        """
        m, radius, k, _ = self.level
        given = 0 if features is None else features.shape[2]
        if given != self.inputs:
            raise InputError(f"features must be (B, N, {self.inputs}), got {given} of each point")
        if idx is None:
            idx = ops.farthest_points(points, m)
        centres = ops.gather(points, idx)
        near, _ = ops.ball_query(centres, points, radius, k)  # (B, m, k)
        grouped = (ops.gather(points, near) - centres[:, :, None]) / radius
        if features is not None:
            grouped = torch.cat([grouped, ops.gather(features, near)], 3)  # (B, m, k, 3 + inputs)
        hidden = self.hidden(grouped.flatten(1, 2))  # (B, m k, C)
        pooled = self.widest.pooled(hidden.reshape(-1, k, hidden.shape[2]))  # (B m, width)
        return Centres(centres, pooled.unflatten(0, idx.shape), idx)


class FeaturePropagation(nn.Module):
    """Carry the features of centres to more points: means of the nearest three, shared MLP.

    A centre weighs 1 / distance, as in VoteNet's code; PointNet++'s paper has the squared distance.

    Args:
        centres: features of a centre.
        inputs: features of a point.
        widths: of the shared MLP's layers.
    """

    def __init__(self, centres: int, inputs: int, widths: Sequence[int]):
        super().__init__()
        self.layers = nn.Sequential(
            *(PointLayer(*pair) for pair in pairwise([centres + inputs, *widths]))
        )

    def forward(
        self, points: Tensor, features: Tensor, centres: Tensor, centre_features: Tensor
    ) -> Tensor:
        """Describe points (B, N, 3), (B, N, inputs) by centres (B, m, 3), (B, m, C).

        Returns features (B, N, C'), C' the last width.
        """
        with torch.no_grad():
            dist2, idx = ops.knn(points, centres, min(3, centres.shape[1]))
            weight = 1 / (dist2.sqrt() + 1e-8)
            weight = weight / weight.sum(2, keepdim=True)  # (B, N, 3)
        mean = (weight[..., None] * ops.gather(centre_features, idx)).sum(2)
        return self.layers(torch.cat([mean, features], 2))


class PointNet2(nn.Module):
    """VoteNet's PointNet++: set abstractions down to few centres, then up again to the seeds.

    Differs from the released code: linear layers have a bias, which batch norm takes off again.

    Args:
        inputs: features of a point besides its coordinates (VoteNet: 1, its height); 0: none.
        levels: of the set abstractions, from fine to coarse.
        ups: feature propagations; the seeds are the centres of the level so many up from the last.
        width: features of a seed.
    """

    def __init__(
        self, inputs: int, levels: Sequence[Level] = VOTENET, ups: int = 2, width: int = 256
    ):
        super().__init__()
        if not 0 <= ups < len(levels):
            raise InputError(f"ups must be in [0, {len(levels)}), the levels' number, got {ups}")
        sizes = [inputs, *(level.widths[-1] for level in levels)]
        self.down = nn.ModuleList(map(SetAbstraction, levels, sizes))
        self.up = nn.ModuleList()
        coarse = sizes[-1]
        for fine in reversed(sizes[-1 - ups : -1]):
            self.up.append(FeaturePropagation(coarse, fine, (width, width)))
            coarse = width

    def forward(self, points: Tensor, features: Tensor | None = None) -> Centres:
        """Return the seeds of points (B, N, 3) with features (B, N, inputs)."""
        found = []
        for layer in self.down:
            points, features, idx = layer(points, features)
            idx = found[-1].idx.gather(1, idx) if found else idx  # of the cloud's points
            found.append(Centres(points, features, idx))
        *finer, seeds = found
        for layer, fine in zip(self.up, reversed(finer), strict=False):
            features = layer(fine.points, fine.features, seeds.points, seeds.features)
            seeds = fine._replace(features=features)
        return seeds
