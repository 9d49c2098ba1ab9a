"""Boxes against cases made by hand and points drawn at random."""

import numpy as np
import pytest

UNIT = (0, 0, 0, 1, 1, 1, 0)


def volume(boxes, samples=400_000):
    """The IoU of two boxes from points drawn in the smaller space around both."""
    a, b = boxes
    rng = np.random.default_rng(0)
    radius = np.linalg.norm(np.array(boxes)[:, 3:6] / 2, axis=1)[:, None]
    low = (np.array(boxes)[:, :3] - radius).min(0)
    high = (np.array(boxes)[:, :3] + radius).max(0)
    points = rng.uniform(low, high, (samples, 3))
    inside = []
    for box in (a, b):
        x, y, z = (points - box[:3]).T
        along = x * np.cos(box[6]) + y * np.sin(box[6])
        across = y * np.cos(box[6]) - x * np.sin(box[6])
        half = np.array(box[3:6]) / 2
        inside.append((np.abs([along, across, z]) <= half[:, None]).all(0))
    return (inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum()


@pytest.mark.parametrize(
    "box, shared",
    [
        (UNIT, 1),
        ((0, 0, 0, 1, 1, 1, np.pi / 2), 1),
        ((0, 0, 0, 1, 1, 1, np.pi / 4), 2 * (np.sqrt(2) - 1)),  # a regular octagon
        ((0.5, 0, 0, 1, 1, 1, 0), 0.5),
        ((0.5, 0.5, 0.5, 1, 1, 1, 0), 0.125),
        ((0, 0, 0.25, 1, 1, 1, np.pi), 0.75),
        ((1, 0, 0, 1, 1, 1, 0), 0),  # a face touches
        ((1, 1, 1, 1, 1, 1, 0), 0),  # a corner does
        ((0.5 + np.sqrt(0.5), 0, 0, 1, 1, 1, np.pi / 4), 0),  # a corner touches a side
        ((np.sqrt(0.5), 0, 0, 1, 1, 1, np.pi / 4), 0.25),  # a corner in the middle: a triangle
        ((5, 0, 0, 1, 1, 1, 1), 0),
        ((0, 0, 3, 1, 1, 1, 1), 0),
        ((0.1, -0.1, 0.1, 0.2, 0.4, 0.5, 0.3), 0.04),  # contained
        ((0, 0, 0, 9, 9, 9, 0.7), 1),  # containing
        ((0, 0, 0, 9, 0.1, 1, np.pi / 2), 0.1),  # a cross
        ((0, 0, 0, 0, 1, 1, 0), 0),  # no width
    ],
)
def test_overlap_of_two_boxes_is_known(scripts, box, shared):
    a, b = np.array([UNIT], float), np.array([box], float)
    joint = 1 + np.prod(box[3:6]) - shared
    assert scripts.boxes.iou(a, b)[0, 0] == pytest.approx(shared / joint, abs=1e-12)
    assert scripts.boxes.iou(b, a)[0, 0] == pytest.approx(shared / joint, abs=1e-12)


def test_overlap_is_the_share_of_random_points_and_moves_with_the_boxes(scripts):
    rng = np.random.default_rng(1)
    boxes = np.concatenate(
        [rng.uniform(-0.5, 0.5, (7, 3)), rng.uniform(0.5, 2, (7, 3)), rng.uniform(-9, 9, (7, 1))], 1
    )
    found = scripts.boxes.iou(boxes[:3], boxes)
    assert found.shape == (3, 7)
    np.testing.assert_allclose(found[range(3), range(3)], 1)
    for i in range(3):
        for j in range(3, 7):
            assert found[i, j] == pytest.approx(volume((boxes[i], boxes[j])), abs=5e-3)
    moved = boxes.copy()
    moved[:, :2] = scripts.boxes.turn(boxes[:, :2], np.full(7, 1.1)) + (3, -2)
    moved[:, 6] += 1.1
    np.testing.assert_allclose(scripts.boxes.iou(moved[:3], moved), found, atol=1e-12)
    assert scripts.boxes.iou(boxes[:0], boxes).shape == (0, 7)
    assert scripts.boxes.iou(boxes, boxes[:0]).shape == (7, 0)


def test_corners_and_points_inside(scripts):
    box = np.array([(1, 2, 3, 4, 2, 1, np.pi / 2)])  # the first axis along y
    corners = scripts.boxes.corners(box)[0]
    np.testing.assert_allclose(corners.min(0), (0, 0, 2.5), atol=1e-12)
    np.testing.assert_allclose(corners.max(0), (2, 4, 3.5))
    assert len(np.unique(corners.round(9), axis=0)) == 8
    points = np.array([(1, 2, 3), (1.9, 3.9, 3.4), (2.1, 2, 3), (1, 4.1, 3), (1, 2, 3.6)])
    assert scripts.boxes.holds(box, points).tolist() == [[True, True, False, False, False]]


def test_the_best_of_overlapping_boxes_of_a_class_stays(scripts):
    boxes = np.array(
        [UNIT, (0.1, 0, 0, 1, 1, 1, 0.2), (0.1, 0, 0, 1, 1, 1, 0), (5, 0, 0, 1, 1, 1, 0)], float
    )
    scores, labels = np.array([0.5, 0.9, 0.7, 0.1]), np.array([0, 0, 1, 0])
    assert scripts.boxes.suppress(boxes, scores, labels).tolist() == [1, 2, 3]
    assert scripts.boxes.suppress(boxes, scores, labels, 0.99).tolist() == [1, 2, 0, 3]
    # turned by 45 degrees a box does not meet the other, but the box around it does
    near = np.array([UNIT, (0.95, 0.95, 0, 1, 1, 1, np.pi / 4)], float)
    assert scripts.boxes.iou(near, near)[0, 1] == 0
    assert scripts.boxes.suppress(near, scores[:2], labels[:2], 0.01).tolist() == [1]
    assert scripts.boxes.suppress(boxes[:0], scores[:0], labels[:0]).tolist() == []


def test_average_precision_of_a_ranking_counted_by_hand(scripts):
    """Two rooms with three true boxes; six boxes are found, from the surest on:

    right, a double of it, beside every box, right, too small for 0.5, right with the least score.
    """
    at = lambda x, size=1: (x, 0, 0, size, 1, 1, 0)  # noqa: E731
    Found, Labelled = scripts.boxes.Found, scripts.boxes.Labelled
    true = [
        Labelled(np.array([at(0), at(5)], float), np.array([0, 0])),
        Labelled(np.array([at(0), at(5)], float), np.array([0, 1])),
    ]
    boxes = [np.array([at(0), at(0.1), at(9), at(5)], float), np.array([at(5), at(0, 0.4)], float)]
    scores = [np.array([0.9, 0.8, 0.7, 0.6]), np.array([0.1, 0.5])]
    found = [
        Found(b, np.stack([s, np.zeros_like(s)], 1)) for b, s in zip(boxes, scores, strict=True)
    ]
    quarter, half = (
        scripts.boxes.average_precision(found, true, threshold) for threshold in (0.25, 0.5)
    )
    # at 0.25 ranks 1, 4 and 5 are right: precision 1, 1/2 and 3/5, which also is the best at 4
    assert quarter[0] == pytest.approx((1 + 3 / 5 + 3 / 5) / 3)
    assert half[0] == pytest.approx((1 + 1 / 2) / 3)
    # of class 1 all scores are equal, so the order decides: the box at 5 is the fifth
    assert quarter[1] == pytest.approx(1 / 5)


def test_average_precision_at_its_ends(scripts):
    Found, Labelled = scripts.boxes.Found, scripts.boxes.Labelled
    box, none = np.array([UNIT], float), np.zeros((0, 7))
    one, nothing = Labelled(box, np.array([0])), Labelled(none, np.zeros(0, np.int64))
    precision = scripts.boxes.average_precision
    found, empty = Found(box, np.ones((1, 1))), Found(none, np.zeros((0, 1)))
    assert precision([found], [one], 0.5) == [1]
    assert precision([empty], [one], 0.5) == [0]
    assert precision([found, empty], [nothing, one], 0.5) == [0]
    assert np.isnan(precision([found], [nothing], 0.5)).all()
    assert precision([found], [one], 1.0) == [0]  # above the threshold, not at it
    # an equal score of a wrong box that comes first costs half of the precision
    two = Found(np.array([(3, 0, 0, 1, 1, 1, 0), UNIT], float), np.ones((2, 1)))
    assert precision([two], [one], 0.5) == [0.5]
