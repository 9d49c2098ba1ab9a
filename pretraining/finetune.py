"""What the trainings of downstream tasks share: where a network starts, its optimizer, its loss."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import restore
import scores
from backbones import BACKBONES, name_of
from labelled import AUGMENTATIONS, augment
from losses import transform_regulariser
from samplenet.runs.settings import option
from samplenet.runs.streams import Stream, generator
from samplenet.torch import capture
from samplenet.torch.settings import DeviceConfig

OPTIMIZERS = ("adam", "sgd")


@dataclass
class FineTuneConfig(DeviceConfig):
    """The defaults are the published settings of PointNet."""

    backbone: str = option("pointnet", "point network", choices=tuple(BACKBONES))
    transforms: bool = option(True, "PointNet: the two T-Nets")
    k: int = option(20, "DGCNN: neighbours of a point, itself included", at_least=1)
    pretrained: str | None = option(
        None, "run folder to start from; default: random weights", path=True
    )
    least_share: float = option(
        0.15, "share of the weights that --pretrained must restore", at_least=0, at_most=1
    )
    optimizer: str = option(
        "adam", "'adam', or 'sgd' with momentum 0.9 and weight decay 1e-4", choices=OPTIMIZERS
    )
    label_smoothing: float = option(
        0.0, "share of the target that the other classes get (DGCNN: 0.2)", at_least=0, below=1
    )
    regulariser: float = option(0.001, "weight of PointNet's feature regulariser", at_least=0)
    augmentation: str = option(
        "none",
        "of training clouds: 'turn' about y, and noise (PointNet); 'scale' and shift (DGCNN)",
        choices=AUGMENTATIONS,
    )
    epochs: int = 250
    lr: float = 1e-3
    lr_decay: float = 0.7
    lr_decay_samples: int = option(
        200_000, "clouds between two steps of the schedule (published: 20 epochs)", at_least=1
    )


def start(net: nn.Module, config: FineTuneConfig) -> float:
    """Copy the weights of --pretrained, if given; return the share of the parameters restored."""
    if config.pretrained is None:
        return 0.0
    return restore.restore(net, config.pretrained, config.least_share)


def method(config: FineTuneConfig, task: str, **more) -> dict:
    """Return the key of a run's rows: its task, start, backbone and what else tells it apart."""
    start = scores.start_of(config.pretrained or "")
    return {"task": task, "start": start, "backbone": name_of(config), **more}


def optimizer(net: nn.Module, config: FineTuneConfig) -> torch.optim.Optimizer:
    """Build the optimizer; its learning rate is a tensor, see `samplenet.torch.capture.rate`."""
    if config.optimizer == "adam":
        return capture.adam(net, config.lr)
    rate = capture.rate(net, config.lr)
    dampening = 0.1 if config.backbone == "srunet" else 0  # published
    settings = dict(momentum=0.9, dampening=dampening, weight_decay=1e-4)
    return torch.optim.SGD(net.parameters(), rate, **settings, fused=True)


class Learner(nn.Module):
    """A network that classifies clouds or points, and its loss, for `learning.training_step`.

    Args:
        net: returns logits (..., C), and a feature transform or None.
        processes: that share a batch: their losses are averaged, and the regulariser is a sum.
    """

    def __init__(self, net: nn.Module, config: FineTuneConfig, processes: int = 1):
        super().__init__()
        self.net, self.config, self.processes = net, config, processes

    def forward(self, labels: Tensor, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, and without gradient the loss and the share of right answers."""
        logits, transform = self.net(*inputs)
        loss = cross_entropy(logits, labels, self.config.label_smoothing)
        if transform is not None and self.config.regulariser:
            regulariser = self.processes * transform_regulariser(transform)
            loss = loss + self.config.regulariser * regulariser
        known = labels >= 0  # unlabelled points count neither here nor in the loss
        right = ((logits.argmax(-1) == labels) & known).sum() / known.sum().clamp(min=1)
        return loss, torch.stack([loss, right]).detach()


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the mean cross-entropy of logits (..., C) and labels (...), 0 without any label.

    Args:
        smoothing: share of each target that the other C - 1 classes get, in equal parts. PyTorch
            deals its share to all C classes.
    """
    classes = logits.shape[-1]
    logits, labels = logits.reshape(-1, classes).float(), labels.reshape(-1)
    shared = smoothing * classes / max(classes - 1, 1)
    total = F.cross_entropy(logits, labels, label_smoothing=shared, reduction="sum")
    return total / (labels >= 0).sum().clamp(min=1)


def augmented(points: np.ndarray, rows: list[int], config: FineTuneConfig, step: int) -> np.ndarray:
    """Augment the clouds (B, N, 3) of these rows for a step; a draw depends on step and row."""
    if config.augmentation == "none":
        return points
    keys = (generator(config.seed, Stream.AUGMENTATION, step, row) for row in rows)
    clouds = [
        augment(p[None], rng, config.augmentation) for p, rng in zip(points, keys, strict=True)
    ]
    return np.concatenate(clouds)


@torch.no_grad()
def predict(net: nn.Module, batch_size: int, *inputs: Tensor) -> Tensor:
    """Return the logits of all items, in evaluation mode; it does not depend on the batch size."""
    net.eval()
    parts = zip(*(array.split(batch_size) for array in inputs), strict=True)
    logits = torch.cat([net(*part)[0] for part in parts])
    net.train()
    return logits
