"""Quaternions (w, x, y, z) under the released code's names; `rigid` does the arithmetic.

Angles are in radians here. Leading axes broadcast; the released code asks for equal ones.
"""

from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import rigid
from samplenet.errors import InputError


def qmul(q: Tensor, r: Tensor) -> Tensor:
    """Multiply quaternions (..., 4): rotate by r, then by q."""
    return rigid.multiply(_with_last_axis(4, q), _with_last_axis(4, r))


def qinv(q: Tensor) -> Tensor:
    """Invert the rotation of unit quaternions (..., 4)."""
    return rigid.conjugate(_with_last_axis(4, q))


def qrot(q: Tensor, v: Tensor) -> Tensor:
    """Rotate each vector (..., 3) by its own unit quaternion (..., 4)."""
    return rigid.rotate(_with_last_axis(4, q), _with_last_axis(3, v)[..., None, :])[..., 0, :]


def qeuler(q: Tensor, order: str, epsilon: float = 0) -> Tensor:
    """Convert unit quaternions (..., 4) to Euler angles about x, y and z, (..., 3).

    `order` is that of `euler_to_quaternion`.
    The angle about the middle axis of `order` is in ±90 degrees. At ±90 many triples of angles are
    the same rotation, and one of them is returned.

    Differs from the released code: correct at ±90 degrees too; `epsilon`, which kept the argument
    of asin from ±1, is ignored.
    """
    i, j, k = _axes(order)
    sign = 1 if (j - i) % 3 == 1 else -1  # of the permutation
    matrix = rigid.to_matrix(_with_last_axis(4, q))  # R_i R_j R_k; column k is that of R_i R_j
    first = torch.atan2(-sign * matrix[..., j, k], matrix[..., k, k])
    # undo the first rotation and read the others off: divides by no cosine, so ±90 is no exception
    rest = rigid.to_matrix(rigid.multiply(rigid.conjugate(_about(i, first)), q))  # R_j R_k
    second = torch.atan2(sign * rest[..., i, k], rest[..., k, k])
    third = torch.atan2(sign * rest[..., j, i], rest[..., j, j])
    angles = {i: first, j: second, k: third}
    return torch.stack([angles[axis] for axis in range(3)], -1)


def euler_to_quaternion(e: NDArray, order: str) -> NDArray:
    """Convert Euler angles about x, y and z, (..., 3), to quaternions (..., 4), in NumPy.

    `order` is the order of the factors: "xyz" means R = Rx Ry Rz, the rotation about z first.

    Differs from the released code: w is never negative; the rotation is the same.
    """
    angles = _with_last_axis(3, _tensor(e))
    product = reduce(rigid.multiply, [_about(axis, angles[..., axis]) for axis in _axes(order)])
    return torch.where(product[..., :1] < 0, -product, product).numpy()


def expmap_to_quaternion(e: NDArray) -> NDArray:
    """Convert rotation vectors (..., 3), axis times angle, to quaternions (..., 4), in NumPy."""
    half = np.linalg.norm(_with_last_axis(3, e), axis=-1, keepdims=True) / 2
    # np.sinc(half / pi) is sin(half) / half, and 1 at 0
    return np.concatenate([np.cos(half), e * np.sinc(half / np.pi) / 2], -1)


def qmul_np(q: NDArray, r: NDArray) -> NDArray:
    """Call `qmul` on arrays."""
    return qmul(_tensor(q), _tensor(r)).numpy()


def qrot_np(q: NDArray, v: NDArray) -> NDArray:
    """Call `qrot` on arrays."""
    return qrot(_tensor(q), _tensor(v)).numpy()


def qeuler_np(q: NDArray, order: str, epsilon: float = 0, use_gpu: bool = False) -> NDArray:
    """Call `qeuler` on arrays, always on the CPU: `use_gpu` is ignored."""
    return qeuler(_tensor(q), order, epsilon).numpy()


def _tensor(array: NDArray) -> Tensor:
    return torch.from_numpy(np.array(array))  # a copy: PyTorch takes no read-only, reversed arrays


def _about(axis: int, angle: Tensor) -> Tensor:
    """Make the rotations by angles (...) about one coordinate axis: (..., 4)."""
    return rigid.from_euler(torch.rad2deg(angle)[..., None] * torch.eye(3).to(angle)[axis])


def _axes(order: str) -> list[int]:
    if sorted(order) != ["x", "y", "z"]:
        raise InputError(f"order must have each of x, y and z once, as 'xyz' has; got {order!r}")
    return ["xyz".index(letter) for letter in order]


def _with_last_axis(size: int, array: Tensor | NDArray) -> Tensor | NDArray:
    """Return the array; InputError if its last axis has another size."""
    if array.shape[-1:] != (size,):
        raise InputError(f"an argument must have shape (..., {size}), got {tuple(array.shape)}")
    return array
