"""The networks: a picture becomes a cloud, and candidates for the pose of the camera."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import get_type_hints

import keras
import numpy as np
import tensorflow as tf

from options import Config, NetworkConfig
from outputs import Features, Pose, Prediction, Shape
from samplenet.ops import tf as ops
from samplenet.runs.run import finished_run
from samplenet.tf.state import State

SLOPE = 0.2  # of the leaky rectifier
# what Keras divides a truncated normal's deviation by; the released code has sqrt(1.3) instead
TRUNCATED = 0.87962566103423978


class ShapeAndPose(keras.Model):
    """Predict cloud and camera from images (B, S, S, 3) in [0, 1] on white.

    Args:
        config: the settings. There is a pose only if its `supervision` is "none".
    """

    def __init__(self, config: NetworkConfig, **kwargs):
        super().__init__(**kwargs)
        self.config, self.convs, width = config, [], config.conv_width
        self.convs.append(_conv(width, 5, 2, "conv0"))
        for block in range(int(math.log2(config.image_size / 4)) - 1):
            width *= 2
            self.convs += [_conv(width, 3, 2, f"conv{block}a"), _conv(width, 3, 1, f"conv{block}b")]
        fc, code = config.fc_width, config.code_width
        self.fc1, self.fc2, self.fc3 = (
            _dense(width, _leaky, f"fc{i}") for i, width in enumerate((fc, fc, code), 1)
        )
        self.points = _output(3 * config.num_points, config.points_init, "points")
        self.scale = None
        if config.learn_scale and config.supervision != "points":  # there nothing is drawn
            self.scale = _output(1, config.points_init, "scale")
        self.colours, self.colour_fcs = None, []
        if config.colours:
            self.colours = _output(3 * config.num_points, config.points_init, "colours")
            deep = range(3 if config.deep_colours else 0)
            self.colour_fcs = [_dense(fc, _leaky, f"colours_fc{i}") for i in deep]
        self.has_pose = config.supervision == "none"
        if self.has_pose:
            # as released, the only rectifier that is not leaky
            self.pose_fc = _dense(code, "relu", "pose_fc")
            several = config.candidates > 1
            names = [f"candidate{i}" for i in range(config.candidates)]
            names += ["student"] * (several and config.student)
            layers = config.pose_layers if several else 1
            self.branches = [_branch(layers, name) for name in names]
            self.shift = None
            if config.translation:
                self.shift = _output(3, config.translation_init, "translation")

    def call(self, images):
        features = self.encode(images)
        shape = self.shape(features)
        if not self.has_pose:
            return Prediction(*shape, None, None, None)
        candidates, student, translation = self.pose(features)
        pose = candidates[:, 0] if student is None else student
        return Prediction(*shape, candidates, pose, translation)

    def encode(self, images) -> Features:
        """Compute the features of images (B, S, S, 3)."""
        picture = 2 * images - 1
        for conv in self.convs:
            picture = conv(picture)
        picture = tf.reshape(picture, (-1, math.prod(picture.shape[1:])))
        common = self.fc2(self.fc1(picture))
        return Features(picture, self.fc3(common), self.pose_fc(common) if self.has_pose else None)

    def shape(self, features: Features) -> Shape:
        """Decode the clouds."""
        n = self.config.num_points
        # copies, so that their gradients are always added up in the same order
        for_points, for_scale, for_colours = ops.fan_out(features.shape, 3)
        points = tf.tanh(tf.reshape(self.points(for_points), (-1, n, 3))) / 2
        scale, colours = tf.ones_like(points[:, 0, 0]), None
        if self.scale:
            scale = self.config.largest_scale * tf.sigmoid(self.scale(for_scale)[:, 0])
        if self.colours:
            if self.colour_fcs:
                for_colours = features.picture
                for layer in self.colour_fcs:
                    for_colours = layer(for_colours)
            colours = tf.sigmoid(tf.reshape(self.colours(for_colours), (-1, n, 3)))
        return Shape(points, scale, colours)

    def pose(self, features: Features) -> Pose:
        """Predict the cameras."""
        config, translation = self.config, None
        *copies, last = ops.fan_out(features.pose, len(self.branches) + 1)
        predicted = []
        for layers, feature in zip(self.branches, copies, strict=True):
            for layer in layers:
                feature = layer(feature)
            predicted.append(feature)  # (B, 4)
        candidates = predicted[: config.candidates]
        student = predicted[-1] if len(predicted) > len(candidates) else None
        if self.shift:
            translation = self.shift(last)
            if config.translation_tanh:
                translation = tf.tanh(translation)
            translation *= config.translation_range
        return Pose(tf.stack(candidates, 1), student, translation)


def _leaky(x):
    return tf.nn.leaky_relu(x, SLOPE)


def _he():
    """Return the released code's: a truncated normal, its deviation sqrt(1.3 * 2 / fan-in)."""
    return keras.initializers.VarianceScaling(2 * 1.3 * TRUNCATED**2)


def _conv(width: int, size: int, stride: int, name: str):
    return keras.layers.Conv2D(
        width, size, stride, "same", activation=_leaky, kernel_initializer=_he(), name=name
    )


def _dense(width: int, activation, name: str):
    return keras.layers.Dense(width, activation, kernel_initializer=_he(), name=name)


def _output(width: int, deviation: float, name: str):
    init = keras.initializers.TruncatedNormal(0, deviation)
    return keras.layers.Dense(width, kernel_initializer=init, name=name)


def _branch(layers: int, name: str) -> list:
    """Return the layers from the pose's feature to a quaternion."""
    hidden = [_dense(32, _leaky, f"{name}_fc{i}") for i in range(1, layers)]
    return [*hidden, _dense(4, None, f"{name}_fc{layers}")]


def build(config) -> ShapeAndPose:
    """Build the network, with its first weights."""
    net = ShapeAndPose(config, name="shape_and_pose")
    size = config.image_size
    net(np.zeros((1, size, size, 3), np.float32))  # Keras makes the weights at the first call
    return net


def load_run(folder: str | Path) -> tuple[ShapeAndPose, SimpleNamespace]:
    """Open the network of a finished run, and the run's settings."""
    config, arrays, _ = finished_run(folder, **get_type_hints(Config))
    net = build(config)
    State(net).restore(arrays, folder)
    net.trainable = False
    return net, config
