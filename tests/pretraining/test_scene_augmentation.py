"""Poses, shapes and colours of scenes, against SciPy and by eye."""

import numpy as np
import pytest
import scipy.interpolate
import scipy.ndimage


@pytest.fixture
def scene():
    """Points (P, 3) of a room, z up, and colours in [0, 1]."""
    rng = np.random.default_rng(1)
    points = rng.uniform(0, (4, 3, 2.5), (300, 3)).astype(np.float32)
    return points, rng.random((300, 3)).astype(np.float32)


def test_distortion_is_interpolated_smooth_noise(scripts, scene):
    points, _ = scene
    spacing, low = 0.8, points.min(0)
    moved = scripts.scene_augmentation.distort(points, spacing, 1.6, np.random.default_rng(5))
    nodes = (np.ptp(points, 0) // spacing).astype(int) + 3
    noise = np.random.default_rng(5).standard_normal((1, 3, *nodes), np.float32)[0]
    axes = [start - spacing + spacing * np.arange(n) for start, n in zip(low, nodes, strict=True)]
    for axis in range(3):
        values = noise[axis]
        for _ in range(2):
            values = scipy.ndimage.convolve(values, np.full((3, 3, 3), 1 / 27), mode="constant")
        wanted = scipy.interpolate.RegularGridInterpolator(axes, values)(points)
        np.testing.assert_allclose(moved[:, axis] - points[:, axis], 1.6 * wanted, atol=1e-5)
    assert 0.02 < np.std(moved - points) < 0.5


def test_a_pose_turns_about_z_and_hardly_tilts(scripts):
    matrices = [scripts.scene_augmentation.pose(np.random.default_rng(i)) for i in range(200)]
    scales = np.cbrt(np.abs(np.linalg.det(matrices)))
    assert 0.9 <= scales.min() < 0.92 and 1.08 < scales.max() <= 1.1
    turns = np.array(matrices) / scales[:, None, None]
    np.testing.assert_allclose(turns @ turns.mT, np.broadcast_to(np.eye(3), (200, 3, 3)), atol=1e-9)
    assert turns[:, 2, 2].min() > np.cos(2 * np.pi / 64)  # z stays up
    mirrored = np.linalg.det(turns) < 0
    assert 70 < mirrored.sum() < 130
    directions = np.arctan2(turns[:, 1, 0], turns[:, 0, 0])
    assert np.histogram(directions, 4, (-np.pi, np.pi))[0].min() > 30


def test_colours_stay_colours_and_points_in_order(scripts, scene):
    points, colors = scene
    for seed in range(10):
        rng = np.random.default_rng(seed)
        moved, recoloured = scripts.scene_augmentation.augment(points, colors, rng)
        assert moved.dtype == recoloured.dtype == np.float32
        assert recoloured.min() >= 0 and recoloured.max() <= 1
        for axis in range(3):  # the same point has about the same colour
            assert np.corrcoef(recoloured[:, axis], colors[:, axis])[0, 1] > 0.98
        assert np.corrcoef(moved[:, 2], points[:, 2])[0, 1] > 0.8
