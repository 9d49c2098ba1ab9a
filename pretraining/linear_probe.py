"""Judge a frozen network of points by a linear SVM on its features of labelled clouds.

    python pretraining/linear_probe.py --config pretraining/configs/quick.yaml \\
        --pretrained results/points --out results/probe

Without --pretrained the network has random weights, the row to compare with; its batch norms have
seen the training clouds once, without which its features hardly differ.
"""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC
from torch import Tensor, nn

import labelled
from backbones import BACKBONES, build
from restore import pretrained_run, restore
from samplenet.errors import InputError
from samplenet.runs.script import main
from samplenet.runs.settings import option
from samplenet.torch import processes

KERNELS = ("linear", "rbf", "grid")
TENS = (1, 5)  # times powers of ten, the values that `grid` tries
GRID = {
    "C": [mantissa * 10.0**power for power in range(-1, 4) for mantissa in TENS],
    "gamma": [mantissa * 10.0**power for power in range(-4, 2) for mantissa in TENS],
}


@dataclass
class Config:
    out: str = option("", "folder for scores.json", path=True)
    pretrained: str = option(
        "", "run folder of train_points.py; default: random weights", path=True
    )
    backbone: str = option("pointnet", "random network", choices=tuple(BACKBONES))
    k: int = option(20, "random DGCNN: neighbours of a point, itself included", at_least=1)
    transforms: bool = option(True, "random PointNet: the two T-Nets")
    data_root: str | None = option(None, "labelled clouds; default: built-in shapes", path=True)
    data_set: str = option(
        "modelnet40", "what --data-root holds", choices=tuple(labelled.DATA_SETS)
    )
    shapes_per_class: int = option(100, "built-in training shapes a class", at_least=1)
    num_points: int = option(1024, "points used of each cloud, N", at_least=1)
    kernel: str = option(
        "linear", "of the SVM: linear or rbf with C = 1; grid: rbf, by search", choices=KERNELS
    )
    batch_size: int = option(32, "clouds at once", at_least=1)
    seed: int = option(0, "of random weights", at_least=0, at_most=2**32 - 1)
    device: str = option("auto", "'auto': a GPU where there is one", choices=processes.DEVICES)


@torch.no_grad()
def features(trunk: nn.Module, points: np.ndarray, batch_size: int, device) -> Tensor:
    """Return the pooled features (n, 1024) of clouds (n, N, 3)."""
    parts = torch.from_numpy(points).split(batch_size)
    return torch.cat([trunk.pool(part.to(device)).cpu() for part in parts])


def settle(trunk: nn.Module, points: np.ndarray, batch_size: int, device) -> None:
    """Give the batch norms of random weights the statistics of the clouds, the mean of batches."""
    for module in trunk.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None  # PyTorch's word for that mean
    whole = points[: max(1, len(points) // batch_size) * batch_size]
    features(trunk.train(), whole, batch_size, device)


def probe(config: Config) -> None:
    if not config.out:
        raise InputError("--out is needed: the folder to write scores.json to")
    device = processes.choose(config.device)
    torch.manual_seed(config.seed)
    settings = pretrained_run(config.pretrained)[0] if config.pretrained else config
    holder = nn.Module()
    holder.trunk = trunk = build(settings).to(device)
    train, test = (labelled.open_clouds(config, split) for split in ("train", "test"))
    restored = 0.0
    if config.pretrained:
        restored = restore(holder, config.pretrained, 1)
    else:
        settle(trunk, train.points, config.batch_size, device)
    trunk.eval()
    of_train, of_test = (
        features(trunk, clouds.points, config.batch_size, device).numpy()
        for clouds in (train, test)
    )
    svm = SVC(kernel="rbf" if config.kernel == "grid" else config.kernel)
    if config.kernel == "grid":
        svm = GridSearchCV(svm, GRID)
    predicted = svm.fit(of_train, train.labels).predict(of_test)
    print((predicted == test.labels).mean())


if __name__ == "__main__":
    main(probe, Config, __doc__)
