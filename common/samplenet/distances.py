"""How far a predicted cloud is from the truth, in the units of the clouds, not squared."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samplenet.errors import InputError, needs_extra

with needs_extra("render"):
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial import cKDTree
    from scipy.spatial.distance import cdist

EXACT = 2048  # points up to which `emd` is exact: the time grows with their third power
TOLERANCE = 0.05  # of `emd` beyond
SCALING = 5  # from one round of the auction to the next


class Error(NamedTuple):
    """Mean distances between a prediction and the truth; Chamfer is their sum.

    Attributes:
        precision: from a predicted point to the nearest true one.
        coverage: from a true point to the nearest predicted one.
    """

    precision: float
    coverage: float


def nearest(points: ArrayLike, others: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the distance (M,) from each of points (M, 3) to the nearest of others (N, 3), and it.

    Raises:
        InputError: an empty cloud, a wrong shape, or coordinates that are not finite.
    """
    points, others = _checked(points=points, others=others)
    return cKDTree(others).query(points)


def error(predicted: ArrayLike, truth: ArrayLike) -> Error:
    """Compare a predicted cloud (N, 3) with a true one (M, 3); InputError as `nearest`."""
    return Error(nearest(predicted, truth)[0].mean(), nearest(truth, predicted)[0].mean())


def emd(a: ArrayLike, b: ArrayLike, squared: bool = False) -> float:
    """Return the earth mover's distance of two clouds (N, 3): the mean over points of the way.

    Each point of a moves to a point of b, no two to the same, so that the mean of the distances, or
    of their squares, is the least (arXiv 1612.00603, there the sum). Exact for up to EXACT points,
    by SciPy. Beyond, up to TOLERANCE larger than exact, by Bertsekas' auction: memory for N^2
    numbers, and minutes for 10,000 points.

    Raises:
        InputError: clouds of different sizes, or as `nearest`.
    """
    a, b = _checked(a=a, b=b)
    if len(a) != len(b):
        raise InputError(f"emd needs clouds of one size, got {len(a)} and {len(b)} points")
    cost = cdist(a, b, "sqeuclidean" if squared else "euclidean")
    # without a cost to save, the bids of an auction would never rise
    exact = len(a) <= EXACT or not cost.any()
    matched = linear_sum_assignment(cost)[1] if exact else _auction(cost)
    return float(cost[np.arange(len(a)), matched].mean())


def _auction(cost: NDArray[np.float64]) -> NDArray[np.int64]:
    """Match rows to columns (N, N); return each row's column (N,).

    All rows without a column bid at once for their favourite, at what it is worth to them above the
    second best, and at least `step` more. In the end each row's column is its best at the final
    prices but for `step`, so the mean cost is at most `step` above the least (Bertsekas 1988).
    """
    rows = np.arange(len(cost))
    # no matching costs less than every row's, or column's, cheapest
    least = max(cost.min(0).mean(), cost.min(1).mean(), 1e-6 * cost.max())
    step, prices = max(cost.max() / SCALING, TOLERANCE * least), np.zeros(len(cost))
    while True:
        column, owner = np.full(len(cost), -1), np.full(len(cost), -1)
        while len(free := np.flatnonzero(column < 0)):
            profit = -cost[free] - prices  # (F, N)
            wanted = profit.argmax(1)
            best = profit[rows[: len(free)], wanted]
            profit[rows[: len(free)], wanted] = -np.inf
            bid = prices[wanted] + best - profit.max(1) + step
            order = np.argsort(bid, kind="stable")  # of several bids for a column the last stays
            sold = np.unique(wanted)
            highest = np.zeros(len(cost), int)
            highest[wanted[order]] = order
            winner = highest[sold]
            column[owner[sold][owner[sold] >= 0]] = -1
            owner[sold], column[free[winner]], prices[sold] = free[winner], sold, bid[winner]
        if step <= TOLERANCE * least:
            return column
        step = max(step / SCALING, TOLERANCE * least)


def _checked(**clouds: ArrayLike) -> list[NDArray[np.float64]]:
    clouds = {name: np.asarray(cloud, float) for name, cloud in clouds.items()}
    for name, cloud in clouds.items():
        if cloud.ndim != 2 or cloud.shape[1] != 3 or not len(cloud):
            raise InputError(f"{name} must have shape (N, 3), N at least 1; got {cloud.shape}")
        if not np.isfinite(cloud).all():
            raise InputError(f"{name} have coordinates that are not finite")
    return [*clouds.values()]


def mean_cloud(
    clouds: Sequence[NDArray[np.float32]], num_points: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw points (num_points, 3) from clouds (M, 3), each cloud as likely as any other.

    It is what a network predicts well that knows the class and not the object.
    """
    which = rng.integers(len(clouds), size=num_points)
    return np.stack([clouds[i][rng.integers(len(clouds[i]))] for i in which])
