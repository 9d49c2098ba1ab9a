"""Boxes in a room: corners, overlap, suppression of doubles, average precision.

A box is seven numbers: its centre, its size along its own axes, and its heading, the angle in
radians from the x axis to the first of them, counter-clockwise as seen from above. z is up.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SQUARE = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) / 2  # counter-clockwise


class Found(NamedTuple):
    """What a detector finds in a room.

    Attributes:
        boxes: (K, 7).
        scores: (K, C), how sure it is that the box holds an object of each class.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]


class Labelled(NamedTuple):
    """The objects of a room: boxes (K, 7) and classes (K,)."""

    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]


def turn(xy: NDArray, angle: NDArray) -> NDArray:
    """Turn points (..., 2) by angles (...), counter-clockwise."""
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = xy[..., 0], xy[..., 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y], -1)


def footprints(boxes: NDArray) -> NDArray[np.float64]:
    """Return the corners (K, 4, 2) of boxes (K, 7) as seen from above, counter-clockwise."""
    own = SQUARE * boxes[:, None, 3:5]
    return turn(own, boxes[:, 6:]) + boxes[:, None, :2]


def corners(boxes: NDArray) -> NDArray[np.float64]:
    """Return the corners (K, 8, 3) of boxes (K, 7): the lower four, then those above them."""
    floor, half = footprints(boxes), boxes[:, 5] / 2
    levels = [np.insert(floor, 2, (boxes[:, 2] + z)[:, None], axis=2) for z in (-half, half)]
    return np.concatenate(levels, 1)


def holds(boxes: NDArray, points: NDArray) -> NDArray[np.bool_]:
    """Return which of the points (P, 3) are in each of the boxes (K, 7): (K, P)."""
    own = points - boxes[:, None, :3]  # (K, P, 3)
    own[..., :2] = turn(own[..., :2], -boxes[:, 6:])
    return (np.abs(own) <= boxes[:, None, 3:6] / 2).all(2)


def iou(a: NDArray, b: NDArray) -> NDArray[np.float64]:
    """Return the volume shared by boxes (K, 7) and (M, 7) over their joint one: (K, M)."""
    half_a, half_b = a[:, 5] / 2, b[:, 5] / 2
    low = np.maximum.outer(a[:, 2] - half_a, b[:, 2] - half_b)
    high = np.minimum.outer(a[:, 2] + half_a, b[:, 2] + half_b)
    shared = _shared_area(a, b) * (high - low).clip(0)
    joint = a[:, None, 3:6].prod(2) + b[:, 3:6].prod(1) - shared
    return np.divide(shared, joint, out=np.zeros_like(shared), where=joint > 0)


def _shared_area(a: NDArray, b: NDArray) -> NDArray[np.float64]:
    """Return the area (K, M) that footprints share.

    Seen from b, clamp the outline of a to b's sides. It then encloses just what they share:
    clamping leaves what is inside of b in its place, and takes no other point across it. The
    corners of the clamped outline are those of a, and where a's edges cross the lines of b's sides.
    """
    half = b[:, None, 3:5] / 2  # (M, 1, 2)
    outline = footprints(a)[:, None] - b[:, None, :2]  # (K, M, 4, 2)
    outline = turn(outline, -b[:, 6:])
    edge = np.roll(outline, -1, axis=2) - outline
    with np.errstate(divide="ignore", invalid="ignore"):  # of an edge that is parallel to a side
        crossings = [(side - outline) / edge for side in (-half, half)]
    # how far along its edge each corner is; one behind the edge's end is at the end
    along = np.nan_to_num(np.concatenate([np.zeros_like(edge[..., :1]), *crossings], 3))
    along = np.sort(along.clip(0, 1), 3)  # (K, M, 4, 5), the first 0: the edge's start
    path = outline[..., None, :] + along[..., None] * edge[..., None, :]
    path = path.clip(-half[..., None, :], half[..., None, :]).reshape(*edge.shape[:2], 20, 2)
    after = np.roll(path, -1, axis=2)
    area = path[..., 0] * after[..., 1] - path[..., 1] * after[..., 0]
    return area.sum(2).clip(0) / 2


def suppress(
    boxes: NDArray, scores: NDArray, labels: NDArray, threshold: float = 0.25
) -> NDArray[np.int64]:
    """Drop each box that overlaps a better one of its class: row numbers kept, the best first.

    As in VoteNet, overlap is the IoU of the axis-parallel boxes around the boxes (K, 7).
    """
    every = corners(boxes)
    low, high = every.min(1), every.max(1)
    around = np.concatenate([(low + high) / 2, high - low, np.zeros((len(boxes), 1))], 1)
    doubles = (iou(around, around) > threshold) & (labels[:, None] == labels)
    order, kept = np.argsort(-scores, kind="stable"), []
    while len(order):
        kept.append(order[0])
        order = order[1:][~doubles[order[0], order[1:]]]
    return np.array(kept, np.int64)


def average_precision(
    found: Sequence[Found], true: Sequence[Labelled], threshold: float
) -> NDArray[np.float64]:
    """Return the area (C,) under each class's curve of precision over recall, as VOC has it.

    Boxes of all rooms are taken from the surest on. One is right if the true box that it overlaps
    most has an IoU above the threshold, and no surer one was right for it. Precision is that of
    the best at this recall or a higher one. Of equal scores the first in order counts as surer. A
    class without true boxes has NaN.

    Args:
        found, true: by room.
    """
    overlaps = [iou(f.boxes, t.boxes) for f, t in zip(found, true, strict=True)]
    areas = []
    for label in range(found[0].scores.shape[1]):
        total, scores, targets = 0, [], []
        for room, (own, overlap) in enumerate(zip(found, overlaps, strict=True)):
            columns = true[room].labels == label
            overlap = np.insert(overlap[:, columns], 0, threshold, axis=1)
            best = overlap.argmax(1)  # 0: none is above the threshold
            targets.append(np.where(best, total + best, 0))
            scores.append(own.scores[:, label])
            total += columns.sum()
        order = np.argsort(-np.concatenate(scores), kind="stable")
        targets = np.concatenate(targets)[order]
        right = np.zeros(len(targets), bool)
        right[np.unique(targets, return_index=True)[1]] = True  # the first of each target
        right &= targets > 0
        precision = np.cumsum(right) / np.arange(1, len(right) + 1)
        best = np.maximum.accumulate(precision[::-1])[::-1]
        areas.append((best * right).sum() / total if total else np.nan)
    return np.array(areas)
