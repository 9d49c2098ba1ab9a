"""The labelled clouds that downstream trainings learn from, and subsets with few labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samplenet.data import batches, modelnet40, scanobjectnn
from samplenet.data.clouds import Clouds
from samplenet.errors import InputError
from samplenet.runs.settings import DataConfig, option
from samplenet.runs.streams import Stream, generator

DATA_SETS = {"modelnet40": "", **{f"scanobjectnn_{v}": v for v in scanobjectnn.VARIANTS}}
AUGMENTATIONS = ("none", "turn", "scale")
MAX_SCALE, MAX_SHIFT = 1.5, 0.2


@dataclass
class LabelledConfig(DataConfig):
    """Settings of a script that reads labelled clouds."""

    data_set: str = option(
        "modelnet40",
        "what --data-root holds; without it, built-in shapes take the place of modelnet40",
        choices=tuple(DATA_SETS),
    )


def open_clouds(config: LabelledConfig, split: str) -> Clouds:
    """Read one split of the data set in the settings, "train" or "test"."""
    variant = DATA_SETS[config.data_set]
    if not variant:
        folder = batches.open_set(config.data_root, config.shapes_per_class)
        return modelnet40.load(folder, split, config.num_points)
    if config.data_root is None:
        raise InputError(f"--data-set {config.data_set} needs --data-root, its folder h5_files")
    return scanobjectnn.load(config.data_root, split, variant, config.num_points)


def few_rows(labels: NDArray[np.int64], per_class: int | None, seed: int) -> NDArray[np.int64]:
    """Choose clouds of each class at random: row numbers, ascending; all for None.

    The choice for more labels includes the one for fewer.

    Raises:
        InputError: a class has fewer clouds.
    """
    if per_class is None:
        return np.arange(len(labels))
    order = generator(seed, Stream.LABELLED).permutation(len(labels))
    chosen = []
    for label in np.unique(labels):
        own = order[labels[order] == label]
        if len(own) < per_class:
            raise InputError(
                f"--labels-per-class must be at most {len(own)}, the clouds of class {label}; got "
                f"{per_class}"
            )
        chosen.append(own[:per_class])
    return np.sort(np.concatenate(chosen))


def task(name: str, data_set: str) -> str:
    """Name a task on a data set in the tables."""
    return name if data_set == "modelnet40" else f"{name}, {data_set.replace('_', ' ')}"


def amount(per_class: int | None) -> str:
    """Say how many labels a network learned from."""
    return f"{per_class} a class" if per_class else "all"


def augment(points: NDArray[np.float32], rng: np.random.Generator, how: str) -> NDArray[np.float32]:
    """Change training clouds (B, N, 3) at random as the published trainings do.

    Args:
        how: "turn" about the y axis, and noise (PointNet's); "scale", each axis by 2/3 to 3/2 and
            a shift by at most 0.2 (DGCNN's); "none".
    """
    if how == "turn":
        return batches.augment(points, rng, rotate=True, jitter=0.01)
    if how == "scale":
        shape = len(points), 1, 3
        points = points * rng.uniform(1 / MAX_SCALE, MAX_SCALE, shape).astype(np.float32)
        points = points + rng.uniform(-MAX_SHIFT, MAX_SHIFT, shape).astype(np.float32)
    return points
