"""Distances between a predicted cloud and the truth: cases that can be checked by hand."""

import numpy as np
import pytest

from samplenet.errors import InputError

pytest.importorskip("scipy", reason="SciPy is not installed: distances of clouds are not tested")

from samplenet import distances


def test_precision_and_coverage_are_mean_euclidean_distances():
    predicted = [[0, 0, 0], [3, 4, 0]]
    truth = [[0, 0, 0], [0, 0, 1], [0, 0, 2]]
    found = distances.error(predicted, truth)
    assert found == (2.5, 1)  # 0 and 5; 0, 1 and 2
    assert distances.error(truth, predicted) == (1, 2.5)
    distance, which = distances.nearest(predicted, truth)
    assert distance.tolist() == [0, 5] and which.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((0, 3)), r"points must have shape \(N, 3\), N at least 1; got \(0, 3\)"),
        (np.zeros((2, 2)), r"points must have shape \(N, 3\)"),
        ([[0, 0, np.nan]], "points have coordinates that are not finite"),
    ],
)
def test_a_bad_cloud_is_named(points, message):
    with pytest.raises(InputError, match=message):
        distances.nearest(points, np.zeros((1, 3)))


def test_the_mean_cloud_takes_as_many_points_of_each_cloud():
    clouds = [np.full((1000, 3), 1, np.float32), np.full((10, 3), 2, np.float32)]
    cloud = distances.mean_cloud(clouds, 4000, np.random.default_rng(0))
    assert cloud.shape == (4000, 3) and cloud.dtype == np.float32
    assert abs((cloud == 1).mean() - 0.5) < 0.03


def test_the_earth_movers_distance_is_that_of_the_best_matching():
    a, b = [[0, 0, 0], [1, 0, 0]], [[1, 1, 0], [0, 2, 0]]
    assert distances.emd(a, b) == 1.5 and distances.emd(a, b, squared=True) == 2.5
    assert distances.emd(a, a[::-1]) == 0
    same = np.ones((distances.EXACT + 1, 3))
    assert distances.emd(same, same) == 0
    with pytest.raises(InputError, match="emd needs clouds of one size, got 2 and 1 points"):
        distances.emd(a, b[:1])


@pytest.mark.parametrize("squared", [False, True])
def test_beyond_the_limit_it_is_within_the_tolerance(monkeypatch, squared):
    rng = np.random.default_rng(0)
    flat = rng.uniform(-1, 1, (3, 300, 3)) * [1, 1, 0]
    for a, b in [(flat[0], flat[1]), (flat[0], 0.1 * flat[2]), (flat[0], flat[0][::-1])]:
        exact = distances.emd(a, b, squared)
        with monkeypatch.context() as patch:
            patch.setattr(distances, "EXACT", 0)
            patch.setattr(distances, "TOLERANCE", 0.2)
            loose = distances.emd(a, b, squared)
            assert exact <= loose <= 1.2 * exact + 1e-6
            patch.setattr(distances, "TOLERANCE", 1e-4)
            assert distances.emd(a, b, squared) == pytest.approx(exact, rel=1e-4, abs=1e-6)
        if exact:
            assert loose > 1.0001 * exact
