"""Networks that classify a cloud by the trunk's features of it."""

from types import SimpleNamespace

import torch
from torch import Tensor, nn

from backbones import WIDTH, build_trunk
from point_layers import SLOPE
from samplenet.runs.run import finished_run
from samplenet.torch.state import State


class PointNetClassifier(nn.Module):
    """PointNet's trunk and its head 512-256-classes with dropout 0.3."""

    def __init__(self, trunk: nn.Module, classes: int):
        super().__init__()
        self.trunk = trunk
        self.head = nn.Sequential(
            *(nn.Linear(WIDTH, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Dropout(0.3)),
            *(nn.Linear(512, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Dropout(0.3)),
            nn.Linear(256, classes),
        )

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, N, 3) -> logits (B, classes) and the feature transform (B, 64, 64)."""
        features, transform = self.trunk.narrow(points)
        return self.head(self.trunk.widest.pooled(features)), transform


class DGCNNClassifier(nn.Module):
    """DGCNN's trunk, maximum and mean of it, and the head 512-256-classes with dropout 0.5."""

    def __init__(self, trunk: nn.Module, classes: int):
        super().__init__()
        self.trunk = trunk
        self.head = nn.Sequential(
            *(nn.Linear(2 * WIDTH, 512, bias=False), nn.BatchNorm1d(512), nn.LeakyReLU(SLOPE)),
            nn.Dropout(0.5),
            *(nn.Linear(512, 256), nn.BatchNorm1d(256), nn.LeakyReLU(SLOPE), nn.Dropout(0.5)),
            nn.Linear(256, classes),
        )

    def forward(self, points: Tensor) -> tuple[Tensor, None]:
        """(B, N, 3) -> logits (B, classes), and no transform."""
        described = self.trunk(points)
        mean = described.points.mean(1)
        return self.head(torch.cat([described.cloud, mean], 1)), None


CLASSIFIERS = {"pointnet": PointNetClassifier, "dgcnn": DGCNNClassifier}


def load_task(folder: str) -> tuple[nn.Module, SimpleNamespace]:
    """Open the frozen classifier of a finished run of train_classifier.py, and its settings."""
    kinds = {"backbone": str, "transforms": bool, "k": int, "data_set": str}
    kinds |= {"labels_per_class": int | None, "pretrained": str | None}
    config, arrays, meta = finished_run(folder, **kinds)
    net = CLASSIFIERS[config.backbone](build_trunk(config), len(meta["names"]))
    State(net).restore(arrays, folder)
    return net.requires_grad_(False).eval(), config
