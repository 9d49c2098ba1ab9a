"""What a training step gets: images of objects, and what the predicted points are compared with."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from samplenet.data import cameras
from samplenet.data.views.models import Models
from samplenet.errors import InputError
from samplenet.runs.streams import Stream, generator

CHOICES = ("random", "first", "input")


class Views(NamedTuple):
    """V true views of each of B objects.

    Attributes:
        images: (B V, S, S, 3) in [0, 1] on black.
        masks: (B V, S, S), the share of a pixel that is covered.
        labels: (B V, S, S) uint8, 0 the background, 1 more than the part; 0 if unknown.
    """

    images: tf.Tensor
    masks: tf.Tensor
    labels: tf.Tensor


class Pairs:
    """All pairs of a model and an input view; row r is view r mod num_views of its model.

    Args:
        models: of the training split.
        config: the training's settings.

    Raises:
        InputError: views, labels or clouds that the settings need are missing.
    """

    def __init__(self, models: Models, config):
        self.models, self.config = models, config
        _check(models, config)
        labels = np.zeros_like(models.masks) if models.labels is None else models.labels
        # one array, so that a step has two: (n, V, S, S, 5)
        last = (models.masks[..., None], labels[..., None])
        self._pictures = np.concatenate([models.on_black(), *last], -1)
        self._cameras = cameras.to_differ(models.extrinsics).astype(np.float32)

    def __len__(self) -> int:
        return self._pictures.shape[0] * self._pictures.shape[1]

    def with_views(self, step: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return pictures (B, 1 + V, S, S, 5), the input first, and the V cameras (B, V, 4, 4)."""
        model, seen = np.divmod(rows, self._pictures.shape[1])
        views = self._views(step, seen)  # (B, V)
        pictures = self._pictures[model[:, None], np.concatenate([seen[:, None], views], 1)]
        return pictures, self._cameras[model[:, None], views]

    def with_clouds(self, step: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return pictures (B, 1, S, S, 5), and as many true points as are predicted (B, N, 3).

        They are in the frame of `cameras.differ_frame`, and others at each step.
        """
        model, seen = np.divmod(rows, self._pictures.shape[1])
        rng = generator(self.config.seed, Stream.OTHER_POINTS, step)
        clouds = []
        for truth in (self.models.truths[i].points for i in model):
            clouds.append(truth[rng.integers(len(truth), size=self.config.num_points)])
        clouds = cameras.differ_frame(np.stack(clouds)).astype(np.float32)
        return self._pictures[model, seen][:, None], clouds

    def _views(self, step: int, seen: np.ndarray) -> np.ndarray:
        """Choose the views (B, V) that a step compares with; `seen` (B,) are the input views."""
        if self.config.views == "input":
            return seen[:, None]
        views = np.tile(np.arange(self._pictures.shape[1]), (len(seen), 1))
        if self.config.views == "random":
            views = generator(self.config.seed, Stream.VIEWS, step).permuted(views, axis=1)
        return views[:, : self.config.views_per_step]


def unpack(pictures) -> tuple[tf.Tensor, Views]:
    """Take pictures (B, 1 + V, S, S, 5) apart: images (B, S, S, 3) that are seen, and V views."""
    images = tf.cast(pictures[:, 0, ..., :3], tf.float32) / 255
    views = tf.reshape(pictures[:, 1:], (-1, *pictures.shape[2:]))
    scaled = tf.cast(views, tf.float32) / 255
    return images, Views(scaled[..., :3], scaled[..., 3], views[..., 4])


def _check(models: Models, config) -> None:
    available = models.masks.shape[1]
    if config.views == "input" and config.views_per_step != 1:
        raise InputError(
            "--views input compares with one view: give --views-per-step 1, got "
            f"{config.views_per_step}"
        )
    if config.views_per_step > available:
        raise InputError(
            f"--views-per-step must be at most --num-views, {available}, got "
            f"{config.views_per_step}"
        )
    if config.supervision == "points":
        if config.features != "mask":
            raise InputError(
                "--supervision points learns points alone: give --features mask, got "
                f"{config.features}"
            )
        if None in models.truths:
            name = models.ids[models.truths.index(None)]
            raise InputError(f"--supervision points: {name} has no true cloud below gt/")
    if config.features == "parts":
        if models.labels is None:
            raise InputError("--features parts: the data set has models without labels_k.png")
        if (highest := models.labels.max()) > config.parts:
            raise InputError(
                f"--parts must be at least the data set's {highest} parts, got {config.parts}"
            )
