"""Rigid transforms and fixed pairs of clouds under the released code's names. Quaternions are (w, x, y, z)."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

import pairs
import rigid
from samplenet.errors import InputError

NOISE = 0.04  # deviation of the noise, in the units of the cloud


def deg_to_rad(deg):
    """Degrees -> radians; a number, an array or a tensor."""
    return deg * (math.pi / 180)


def rad_to_deg(rad):
    """Radians -> degrees; a number, an array or a tensor."""
    return rad * (180 / math.pi)


class QuaternionTransform:
    """B transforms, each a unit quaternion and a translation t: p -> R p + t, or R (p + t) if inverse.

    Args:
        vec: (B, 7) or (7,), as PCRNet estimates them.
        inverse: whether the translation comes first.
    """

    def __init__(self, vec: Tensor, inverse: bool = False):
        self.vec = vec.reshape(-1, 7)
        self._inversion = torch.tensor([inverse])

    @staticmethod
    def from_dict(d: Mapping[str, Tensor], device: torch.device | str) -> "QuaternionTransform":
        """From `as_dict`, or a batch of it from a DataLoader; all are inverse if the first one is."""
        return QuaternionTransform(d["vec"].to(device), d["inversion"].flatten()[0].item())

    def as_dict(self) -> dict[str, Tensor]:
        """The entries "vec" (B, 7) and "inversion" (1,), tensors that a DataLoader can stack."""
        return {"inversion": self._inversion, "vec": self.vec}

    def quat(self) -> Tensor:
        """(B, 4)."""
        return self.vec[:, :4]

    def trans(self) -> Tensor:
        """(B, 3)."""
        return self.vec[:, 4:]

    def inversion(self) -> bool:
        """Whether the translation comes first."""
        return self._inversion.item()

    def inverse(self) -> "QuaternionTransform":
        """The transforms that move everything back."""
        back = torch.cat([rigid.conjugate(self.quat()), -self.trans()], 1)
        return QuaternionTransform(back, not self.inversion())

    @staticmethod
    def wxyz_to_xyzw(q: Tensor) -> Tensor:
        """Quaternions (..., 4) for libraries that have the scalar last."""
        return q.roll(-1, -1)

    @staticmethod
    def xyzw_to_wxyz(q: Tensor) -> Tensor:
        """Quaternions (..., 4) from libraries that have the scalar last."""
        return q.roll(1, -1)

    def compute_errors(self, other: "QuaternionTransform") -> tuple[Tensor, Tensor, Tensor]:
        """Means over the batch: the angle between the rotations in radians, ||R1 R2^T - I||_F^2, and ||t1 - t2||.

        Differs from the released code: the angle is the geodesic one, half of what that returns (twice its mean is
        the paper's figure), and it and its gradient are finite at 0 and 180 degrees; the translation error is a
        length, not the mean over the three axes, and of the translations that follow the rotation.
        """
        angle = rigid.angle_between(self.quat(), other.quat())
        mine, theirs = (rigid.to_matrix(rigid.normalise(transform.quat())) for transform in (self, other))
        norm = (mine - theirs).square().sum((1, 2))  # as ||(R1 - R2) R2^T|| = ||R1 - R2||
        shift = torch.linalg.vector_norm(self._last_shift() - other._last_shift(), dim=1)
        return deg_to_rad(angle).mean(), norm.mean(), shift.mean()

    def rotate(self, p: Tensor) -> Tensor:
        """Rotate clouds (B, N, 3), each by its transform or all by a single one, or one cloud (N, 3); no translation.

        Raises:
            InputError: another shape, or several transforms and another number of clouds.
        """
        clouds = p if p.dim() == 3 else p[None]
        if p.dim() not in (2, 3) or p.shape[-1] != 3 or len(self.vec) not in (1, len(clouds)):
            wanted = f"({len(self.vec)}, N, 3)" if len(self.vec) > 1 else "(N, 3) or (B, N, 3)"
            raise InputError(f"p must have shape {wanted} for {len(self.vec)} transform(s), got {tuple(p.shape)}")
        return rigid.rotate(self.quat(), clouds).reshape(p.shape)

    def _last_shift(self) -> Tensor:
        """t of p -> R p + t, (B, 3)."""
        return rigid.rotate(self.quat(), self.trans()[:, None])[:, 0] if self.inversion() else self.trans()


def create_random_transform(
    dtype: torch.dtype, max_rotation_deg: float, max_translation: float, generator=np.random
) -> QuaternionTransform:
    """One transform: R = Rx Ry Rz, each angle and each translation uniform, up to the maxima in either direction.

    Args:
        generator: a numpy.random.RandomState or Generator to draw from; NumPy's global one unless told.
    """
    degrees = generator.uniform(-max_rotation_deg, max_rotation_deg, 3)
    shift = generator.uniform(-max_translation, max_translation, 3)
    return QuaternionTransform(torch.tensor(np.concatenate([pairs.quaternion_of(degrees), shift]), dtype=dtype))


class QuaternionFixedDataset(Dataset):
    """Pairs of clouds: `repeat` for each cloud of `data`, turned by transforms fixed by `seed`, without translation.

    Pair i is `(template (N, 3), source (N, 3), transform)`: the cloud i modulo the number of clouds, the same rotated
    by up to 45 degrees about each axis, and the dict that `QuaternionTransform.from_dict` reads; and the shape, if
    `data.include_shapes`. The rotations are those of the released code for the same seed.

    Args:
        data: gives `(points (N, 3), label)`, or `(points, label, shape)` with a true attribute `include_shapes`.
        apply_noise: add normal noise of deviation 0.04 to the source, drawn anew from PyTorch's generator.
        fixed_noise: that noise is the same at each visit, drawn by the seed and i alone.

    Differs from the released code: NumPy's global generator is left alone; noise fits clouds of any N, not of 1024
    alone, and its draws are others; `data` need not have an `include_shapes`.
    """

    def __init__(self, data, repeat: int = 1, seed: int = 0, apply_noise: bool = False, fixed_noise: bool = False):
        self.data, self.seed = data, seed
        self.include_shapes = getattr(data, "include_shapes", False)
        self.apply_noise, self.fixed_noise = apply_noise, fixed_noise
        generator = np.random.RandomState(seed)  # its stream never changes between versions of NumPy
        count = len(data) * repeat
        self.transforms = [create_random_transform(torch.float32, pairs.MAX_ANGLE, 0, generator) for _ in range(count)]

    def __len__(self) -> int:
        return len(self.transforms)

    def __getitem__(self, index: int):
        index = range(len(self))[index]  # so that -1 is the last, and beyond it an IndexError
        template, _, *shape = self.data[index % len(self.data)]
        transform = self.transforms[index]
        source = transform.rotate(template)
        if self.apply_noise:
            source = source + NOISE * self._noise(index, source)
        return template, source, transform.as_dict(), *shape[: self.include_shapes]

    def _noise(self, index: int, like: Tensor) -> Tensor:
        if not self.fixed_noise:
            return torch.randn_like(like)
        return torch.from_numpy(np.random.default_rng((self.seed, index)).standard_normal(like.shape)).to(like)
