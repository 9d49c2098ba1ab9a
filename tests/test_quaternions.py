"""Quaternions: the rules of rotations, at half turns and for both signs too."""

import numpy as np
import pytest

from samplenet import quaternions
from samplenet.data import cameras
from samplenet.errors import InputError


@pytest.fixture
def random():
    return np.random.default_rng(0).normal(size=(2, 50, 4))


def test_a_product_rotates_by_the_second_then_by_the_first(random):
    a, b = random / np.linalg.norm(random, axis=-1, keepdims=True)
    product = cameras.rotation(quaternions.multiply(a, b))
    np.testing.assert_allclose(product, cameras.rotation(a) @ cameras.rotation(b), atol=1e-12)
    back = quaternions.multiply(a, quaternions.conjugate(a))
    np.testing.assert_allclose(back, np.tile([1.0, 0, 0, 0], (50, 1)), atol=1e-12)
    assert quaternions.multiply(a[0], b).shape == (50, 4)


@pytest.mark.parametrize("degrees", [0, 1e-4, 30, 90, 179.9999, 180])
@pytest.mark.parametrize("sign", [1, -1])
def test_angles_are_exact_everywhere(random, degrees, sign):
    half = np.radians(degrees) / 2
    turn = np.array([np.cos(half), 0.6 * np.sin(half), 0, 0.8 * np.sin(half)])
    a = random[0]
    b = sign * 3 * quaternions.multiply(a, turn)
    np.testing.assert_allclose(quaternions.angle_between(a, b), degrees, atol=1e-6)


def test_the_mean_ignores_signs_and_lengths(random):
    centre = np.array([0.0, 0.6, 0, 0.8])  # a half turn, where signs flip most easily
    near = random[0][:, 1:] / 20
    turns = np.concatenate([np.ones((50, 1)), near], -1)
    turns = np.concatenate([turns, quaternions.conjugate(turns)])  # the mean is no turn at all
    flips = np.where(np.arange(100) % 3, 2, -1)[:, None]
    found = quaternions.mean(flips * quaternions.multiply(centre, turns))
    assert quaternions.angle_between(found, centre) < 1e-6 and found[0] >= 0


@pytest.mark.parametrize("bad", [np.zeros((0, 4)), np.zeros((2, 4)), [[np.nan, 0, 0, 1]]])
def test_a_mean_of_nothing_is_refused(bad):
    with pytest.raises(InputError, match="a mean rotation needs quaternions"):
        quaternions.mean(bad)
