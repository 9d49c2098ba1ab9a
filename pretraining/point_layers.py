"""The layers of point networks: on each point, on a point and its neighbours, and T-Nets."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samplenet.ops import torch as ops
from samplenet.torch.layers import point_block, pooled_block, update_statistics

SLOPE = 0.2  # of DGCNN's leaky ReLU


class PointLayer(nn.Module):
    """Apply a linear layer, batch norm and ReLU to each point."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor) -> Tensor:
        """(B, N, inputs) -> (B, N, outputs)."""
        return point_block(features, self.linear.weight.t(), self.linear.bias, self.norm)

    def pooled(self, features: Tensor) -> Tensor:
        """Return the maximum over the points, (B, outputs), without writing their features."""
        return pooled_block(features, self.linear.weight.t(), self.linear.bias, self.norm)


class TNet(nn.Module):
    """Estimate a matrix for each cloud: point layers 64-128-1024, maximum, 512-256-outputs².

    It begins as the identity: the last layer's weights are 0. Published so for the downstream
    networks; for the pre-training it is not known.

    Args:
        inputs: features of each point.
        outputs: side of the matrix.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.points = nn.Sequential(PointLayer(inputs, 64), PointLayer(64, 128))
        self.widest = PointLayer(128, 1024)
        self.cloud = nn.Sequential(
            *(nn.Linear(1024, 512), nn.BatchNorm1d(512), nn.ReLU()),
            *(nn.Linear(512, 256), nn.BatchNorm1d(256), nn.ReLU()),
        )
        self.matrix = nn.Linear(256, outputs * outputs)
        nn.init.zeros_(self.matrix.weight)
        nn.init.zeros_(self.matrix.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(B, N, inputs) -> (B, outputs, outputs)."""
        cloud = self.widest.pooled(self.points(features))  # (B, 1024)
        matrix = self.matrix(self.cloud(cloud))
        side = round(matrix.shape[1] ** 0.5)
        return matrix.view(-1, side, side) + torch.eye(side, device=matrix.device)


def feature_neighbours(features: Tensor, k: int) -> Tensor:
    """Find each point's k nearest in its own cloud, itself included: (B, N, C) -> (B, N, k) int64.

    Of three coordinates it is the library's exact search; of more features the k largest products,
    in any order, where rounding decides between near-equal distances.
    """
    features = features.detach()
    if features.shape[2] == 3:
        return ops.knn(features, features, k)[1]
    with torch.autocast(features.device.type, enabled=False):
        features = features.float()
        # -|x_i - x_j|^2 / 2 but for |x_i|^2, which is the same for all j: the larger, the nearer
        nearness = features @ features.mT - features.square().sum(2)[:, None] / 2  # (B, N, N)
        return nearness.topk(k, sorted=False).indices


class EdgeLayer(nn.Module):
    """DGCNN's edge convolution: the maximum over neighbours j of act(BN(W [x_j - x_i, x_i])).

    The tensor of pairs (B, N, k, 2 inputs) is never made, which is 4 to 17 times faster on a CPU.
    With W = [W1, W2] the product is W1 x_j + (W2 - W1) x_i, two products of each point. And batch
    norm and leaky ReLU keep the order of a channel's values, or reverse it where the scale is
    negative, so they need only the extremes over j.

    Args:
        k: neighbours, with the point itself.
    """

    def __init__(self, inputs: int, outputs: int, k: int):
        super().__init__()
        self.k = k
        self.linear = nn.Linear(2 * inputs, outputs, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor, idx: Tensor | None = None) -> Tensor:
        """Convolve (B, N, inputs) -> (B, N, outputs).

        Args:
            idx: neighbours (B, N, k) of each point; by default the k nearest in `features`, or all
                N if there are fewer.
        """
        if idx is None:
            idx = feature_neighbours(features, min(self.k, features.shape[1]))
        norm = self.norm
        # so that every channel seeks a maximum
        sign = torch.where(norm.weight.detach() < 0, -1.0, 1.0).to(norm.weight.dtype)
        to_neighbour, to_point = (self.linear.weight * sign[:, None]).chunk(2, 1)
        neighbour = F.linear(features, to_neighbour).to(sign.dtype)  # (B, N, outputs)
        own = F.linear(features, to_point - to_neighbour).to(sign.dtype)
        mean_of_k, largest = _over_neighbours(neighbour, idx)
        if norm.training:
            mean, variance = _edge_statistics(neighbour, own, mean_of_k, idx)
            update_statistics(norm, sign * mean.detach(), variance.detach(), idx.numel())
        else:
            mean, variance = sign * norm.running_mean, norm.running_var
        scale = sign * norm.weight * torch.rsqrt(variance + norm.eps)
        return F.leaky_relu((largest + own - mean) * scale + norm.bias, SLOPE)


def _over_neighbours(values: Tensor, idx: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and maximum of values (B, N, F) over the neighbours (B, N, k): (B, N, F) each."""
    if not pools_in_bags(values):
        gathered = ops.gather(values, idx)  # (B, N, k, F)
        return gathered.mean(2), gathered.max(2).values
    clouds, points, k = idx.shape
    rows = idx + points * torch.arange(clouds)[:, None, None]  # of the flat table
    rows, table = rows.view(-1, k), values.reshape(clouds * points, -1)
    mean, largest = (F.embedding_bag(rows, table, mode=mode) for mode in ("mean", "max"))
    return mean.view_as(values), largest.view_as(values)


def pools_in_bags(values: Tensor) -> bool:
    """Return whether gathering and pooling is one op: on a CPU. A GPU's is not deterministic."""
    return values.device.type == "cpu"


def _edge_statistics(
    neighbour: Tensor, own: Tensor, mean_of_k: Tensor, idx: Tensor
) -> tuple[Tensor, Tensor]:
    """Return mean and variance (F,) of neighbour_j + own_i over all edges (i, j)."""
    flat = idx.flatten(1)
    # how often a point is a neighbour, as a share of all edges: its weight in the statistics
    share = torch.zeros(neighbour.shape[:2], dtype=own.dtype, device=own.device)  # (B, N)
    share = share.scatter_add_(1, flat, torch.ones_like(flat, dtype=own.dtype)) / idx.numel()
    mean_neighbour = (share[..., None] * neighbour).sum((0, 1))
    mean_own = own.mean((0, 1))
    own = own - mean_own
    variance = (share[..., None] * (neighbour - mean_neighbour).square()).sum((0, 1))
    variance = variance + (own * (2 * (mean_of_k - mean_neighbour) + own)).mean((0, 1))
    return mean_neighbour + mean_own, variance
