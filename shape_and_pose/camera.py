"""The way from a cloud and a pose to an image: turn, project, draw."""

import math

import numpy as np
import tensorflow as tf

from samplenet.data import cameras
from samplenet.ops import tf as ops
from samplenet.quaternions import conjugate, multiply

SMALLEST_SQUARE = 1e-12  # of a quaternion's length: 0 would turn points to NaN

# the products e_i e_j and e_j e_i^-1 of the units 1, i, j, k: (4, 4, 4), [i, j]
_LEFT = np.float32(multiply(np.eye(4)[:, None], np.eye(4)))
_RIGHT = np.float32(multiply(np.eye(4), conjugate(np.eye(4))[:, None]))


def to_box(
    points,
    quaternion,
    translation=None,
    focal_length=cameras.FOCAL,
    camera_distance=cameras.DISTANCE,
) -> tf.Tensor:
    """Move clouds to where the camera of `ops.render_voxels` sees them: depth, up, right (B, N, 3).

    The perspective division leaves depth as it is. Points that the camera does not see lie outside
    the box [-0.5, 0.5].

    Args:
        points: (B, N, 3) in the object frame.
        quaternion: (B, 4), w first, of any length; rotates to forward, up, right. See
            `samplenet.data.cameras.to_dpc`.
        translation: (B, 3) of the turned cloud, which moves where it appears and not its depth.
        focal_length: in sides of the image.
        camera_distance: from the camera to the object frame's origin.
    """
    turned = rotate(points, quaternion)
    moved = turned if translation is None else turned + translation[:, None]
    distance, up, right = tf.unstack(moved, axis=-1)  # (B, N) each
    factor = focal_length / (distance + camera_distance)
    return tf.stack([turned[..., 0], up * factor, right * factor], -1)


def rotate(points, quaternion) -> tf.Tensor:
    """Rotate clouds (B, N, 3) by quaternions (B, 4): each p becomes q p q^-1.

    Only the direction of a quaternion matters; one of length 0 moves all points to the origin.
    """
    unit = tf.math.l2_normalize(quaternion, -1, SMALLEST_SQUARE)
    # as matrices, for the many gradients of single elements would be added in no fixed order
    left, right = (tf.einsum("bi,ijk->bjk", unit, products) for products in (_LEFT, _RIGHT))
    return points @ (left @ right)[:, 1:, 1:]


def render(
    config, points, quaternion, sigma, scale=None, colours=None, translation=None
) -> ops.Rendered:
    """Draw clouds as the settings of a run say; the images are (..., D, D).

    Args:
        config: an `options.Config`, or the settings of a run.
        points: (..., N, 3), see `to_box`.
        quaternion: (..., 4).
        sigma: of the Gaussian in voxels, a number.
        scale: (B,) for the first dimension of the others, the factor of the occupancies.
        colours: (..., N, 3).
        translation: (..., 3); sizes of 1 are repeated.
    """
    copies = quaternion.shape[:-1]  # (...)
    points, colours = (
        None if a is None else tf.reshape(a, (-1, tf.shape(a)[-2], 3)) for a in (points, colours)
    )
    if translation is not None:
        translation = tf.reshape(tf.broadcast_to(translation, (*copies, 3)), (-1, 3))
    if scale is not None:
        scale = tf.repeat(scale, math.prod(copies[1:]))
    quaternion = tf.reshape(quaternion, (-1, 4))
    images = ops.render_voxels(
        to_box(points, quaternion, translation, config.focal_length, config.camera_distance),
        sigma,
        scale,
        colours,
        size=config.grid_size,
        size_z=config.grid_size_z,
        kernel_size=config.kernel_size,
        camera_distance=config.camera_distance,
        max_depth=config.max_depth,
        max_projection=config.max_projection,
        clip_colours=config.clip_colours,
        divide_colours=config.divide_colours,
        colours_move_points=config.colours_move_points,
        as_released=config.as_released,
    )
    return ops.Rendered(
        *(None if i is None else tf.reshape(i, (*copies, *i.shape[1:])) for i in images)
    )
