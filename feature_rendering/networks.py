"""The networks: points of an object from one image, with their colours or scores of parts."""

from types import SimpleNamespace
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from samplenet.runs.run import finished_run
from samplenet.tf.state import State

# convolutions (width, kernel, stride) and widths of dense layers; the first is the bottleneck
SMALL = ((32, 3, 2), (64, 3, 2), (128, 3, 2), (256, 5, 2)), (128, 128, 128)  # DIFFER
LARGE = (
    (  # CAPNet
        *((32, 3, 1), (32, 3, 1), (64, 3, 2), (64, 3, 1), (64, 3, 1), (128, 3, 2), (128, 3, 1)),
        *((128, 3, 1), (256, 3, 2), (256, 3, 1), (256, 3, 1), (512, 5, 2)),
    ),
    (128, 256, 256),
)
STRUCTURE = {"small": SMALL, "large": LARGE}
COLOUR = ((32, 3, 2), (64, 3, 2)), (128, 128, 128)

# Standard deviation of the first points' coordinates, where an object's diagonal is 1
SPREAD = 0.1


class Prediction(NamedTuple):
    """What a network predicts from images of B objects.

    Attributes:
        points: (B, N, 3) in the frame of `samplenet.data.cameras.differ_frame`.
        colours: (B, N, 3) in (0, 1), with features "rgb"; else None.
        scores: (B, N, parts), logits, with features "parts"; else None.
    """

    points: tf.Tensor
    colours: tf.Tensor | None
    scores: tf.Tensor | None


class Branch(keras.layers.Layer):
    """Convolutions and dense layers with ReLU: images (B, S, S, 3) -> features (B, C)."""

    def __init__(self, convs, widths, **kwargs):
        super().__init__(**kwargs)
        # He's distribution keeps the size of values from layer to layer. The released uniform one
        # of variance 1 / fan_in halves it at each ReLU, for which inputs up to 255 made up
        init = {"activation": "relu", "kernel_initializer": "he_uniform"}
        self.convs = [
            keras.layers.Conv2D(width, size, stride, "same", name=f"conv{i}", **init)
            for i, (width, size, stride) in enumerate(convs, 1)
        ]
        self.fcs = [
            keras.layers.Dense(width, name=f"fc{i}", **init) for i, width in enumerate(widths, 1)
        ]

    def call(self, images):
        features = images
        for conv in self.convs:
            features = conv(features)
        features = tf.reshape(features, (-1, np.prod(features.shape[1:])))
        for fc in self.fcs:
            features = fc(features)
        return features


class PointNetwork(keras.Model):
    """CAPNet's and DIFFER's networks: images (B, S, S, 3) in [0, 1] on black -> `Prediction`.

    The first points are normal with standard deviation SPREAD, by the biases of the last layer:
    many pixels wide, and inside of the object. With the released biases of 0 and images in [0, 1]
    all points would begin in one pixel, with nearly one gradient, and with none where its mask is
    1; the released code reaches 0.025 by images in [0, 255]. Where points begin outside of the
    object, the masks push some out of all images, and from there nothing brings them back.

    Args:
        num_points: N.
        features: "mask" for points alone, "rgb" or "parts".
        parts: how many scores a point has, with "parts".
        size: "small", of DIFFER, or "large", of CAPNet, whose coordinates pass tanh.
    """

    def __init__(self, num_points=1024, features="rgb", parts=4, size="small", **kwargs):
        super().__init__(**kwargs)
        self.num_points, self.bounded = num_points, size == "large"
        self.structure = Branch(*STRUCTURE[size], name="structure")
        spread = keras.initializers.RandomNormal(stddev=SPREAD)
        published = keras.initializers.TruncatedNormal(stddev=0.02)
        self.last = keras.layers.Dense(
            3 * num_points,
            kernel_initializer=published,
            bias_initializer=spread,
            name="points",
        )
        self.colour = self.joined = self.colours = self.scores = None
        if features == "rgb":
            self.colour = Branch(*COLOUR, name="colour")
            self.joined = keras.layers.Dense(128, "relu", name="joined")
            self.colours = keras.layers.Dense(3 * num_points, "sigmoid", name="colours")
        if features == "parts":
            self.scores = keras.layers.Dense(parts * num_points, name="scores")

    def call(self, images):
        shape = self.structure(images)  # (B, C)
        points, colours, scores = self.last(shape), None, None
        if self.colours:
            both = tf.concat([shape, self.colour(images)], -1)
            colours = self._of_each(self.colours(self.joined(both)))
        if self.scores:
            scores = self._of_each(self.scores(shape))
        points = self._of_each(tf.tanh(points) if self.bounded else points)
        return Prediction(points, colours, scores)

    def _of_each(self, values):
        return tf.reshape(values, (-1, self.num_points, values.shape[-1] // self.num_points))


def build(config) -> PointNetwork:
    """Build the network of a training's settings, with its first weights."""
    net = PointNetwork(config.num_points, config.features, config.parts, config.network)
    # Keras makes the weights at the first call
    net(np.zeros((1, config.image_size, config.image_size, 3), np.float32))
    return net


def load_run(folder: str) -> tuple[PointNetwork, SimpleNamespace]:
    """Open the network of a finished run, and the run's settings."""
    of_network = {"num_points": int, "features": str, "parts": int, "network": str}
    data = {"data_root": str | None, "classes": list[str], "shapes_per_class": int}
    views = {"image_size": int, "num_views": int, "lit": bool}
    own = {"supervision": str, "seed": int}
    config, arrays, _ = finished_run(folder, **of_network, **data, **views, **own)
    net = build(config)
    State(net).restore(arrays, folder)
    net.trainable = False
    return net, config
