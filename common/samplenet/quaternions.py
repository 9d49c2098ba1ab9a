"""Rotations as quaternions (..., 4), NumPy: (w, x, y, z) rotates p to q p q^-1.

q and -q are the same rotation. `samplenet.data.cameras` converts them to matrices and back.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samplenet.errors import InputError


def multiply(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Return the product (..., 4) of quaternions (..., 4), which rotates by b, then by a."""
    a, b = np.broadcast_arrays(np.asarray(a, float), np.asarray(b, float))
    aw, av, bw, bv = a[..., :1], a[..., 1:], b[..., :1], b[..., 1:]
    scalar = aw * bw - (av * bv).sum(-1, keepdims=True)
    return np.concatenate([scalar, aw * bv + bw * av + np.cross(av, bv)], -1)


def conjugate(quaternion: ArrayLike) -> NDArray[np.float64]:
    """Return the inverse rotations (..., 4)."""
    return np.asarray(quaternion, float) * [1, -1, -1, -1]


def angle_between(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Return the angles (...) in degrees, 0 to 180, of the rotations from a to b (..., 4).

    The quaternions may have any length but 0. By atan2, which is precise at 0 and at 180 degrees,
    where arccos is not.
    """
    relative = multiply(conjugate(a), b)
    turned = np.linalg.norm(relative[..., 1:], axis=-1)
    return np.degrees(2 * np.arctan2(turned, np.abs(relative[..., 0])))


def mean(quaternions: ArrayLike) -> NDArray[np.float64]:
    """Return the mean rotation (4,), w >= 0, of quaternions (n, 4) of either sign.

    It is the eigenvector of the mean of q q^T with the largest eigenvalue (Markley et al. 2007,
    "Averaging quaternions").

    Raises:
        InputError: there are none, or one is zero or not finite.
    """
    q = np.asarray(quaternions, float)
    length = np.linalg.norm(q, axis=-1, keepdims=True)
    if not len(q) or not np.isfinite(q).all() or not length.all():
        raise InputError(f"a mean rotation needs quaternions that are finite and not 0, got {q}")
    q = q / length
    average = np.linalg.eigh(q.T @ q)[1][:, -1]
    return -average if average[0] < 0 else average
