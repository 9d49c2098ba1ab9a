"""Pairs of clouds to register: a template, and the same shape moved by a known transform.

source = R template + t, with R = Rx(a) Ry(b) Rz(c) and each angle in ±45 degrees. Rotations are
quaternions (w, x, y, z); see `rigid`.
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
MAX_SHIFT = 0.5  # along each axis, relative to the template's longest side
TEST_SEED, TEST_REPEATS = 1, 5  # as published: each test cloud is in five pairs


class Pairs(NamedTuple):
    """P pairs in float32; row i of every array belongs to pair i.

    Attributes:
        template, source: (P, N, 3).
        quaternion: (P, 4), of length 1: the rotation that moves the template onto the source.
        translation: (P, 3), which comes after the rotation.
    """

    template: NDArray[np.float32]
    source: NDArray[np.float32]
    quaternion: NDArray[np.float32]
    translation: NDArray[np.float32]

    def rows(self, rows) -> "Pairs":
        """Select the pairs that an index or a slice names."""
        return Pairs(*(array[rows] for array in self))

    def to(self, device) -> "Pairs":
        """Make tensors on a device of the four arrays or tensors."""
        return Pairs(*(torch.as_tensor(array, device=device) for array in self))


def load_class(
    data_root: str | os.PathLike | None,
    class_name: str,
    split: str,
    num_points: int,
    shapes_per_class: int = 100,
) -> NDArray[np.float32]:
    """Load the clouds (n, num_points, 3) of one class of a folder in the ModelNet40 layout.

    Without a folder these are built-in shapes, `shapes_per_class` to train on and two test shapes
    for every five of them.

    Raises:
        InputError: there is no such class, its clouds have fewer points, or the folder is damaged.
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
    """Make `count` pairs, numbered from `first`. Pair i shows cloud i modulo n.

    A pair's random draws depend on (seed, i) alone.

    Args:
        clouds: (n, P, 3), the shapes. The template is the first `num_points` points, normalised.
        noise: standard deviation of normal noise on the source, relative to the longest side.
        translation: move the source, by up to `MAX_SHIFT` along each axis.
        independent: sample the source independently of the template, from the cloud's other points;
            needs P >= 2 num_points. Otherwise, as published, it has the template's points in their
            order.

    Raises:
        InputError: no clouds, or too few points in them.
    """
    needed = 2 * num_points if independent else num_points
    if count and (not len(clouds) or clouds.shape[1] < needed):
        raise InputError(
            f"pairs need clouds of {needed} points, got clouds of shape {clouds.shape}"
        )
    clouds = box_side(clouds.astype(np.float64), num_points).astype(np.float32)
    sources, templates = np.zeros((2, count, num_points, 3), np.float32)
    draws = np.zeros((count, 6))  # three angles and three shifts, in [-1, 1]
    for row, i in enumerate(range(first, first + count)):
        cloud = clouds[i % len(clouds)]
        templates[row] = sources[row] = cloud[:num_points]
        draws[row] = generator(seed, Stream.TRANSFORMS, i).uniform(-1, 1, 6)
        if independent:
            others = generator(seed, Stream.OTHER_POINTS, i).permutation(len(cloud) - num_points)
            sources[row] = cloud[num_points + others[:num_points]]
    quaternion = rigid.from_euler(torch.from_numpy(MAX_ANGLE * draws[:, :3]))  # float64
    shift = (MAX_SHIFT * draws[:, 3:] * translation).astype(np.float32)  # (P, 3)
    matrix = rigid.to_matrix(quaternion).float().numpy()
    # no matrix product: libraries round those differently, and pairs shall be the same everywhere
    x, y, z = np.moveaxis(matrix, -1, 0)[:, :, None]  # columns of R, (P, 1, 3)
    turned = sources[..., :1] * x + sources[..., 1:2] * y + sources[..., 2:] * z
    moved = turned + shift[:, None]
    if noise:
        for row, i in enumerate(range(first, first + count)):
            rng = generator(seed, Stream.NOISE, i)
            moved[row] += np.float32(noise) * rng.standard_normal((num_points, 3), np.float32)
    return Pairs(templates, moved, quaternion.float().numpy(), shift)


def for_test(clouds: NDArray, num_points: int, **options) -> Pairs:
    """Make the test pairs, the same for everyone: each test cloud five times, seed 1."""
    return make(clouds, num_points, TEST_REPEATS * len(clouds), TEST_SEED, **options)
