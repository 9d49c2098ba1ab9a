"""How far a predicted cloud is from the true surface, in the units of the clouds, not squared."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samplenet.errors import InputError, needs_extra

with needs_extra("render"):
    from scipy.spatial import cKDTree


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
    clouds = {"points": np.asarray(points, float), "others": np.asarray(others, float)}
    for name, cloud in clouds.items():
        if cloud.ndim != 2 or cloud.shape[1] != 3 or not len(cloud):
            raise InputError(f"{name} must have shape (N, 3), N at least 1; got {cloud.shape}")
        if not np.isfinite(cloud).all():
            raise InputError(f"{name} have coordinates that are not finite")
    return cKDTree(clouds["others"]).query(clouds["points"])


def error(predicted: ArrayLike, truth: ArrayLike) -> Error:
    """Compare a predicted cloud (N, 3) with a true one (M, 3); InputError as `nearest`."""
    return Error(nearest(predicted, truth)[0].mean(), nearest(truth, predicted)[0].mean())


def mean_cloud(
    clouds: Sequence[NDArray[np.float32]], num_points: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw points (num_points, 3) from clouds (M, 3), each cloud as likely as any other.

    It is what a network predicts well that knows the class and not the object.
    """
    which = rng.integers(len(clouds), size=num_points)
    return np.stack([clouds[i][rng.integers(len(clouds[i]))] for i in which])
