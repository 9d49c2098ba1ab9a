"""Points in pixels, as the data's cameras have them."""

import numpy as np
import pytest
import tensorflow as tf

from samplenet.data import cameras
from samplenet.ops.tf import project_mask


@pytest.fixture
def scene():
    """Points (2, 30, 3) of the object frame and extrinsics (2, 4, 4, 4)."""
    rng = np.random.default_rng(0)
    angles = rng.uniform((-180, -20), (180, 40), (2, 4, 2))
    return rng.uniform(-0.4, 0.4, (2, 30, 3)), cameras.extrinsic(*np.moveaxis(angles, -1, 0))


def to_pixels(scripts, points, extrinsics, size):
    points = tf.constant(cameras.differ_frame(points), tf.float32)
    return scripts.camera.to_pixels(
        points, tf.constant(cameras.to_differ(extrinsics), tf.float32), size
    )


@pytest.mark.parametrize("size", [32, 64])
def test_pixels_and_depths_are_those_of_the_data(scripts, scene, size):
    points, extrinsics = scene
    found = to_pixels(scripts, points, extrinsics, size).numpy()
    pixels, depth = cameras.project(points[:, None], extrinsics, cameras.intrinsics(size))
    assert found[..., 1::-1] == pytest.approx(pixels, abs=1e-4)
    assert found[..., 2] == pytest.approx(depth, abs=1e-5)


def test_the_origin_is_drawn_between_the_four_middle_pixels(scripts):
    extrinsics = cameras.extrinsic([[0, 70]], [[0, 30]])
    found = to_pixels(scripts, np.zeros((1, 1, 3)), extrinsics, 32)
    assert found.numpy().reshape(2, 3) == pytest.approx(np.array([[16, 16, 2]] * 2), abs=1e-5)
    mask = project_mask(found[:, 0], 32, 32).numpy()[0]
    assert np.ptp(mask[15:17, 15:17]) < 1e-4 and mask.max() == mask[15:17, 15:17].max()


def test_points_at_and_behind_the_camera_are_not_drawn_and_have_finite_gradients(scripts):
    extrinsics = cameras.extrinsic([[0]], [[0]])
    points = tf.Variable([[[0, 0, 2.0], [0.1, 0.2, 2.0], [0, 0, 3.0]]])  # the camera is at 2
    given = tf.constant(cameras.to_differ(extrinsics), tf.float32)
    with tf.GradientTape() as tape:
        pixels = scripts.camera.to_pixels(points, given, 8)
        mask = project_mask(pixels[:, 0], 8, 8)
    assert not mask.numpy().any()
    assert np.isfinite(tape.gradient(mask, points).numpy()).all()
