"""The networks to pre-train: trunks that describe each point, and the cloud by the maximum."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from point_layers import SLOPE, EdgeLayer, PointLayer, TNet

WIDTH = 1024  # features of a point and of a cloud


class Described(NamedTuple):
    """What a trunk makes of a batch.

    Attributes:
        points: (B, N, WIDTH), of each point.
        cloud: (B, WIDTH), the maximum over the points.
        transform: (B, 64, 64), PointNet's feature transform; None of other networks.
    """

    points: Tensor
    cloud: Tensor
    transform: Tensor | None


class PointNet(nn.Module):
    """PointNet: T-Net, 64-64, T-Net on the features, 64-128-1024, maximum.

    Args:
        transforms: whether it has the two T-Nets.
    """

    def __init__(self, transforms: bool = True):
        super().__init__()
        self.input_transform = TNet(3, 3) if transforms else None
        self.feature_transform = TNet(64, 64) if transforms else None
        self.early = nn.Sequential(PointLayer(3, 64), PointLayer(64, 64))
        self.late = nn.Sequential(PointLayer(64, 64), PointLayer(64, 128))
        self.widest = PointLayer(128, WIDTH)

    def narrow(self, points: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the features (B, N, 128) before the last layer, and the feature transform."""
        if self.input_transform is None:
            return self.late(self.early(points)), None
        points = points @ self.input_transform(points).mT  # the matrix acts on column vectors
        features = self.early(points)  # (B, N, 64)
        transform = self.feature_transform(features)
        return self.late(features @ transform.mT), transform

    def forward(self, points: Tensor) -> Described:
        """Describe points (B, N, 3)."""
        features, transform = self.narrow(points)
        features = self.widest(features)
        return Described(features, features.max(1).values, transform)

    def pool(self, points: Tensor) -> Tensor:
        """Return the clouds' features (B, WIDTH) alone, which takes less time."""
        return self.widest.pooled(self.narrow(points)[0])


class DGCNN(nn.Module):
    """DGCNN: four edge convolutions, each on the graph of its own input, then 1024 and the maximum.

    Args:
        k: neighbours of each point, itself included.
    """

    def __init__(self, k: int = 20):
        super().__init__()
        widths = ((3, 64), (64, 64), (64, 128), (128, 256))
        self.edges = nn.ModuleList(EdgeLayer(*width, k) for width in widths)
        self.linear = nn.Linear(64 + 64 + 128 + 256, WIDTH, bias=False)
        self.norm = nn.BatchNorm2d(WIDTH)

    def forward(self, points: Tensor) -> Described:
        """Describe points (B, N, 3)."""
        features, every = points, []
        for edge in self.edges:
            features = edge(features)
            every.append(features)
        features = self.linear(torch.cat(every, 2))  # (B, N, WIDTH)
        features = F.leaky_relu(self.norm(features.mT[..., None])[..., 0].mT, SLOPE)
        return Described(features, features.max(1).values, None)

    def pool(self, points: Tensor) -> Tensor:
        """Return the clouds' features (B, WIDTH) alone."""
        return self(points).cloud


BACKBONES = {"pointnet": PointNet, "dgcnn": DGCNN}


def name_of(config) -> str:
    """Name the trunk that `build_trunk` builds, for the tables."""
    plain = config.backbone == "pointnet" and not config.transforms
    return "pointnet_plain" if plain else config.backbone


def build_trunk(config) -> nn.Module:
    """Build the trunk that a run's settings name, with its first weights.

    Args:
        config: its `backbone` is one of `BACKBONES`; `transforms` is PointNet's, `k` DGCNN's.
    """
    if config.backbone == "pointnet":
        return PointNet(config.transforms)
    return DGCNN(config.k)
