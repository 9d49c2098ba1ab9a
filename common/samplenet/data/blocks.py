"""Columns of a room, a metre wide, of equally many points each with 9 features (PointNet, 2017).

The features are x and y from the column's centre, z, the colour in [0, 1], and the place in the
room as shares of its size.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samplenet.data.rooms import Room

FEATURES = 9


class Blocks(NamedTuple):
    """K blocks of N points.

    Attributes:
        features: (K, N, 9) float32.
        labels: (K, N) int64.
        rows: (K, N) int64, which point of the room each is.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    rows: NDArray[np.int64]


def draw(
    room: Room,
    num_points: int = 4096,
    rng: np.random.Generator | None = None,
    stride: float = 0.5,
    side: float = 1.0,
    least: int = 100,
) -> Blocks:
    """Draw `num_points` from each of the overlapping columns with at least `least` points.

    Points are drawn once each, or again where a column has too few.
    """
    rng = rng or np.random.default_rng(0)
    chosen = []
    for corner, rows in _columns(room, stride, side):
        if len(rows) >= least:
            chosen.append((corner, rng.choice(rows, num_points, replace=len(rows) < num_points)))
    return _blocks(room, chosen, side, num_points)


def cover(
    room: Room, num_points: int = 4096, rng: np.random.Generator | None = None, side: float = 1.0
) -> Blocks:
    """Share all points of a room among blocks: each is in one at least.

    The points of a column are dealt at random to as few blocks as hold them; these are filled with
    points drawn again.
    """
    rng = rng or np.random.default_rng(0)
    chosen = []
    for corner, rows in _columns(room, side, side):
        rows = rng.permutation(rows)
        missing = -len(rows) % num_points
        rows = np.append(rows, rng.choice(rows, missing))
        chosen += [(corner, part) for part in rows.reshape(-1, num_points)]
    return _blocks(room, chosen, side, num_points)


def _columns(room: Room, stride: float, side: float):
    """Yield corner (2,) and points (rows of the room) of each column that has any."""
    size = room.points[:, :2].max(0)
    counts = np.maximum(np.ceil((size - side) / stride), 0).astype(int) + 1
    xy = room.points[:, :2]
    for i, j in np.ndindex(*counts):
        corner = stride * np.array([i, j])
        # the last column is closed, so that the farthest point is in it
        upper = np.where(np.array([i, j]) + 1 == counts, np.inf, corner + side)
        rows = np.flatnonzero(((xy >= corner) & (xy < upper)).all(1))
        if len(rows):
            yield corner, rows


def _blocks(room: Room, chosen: list, side: float, num_points: int) -> Blocks:
    rows = np.array([rows for _, rows in chosen], np.int64).reshape(-1, num_points)
    corners = np.array([corner for corner, _ in chosen], np.float32).reshape(-1, 1, 2)
    points, size = room.points[rows], room.points.max(0)
    local = np.concatenate([points[..., :2] - corners - np.float32(side / 2), points[..., 2:]], -1)
    colors = room.colors[rows].astype(np.float32) / 255
    features = np.concatenate([local, colors, points / np.maximum(size, 1e-6)], -1)
    return Blocks(features.astype(np.float32), room.labels[rows], rows)
