"""Transforms of one cloud under the released code's names, to be composed (`torchvision.transforms.Compose`).

Each takes and returns one cloud, (N, 3) or (N, 3 + F); the F further columns stay as they are unless it says otherwise.

Differs from the released code: no transform changes the cloud it is given, which may be the stored one, and all draw
from PyTorch's generator: `torch.manual_seed` repeats them, and each worker of a DataLoader draws its own.
"""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

import pairs
import rigid
from samplenet.errors import InputError

from . import quaternion


def angle_axis(angle: float, axis: ArrayLike) -> Tensor:
    """The rotation matrix (3, 3) in float32 by `angle`, in radians, about `axis` (3,), of any length but 0."""
    return rigid.to_matrix(_turn(angle, axis)).float()


class PointcloudToTensor:
    """A NumPy array -> a float32 tensor. Differs from the released code: always a copy."""

    def __call__(self, points: NDArray) -> Tensor:
        return torch.from_numpy(np.array(points, np.float32))


class OnUnitCube:
    """Divide by the longest side of the bounding box, then centre on the mean; in float32, and of all columns.

    Differs from the released code: a cloud of one place becomes zeros, not NaN.
    """

    def __call__(self, tensor: Tensor) -> Tensor:
        cloud = tensor.detach().cpu().numpy()[None]
        return torch.from_numpy(pairs.normalise(cloud, len(tensor))[0]).to(tensor.device)


class PointcloudScale:
    """Multiply the coordinates by one factor in [lo, hi)."""

    def __init__(self, lo: float = 0.8, hi: float = 1.25):
        self.lo, self.hi = lo, hi

    def __call__(self, points: Tensor) -> Tensor:
        return torch.cat([points[:, :3] * _uniform(points, self.lo, self.hi), points[:, 3:]], 1)


class PointcloudTranslate:
    """Add a shift of at most `translate_range` along each axis to the coordinates.

    Differs from the released code: each axis has its own shift; there, one number moves along the diagonal.
    """

    def __init__(self, translate_range: float = 0.1):
        self.translate_range = translate_range

    def __call__(self, points: Tensor) -> Tensor:
        shift = _uniform(points, -self.translate_range, self.translate_range, 3)
        return torch.cat([points[:, :3] + shift, points[:, 3:]], 1)


class PointcloudJitter:
    """Add to each coordinate normal noise of deviation `std`, at most `clip` in size."""

    def __init__(self, std: float = 0.01, clip: float = 0.05):
        self.std, self.clip = std, clip

    def __call__(self, points: Tensor) -> Tensor:
        noise = (self.std * torch.randn_like(points[:, :3])).clamp(-self.clip, self.clip)
        return torch.cat([points[:, :3] + noise, points[:, 3:]], 1)


class PointcloudRotate:
    """Rotate by any angle about `axis` (3,); columns 3 to 5, if there are any, are normals and rotate too.

    Raises:
        InputError: neither 3 nor 6 columns.
    """

    def __init__(self, axis: ArrayLike = (0.0, 1.0, 0.0)):
        self.axis = axis

    def __call__(self, points: Tensor) -> Tensor:
        return _rotate(_turn(2 * np.pi * torch.rand(()).item(), self.axis), points)


class PointcloudRotatePerturbation:
    """Rotate a little about x, then y, then z, normals too: angles of deviation `angle_sigma`, at most `angle_clip`.

    Both are in radians.

    Raises:
        InputError: neither 3 nor 6 columns.
    """

    def __init__(self, angle_sigma: float = 0.06, angle_clip: float = 0.18):
        self.angle_sigma, self.angle_clip = angle_sigma, angle_clip

    def __call__(self, points: Tensor) -> Tensor:
        angles = (self.angle_sigma * torch.randn(3, dtype=torch.float64)).clamp(-self.angle_clip, self.angle_clip)
        return _rotate(torch.from_numpy(quaternion.euler_to_quaternion(angles.numpy(), "zyx")), points)


class PointcloudRandomInputDropout:
    """Put a part of the rows, drawn anew for each cloud in [0, `max_dropout_ratio`), in the first row's place.

    Raises:
        InputError: a ratio outside [0, 1).
    """

    def __init__(self, max_dropout_ratio: float = 0.875):
        if not 0 <= max_dropout_ratio < 1:
            raise InputError(f"max_dropout_ratio must be in [0, 1), got {max_dropout_ratio}")
        self.max_dropout_ratio = max_dropout_ratio

    def __call__(self, points: Tensor) -> Tensor:
        ratio = _uniform(points, 0, self.max_dropout_ratio)
        dropped = torch.rand(len(points), 1, device=points.device) < ratio
        return torch.where(dropped, points[:1], points)


def _uniform(points: Tensor, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(shape).to(points)


def _turn(angle: float, axis: ArrayLike) -> Tensor:
    """The quaternion (4,) in float64."""
    axis = np.asarray(axis, np.float64)
    return torch.from_numpy(quaternion.expmap_to_quaternion(angle * axis / np.linalg.norm(axis)))


def _rotate(turn: Tensor, points: Tensor) -> Tensor:
    if points.shape[1] not in (3, 6):
        raise InputError(f"points must have shape (N, 3), or (N, 6) with normals; got {tuple(points.shape)}")
    return torch.cat([rigid.rotate(turn.to(points), part) for part in points.split(3, 1)], 1)
