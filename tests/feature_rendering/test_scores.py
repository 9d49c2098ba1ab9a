"""The metrics, on cases whose answers can be checked by hand, and against plain loops."""

import numpy as np
import pytest

pytest.importorskip("scipy", reason="SciPy is not installed: no cloud is compared")

from samplenet.data.views.meshes import Truth

TRUE = np.array([[0, 0, 0], [1, 0, 0], [0, 0.5, 0]], float)
PREDICTED = np.array([[0, 0, 0], [1, 0.5, 0]], float)


def test_clouds_are_centred_and_scaled_by_their_box(scripts):
    normalised = scripts.scores.normalised
    found = normalised([[1, 1, 1], [3, 2, 1]])
    np.testing.assert_allclose(found, [[-0.5, -0.25, 0], [0.5, 0.25, 0]])
    outlier = [[-0.25, 0, 0], [0.25, 0, 0], [0, 4, 0]]
    np.testing.assert_allclose(normalised(outlier, True)[:2, 0], [-0.5, 0.5])
    np.testing.assert_allclose(normalised(outlier)[:, 1], [-0.5, -0.5, 0.5])
    np.testing.assert_allclose(normalised([[3, 3, 3], [2, 3, 3]], True)[:, 0], [0.5, -0.5])
    np.testing.assert_array_equal(normalised([[7, 7, 7]]), [[0, 0, 0]])


def test_chamfer_in_both_ways_of_squaring_and_each_direction(scripts):
    cloud = scripts.scores.of_cloud(
        Truth(TRUE), PREDICTED, None, None, parts=2, scale_outlier=False, emd=True
    )
    # both boxes have the sides 1, 0.5 and 0: nothing is moved against the other
    assert cloud["forward"] == pytest.approx((0 + 0.5 + 0.5) / 3)
    assert cloud["backward"] == pytest.approx((0 + 0.5) / 2)
    assert cloud["chamfer"] == pytest.approx(1 / 3 + 1 / 4)
    assert cloud["chamfer_squared"] == pytest.approx(0.5 / 3 + 0.25 / 2)
    assert cloud["emd"] == pytest.approx((0 + 0.5) / 2)  # with the first two true points
    assert {*cloud} == {"chamfer", "forward", "backward", "chamfer_squared", "emd"}


def test_colours_and_parts_are_those_of_nearest_points_in_both_directions(scripts):
    truth = Truth(TRUE, np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], float), np.array([1, 2, 2]))
    red = np.tile([1.0, 0, 0], (2, 1))
    how = {"parts": 2, "scale_outlier": False, "emd": False}
    found = scripts.scores.of_cloud(truth, PREDICTED, red, np.array([0, 1]), **how)
    # true point 2 is as near to predicted 0; predicted 1 is nearest to true 1
    assert found["colour_error"] == pytest.approx((0 + 2 + 2) / 9 + (0 + 2) / 6)
    # forward: true 0 1 1 against 0 1 0, IoU 1/2 and 1/2; backward: 0 1 against 0 1
    assert found["part_iou"] == pytest.approx((1 / 2 + 1) / 2)
    assert "emd" not in found


def test_a_part_that_neither_has_counts_one(scripts):
    near = scripts.scores.near(TRUE, TRUE)
    one, other = np.array([0, 0, 1]), np.array([0, 0, 0])
    assert scripts.scores.part_iou(near, one, one, 4) == 1
    assert scripts.scores.part_iou(near, one, other, 3) == pytest.approx((2 / 3 + 0 + 1) / 3)


def test_drawn_views(scripts):
    drawn, true = np.zeros((2, 2, 2), bool), np.array([[[1, 1], [0, 0]], [[0, 0], [0, 0]]], bool)
    drawn[0, :, 0] = True
    np.testing.assert_allclose(scripts.scores.mask_iou(drawn, true), [1 / 3, 1])
    images = np.full((2, 4, 4, 3), 0.5)
    np.testing.assert_allclose(
        scripts.scores.psnr(images, images - [[[[0.1]]], [[[0]]]]), [20, 100]
    )
    labels = np.array([[0, 1], [2, 2]])
    shown = scripts.scores.label_accuracy(np.array([[1, 1], [1, 0]]), labels)
    assert shown == pytest.approx(1 / 3)  # what is drawn beside the object does not count
    assert scripts.scores.label_accuracy(labels, 0 * labels) == 1
