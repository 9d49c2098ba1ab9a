"""Pairs of clouds to register: a template and the same shape, turned (and moved) by a known transform.

source = R template + t. R = Rx(a) Ry(b) Rz(c), each angle in ±45 degrees, as a quaternion (w, x, y, z); see `rigid`.
"""

import os
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

import rigid
from samplenet.data import modelnet40, shapes
from samplenet.errors import InputError
from samplenet.normalisation import box_side
from samplenet.runs.streams import Stream, generator

MAX_ANGLE = 45.0  # degrees about each axis
MAX_SHIFT = 0.5  # along each axis, in lengths of the template's longest side
TEST_SEED, TEST_REPEATS = 1, 5  # of the published test pairs


class Pairs(NamedTuple):
    """P pairs in float32; row i of every array belongs to pair i.

    Attributes:
        template, source: (P, N, 3).
        quaternion: (P, 4) unit, and translation: (P, 3); they move the template onto the source.
    """

    template: NDArray[np.float32]
    source: NDArray[np.float32]
    quaternion: NDArray[np.float32]
    translation: NDArray[np.float32]


def load_class(
    data_root: str | os.PathLike | None,
    class_name: str,
    split: str,
    num_points: int,
    shapes_per_class: int = 100,
) -> NDArray[np.float32]:
    """Load the clouds (n, num_points, 3) of one class of a folder in the ModelNet40 layout.

    Without a folder, built-in shapes: `shapes_per_class` of them to train on, two for each five to test.

    Raises:
        InputError: no such class (with the names there are), fewer stored points, or a fault of the folder.
    """
    clouds = None if data_root is None else modelnet40.load(data_root, split, num_points)
    names = shapes.CLASSES if clouds is None else clouds.names
    if class_name not in names:
        raise InputError(f"--class-name must be one of {', '.join(names)}; got {class_name!r}")
    if clouds is None:
        count = shapes_per_class if split == "train" else max(1, shapes_per_class * 2 // 5)
        return shapes.clouds([class_name], range(count), num_points, split).points
    points = clouds.points[clouds.labels == names.index(class_name)]
    if not len(points):
        raise InputError(
            f"{data_root} holds no {class_name!r} in its {split} split; choose another --class-name"
        )
    return points


def make(
    clouds: NDArray,
    num_points: int,
    count: int,
    seed: int,
    *,
    first: int = 0,
    noise: float = 0.0,
    translation: bool = False,
    independent: bool = False,
) -> Pairs:
    """Make pairs number first .. first + count - 1; pair i shows cloud i modulo n and is drawn by (seed, i) alone.

    Args:
        clouds: (n, P, 3), the shapes. The template is the first `num_points` points, normalised.
        noise: standard deviation of the normal noise added to the source, in lengths of the longest side.
        translation: move the source, by up to `MAX_SHIFT` along each axis.
        independent: make the source of other points of the cloud than the template's, in the template's frame: a
            second sample of the same surface. Needs P >= 2 num_points. Otherwise it has the template's points,
            in their order, as published.

    Raises:
        InputError: too few points, or pairs of no clouds.
    """
    needed = 2 * num_points if independent else num_points
    if count and (not len(clouds) or clouds.shape[1] < needed):
        raise InputError(
            f"pairs need clouds of {needed} points, got clouds of shape {clouds.shape}"
        )
    numbers = np.arange(first, first + count)
    clouds = box_side(clouds.astype(np.float64), num_points).astype(np.float32)
    rows = numbers % max(1, len(clouds))
    template = clouds[rows, :num_points]
    draws = [generator(seed, Stream.TRANSFORMS, i).uniform(-1, 1, 6) for i in numbers]
    draws = np.stack(draws) if count else np.zeros((0, 6))
    quaternion = rigid.from_euler(torch.from_numpy(MAX_ANGLE * draws[:, :3]))  # float64
    shift = MAX_SHIFT * draws[:, 3:] * translation  # (P, 3)
    source = template
    if independent:
        order = [
            generator(seed, Stream.OTHER_POINTS, i).permutation(clouds.shape[1] - num_points)
            for i in numbers
        ]
        others = (
            num_points + np.stack(order)[:, :num_points]
            if count
            else np.zeros((0, num_points), int)
        )
        source = clouds[rows[:, None], others]
    matrix = rigid.to_matrix(quaternion).float().numpy()
    x, y, z = np.moveaxis(matrix, -1, 0)[:, :, None]  # columns of R, (P, 1, 3)
    source = (
        source[..., :1] * x
        + source[..., 1:2] * y
        + source[..., 2:] * z
        + shift.astype(np.float32)[:, None]
    )
    if noise:
        for i, cloud in zip(numbers, source, strict=True):
            cloud += np.float32(noise) * generator(seed, Stream.NOISE, i).standard_normal(
                cloud.shape, np.float32
            )
    return Pairs(template, source, quaternion.float().numpy(), shift.astype(np.float32))


def for_test(clouds: NDArray, num_points: int, **options) -> Pairs:
    """Make the pairs that results are reported on: each test cloud five times, seed 1."""
    return make(clouds, num_points, TEST_REPEATS * len(clouds), TEST_SEED, **options)
