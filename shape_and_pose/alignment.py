"""The frame that an unsupervised network has chosen, and the errors of its poses.

Silhouettes do not say where the front of a chair is: such a network sees all shapes in a frame of
its own, turned by one rotation from that of the true ones. It is estimated once, on models of the
validation split, and turns everything that the network predicts of any split.

Quaternions are those of `samplenet.data.cameras.to_dpc`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samplenet import icp, quaternions
from samplenet.data import cameras
from samplenet.errors import InputError

# as published
MODELS, BEST_MODELS, BEST_VIEWS = 50, 15, 2
LIMIT = 0.2  # of ICP's pairs, in the unit of the clouds
ACCURATE = 30.0  # degrees; a pose with a smaller error counts as right
ENOUGH = 0.6  # share of such poses with which a training has not failed


class Alignment(NamedTuple):
    """The rotation from a network's frame to that of the true shapes.

    Attributes:
        rotation: quaternion (4,).
        spread: mean angle in degrees between it and the rotations that it is the mean of.
        count: of these.
    """

    rotation: NDArray[np.float64]
    spread: float
    count: int

    def points(self, points: NDArray) -> NDArray[np.float32]:
        """Turn predicted points (..., 3)."""
        return (points @ cameras.rotation(self.rotation).T).astype(np.float32)

    def poses(self, poses: NDArray) -> NDArray[np.float64]:
        """Turn predicted poses (..., 4); they come out with length 1."""
        poses = poses / np.linalg.norm(poses, axis=-1, keepdims=True)
        return quaternions.multiply(poses, quaternions.conjugate(self.rotation))


def align(
    points: NDArray, poses: NDArray, truths: list[NDArray | None], true_poses: NDArray
) -> Alignment:
    """Estimate the rotation from predictions for the first `MODELS` models with a true cloud.

    Each view of a model gives one: it starts from the rotation by which the view's predicted pose
    becomes the true one, and ICP improves it. Of each model the `BEST_VIEWS` with the smallest
    distances count, and of the models the `BEST_MODELS` with the smallest means of these.

    Args:
        points: (n, V, N, 3), from each view.
        poses: (n, V, 4), of any length.
        truths: (n), (M, 3) each; None where there is none.
        true_poses: (n, V, 4).

    Raises:
        InputError: there is no true cloud.
    """
    known = [i for i, truth in enumerate(truths) if truth is not None][:MODELS]
    if not known:
        raise InputError("to align a network's frame, models of the val split need true clouds")
    starts = quaternions.multiply(quaternions.conjugate(true_poses), poses)
    models = []  # mean error of the best views, and their rotations
    for i in known:
        fits = []
        for cloud, start in zip(points[i], starts[i], strict=True):
            matrix = np.eye(4)
            matrix[:3, :3] = cameras.rotation(start)
            fit = icp.fit(cloud, truths[i], LIMIT, matrix)
            error = fit.rmse if fit.share else np.inf  # nothing is near: the start, ranked last
            fits.append((error, cameras.quaternion(fit.matrix[:3, :3])))
        errors, rotations = zip(*sorted(fits, key=lambda fit: fit[0])[:BEST_VIEWS], strict=True)
        models.append((np.mean(errors), rotations))
    models = sorted(models, key=lambda model: model[0])[:BEST_MODELS]
    chosen = np.concatenate([rotations for _, rotations in models])
    rotation = quaternions.mean(chosen)
    return Alignment(rotation, quaternions.angle_between(rotation, chosen).mean(), len(chosen))


def succeeded(errors: NDArray) -> float:
    """Return 1 if at least `ENOUGH` of the pose errors in degrees are under `ACCURATE`, else 0."""
    return float((np.asarray(errors) < ACCURATE).mean() >= ENOUGH)


def median(errors: NDArray) -> float:
    """Return the median as published: the upper one of the two in the middle of an even number."""
    errors = np.sort(np.ravel(errors))
    return float(errors[len(errors) // 2])
