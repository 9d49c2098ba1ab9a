"""From a data set to batches: choice of the set, held-out split, order, augmentation."""

import os
from pathlib import Path

import numpy as np

from samplenet.data import shapes
from samplenet.data.clouds import Clouds
from samplenet.errors import InputError
from samplenet.runs.settings import checkout
from samplenet.runs.streams import Stream, generator

MAX_NOISE = 0.05  # of a coordinate, for clouds of unit size; PointNet's bound


def open_set(data_root: str | None, shapes_per_class: int) -> Path:
    """Return the data set's folder: `data_root`, or the built-in shapes, written on first use."""
    if data_root is not None:
        return Path(data_root)
    return shapes.ensure(own_folder(), shapes_per_class, max(1, shapes_per_class * 2 // 5))


def own_folder() -> Path:
    """Return the folder for generated data.

    It is $SAMPLENET_DATA, else data/ in the checkout, else a folder in the user's cache.
    """
    if folder := os.environ.get("SAMPLENET_DATA"):
        return Path(folder)
    if (checkout() / "reproduce.py").is_file():
        return checkout() / "data"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "samplenet"


def hold_out(clouds: Clouds, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split the training set at random: row numbers (train, held out), each ascending.

    The held-out `fraction` judges a network while it trains; the test set selects nothing.
    """
    order = generator(seed, Stream.HOLD_OUT).permutation(len(clouds))
    size = round(fraction * len(clouds))
    return np.sort(order[size:]), np.sort(order[:size])


def steps_per_epoch(rows: np.ndarray, batch_size: int) -> int:
    """Count the batches of an epoch; InputError if there are too few rows for one."""
    if len(rows) < batch_size:
        raise InputError(
            f"--batch-size {batch_size} is larger than the training set of {len(rows)} clouds"
        )
    return len(rows) // batch_size


def of_epoch(rows: np.ndarray, batch_size: int, seed: int, epoch: int) -> np.ndarray:
    """Shuffle row numbers into an epoch's batches, (steps, batch_size), keyed by (seed, epoch).

    Clouds that do not fill a batch sit out this epoch, as batch norm needs batches of one size.
    """
    order = generator(seed, Stream.ORDER, epoch).permutation(rows)
    steps = len(order) // batch_size
    return order[: steps * batch_size].reshape(steps, batch_size)


def augment(
    points: np.ndarray, rng: np.random.Generator, rotate: bool, jitter: float
) -> np.ndarray:
    """Rotate each cloud (B, N, 3) about the y axis by a random angle and add clipped noise.

    Args:
        jitter: standard deviation of the noise; 0 for none.
    """
    if rotate:
        angle = rng.uniform(0, 2 * np.pi, len(points)).astype(np.float32)
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]  # (B, 1)
        x, y, z = np.moveaxis(points, -1, 0)  # (B, N) each
        points = np.stack([cos * x + sin * z, y, cos * z - sin * x], -1)
    if jitter:
        noise = np.float32(jitter) * rng.standard_normal(points.shape, np.float32)
        points = points + np.clip(noise, -MAX_NOISE, MAX_NOISE)
    return points
