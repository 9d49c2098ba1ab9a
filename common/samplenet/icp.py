"""Point-to-point ICP: rotate and translate a cloud onto another, with Open3D or without.

Each iteration pairs every point of the source with the nearest one of the target, leaves out pairs
that are farther apart than a limit, and moves the source so that the sum of the squared distances
of the pairs is least.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samplenet.errors import InputError, needs_extra

ITERATIONS, TOLERANCE = 30, 1e-6  # Open3D's defaults


class Fit(NamedTuple):
    """How a source was moved onto its target.

    Attributes:
        matrix: (4, 4), takes points of the source, as columns (x, y, z, 1), to the target.
        rmse: root of the mean squared distance of the pairs, in the unit of the clouds.
        share: of the source's points that are in a pair; if it is 0, the rest means nothing.
    """

    matrix: NDArray[np.float64]
    rmse: float
    share: float


def fit(source: ArrayLike, target: ArrayLike, limit: float, start: ArrayLike | None = None) -> Fit:
    """Fit a source (N, 3) to a target (M, 3), by Open3D if it can be imported.

    Args:
        limit: largest distance of a pair, in the unit of the clouds.
        start: (4, 4), where to begin; by default the source stays where it is.
    """
    try:
        open3d()
    except InputError:
        return fit_numpy(source, target, limit, start)
    return fit_open3d(source, target, limit, start)


def fit_open3d(
    source: ArrayLike, target: ArrayLike, limit: float, start: ArrayLike | None = None
) -> Fit:
    """Fit by Open3D; see `fit`. InputError if it is missing."""
    library = open3d()

    def cloud(points: ArrayLike):
        points = library.utility.Vector3dVector(np.ascontiguousarray(points, float))
        return library.geometry.PointCloud(points)

    start = np.eye(4) if start is None else np.asarray(start, float)
    found = library.pipelines.registration.registration_icp(
        cloud(source), cloud(target), limit, start
    )
    return Fit(found.transformation.copy(), found.inlier_rmse, found.fitness)


def fit_numpy(
    source: ArrayLike, target: ArrayLike, limit: float, start: ArrayLike | None = None
) -> Fit:
    """Fit without Open3D, by the same rules; see `fit`."""
    with needs_extra("render"):  # here: Open3D's fit needs no SciPy
        from scipy.spatial import cKDTree

    source, target = np.asarray(source, float), np.asarray(target, float)
    matrix = np.eye(4) if start is None else np.array(start, float)
    tree, before = cKDTree(target), None
    for _ in range(ITERATIONS + 1):
        moved = source @ matrix[:3, :3].T + matrix[:3, 3]
        distance, which = tree.query(moved)
        paired = distance < limit
        if not paired.any():
            return Fit(matrix, 0.0, 0.0)
        found = Fit(matrix, float(np.sqrt(np.mean(distance[paired] ** 2))), paired.mean())
        if before and max(abs(np.subtract(found[1:], before[1:]))) < TOLERANCE:
            break
        before, matrix = found, _rigid(moved[paired], target[which[paired]]) @ matrix
    return found


def _rigid(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the motion (4, 4) of points (n, 3) with the least squared distance to others (n, 3).

    By singular value decomposition (Arun et al. 1987); never a mirror image.
    """
    middle, goal = points.mean(0), others.mean(0)
    u, _, vt = np.linalg.svd((points - middle).T @ (others - goal))
    signs = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    matrix = np.eye(4)
    matrix[:3, :3] = vt.T @ signs @ u.T
    matrix[:3, 3] = goal - matrix[:3, :3] @ middle
    return matrix


def open3d():
    """Return the module; InputError if it cannot be imported."""
    try:
        import open3d
    except ImportError as error:
        raise InputError(
            f"this ICP needs Open3D ({error}): bash setup.sh icp; on Debian or Ubuntu also "
            "apt-get install libusb-1.0-0 libgl1 libgomp1 libx11-6"
        ) from error
    return open3d
