"""The alignment: clouds and poses in a frame turned by a known rotation come back."""

import numpy as np
import pytest

pytest.importorskip("scipy", reason="SciPy is not installed: no alignment is tested")

import alignment
from samplenet import quaternions
from samplenet.data import cameras, shapes
from samplenet.errors import InputError
from samplenet.normalisation import box_diagonal


def turn(degrees, axis=(0.36, 0.48, 0.8)):
    half = np.radians(degrees) / 2
    return np.array([np.cos(half), *(np.sin(half) * np.array(axis))])


@pytest.fixture(scope="module")
def chairs():
    """Six chairs with two views each: predicted points (6, 2, 400, 3), truths, true poses."""
    clouds = box_diagonal(shapes.clouds(["chair"], range(6), 1200).points, 1200)
    rng = np.random.default_rng(0)
    picked = np.stack([[cloud[rng.permutation(1200)[:400]] for _ in range(2)] for cloud in clouds])
    angles = rng.uniform([-180, -20], [180, 40], (6, 2, 2))
    return picked, list(clouds), cameras.to_dpc(cameras.extrinsic(angles[..., 0], angles[..., 1]))


@pytest.mark.parametrize(
    "rotation", [turn(0), turn(75), turn(180, (0, 1, 0)), turn(180, (0.6, 0, 0.8)), -turn(130)]
)
def test_a_known_rotation_is_found(chairs, rotation):
    points, truths, true_poses = chairs
    rng = np.random.default_rng(1)
    # the network's frame: a point p of ours is at R^-1 p there, and a pose q is q r
    seen = points @ cameras.rotation(rotation) + rng.normal(0, 0.004, points.shape)
    wrong = quaternions.multiply(turn(8), true_poses)  # poses that ICP has to improve on
    poses = quaternions.multiply(wrong, rotation)
    signs = rng.choice([-3.0, 0.5], (6, 2, 1))  # any length, either sign
    found = alignment.align(seen, signs * poses, [None, *truths[1:]], true_poses)
    assert quaternions.angle_between(found.rotation, rotation) < 0.5
    assert found.count == 10 and found.spread < 2
    np.testing.assert_allclose(np.linalg.norm(found.points(seen) - points, axis=-1), 0, atol=0.03)
    errors = quaternions.angle_between(found.poses(signs * poses), true_poses)
    np.testing.assert_allclose(errors, 8, atol=0.5)


def test_poses_that_fail_on_some_models_do_not_matter(chairs, monkeypatch):
    points, truths, true_poses = chairs
    rotation, poses = turn(110), true_poses.copy()
    poses[1] = quaternions.multiply(turn(60), poses[1])  # ICP ends far away
    seen = points @ cameras.rotation(rotation)
    poses = quaternions.multiply(poses, rotation)
    monkeypatch.setattr(alignment, "BEST_MODELS", 3)
    found = alignment.align(seen, poses, truths, true_poses)
    assert quaternions.angle_between(found.rotation, rotation) < 0.3 and found.count == 6


def test_success_and_median():
    errors = np.array([[10, 29.9], [30, 170.0]])
    assert alignment.succeeded(errors) == 0 and alignment.succeeded([1, 29, 29, 30, 30]) == 1
    assert alignment.median(errors) == 30 and alignment.median(errors[0][:1]) == 10


def test_without_a_true_cloud_or_points_nearby_nothing_is_made_up(chairs):
    points, truths, true_poses = chairs
    with pytest.raises(InputError, match="models of the val split need true clouds"):
        alignment.align(points, true_poses, [None] * 6, true_poses)
    found = alignment.align(points + 9, true_poses, truths, true_poses)  # the poses alone
    assert quaternions.angle_between(found.rotation, [1, 0, 0, 0]) < 1e-4
