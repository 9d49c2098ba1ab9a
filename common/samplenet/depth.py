"""Depth images: the points that their pixels see, and an even sample of them at camera rate.

Points are in metres in the camera's frame: x to the right, y down, z ahead, as in OpenCV and in
ROS's optical frames. Depth is along z, not along the ray. Pixel (0, 0) has its middle at (0, 0), so
a pixel sees ((column - cx) / fx, (row - cy) / fy, 1) * depth. One whose depth is 0, NaN, infinite,
negative or beyond `far` sees no point.
"""

import importlib.util
import math
import operator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samplenet import pretrained
from samplenet.errors import InputError

POOL = 128  # pixels for each one sampled; with 64, some rooms of benchmarks/ are covered 12 % worse
# than by farthest points of all pixels, with 128 the worst of 30 by 8 %
LEVELS = 10  # doublings from a pixel to the largest block, 32 by 32 pixels


class Pixels(NamedTuple):
    """Pixels of a depth image and the points that they see.

    Attributes:
        points: (N, 3) float32, metres.
        rows, columns: (N,) int64; `image[rows, columns]` are the colours or labels of the points.
    """

    points: NDArray[np.float32]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]


def cloud(depth: NDArray, intrinsics, far: float = math.inf) -> Pixels:
    """Return the points of all pixels that see one, row by row.

    Args:
        depth: (H, W), uint16 in millimetres or floating point in metres.
        intrinsics: fx, fy, cx, cy in pixels.
        far: the largest depth that counts, in metres.

    Raises:
        InputError: wrong shape, type or intrinsics, or no pixel sees a point.
    """
    intrinsics, z = _check_intrinsics(intrinsics), _metres(depth, far)
    return _see(z, np.flatnonzero(z > 0), intrinsics)


def sample(depth: NDArray, intrinsics, m: int = 1024, far: float = math.inf) -> Pixels:
    """Sample m pixels whose points lie evenly on all surfaces, near and far, that the camera sees.

    Farthest point sampling picks them from 64 m to 128 m pixels (more where many pixels see no
    point), or from all if no more see one.
    Of the others, neighbours whose points are close in space have been merged: that thins near
    surfaces and leaves far ones, which have few pixels.

    Args:
        depth, intrinsics, far: see `cloud`.
        m: pixels to sample.

    Returns:
        m distinct pixels, as picked: the first ones are a sample too.

    Raises:
        InputError: see `cloud`; or m is below 1 or above the number of pixels that see a point.
    """
    intrinsics, z = _check_intrinsics(intrinsics), _metres(depth, far)
    seeing = np.count_nonzero(z > 0)
    try:
        m = operator.index(m)
    except TypeError as error:
        raise InputError(f"m must be a whole number, got {m!r}") from error
    if not 1 <= m <= seeing:
        raise InputError(f"m must be in [1, {seeing}], the pixels that see a point, got {m}")
    pool = np.flatnonzero(z > 0) if seeing <= POOL * m else _thin(z, intrinsics, POOL * m)
    pixels = _see(z, pool, intrinsics)
    picked = _farthest_points(pixels.points, m)
    return Pixels(*(array[picked] for array in pixels))


def _check_intrinsics(intrinsics) -> NDArray[np.float64]:
    try:
        values = np.array(intrinsics, np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape != (4,) or not np.isfinite(values).all() or values[:2].min() <= 0:
        wanted = "the four numbers fx, fy, cx, cy in pixels, fx and fy above 0"
        raise InputError(f"intrinsics must be {wanted}, got {intrinsics!r}")
    return values


def _metres(depth: NDArray, far: float) -> NDArray[np.float32]:
    """Return the depth in metres, 0 for pixels that do not see a point."""
    depth = np.asarray(depth)
    if depth.ndim != 2:
        raise InputError(f"depth must have shape (H, W), got {depth.shape}")
    if not far > 0:
        raise InputError(f"far must be above 0 metres, got {far}")
    if depth.dtype.kind == "u" and depth.dtype.itemsize == 2:
        z = depth / np.float32(1000)
    elif depth.dtype.kind == "f":
        z = depth.astype(np.float32)
    else:
        wanted = "uint16 (millimetres) or floating point (metres)"
        raise InputError(f"depth must be {wanted}, got {depth.dtype}: convert it first")
    z = np.where((z > 0) & (z <= far) & (z < np.inf), z, np.float32(0))  # false for NaN
    if not z.max(initial=0) > 0:
        limit = "" if far == np.inf else f" of at most {far} m"
        raise InputError(f"none of the {z.size} pixels has a depth{limit}")
    return z


def _see(z: NDArray[np.float32], pixels: NDArray[np.int64], intrinsics: NDArray) -> Pixels:
    """Return the points of pixels, given by their indices into the flat image."""
    fx, fy, cx, cy = intrinsics
    rows, columns = np.divmod(pixels, z.shape[1])
    right = ((np.arange(z.shape[1]) - cx) / fx).astype(np.float32)
    down = ((np.arange(z.shape[0]) - cy) / fy).astype(np.float32)
    ahead = z.ravel()[pixels]
    points = np.stack((right[columns] * ahead, down[rows] * ahead, ahead), 1)
    return Pixels(points, rows, columns)


def _thin(z: NDArray[np.float32], intrinsics: NDArray, count: int) -> NDArray[np.int64]:
    """Merge pixels until about `count` are left; return their indices into the flat image.

    Two neighbouring pixels make a block, two neighbouring blocks one of the next level, side by
    side and one above the other in turns. The blocks narrowest in space are merged, as many as
    leave `count`. A merged block keeps its middle pixel; one whose middle sees no point is split.
    """
    side = 1 << LEVELS // 2
    padded = np.pad(z, [(0, -length % side) for length in z.shape])
    widths = _widths(padded, *intrinsics[:2])
    # each merge leaves one block less; where m is small, not all may become blocks of the top level
    merges = padded.size - max(count, 8 * widths[-1].size)
    limit = np.partition(np.concatenate([width.ravel() for width in widths]), merges)[merges]
    rows, columns = np.indices(widths[-1].shape).reshape(2, -1)
    kept = []
    for level in reversed(range(LEVELS)):
        width = widths[level][rows, columns]
        tall, wide = _sides(level)
        middle = np.stack((rows * tall + tall // 2, columns * wide + wide // 2))
        merged = (width <= limit) & (padded[*middle] > 0)
        kept.append(middle[:, merged])
        split = ~merged & (width > 0)
        rows, columns = rows[split], columns[split]
        if level % 2:
            rows, columns = (2 * rows[:, None] + (0, 1)).ravel(), columns.repeat(2)
        else:
            rows, columns = rows.repeat(2), (2 * columns[:, None] + (0, 1)).ravel()
    sees = padded[rows, columns] > 0
    rows, columns = np.concatenate([*kept, (rows[sees], columns[sees])], 1)
    return rows * z.shape[1] + columns


def _widths(z: NDArray[np.float32], fx: float, fy: float) -> list[NDArray[np.float32]]:
    """Return how wide in space the blocks of each level are, squared, in metres; 0 for no points.

    That is the range of their depths and the diagonal of their pixels at the largest together. No
    block is narrower than a part of it, so that parts are merged before the whole.
    """
    widths, deepest, nearest = [], z, np.where(z > 0, z, np.float32(np.inf))
    for level in range(LEVELS):
        deepest = np.maximum(*_neighbours(deepest, level))
        nearest = np.minimum(*_neighbours(nearest, level))
        tall, wide = _sides(level)
        along = deepest - np.minimum(nearest, deepest)  # of no points, 0
        across = deepest * np.float32(math.hypot((wide - 1) / fx, (tall - 1) / fy))
        widths.append(along * along + across * across)
    return widths


def _sides(level: int) -> tuple[int, int]:
    """Return the rows and columns of pixels in a block of this level; 0 is of two pixels."""
    return 1 << (level + 1) // 2, 1 << (level + 2) // 2


def _neighbours(blocks: NDArray, level: int) -> tuple[NDArray, NDArray]:
    """Return the first and the second of each pair that a block of this level is made of."""
    return (blocks[::2], blocks[1::2]) if level % 2 else (blocks[:, ::2], blocks[:, 1::2])


def _farthest_points(points: NDArray, m: int) -> NDArray[np.int64]:
    """Pick m points, the same with each framework and without one."""
    if not any(map(importlib.util.find_spec, pretrained.PACKAGES.values())):
        from samplenet.console.farthest import farthest_points

        return farthest_points(points, m)
    if pretrained.choose_framework(None) == "torch":
        from samplenet.ops import torch as ops
    else:
        from samplenet.ops import tf as ops
    return np.asarray(ops.farthest_points(points[None], m))[0]
