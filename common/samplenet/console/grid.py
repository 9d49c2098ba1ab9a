"""Pick one point of each occupied cell of a grid."""

import numpy as np
from numpy.typing import NDArray

from samplenet.console.farthest import farthest_points
from samplenet.errors import InputError

MAX_CELLS = 1 << 19  # along an axis: the numbers of all cells have to fit into int64


def grid(points: NDArray, m: int | None = None, cell: float | None = None) -> NDArray[np.int64]:
    """Pick from each occupied cell the point nearest to the mean of the cell's points (N, 3).

    Args:
        m: number of points, without `cell`. The cells are as large as they can be while at least m
            are occupied; farthest point sampling picks m of their points. Where so many points
            coincide that fewer than m cells are occupied, it adds the rest.
        cell: side of a cell; the number of points follows from it.
    """
    if cell is not None:
        numbers = cells(points, cell, points.min(0))
        return one_per_cell(points, numbers, points[0])
    numbers = cells(points, _cell_size(points, m), points.min(0))
    picked = one_per_cell(points, numbers, points[0])
    if len(picked) < m:
        return farthest_points(points, m, picked)
    return picked[farthest_points(points[picked], m)]


def _cell_size(points: NDArray, m: int) -> float:
    """Search for the largest side at which m or more cells are occupied, if there is any."""
    low = points.min(0)
    span = float(np.ptp(points, axis=0).max()) or 1.0  # 0 if all points coincide
    size = span
    while size > span / MAX_CELLS and len(np.unique(cells(points, size, low))) < m:
        size /= 2
    small, large = size, 2 * size
    for _ in range(8):
        size = (small * large) ** 0.5
        if len(np.unique(cells(points, size, low))) >= m:
            small = size
        else:
            large = size
    return small


def cells(points: NDArray, size: float, origin: NDArray) -> NDArray[np.int64]:
    """Return the number of each point's cell, (N,), of a grid whose corner is `origin`."""
    steps = (points - origin) / size
    if not steps.max() <= 2 * MAX_CELLS:
        fault = f"more than {2 * MAX_CELLS} would lie along the cloud"
        raise InputError(f"cells of {size} are too small: {fault}")
    x, y, z = steps.astype(np.int64).T
    return (x * (y.max() + 1) + y) * (z.max() + 1) + z


def one_per_cell(points: NDArray, cells: NDArray[np.int64], near: NDArray) -> NDArray[np.int64]:
    """Return of each cell the point nearest to the mean of the cell's points.

    Args:
        near: a point (3,) of the cloud. Means are computed relative to it, as sums of large
            coordinates would round away the differences.
    """
    _, cells, counts = np.unique(cells, return_inverse=True, return_counts=True)
    sums = [np.bincount(cells, column) for column in (points - near).T]
    means = np.stack(sums, 1) / counts[:, None] + near
    dist2 = ((points - means[cells]) ** 2).sum(1)
    order = np.lexsort((dist2, cells))  # stable: the lowest index of equal distances
    return order[np.cumsum(counts) - counts]
