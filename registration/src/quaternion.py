"""Quaternions (w, x, y, z) under the released code's names; `rigid` has the conventions and the arithmetic.

Angles are in radians here. Leading axes are broadcast, where the released code asks for equal ones.
"""

from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import rigid
from samplenet.errors import InputError


def qmul(q: Tensor, r: Tensor) -> Tensor:
    """The product q r of quaternions (..., 4): rotate by r, then by q.

    Raises:
        InputError: a last axis that is not 4.
    """
    _check("q", q, 4), _check("r", r, 4)
    return rigid.multiply(q, r)


def qinv(q: Tensor) -> Tensor:
    """The inverse rotation of a unit quaternion (..., 4).

    Raises:
        InputError: a last axis that is not 4.
    """
    _check("q", q, 4)
    return rigid.conjugate(q)


def qrot(q: Tensor, v: Tensor) -> Tensor:
    """Rotate each vector (..., 3) by its own unit quaternion (..., 4). For one per cloud, q[:, None] or rigid.rotate.

    Raises:
        InputError: a last axis that is not 4, or 3.
    """
    _check("q", q, 4), _check("v", v, 3)
    return rigid.rotate(q, v[..., None, :])[..., 0, :]


def qeuler(q: Tensor, order: str, epsilon: float = 0) -> Tensor:
    """Euler angles (..., 3) about x, y and z, in this order, of unit quaternions (..., 4); see `euler_to_quaternion`.

    The angle about the axis in the middle of `order` is in ±90 degrees. Where it is 90, many angles are the same
    rotation, and these are some of them.

    Differs from the released code: right at 90 degrees too, where that gives angles of another rotation; and no asin,
    so that `epsilon`, which kept its argument from ±1, changes nothing.

    Raises:
        InputError: a last axis that is not 4, or an order that is not three different axes.
    """
    _check("q", q, 4)
    i, j, k = _axes(order)
    sign = 1 if (j - i) % 3 == 1 else -1  # of the permutation
    matrix = rigid.to_matrix(q)  # R_i R_j R_k, whose column k is that of R_i R_j
    first = torch.atan2(-sign * matrix[..., j, k], matrix[..., k, k])
    rest = rigid.to_matrix(rigid.multiply(rigid.conjugate(_about(i, first)), q))  # R_j R_k
    second = torch.atan2(sign * rest[..., i, k], rest[..., k, k])
    third = torch.atan2(sign * rest[..., j, i], rest[..., j, j])
    angles = {i: first, j: second, k: third}
    return torch.stack([angles[axis] for axis in range(3)], -1)


def euler_to_quaternion(e: NDArray, order: str) -> NDArray:
    """Euler angles (..., 3) about x, y and z, in this order -> quaternions (..., 4), all in NumPy.

    `order` is that of the factors: "xyz" means R = Rx Ry Rz, the rotation about z first.

    Differs from the released code: w is never negative. That changes every sign of three orders, which makes w
    negative for small angles; the rotation is the same.

    Raises:
        InputError: a last axis that is not 3, or an order that is not three different axes.
    """
    angles = _tensor(e)
    _check("e", angles, 3)
    turns = reduce(rigid.multiply, [_about(axis, angles[..., axis]) for axis in _axes(order)])
    return torch.where(turns[..., :1] < 0, -turns, turns).numpy()


def expmap_to_quaternion(e: NDArray) -> NDArray:
    """Rotation vectors (..., 3), the axis times the angle -> quaternions (..., 4), all in NumPy.

    Raises:
        InputError: a last axis that is not 3.
    """
    _check("e", e, 3)
    half = np.linalg.norm(e, axis=-1, keepdims=True) / 2
    return np.concatenate([np.cos(half), e * np.sinc(half / np.pi) / 2], -1)  # sinc is sin(half) / half, 1 at 0


def qmul_np(q: NDArray, r: NDArray) -> NDArray:
    """`qmul` in NumPy."""
    return qmul(_tensor(q), _tensor(r)).numpy()


def qrot_np(q: NDArray, v: NDArray) -> NDArray:
    """`qrot` in NumPy."""
    return qrot(_tensor(q), _tensor(v)).numpy()


def qeuler_np(q: NDArray, order: str, epsilon: float = 0, use_gpu: bool = False) -> NDArray:
    """`qeuler` in NumPy. Differs from the released code: always on the CPU; `use_gpu` changes nothing."""
    return qeuler(_tensor(q), order, epsilon).numpy()


def _tensor(array: NDArray) -> Tensor:
    return torch.from_numpy(np.array(array))  # a copy, as PyTorch takes neither read-only arrays nor reversed ones


def _about(axis: int, angle: Tensor) -> Tensor:
    """Turns by angles (...) about one coordinate axis -> (..., 4)."""
    return rigid.from_euler(torch.rad2deg(angle)[..., None] * torch.eye(3).to(angle)[axis])


def _axes(order: str) -> list[int]:
    if sorted(order) != ["x", "y", "z"]:
        raise InputError(f"order must have each of x, y and z once, as 'xyz' has; got {order!r}")
    return ["xyz".index(letter) for letter in order]


def _check(name: str, array: Tensor | NDArray, size: int) -> None:
    if array.shape[-1:] != (size,):
        raise InputError(f"{name} must have shape (..., {size}), got {tuple(array.shape)}")
