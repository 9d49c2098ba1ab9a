"""Judge a frozen point network by a linear SVM on its features of labelled clouds.

    python pretraining/linear_probe.py --config pretraining/configs/quick.yaml \\
        --pretrained results/points --out results/probe

Without --pretrained the weights are random, to compare with. Their batch norms then take the
statistics of the training clouds. With --no-settle they do not: the features hardly differ from
cloud to cloud, and the comparison flatters the pre-training.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import labelled
import scores
from backbones import BACKBONES, build_trunk, name_of
from restore import pretrained_run, restore
from samplenet.errors import InputError, needs_extra
from samplenet.runs import evaluation
from samplenet.runs.script import main
from samplenet.runs.settings import option
from samplenet.torch import processes

with needs_extra("probe"):
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import SVC

KERNELS = ("linear", "rbf", "grid")
GRID = {  # the published search for PointNet; DGCNN's begins at a gamma of 1e-3
    "C": [mantissa * 10.0**power for power in range(-1, 4) for mantissa in (1, 5)],
    "gamma": [mantissa * 10.0**power for power in range(-4, 2) for mantissa in (1, 5)],
}


@dataclass
class Config:
    out: str = option("", "folder for scores.json", path=True)
    pretrained: str | None = option(
        None, "run folder of the pre-trained network; default: random weights", path=True
    )
    backbone: str = option("pointnet", "network of random weights", choices=tuple(BACKBONES))
    k: int = option(20, "DGCNN: neighbours of a point, itself included", at_least=1)
    transforms: bool = option(True, "PointNet: the two T-Nets")
    settle: bool = option(True, "random weights: give batch norms the clouds' statistics")
    data_root: str | None = option(
        None, "data set folder in its own layout; default: the built-in shapes", path=True
    )
    data_set: str = option(
        "modelnet40", "what --data-root holds", choices=tuple(labelled.DATA_SETS)
    )
    shapes_per_class: int = option(100, "built-in shapes: training shapes a class", at_least=1)
    num_points: int = option(1024, "points used of each cloud, N", at_least=1)
    labels_per_class: int | None = option(
        None, "training clouds of each class, chosen by --seed; default: all", at_least=1
    )
    kernel: str = option(
        "linear", "of the SVM: linear or rbf, with C = 1; grid: rbf, by search", choices=KERNELS
    )
    batch_size: int = option(32, "clouds at once", at_least=2)
    seed: int = option(0, "of random weights and few labels", at_least=0, at_most=2**32 - 1)
    device: str = option("auto", "'auto': a GPU where there is one", choices=processes.DEVICES)


@torch.no_grad()
def features(trunk: nn.Module, points: np.ndarray, batch_size: int) -> np.ndarray:
    """Return the pooled features (n, 1024) of clouds (n, N, 3)."""
    device = next(trunk.parameters()).device
    parts = torch.from_numpy(points).split(batch_size)
    return torch.cat([trunk.pool(part.to(device)).cpu() for part in parts]).numpy()


def settle(trunk: nn.Module, points: np.ndarray, batch_size: int) -> None:
    """Give the batch norms of random weights the mean statistics of all whole batches."""
    for module in trunk.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = None  # PyTorch's word for that mean
    whole = len(points) // batch_size * batch_size or len(points)
    features(trunk.train(), points[:whole], batch_size)


def probe(config: Config) -> None:
    evaluation.check(config)
    torch.manual_seed(config.seed)
    settings = pretrained_run(config.pretrained)[0] if config.pretrained else config
    if settings.backbone not in BACKBONES:  # it knows rooms in metres, not clouds of objects
        raise InputError(
            f"--pretrained must be of {' or '.join(BACKBONES)}, got {settings.backbone}"
        )
    net = nn.Module()  # with the names of the run's weights
    net.trunk = build_trunk(settings).to(processes.choose(config.device))
    train, test = (labelled.open_clouds(config, split) for split in ("train", "test"))
    rows = labelled.few_rows(train.labels, config.labels_per_class, config.seed)
    points, labels, restored = train.points[rows], train.labels[rows], 0.0
    counts, needed = np.unique(labels, return_counts=True)[1], 5 if config.kernel == "grid" else 1
    if len(counts) < 2 or counts.min() < needed:
        raise InputError(
            f"--kernel {config.kernel} needs two classes of {needed} labelled clouds or more, got "
            f"{len(counts)} of {counts.min()} or more"
        )
    if config.pretrained:
        restored = restore(net, config.pretrained, least_share=1)
    elif config.settle:
        settle(net.trunk, train.points, config.batch_size)  # as pre-training saw all
    net.eval()
    out = evaluation.prepare(config)
    svm = SVC(kernel="linear" if config.kernel == "linear" else "rbf")
    if config.kernel == "grid":
        svm = GridSearchCV(svm, GRID, cv=needed)
    svm.fit(features(net.trunk, points, config.batch_size), labels)
    found = scores.accuracies(
        svm.predict(features(net.trunk, test.points, config.batch_size)), test.labels
    )
    initial = not (config.pretrained or config.settle)
    method = {
        "task": labelled.task(f"SVM, {config.kernel}", config.data_set),
        "start": "initial" if initial else scores.start_of(config.pretrained or ""),
        "backbone": name_of(settings),
        "labels": labelled.amount(config.labels_per_class),
    }
    scores.write(out, method, config.seed, restored, len(test), found)
    print(f"accuracy {found['accuracy']:.1%} of {len(test)} clouds")


if __name__ == "__main__":
    main(probe, Config, __doc__)
