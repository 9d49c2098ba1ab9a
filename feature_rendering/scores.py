"""How far predicted clouds, colours, parts and drawn views are from the true ones.

Clouds are compared as DIFFER and CAPNet compare them: in the object frame, each in a box of longest
side 1. Forward is from each true point to the nearest predicted one, backward the reverse.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samplenet import distances
from samplenet.data.views.meshes import Truth

INSIDE = 0.5  # CAPNet's outlier scale: of a coordinate, of points that count for the box


def normalised(points: NDArray, scale_outlier: bool = False) -> NDArray[np.float64]:
    """Return points (N, 3) with the centre of their box at 0 and its longest side 1.

    Args:
        scale_outlier: take the box of the points whose coordinates are all below INSIDE, if any.
    """
    points = np.asarray(points, float)
    inside = (np.abs(points) < INSIDE).all(1)
    box = points[inside] if scale_outlier and inside.any() else points
    low, high = box.min(0), box.max(0)
    return (points - (low + high) / 2) / ((high - low).max() or 1.0)


class Near(NamedTuple):
    """Distances to, and numbers of, the nearest points of the other cloud.

    Attributes:
        forward, to_predicted: (M,), of each true point.
        backward, to_true: (N,), of each predicted point.
    """

    forward: NDArray[np.float64]
    to_predicted: NDArray[np.int64]
    backward: NDArray[np.float64]
    to_true: NDArray[np.int64]


def near(truth: NDArray, predicted: NDArray) -> Near:
    """Find the nearest points of two normalised clouds, (M, 3) and (N, 3)."""
    return Near(*distances.nearest(truth, predicted), *distances.nearest(predicted, truth))


def of_cloud(
    truth: Truth,
    points: NDArray,
    colours: NDArray | None,
    labels: NDArray | None,
    *,
    parts: int,
    scale_outlier: bool,
    emd: bool,
) -> dict[str, float]:
    """Score one cloud by every metric that prediction and truth allow.

    DIFFER adds the means of Euclidean distances, CAPNet those of squared ones.

    Args:
        points, colours, labels: predicted, (N, 3), (N, 3) and (N,) from 0; in the object frame.
        parts: number of parts.
        emd: whether to score the earth mover's distance to the first N true points.
    """
    true, points = (normalised(cloud, scale_outlier) for cloud in (truth.points, points))
    found = near(true, points)
    forward, backward = found.forward.mean(), found.backward.mean()
    squared = np.square(found.forward).mean() + np.square(found.backward).mean()
    values = {"chamfer": forward + backward, "forward": forward, "backward": backward}
    values["chamfer_squared"] = squared
    if emd:
        values["emd"] = distances.emd(true[: len(points)], points)
    if colours is not None and truth.colors is not None:
        values["colour_error"] = colour_error(found, truth.colors, colours)
    if labels is not None and truth.labels is not None:
        values["part_iou"] = part_iou(found, truth.labels.astype(int) - 1, labels, parts)
    return values


def colour_error(found: Near, true: NDArray, predicted: NDArray) -> float:
    """Add the mean squared differences of colours to those of nearest points, both directions.

    Args:
        true, predicted: colours (M, 3) and (N, 3) in [0, 1].
    """
    forward = np.square(true - predicted[found.to_predicted]).mean()
    return forward + np.square(predicted - true[found.to_true]).mean()


def part_iou(found: Near, true: NDArray, predicted: NDArray, parts: int) -> float:
    """Average the parts' IoU over the two directions in which nearest points lend their part.

    Args:
        true, predicted: parts (M,) and (N,), from 0.
        parts: their number.
    """
    forward = _iou(true, predicted[found.to_predicted], parts)
    return (forward + _iou(true[found.to_true], predicted, parts)) / 2


def _iou(true: NDArray, predicted: NDArray, parts: int) -> float:
    """Average intersection over union over the parts; 1 for a part that neither has."""
    each = []
    for part in range(parts):
        a, b = true == part, predicted == part
        each.append((a & b).sum() / (a | b).sum() if (a | b).any() else 1.0)
    return float(np.mean(each))


# Of drawn views, (..., S, S) or with channels (..., S, S, 3), one number for each: (...)


def mask_iou(drawn: NDArray[np.bool_], true: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the intersection over union of silhouettes; 1 where both are empty."""
    union = (drawn | true).sum((-2, -1))
    return np.where(union, (drawn & true).sum((-2, -1)) / np.maximum(union, 1), 1.0)


def psnr(drawn: NDArray, true: NDArray) -> NDArray[np.float64]:
    """Return the peak signal-to-noise ratio, in dB, of colours in [0, 1]; at most 100."""
    return -10 * np.log10(np.maximum(np.square(drawn - true).mean((-3, -2, -1)), 1e-10))


def label_accuracy(drawn: NDArray, true: NDArray) -> NDArray[np.float64]:
    """Return the share of the object's pixels that are drawn with its label; 1 where it has none.

    Args:
        drawn, true: 0 the background, else 1 more than the part.
    """
    right = ((drawn == true) & (true > 0)).sum((-2, -1))
    return np.where((true > 0).any((-2, -1)), right / np.maximum((true > 0).sum((-2, -1)), 1), 1.0)
