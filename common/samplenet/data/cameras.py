"""Cameras that look at the origin, and two published ways to write them.

Object frame: x, y up, z, as in ShapeNet. A camera has an azimuth and an elevation in degrees and a
distance; azimuth 0 sees the object from +x, 90 from -z. Camera frame: x right, y down, z forward.
An extrinsic (4, 4) takes points of the object frame to the camera frame, intrinsics K (3, 3) take
these to pixels. The centre of the pixel in row i and column j is at (j + 0.5, i + 0.5), while for
`samplenet.depth` it is at (j, i): its cx and cy are smaller by 0.5. Depth is along z, not along the
ray. Quaternions are (w, x, y, z); they rotate p to q p q^-1.

The files of the released renderings have Blender's axes, z up: (x, y, z) is (x, -z, y) there.

Leading dimensions (...) are any, as for a camera a view.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

DISTANCE = 2.0
FOCAL = 60 / 32  # of a lens of 60 mm on a sensor of 32 mm, in sides of the image
TO_BLENDER = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], float)

_FORWARD_UP_RIGHT = np.array([[0, 0, 1], [0, -1, 0], [1, 0, 0]], float)
_DOWN_RIGHT_BACK = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]], float)
_RIGHT_UP_BACK = np.diag([1.0, -1, -1])
_TO_DIFFER = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]], float)  # (x, y, z) to (-y, -z, x)


def extrinsic(
    azimuth: ArrayLike, elevation: ArrayLike, distance: ArrayLike = DISTANCE
) -> NDArray[np.float64]:
    """Return the extrinsics (..., 4, 4) of cameras at these angles (...) in degrees."""
    azimuth, elevation, distance = np.broadcast_arrays(azimuth, elevation, distance)
    cos_a, sin_a = np.cos(np.radians(azimuth)), np.sin(np.radians(azimuth))
    cos_e, sin_e = np.cos(np.radians(elevation)), np.sin(np.radians(elevation))
    right = np.stack([-sin_a, np.zeros_like(cos_a), -cos_a], -1)
    up = np.stack([-cos_a * sin_e, cos_e, sin_a * sin_e], -1)
    backward = np.stack([cos_a * cos_e, sin_e, -sin_a * cos_e], -1)
    matrix = np.zeros((*np.shape(azimuth), 4, 4))
    matrix[..., :3, :3] = np.stack([right, -up, -backward], -2)
    matrix[..., 2, 3] = distance
    matrix[..., 3, 3] = 1
    return matrix


def centre(extrinsic: ArrayLike) -> NDArray[np.float64]:
    """Return the positions (..., 3) of cameras in the object frame."""
    extrinsic = np.asarray(extrinsic, float)
    return -np.einsum("...ji,...j->...i", extrinsic[..., :3, :3], extrinsic[..., :3, 3])


def angles(centre: ArrayLike) -> tuple[NDArray, NDArray, NDArray]:
    """Return azimuth, elevation and distance (...) of positions (..., 3) in the object frame."""
    x, y, z = np.moveaxis(np.asarray(centre, float), -1, 0)
    return (
        np.degrees(np.arctan2(-z, x)),
        np.degrees(np.arctan2(y, np.hypot(x, z))),
        np.sqrt(x * x + y * y + z * z),
    )


def intrinsics(size: int, focal: float = FOCAL) -> NDArray[np.float64]:
    """Return K (3, 3) of square images of `size` pixels a side; `focal` is in sides."""
    return np.array([[focal * size, 0, size / 2], [0, focal * size, size / 2], [0, 0, 1]])


def project(
    points: ArrayLike, extrinsic: ArrayLike, intrinsics: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the pixels (..., N, 2), column first, and depths (..., N) of points (..., N, 3)."""
    extrinsic, intrinsics = np.asarray(extrinsic, float), np.asarray(intrinsics, float)
    rotation, shift = extrinsic[..., :3, :3], extrinsic[..., None, :3, 3]
    seen = np.asarray(points, float) @ np.swapaxes(rotation, -1, -2) + shift
    pixels = seen @ np.swapaxes(intrinsics, -1, -2)
    return pixels[..., :2] / pixels[..., 2:], seen[..., 2]


def unproject(
    pixels: ArrayLike, depth: ArrayLike, extrinsic: ArrayLike, intrinsics: ArrayLike
) -> NDArray[np.float64]:
    """Return the points (..., N, 3) in the object frame that `project` takes there."""
    extrinsic = np.asarray(extrinsic, float)
    pixels = np.asarray(pixels, float)
    pixels = np.concatenate([pixels, np.ones_like(pixels[..., :1])], -1)
    inverse = np.swapaxes(np.linalg.inv(intrinsics), -1, -2)
    seen = pixels @ inverse * np.asarray(depth, float)[..., None]
    return (seen - extrinsic[..., None, :3, 3]) @ extrinsic[..., :3, :3]


def quaternion(rotation: ArrayLike) -> NDArray[np.float64]:
    """Return unit quaternions (..., 4) with w >= 0 of rotation matrices (..., 3, 3).

    Half turns, where w is 0, are no special case: q is read from the row of 4 q q^T that has the
    largest element on the diagonal.
    """
    m = np.asarray(rotation, float)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx, wy, wz = (m[..., i, j] - m[..., j, i] for i, j in ((2, 1), (0, 2), (1, 0)))
    xy, xz, yz = (m[..., i, j] + m[..., j, i] for i, j in ((1, 0), (0, 2), (2, 1)))
    rows = np.stack(
        [
            np.stack([1 + xx + yy + zz, wx, wy, wz], -1),
            np.stack([wx, 1 + xx - yy - zz, xy, xz], -1),
            np.stack([wy, xy, 1 - xx + yy - zz, yz], -1),
            np.stack([wz, xz, yz, 1 - xx - yy + zz], -1),
        ],
        -2,
    )
    largest = np.argmax(np.diagonal(rows, axis1=-2, axis2=-1), -1)[..., None, None]
    q = np.take_along_axis(rows, largest, -2)[..., 0, :]
    return q * np.where(q[..., :1] < 0, -1, 1) / np.linalg.norm(q, axis=-1, keepdims=True)


def rotation(quaternion: ArrayLike) -> NDArray[np.float64]:
    """Return the rotation matrices (..., 3, 3) of quaternions (..., 4) of any length but 0."""
    q = np.asarray(quaternion, float)
    w, x, y, z = np.moveaxis(q / np.linalg.norm(q, axis=-1, keepdims=True), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def to_dpc(extrinsic: ArrayLike) -> NDArray[np.float64]:
    """Return the quaternions (..., 4) of Differentiable Point Clouds (Insafutdinov 2018).

    They rotate a point of the object frame to (forward, up, right), with the origin in place; the
    camera is DISTANCE behind it.
    """
    return quaternion(_FORWARD_UP_RIGHT @ np.asarray(extrinsic, float)[..., :3, :3])


def from_dpc(quaternion: ArrayLike, distance: float = DISTANCE) -> NDArray[np.float64]:
    """Return the extrinsics (..., 4, 4) of what `to_dpc` returns."""
    turned = rotation(quaternion)
    matrix = np.zeros((*turned.shape[:-2], 4, 4))
    matrix[..., :3, :3] = _FORWARD_UP_RIGHT.T @ turned
    matrix[..., 2, 3] = distance
    matrix[..., 3, 3] = 1
    return matrix


def to_differ(extrinsic: ArrayLike) -> NDArray[np.float64]:
    """Return the cameras (..., 4, 4) of CAPNet and DIFFER (Navaneet 2019): down, right, backward.

    They take points of `differ_frame`; the third coordinate of what they return is minus the depth.
    For K (3, 3) this is row, column and depth: (K[1, 1] x + K[1, 2] d) / d, the same of y, and d.
    """
    matrix = np.array(extrinsic, float)
    rotation, shift = matrix[..., :3, :3], matrix[..., :3, 3]
    matrix[..., :3, :3] = _DOWN_RIGHT_BACK @ rotation @ _TO_DIFFER.T
    matrix[..., :3, 3] = shift @ _DOWN_RIGHT_BACK.T
    return matrix


def differ_frame(points: ArrayLike) -> NDArray[np.float64]:
    """Return points (..., 3) of the object frame as (-y, -z, x), the frame of `to_differ`."""
    return np.asarray(points, float) @ _TO_DIFFER.T


def object_frame(points: ArrayLike) -> NDArray[np.float64]:
    """Return points (..., 3) of `differ_frame` in the object frame."""
    return np.asarray(points, float) @ _TO_DIFFER


def to_blender(extrinsic: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """Return what a released camera_k.mat holds of an extrinsic (..., 4, 4).

    Returns:
        extrinsic (..., 4, 4) from Blender's frame; pos (..., 3) and quat (..., 4) of the camera in
        that frame, where an unturned camera looks along -z with y up.
    """
    published = np.array(extrinsic, float)
    published[..., :3, :3] = published[..., :3, :3] @ TO_BLENDER.T
    turned = _RIGHT_UP_BACK @ published[..., :3, :3]
    return {
        "extrinsic": published,
        "pos": centre(published),
        "quat": quaternion(np.swapaxes(turned, -1, -2)),
    }


def from_blender(extrinsic: ArrayLike) -> NDArray[np.float64]:
    """Return the extrinsics (..., 4, 4) of those in Blender's frame."""
    matrix = np.array(extrinsic, float)
    matrix[..., :3, :3] = matrix[..., :3, :3] @ TO_BLENDER
    return matrix
