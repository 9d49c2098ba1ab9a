"""Rigid transforms of point clouds by unit quaternions. The conventions of this experiment:

- A quaternion is (w, x, y, z), scalar first. q and -q are the same rotation.
- A rotation moves points, not axes, and is right-handed: p -> q p q*, or R p with p a column.
- multiply(a, b) rotates by b first, then by a, as R_a R_b does.
- Euler angles (a, b, c) are in degrees and mean R = Rx(a) Ry(b) Rz(c).
- A twist (..., 7) is a quaternion followed by a translation t; it moves p to R p + t.
- Clouds are (..., N, 3); their leading axes broadcast with those of the quaternions.

Nothing here is a matrix product: autocast would lower the precision of one.
"""

import torch
from torch import Tensor

SMALLEST = 1e-12  # a quaternion with no larger entry counts as zero


def normalise(raw: Tensor) -> Tensor:
    """Scale quaternions (..., 4) to length 1, in float32 or float64; zero becomes the identity.

    Each is divided by its largest entry first, as squares of tiny or huge ones would be 0 or inf.
    """
    raw = raw if raw.dtype == torch.float64 else raw.float()
    largest = raw.detach().abs().amax(-1, keepdim=True)
    zero = largest <= SMALLEST
    identity = torch.zeros_like(raw)
    identity[..., 0] = 1
    # the inner `where`: a division by zero would make the gradient NaN even where it is not chosen
    scaled = torch.where(zero, identity, raw / torch.where(zero, 1, largest))
    return scaled / scaled.square().sum(-1, keepdim=True).sqrt()


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """Multiply quaternions (..., 4): a b rotates by b, then by a."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    product = (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )
    return torch.stack(product, -1)


def conjugate(quaternion: Tensor) -> Tensor:
    """Invert the rotation of a unit quaternion (..., 4)."""
    return torch.cat([quaternion[..., :1], -quaternion[..., 1:]], -1)


def from_euler(degrees: Tensor) -> Tensor:
    """Convert Euler angles (..., 3) in degrees to the quaternion (..., 4) of Rx Ry Rz."""
    half = torch.deg2rad(degrees) / 2
    cos, sin, zero = half.cos(), half.sin(), torch.zeros_like(half[..., 0])
    about_x = torch.stack([cos[..., 0], sin[..., 0], zero, zero], -1)
    about_y = torch.stack([cos[..., 1], zero, sin[..., 1], zero], -1)
    about_z = torch.stack([cos[..., 2], zero, zero, sin[..., 2]], -1)
    return multiply(multiply(about_x, about_y), about_z)


def to_matrix(quaternion: Tensor) -> Tensor:
    """Convert unit quaternions (..., 4) to rotation matrices (..., 3, 3)."""
    w, x, y, z = quaternion.unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def from_matrix(matrix: Tensor) -> Tensor:
    """Convert rotation matrices (..., 3, 3) to unit quaternions (..., 4), of either sign."""
    (a, b, c), (d, e, f), (g, h, i) = (row.unbind(-1) for row in matrix.unbind(-2))
    # 4 q q^T: every row is a multiple of q, and the one with the largest diagonal entry is precise
    rows = (
        (1 + a + e + i, h - f, c - g, d - b),
        (h - f, 1 + a - e - i, b + d, c + g),
        (c - g, b + d, 1 - a + e - i, f + h),
        (d - b, c + g, f + h, 1 - a - e + i),
    )
    outer = torch.stack([torch.stack(row, -1) for row in rows], -2)  # (..., 4, 4)
    best = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)[..., None, None]
    return normalise(torch.take_along_dim(outer, best, -2)[..., 0, :])


def rotate(quaternion: Tensor, points: Tensor) -> Tensor:
    """Rotate each cloud (..., N, 3) by its unit quaternion (..., 4)."""
    x, y, z = to_matrix(quaternion)[..., None, :, :].unbind(-1)  # columns of R, (..., 1, 3)
    return points[..., :1] * x + points[..., 1:2] * y + points[..., 2:] * z


def apply(twist: Tensor, points: Tensor) -> Tensor:
    """Move each cloud (..., N, 3) by its twist (..., 7): R p + t."""
    return rotate(twist[..., :4], points) + twist[..., None, 4:]


def compose(after: Tensor, before: Tensor) -> Tensor:
    """Combine two twists (..., 7): move by `before`, then by `after`."""
    rotation = multiply(after[..., :4], before[..., :4])
    return torch.cat([rotation, apply(after, before[..., None, 4:])[..., 0, :]], -1)


def inverse(twist: Tensor) -> Tensor:
    """Return the twist (..., 7) that moves everything back."""
    back = conjugate(twist[..., :4])
    return torch.cat([back, -rotate(back, twist[..., None, 4:])[..., 0, :]], -1)


def angle_between(a: Tensor, b: Tensor) -> Tensor:
    """Measure the geodesic angle between rotations a and b: (..., 4) each -> degrees in [0, 180].

    Quaternions of any length will do. The angle is 2 atan2(|vector part|, |scalar part|) of the
    rotation from one to the other: precise and with finite gradients everywhere, also at 0 and 180
    degrees, where acos has none.
    """
    relative = multiply(conjugate(normalise(a)), normalise(b))
    square = relative[..., 1:].square().sum(-1)
    zero = square == 0
    # the inner `where`: the root's gradient at 0 is infinite, and infinite times 0 is NaN
    length = torch.where(zero, 0, torch.where(zero, 1, square).sqrt())
    return torch.rad2deg(2 * torch.atan2(length, relative[..., 0].abs()))


def paper_angle_between(a: Tensor, b: Tensor) -> Tensor:
    """Compute the paper's figure, 2 acos(2 <a, b>^2 - 1): twice the geodesic angle, in [0, 360].

    It is not the angle of the rotation error. Differs from the released code: not computed by acos,
    which is NaN once rounding carries its argument beyond 1.
    """
    return 2 * angle_between(a, b)
