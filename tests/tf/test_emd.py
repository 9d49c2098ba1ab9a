"""The approximate earth mover's distance: exact matching, units, gradients, odd input."""

from itertools import islice

import numpy as np
import pytest
import tensorflow as tf

from samplenet import InputError, distances
from samplenet.data import shapes
from samplenet.tf import emd
from samplenet.tf.emd import approximate_emd

RNG = np.random.default_rng(0)
CLOUD = RNG.normal(size=(1, 20, 3)).astype(np.float32)


def pairs(n):
    airplane, car = (shapes.generate(name, 0, num_points=2 * n) for name in ("airplane", "car"))
    yield (
        airplane[:n],
        airplane[n:],
    )  # two samples of one surface: the hardest, most points lie near their match
    yield airplane[:n], car[:n]
    yield airplane[:n], (airplane[:n] + 0.02 * RNG.normal(size=(n, 3)))[::-1]
    yield (
        airplane[:n],
        0.01 * RNG.normal(size=(n, 3)),
    )  # all in one place, as an untrained network's


@pytest.mark.parametrize("n, most", [(1, 0.01), (4, 0.01), (64, 0.01), (256, 0.01), (1024, 0.03)])
def test_close_to_the_exact_matching(n, most):
    some = islice(pairs(n), 1 if n > 256 else None)
    a, b = (np.stack(clouds).astype(np.float32) for clouds in zip(*some, strict=True))
    exact = [distances.emd(*pair) for pair in zip(a, b, strict=True)]
    np.testing.assert_allclose(approximate_emd(a, b), exact, rtol=most)


def test_plain_steps_would_not_be_close(monkeypatch):
    a, b = next(pairs(256))
    monkeypatch.setattr(emd, "STEP", 1)
    assert float(approximate_emd(a[None], b[None])[0]) < 0.95 * distances.emd(a, b)


def test_a_moved_cloud_is_as_far_as_it_moved_whatever_its_order():
    shift = np.array([0.3, 0, -0.4], np.float32)
    with tf.GradientTape() as tape:
        a = tf.constant(CLOUD)
        tape.watch(a)
        distance = approximate_emd(a, CLOUD[:, ::-1] + shift)
    np.testing.assert_allclose(distance, [0.5], rtol=1e-3)
    gradient = tape.gradient(distance, a)[0].numpy().sum(0)  # all points pulled the same way
    np.testing.assert_allclose(gradient, -shift / 0.5, atol=0.02)


def test_the_gradient_leads_to_the_match():
    a = tf.Variable([[[0.0, 0, 0], [1, 0, 0]]])
    with tf.GradientTape() as tape:
        distance = approximate_emd(a, [[[1.0, 1, 0], [0, 2, 0]]])
    np.testing.assert_allclose(distance, [1.5], rtol=1e-3)
    np.testing.assert_allclose(
        tape.gradient(distance, a), [[[0, -0.5, 0], [0, -0.5, 0]]], atol=1e-3
    )


def test_clouds_of_two_sizes_divide_their_weight():
    np.testing.assert_allclose(
        approximate_emd(np.zeros((1, 1, 3), np.float32), CLOUD),
        [np.linalg.norm(CLOUD[0], axis=1).mean()],
        rtol=1e-3,
    )
    np.testing.assert_allclose(
        approximate_emd(np.repeat(CLOUD[:, :10], 2, 1), CLOUD[:, :10]), [0], atol=1e-4
    )


def test_ten_times_the_size_is_ten_times_the_distance():
    other = CLOUD[:, ::-1] * 0.7
    np.testing.assert_allclose(
        approximate_emd(10 * CLOUD, 10 * other), 10 * approximate_emd(CLOUD, other), rtol=1e-4
    )


def test_equal_clouds_have_no_distance_and_a_finite_gradient():
    a = tf.Variable(CLOUD)
    with tf.GradientTape() as tape:
        distance = approximate_emd(a, CLOUD)
    np.testing.assert_allclose(distance, [0], atol=1e-4)
    assert np.isfinite(tape.gradient(distance, a).numpy()).all()


def test_in_a_graph_that_does_not_know_the_sizes():
    graph = tf.function(approximate_emd, input_signature=[tf.TensorSpec((None, None, 3))] * 2)
    np.testing.assert_allclose(
        graph(CLOUD, CLOUD[:, :7]), approximate_emd(CLOUD, CLOUD[:, :7]), rtol=1e-3
    )


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"temperature": 0}, r"temperature must be in \(0, 1\] .* got 0, 100"),
        ({"iterations": 0}, "iterations at least 1, got 0.001, 0"),
        ({"b": CLOUD[:, :0]}, r"both clouds need points, got shapes \(1, 20, 3\) and \(1, 0, 3\)"),
    ],
)
def test_bad_input(settings, words):
    with pytest.raises(InputError, match=words):
        approximate_emd(CLOUD, **{"b": CLOUD, **settings})
