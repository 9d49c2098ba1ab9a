"""Networks that classify the points of a cloud: one on any trunk, and the published five.

A network's `forward(points, extra)` takes points (B, N, 3) and what else is known: of parts, the
category (B, categories) as ones and zeros; of scenes, the features (B, N, 9). It returns logits
(B, N, outputs) and PointNet's feature transform, or None. SR-UNet takes voxels instead.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import WIDTH, PointNet
from point_layers import SLOPE, EdgeLayer, PointLayer, TNet, feature_neighbours
from samplenet.data.blocks import FEATURES
from samplenet.ops import torch as ops
from samplenet.torch.sparse import SparseTensor, Voxels


def of_all_points(cloud: Tensor, points: Tensor) -> Tensor:
    """Repeat the features of clouds (B, C) for each of their points (B, N, ...): (B, N, C)."""
    return cloud[:, None].expand(-1, points.shape[1], -1)


def layers(widths: list[int], outputs: int) -> nn.Sequential:
    """Return point layers of these widths, and a linear one."""
    hidden = [PointLayer(*pair) for pair in zip(widths, widths[1:], strict=False)]
    return nn.Sequential(*hidden, nn.Linear(widths[-1], outputs))


class OnTrunk(nn.Module):
    """A pre-trained trunk whole, and a head 256-128-outputs on each point and its cloud.

    Not published: the published networks for DGCNN share next to no weight with its trunk.

    Args:
        extra: length of what else is known, of a cloud or of each point.
    """

    def __init__(self, trunk: nn.Module, outputs: int, extra: int):
        super().__init__()
        self.trunk = trunk
        self.head = layers([2 * WIDTH + extra, 256, 128], outputs)

    def forward(self, points: Tensor, extra: Tensor) -> tuple[Tensor, Tensor | None]:
        described = self.trunk(points)
        extra = extra if extra.dim() == 3 else of_all_points(extra, points)
        cloud = of_all_points(described.cloud, points)
        features = torch.cat([described.points, cloud, extra], 2)
        return self.head(features), described.transform


class PointNetParts(nn.Module):
    """The published PointNet for parts, of 7.85 M parameters for 50 parts of 16 categories."""

    def __init__(self, outputs: int, categories: int):
        super().__init__()
        self.input_transform = TNet(3, 3)
        self.early = nn.ModuleList(PointLayer(*width) for width in ((3, 64), (64, 128), (128, 128)))
        self.feature_transform = TNet(128, 128)
        self.late = PointLayer(128, 512)
        self.widest = PointLayer(512, 2048)
        inputs = 64 + 128 + 128 + 128 + 512 + 2048 + categories
        self.head = layers([inputs, 256, 256, 128], outputs)

    def forward(self, points: Tensor, category: Tensor) -> tuple[Tensor, Tensor]:
        features = points @ self.input_transform(points).mT
        every = []
        for layer in self.early:
            features = layer(features)
            every.append(features)
        transform = self.feature_transform(features)
        every.append(features @ transform.mT)
        every.append(self.late(every[-1]))
        cloud = torch.cat([self.widest.pooled(every[-1]), category], 1)
        features = torch.cat([*every, of_all_points(cloud, points)], 2)
        return self.head(features), transform


class PointNetScenes(nn.Module):
    """The published PointNet for scenes, of 3.55 M parameters for 13 classes.

    The layers after the feature transform see features that are not transformed, as published; the
    head sees the transformed ones.
    """

    def __init__(self, outputs: int):
        super().__init__()
        self.trunk = PointNet()  # by whose names the weights are restored
        self.trunk.input_transform = TNet(FEATURES, 3)
        self.trunk.early = nn.Sequential(PointLayer(FEATURES, 64), PointLayer(64, 64))
        self.head = layers([WIDTH + 64, 512, 256, 128, 128], outputs)

    def forward(self, points: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        trunk = self.trunk
        moved = features[..., :3] @ trunk.input_transform(features).mT
        features = trunk.early(torch.cat([moved, features[..., 3:]], 2))
        transform = trunk.feature_transform(features)
        cloud = of_all_points(trunk.widest.pooled(trunk.late(features)), features)
        return self.head(torch.cat([features @ transform.mT, cloud], 2)), transform


class LeakyLayer(nn.Module):
    """Apply a linear layer without bias, batch norm and leaky ReLU to the last axis."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        self.norm = nn.BatchNorm1d(outputs)

    def forward(self, features: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        features = self.linear(features)
        normed = self.norm(features.flatten(0, -2)).view_as(features)
        return F.leaky_relu(normed, SLOPE)


class EdgeBlock(nn.Module):
    """Two layers on the pairs [x_j - x_i, x_i] of points and neighbours, and the maximum over j."""

    def __init__(self, inputs: int, hidden: int, outputs: int, k: int):
        super().__init__()
        self.k = k
        self.layers = nn.Sequential(LeakyLayer(2 * inputs, hidden), LeakyLayer(hidden, outputs))

    def forward(self, features: Tensor, idx: Tensor | None = None) -> Tensor:
        """(B, N, inputs) -> (B, N, outputs); `idx` as of `layers.EdgeLayer`."""
        if idx is None:
            idx = feature_neighbours(features, min(self.k, features.shape[1]))
        own = features[:, :, None].expand(-1, -1, idx.shape[2], -1)  # (B, N, k, inputs)
        pairs = torch.cat([ops.gather(features, idx) - own, own], 3)
        return self.layers(pairs).max(2).values


class DGCNNParts(nn.Module):
    """The published DGCNN for parts, of 1.46 M parameters for 50 parts of 16 categories."""

    def __init__(self, outputs: int, categories: int, k: int = 20):
        super().__init__()
        self.spatial = EdgeBlock(3, 64, 128, k)
        self.widest_spatial = LeakyLayer(128, 1024)
        self.cloud = nn.Sequential(LeakyLayer(1024, 512), LeakyLayer(512, 256))
        self.matrix = nn.Linear(256, 9)
        nn.init.zeros_(self.matrix.weight)
        nn.init.zeros_(self.matrix.bias)
        self.edges = edges(3, k)
        self.widest = LeakyLayer(192, WIDTH)
        self.category = LeakyLayer(categories, 64)
        self.head = nn.Sequential(
            *(LeakyLayer(WIDTH + 64 + 192, 256), nn.Dropout(0.5)),
            *(LeakyLayer(256, 256), nn.Dropout(0.5)),
            *(LeakyLayer(256, 128), nn.Linear(128, outputs, bias=False)),
        )

    def forward(self, points: Tensor, category: Tensor) -> tuple[Tensor, None]:
        spatial = self.widest_spatial(self.spatial(points)).max(1).values  # (B, 1024)
        matrix = self.matrix(self.cloud(spatial)).view(-1, 3, 3)
        points = points @ (matrix + torch.eye(3, device=points.device)).mT
        every, features = [], points
        for edge in self.edges:
            features = edge(features)
            every.append(features)
        every = torch.cat(every, 2)  # (B, N, 192)
        cloud = torch.cat([self.widest(every).max(1).values, self.category(category)], 1)
        return self.head(torch.cat([of_all_points(cloud, points), every], 2)), None


class DGCNNScenes(nn.Module):
    """The published DGCNN for scenes, of 0.98 M parameters for 13 classes.

    Its first graph is that of the places in the room, the features 6 to 8.
    """

    def __init__(self, outputs: int, k: int = 20):
        super().__init__()
        self.edges = edges(FEATURES, k)
        self.widest = LeakyLayer(192, WIDTH)
        self.head = nn.Sequential(
            *(LeakyLayer(WIDTH + 192, 512), LeakyLayer(512, 256), nn.Dropout(0.5)),
            nn.Linear(256, outputs, bias=False),
        )

    def forward(self, points: Tensor, features: Tensor) -> tuple[Tensor, None]:
        places = features[..., 6:].contiguous()
        idx = feature_neighbours(places, min(self.edges[0].k, features.shape[1]))
        every = []
        for edge in self.edges:
            features = edge(features, idx)
            every.append(features)
            idx = None  # the later graphs are of the features
        every = torch.cat(every, 2)
        cloud = of_all_points(self.widest(every).max(1).values, every)
        return self.head(torch.cat([cloud, every], 2)), None


class SRUNetScenes(nn.Module):
    """SR-UNet and its last layer, which is linear on each voxel."""

    def __init__(self, trunk: nn.Module, outputs: int):
        super().__init__()
        self.trunk, self.head = trunk, nn.Linear(trunk.width, outputs)

    def forward(self, features: Tensor, keys: Tensor) -> tuple[Tensor, None]:
        """Features (V, 3) of voxels and their keys (V,) -> logits (V, outputs)."""
        voxels = Voxels(keys, clouds=0)  # their number matters to `pool` alone
        return self.head(self.trunk.net(SparseTensor(features, voxels))), None


def edges(inputs: int, k: int) -> nn.ModuleList:
    """Return the three edge convolutions of the published DGCNNs for segmentation."""
    blocks = [EdgeBlock(inputs, 64, 64, k), EdgeBlock(64, 64, 64, k), EdgeLayer(64, 64, k)]
    return nn.ModuleList(blocks)


NETWORKS = ("trunk", "published")
