"""The losses between views, against the formulas in NumPy and by hand."""

import numpy as np
import pytest
import tensorflow as tf

from samplenet.ops import Projected, reference


@pytest.fixture(scope="module")
def views():
    """Sums (3, 8, 8), whose tanh are masks, and binary masks."""
    rng = np.random.default_rng(0)
    return rng.exponential(size=(3, 8, 8)).astype("f"), rng.integers(2, size=(3, 8, 8)).astype("f")


def test_mask_loss_is_the_mean_cross_entropy(scripts, views):
    sums, masks = views
    drawn = np.tanh(sums.astype(float))
    wanted = -np.mean(masks * np.log(drawn + 1e-8) + (1 - masks) * np.log(1 - drawn))
    assert float(scripts.losses.mask_loss(sums, masks)) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    "name, form, scale", [("released", "released", 1e-4), ("intended", "chamfer", 1)]
)
def test_affinity_is_the_sum_of_both_means(scripts, views, name, form, scale):
    sums, masks = views
    wanted = scale * sum(
        part.mean() for part in reference.mask_affinity(np.tanh(sums), masks, form)
    )
    found = float(scripts.losses.affinity_loss(tf.constant(sums), masks, name))
    assert found == pytest.approx(wanted, rel=1e-5)


def test_the_released_affinity_is_a_hundred_times_the_absolute_difference(scripts, views):
    sums, masks = views
    found = float(scripts.losses.affinity_loss(tf.constant(sums), masks, "released"))
    assert found == pytest.approx(100 * np.abs(np.tanh(sums) - masks).mean(), rel=1e-3)


def test_the_intended_affinity_weighs_as_much_as_the_mask_loss_where_points_are_astray(scripts):
    sums, masks = np.full((1, 16, 16), 1e-3, "f"), np.zeros((1, 16, 16), "f")
    sums[0, 2:6, 2:6], masks[0, 6:12, 6:12] = 1, 1
    affinity = float(scripts.losses.affinity_loss(tf.constant(sums), masks, "intended"))
    assert 0.2 < affinity / float(scripts.losses.mask_loss(tf.constant(sums), masks)) < 5


def test_rgb_loss_counts_the_background(scripts):
    images = np.zeros((1, 2, 2, 3), np.float32)
    drawn = images.copy()
    drawn[0, 0, 0] = 1
    assert float(scripts.losses.rgb_loss(drawn, images)) == 0.25


def test_label_loss_of_pixels_by_hand(scripts):
    """An uncovered pixel has the logits (1, 0, 0), a covered one (0, its scores)."""
    scores = np.array([[[[0, 0], [2, 0]]]], np.float32)  # (1, 1, 2, 2)
    drawn = Projected(tf.constant(scores), tf.constant([[[0.0, 1.0]]]))
    assert scripts.losses.label_map(drawn).numpy().tolist() == [[[[1, 0, 0], [0, 2, 0]]]]
    uncovered = np.log(np.e + 2) - np.array([1, 0, 0])
    covered = np.log(np.e**2 + 2) - np.array([0, 2, 0])
    for first, second in [(0, 1), (2, 0), (1, 2)]:
        found = scripts.losses.label_loss(drawn, np.array([[[first, second]]], np.uint8))
        assert float(found) == pytest.approx((uncovered[first] + covered[second]) / 2, rel=1e-6)


def test_cloud_loss_adds_both_directions(scripts):
    points, clouds = np.zeros((1, 2, 3), "f"), np.array([[[0, 0, 0], [0, 0, 2]]], "f")
    assert float(scripts.losses.cloud_loss(points, clouds)) == 0 + (0 + 4) / 2
