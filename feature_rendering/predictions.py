"""What methods predict of the objects of a split, and how it looks in the objects' views."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from camera import to_pixels
from samplenet.data import cameras
from samplenet.data.views.meshes import Truth
from samplenet.data.views.models import Models
from samplenet.distances import mean_cloud
from samplenet.errors import InputError
from samplenet.ops import tf as ops
from samplenet.runs import networks


class Predicted(NamedTuple):
    """What is predicted of n objects from each of K pictures; K is 1 where no picture is used.

    Attributes:
        points: (n, K, N, 3) in the frame of `samplenet.data.cameras.differ_frame`.
        colours: (n, K, N, 3) in [0, 1], or None.
        scores: (n, K, N, parts), largest for the part of a point, or None.
    """

    points: np.ndarray
    colours: np.ndarray | None = None
    scores: np.ndarray | None = None

    @property
    def labels(self) -> np.ndarray | None:
        """The parts of the points (n, K, N), from 0."""
        return None if self.scores is None else self.scores.argmax(-1)

    def of_object(self, i: int) -> Iterator[tuple]:
        """Yield what is predicted from each picture of object number i: points, colours, labels.

        The points are in the object frame.
        """
        for k, points in enumerate(self.points[i]):
            colours = None if self.colours is None else self.colours[i, k]
            labels = None if self.scores is None else self.scores[i, k].argmax(-1)
            yield cameras.object_frame(points), colours, labels

    def unseen(self, averages: "list[Average]", classes: np.ndarray) -> "Predicted | None":
        """Return the points with the mean colour, or the shares of parts, of their class.

        Args:
            averages: by class.
            classes: (n,) of the objects.

        Returns:
            None if the average of a class is not known.
        """
        field = "colours" if self.scores is None else "scores"
        known, like = [getattr(each, field) for each in averages], getattr(self, field)
        if any(each is None for each in known):
            return None
        values = np.stack(known)[classes][:, None, None, : like.shape[-1]]  # (n, 1, 1, C)
        return self._replace(**{field: np.broadcast_to(values, like.shape)})


class Drawn(NamedTuple):
    """One object as its K predictions look in V views.

    Attributes:
        masks: (K, V, S, S) in [0, 1].
        colours: (K, V, S, S, 3) on black, or None.
        labels: (K, V, S, S), 0 the background, else 1 more than the part; or None.
    """

    masks: np.ndarray
    colours: np.ndarray | None
    labels: np.ndarray | None


def predict(net, images: np.ndarray, batch_size: int) -> Predicted:
    """Predict points and features from pictures (n, K, S, S, 3), bytes on black."""
    return Predicted(*networks.predict(net, images, batch_size))


class Average(NamedTuple):
    """The average of the training objects of a class, which knows nothing of the test object.

    Attributes:
        cloud: (N, 3), points of all objects, in the object frame.
        colours: (3,), the mean; None if the data set has no colours.
        scores: (255,), the share of each part among the points; None if it has no parts.
    """

    cloud: np.ndarray
    colours: np.ndarray | None
    scores: np.ndarray | None


def averages(train: Models, num_points: int, seed: int) -> list[Average]:
    """Average the true points of the training objects, by class.

    Raises:
        InputError: no object of a class has a true cloud.
    """
    found = []
    for label, name in enumerate(train.names):
        truths = [train.truths[i] for i in np.flatnonzero(train.classes == label)]
        truths = [truth for truth in truths if truth is not None]
        if not truths:
            raise InputError(f"no training object of {name!r} has a true cloud")
        rng = np.random.default_rng([seed, label])
        cloud = mean_cloud([truth.points for truth in truths], num_points, rng)
        colours = scores = None
        if all(truth.colors is not None for truth in truths):
            colours = np.mean([truth.colors.mean(0, dtype=float) for truth in truths], 0)
        if all(truth.labels is not None for truth in truths):
            counts = [np.bincount(t.labels, minlength=256)[1:] / len(t.labels) for t in truths]
            scores = np.mean(counts, 0)
        found.append(Average(cloud, colours, scores))
    return found


def other_points(truths: list[Truth], start: int, count: int, parts: int) -> Predicted | None:
    """Return `count` true points of each object from number `start` on, as if they were predicted.

    Their distances are what is lost by having so few points.

    Returns:
        None if an object has too few.
    """
    truths = [cut(truth, slice(start, start + count)) for truth in truths]
    if any(len(truth.points) < count for truth in truths):
        return None
    points = np.stack([cameras.differ_frame(truth.points) for truth in truths])
    colours = scores = None
    if all(truth.colors is not None for truth in truths):
        colours = np.stack([truth.colors for truth in truths])[:, None]
    if all(truth.labels is not None for truth in truths):
        labels = np.stack([truth.labels for truth in truths])[:, None]
        scores = np.eye(max(parts, labels.max()))[labels - 1]
    return Predicted(points[:, None], colours, scores)


def cut(truth: Truth, rows: slice) -> Truth:
    """Return some of the true points."""
    return Truth(*(values if values is None else values[rows] for values in truth))


def draw(predicted: Predicted, i: int, extrinsics: np.ndarray, settings: SimpleNamespace) -> Drawn:
    """Draw what was predicted of object number i as cameras (V, 4, 4) see it.

    Args:
        settings: of a training: image_size, variance, radius and beta.
    """
    points, size = np.asarray(predicted.points[i], np.float32), settings.image_size
    K, V = len(points), len(extrinsics)
    known = np.broadcast_to(cameras.to_differ(extrinsics), (K, V, 4, 4)).astype(np.float32)
    pixels = tf.reshape(to_pixels(points, known, size), (K * V, -1, 3))

    def features(values):
        of_views = np.repeat(values[i].astype(np.float32), V, 0)  # (K V, N, C)
        return ops.project_features(pixels, of_views, size, size, settings.radius, settings.beta)

    def unfold(images):  # (K V, ...) -> (K, V, ...)
        return np.reshape(images, (K, V, *images.shape[1:]))

    masks = unfold(ops.project_mask(pixels, size, size, settings.variance))
    colours = labels = None
    if predicted.colours is not None:
        colours = unfold(features(predicted.colours).features)
    if predicted.scores is not None:
        drawn = features(predicted.scores)
        labels = unfold(np.where(drawn.coverage, 1 + np.argmax(drawn.features, -1), 0))
    return Drawn(masks, colours, labels)
