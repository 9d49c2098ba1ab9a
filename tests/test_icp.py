"""ICP: clouds moved by known motions come back, by both implementations alike."""

import sys

import numpy as np
import pytest

from samplenet import icp, quaternions
from samplenet.data import cameras
from samplenet.errors import InputError

pytest.importorskip("scipy", reason="SciPy is not installed: ICP without Open3D is not tested")


@pytest.fixture(params=["numpy", "open3d"])
def fit(request):
    if request.param == "open3d":
        pytest.importorskip("open3d", reason="Open3D is not installed", exc_type=ImportError)
    return getattr(icp, f"fit_{request.param}")


def motion(degrees, axis, shift):
    """Return the matrix (4, 4) of a turn about an axis (3,), then a shift (3,)."""
    half = np.radians(degrees) / 2
    matrix = np.eye(4)
    matrix[:3, :3] = cameras.rotation([np.cos(half), *(np.sin(half) * np.array(axis, float))])
    matrix[:3, 3] = shift
    return matrix


def cloud(rng, n):
    """Draw points (n, 3) of a chair-like shape without symmetry: a seat, a back and one arm."""
    parts = rng.uniform(-0.5, 0.5, (3, n // 3, 3)) * [[[1, 0, 1]], [[1, 0.6, 0]], [[0, 0.3, 1]]]
    return np.concatenate(parts + [[[0, 0, 0]], [[0, 0.3, -0.5]], [[0.5, 0.15, 0]]])


def test_a_motion_is_found_from_a_start_nearby(fit):
    rng = np.random.default_rng(0)
    target = cloud(rng, 3000)
    true = motion(170, (0, 1, 0), (0.02, -0.01, 0.03))
    source = (cloud(rng, 900) - true[:3, 3]) @ true[:3, :3]  # other points of the same shape
    found = fit(source, target, 0.2, true @ motion(12, (1, 0, 0), (0, 0, 0)))
    assert found.share == 1 and found.rmse < 0.03
    turned = quaternions.angle_between(
        cameras.quaternion(found.matrix[:3, :3]), cameras.quaternion(true[:3, :3])
    )
    assert turned < 0.5
    np.testing.assert_allclose(found.matrix[:3, 3], true[:3, 3], atol=0.01)


def test_pairs_that_are_far_apart_move_nothing(fit):
    target = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    source = np.concatenate([target + [0.05, 0, 0], [[9, 9, 9]]])
    found = fit(source, target, 0.2)
    np.testing.assert_allclose(found.matrix, motion(0, (1, 0, 0), (-0.05, 0, 0)), atol=1e-9)
    assert found.share == 0.8 and found.rmse < 1e-9
    assert fit(source + 50, target, 0.2).share == 0


def test_both_agree():
    pytest.importorskip("open3d", reason="Open3D is not installed", exc_type=ImportError)
    rng = np.random.default_rng(1)
    target = cloud(rng, 2000)
    for degrees in (5, 25, 60, 180):  # too far for a good fit: they fail alike
        source = cloud(rng, 600) @ motion(degrees, (0, 0.6, 0.8), (0, 0, 0))[:3, :3]
        ours, theirs = icp.fit_numpy(source, target, 0.2), icp.fit_open3d(source, target, 0.2)
        np.testing.assert_allclose(ours.matrix, theirs.matrix, atol=1e-6)
        np.testing.assert_allclose(ours[1:], theirs[1:], atol=1e-9)


def test_without_open3d_the_own_one_serves(monkeypatch):
    source = cloud(np.random.default_rng(2), 300)
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(InputError, match="needs Open3D .*bash setup.sh icp"):
        icp.fit_open3d(source, source, 0.2)
    assert icp.fit(source, source, 0.2).rmse < 1e-12
