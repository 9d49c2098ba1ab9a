"""The networks to pre-train: trunks that describe each point, and the cloud by the maximum."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from point_layers import SLOPE, EdgeLayer, PointLayer, TNet
from samplenet.runs.settings import option
from samplenet.torch.sparse import pool, voxelise
from srunet import SRUNet

WIDTH = 1024  # features of a point and of a cloud, but of SR-UNet


@dataclass
class VoxelConfig:
    """Settings of SR-UNet that other classes of a script's settings are joined with."""

    voxel_size: float = option(0.05, "SR-UNet: side of a voxel, in the points' unit", above=0)
    unet_depth: int = option(34, "SR-UNet: layers, 34 or 14")
    unet_width: int = option(32, "SR-UNet: features of its first layer", at_least=1)
    unet_momentum: float = option(
        0.02,
        "SR-UNet: share of batch norm's running statistics that a step replaces",
        above=0,
        at_most=1,
    )


class Described(NamedTuple):
    """What a trunk makes of a batch.

    Attributes:
        points: (B, N, width), of each point.
        cloud: (B, width), the maximum over the points.
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

    width = WIDTH

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

    width = WIDTH

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


class OnVoxels(nn.Module):
    """SR-UNet on the voxels of clouds: a point has the features of its voxel.

    Args:
        size: a voxel's side.
        depth, stem, momentum: see `srunet.SRUNet`.
    """

    def __init__(self, size: float, depth: int, stem: int, momentum: float = 0.02):
        super().__init__()
        self.size, self.net = size, SRUNet(3, None, depth, stem, momentum=momentum)
        self.width = self.net.width

    def forward(self, points: Tensor) -> Described:
        """Describe points (B, N, 3), or (B, N, 6) with their colours less 0.5; without, ones."""
        features = points[..., 3:] if points.shape[2] > 3 else torch.ones_like(points)
        x, inverse = voxelise(points[..., :3], features, self.size)
        of_voxels = self.net(x)
        of_points = of_voxels.index_select(0, inverse.flatten()).unflatten(0, inverse.shape)
        return Described(of_points, pool(x._replace(features=of_voxels)), None)

    def pool(self, points: Tensor) -> Tensor:
        """Return the clouds' features (B, width) alone."""
        return self(points).cloud


BACKBONES = {"pointnet": PointNet, "dgcnn": DGCNN}
OF_SCENES = (*BACKBONES, "srunet")  # the trunks for coloured points in metres too


def name_of(config) -> str:
    """Name the trunk that `build_trunk` builds, for the tables."""
    plain = config.backbone == "pointnet" and not config.transforms
    return "pointnet_plain" if plain else config.backbone


def build_trunk(config) -> nn.Module:
    """Build the trunk that a run's settings name, with its first weights.

    Args:
        config: its `backbone` is one of `OF_SCENES`; `transforms` is PointNet's, `k` DGCNN's,
            SR-UNet's are those of `VoxelConfig`.
    """
    if config.backbone == "srunet":
        settings = config.voxel_size, config.unet_depth, config.unet_width, config.unet_momentum
        return OnVoxels(*settings)
    if config.backbone == "pointnet":
        return PointNet(config.transforms)
    return DGCNN(config.k)
