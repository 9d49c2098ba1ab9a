"""The networks: sizes as published, what they return, where the first points are."""

import numpy as np
import pytest


@pytest.mark.parametrize(
    "features, size, millions",
    [
        ("mask", "small", 1.866),
        ("rgb", "small", 4.445),
        ("parts", "small", 2.395),  # 4 more numbers for each of 1024 points
        ("mask", "large", 7.161),
    ],
)
def test_sizes_are_the_published_ones(scripts, features, size, millions):
    net = scripts.networks.PointNetwork(1024, features, 4, size)
    found = net(np.zeros((1, 64, 64, 3), np.float32))
    assert net.count_params() / 1e6 == pytest.approx(millions, abs=5e-4)
    assert found.points.shape == (1, 1024, 3)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((3, 16, 16, 3)).astype(np.float32)


@pytest.mark.parametrize("features", ["mask", "rgb", "parts"])
def test_only_what_is_asked_for_is_predicted(scripts, images, features):
    found = scripts.networks.PointNetwork(20, features, parts=5)(images)
    assert found.points.shape == (3, 20, 3)
    assert (found.colours is not None) == (features == "rgb")
    assert (found.scores is not None) == (features == "parts")
    if features == "rgb":
        assert found.colours.shape == (3, 20, 3)
        assert found.colours.numpy().min() > 0 and found.colours.numpy().max() < 1
    if features == "parts":
        assert found.scores.shape == (3, 20, 5)


@pytest.mark.parametrize("size", ["small", "large"])
def test_the_first_cloud_is_of_the_size_of_an_object(scripts, images, size):
    """Not one pixel, also where the image is black."""
    net = scripts.networks.PointNetwork(256, "mask", size=size)
    for given in (images, 0 * images):
        assert 0.03 < net(given).points.numpy().std(1).mean() < 0.2


def test_coordinates_of_the_large_network_are_bounded(scripts, images):
    net = scripts.networks.PointNetwork(20, "mask", size="large")
    assert np.abs(net(1e6 * images).points).max() <= 1
