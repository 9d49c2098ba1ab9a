"""The task networks: PointNet (CVPR 2017, arXiv 1612.00593) with its two T-Nets, the vanilla one without, and any other
as `--model FILE.py:CLASS`; what the scripts call of such a network is in `Classifier`."""

from types import SimpleNamespace

import keras
import numpy as np
import tensorflow as tf

import own_network
from samplenet.errors import InputError
from samplenet.ops.tf import fan_out
from samplenet.runs.run import finished_run
from samplenet.tf.layers import Block
from samplenet.tf.state import State

ORTHOGONALITY_WEIGHT = 0.001


def _sequence(name: str, widths: tuple) -> list[Block]:
    return [Block(width, name=f"{name}{i}") for i, width in enumerate(widths, 1)]


def _run(blocks: list[Block], features, training):
    for block in blocks:
        features = block(features, training=training)
    return features


class Dropout(keras.layers.Dropout):
    """Keras' dropout; several replicas draw as one device would for the whole batch."""

    def call(self, inputs, training=False):
        strategy = tf.distribute.get_strategy()
        if not training or not self.rate or strategy.num_replicas_in_sync == 1:
            return super().call(inputs, training)
        rows, number = (
            tf.shape(inputs)[0],
            tf.distribute.get_replica_context().replica_id_in_sync_group,
        )
        all_kept = keras.random.dropout(
            tf.ones((rows * strategy.num_replicas_in_sync, inputs.shape[1])),
            self.rate,
            seed=self.seed_generator,
        )
        return inputs * all_kept[number * rows : (number + 1) * rows]


class TNet(keras.layers.Layer):
    """Predict a size x size transform of each cloud's features; the identity at first."""

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = size
        self.convs = _sequence("conv", (64, 128, 1024))
        self.fcs = _sequence("fc", (512, 256))
        self.last = keras.layers.Dense(
            size * size,
            kernel_initializer="zeros",
            bias_initializer=lambda shape, dtype=None: tf.reshape(tf.eye(size, dtype=dtype), shape),
            name="transform",
        )

    def call(self, features, training=None):
        """(B, N, size) -> (B, size, size)."""
        pooled = tf.reduce_max(_run(self.convs, features, training), axis=1)  # (B, 1024)
        return tf.reshape(self.last(_run(self.fcs, pooled, training)), (-1, self.size, self.size))


class Classifier(keras.Model):
    """What the scripts ask of a task network. A subclass CLASS(num_classes) has:

    - `describe(points, training)`: clouds (B, N, 3) of any N -> descriptors (B, any width), by which retrieval compares
      clouds, and a loss of the network's own, added to the cross-entropy in training (0.0: none);
    - `last`: descriptors -> logits (B, num_classes), as a layer.
    """

    def forward(self, points, training=None):
        """(B, N, 3) -> logits, and the network's own loss."""
        descriptors, own = self.describe(points, training)
        return self.last(descriptors), own

    def call(self, points, training=None):
        return self.forward(points, training)[0]


class PointNet(Classifier):
    """Classify clouds of any number of points: (B, N, 3) -> logits (B, num_classes).

    Args:
        num_classes: width of the last layer.
        t_nets: input 3 x 3 and feature 64 x 64 transforms; False is the vanilla PointNet.
        dropout: share dropped (0.3: the released code keeps 0.7).
    """

    def __init__(self, num_classes, t_nets=True, dropout=0.3, **kwargs):
        super().__init__(**kwargs)
        self.input_transform = TNet(3, name="input_transform") if t_nets else None
        self.feature_transform = TNet(64, name="feature_transform") if t_nets else None
        before, after = ((64, 64), (64, 128, 1024)) if t_nets else ((64, 64, 64, 128, 1024), ())
        self.convs, self.late_convs = _sequence("conv", before), _sequence("late_conv", after)
        self.fcs = _sequence("fc", (512, 256))
        # with T-Nets both hidden layers are dropped out, in the vanilla network the second only
        self.dropouts = [
            Dropout(p, name=f"dropout{i}") for i, p in ((1, dropout * t_nets), (2, dropout))
        ]
        self.last = keras.layers.Dense(num_classes, name="logits")

    def describe(self, points, training=None):
        """(B, N, 3) -> descriptors (B, 256), what the last layer sees, and the loss 0.001 * sum((A A^T - I)^2) / 2.

        A are the feature transforms of the batch.
        """
        features, defect = points, 0.0
        if self.input_transform:
            features = tf.matmul(features, self.input_transform(features, training=training))
        features = _run(self.convs, features, training)
        if self.feature_transform:
            transform, left, right = fan_out(
                self.feature_transform(features, training=training), 3
            )  # (B, 64, 64)
            features = tf.matmul(features, transform)
            defect = tf.matmul(left, right, transpose_b=True) - tf.eye(64)
        features = tf.reduce_max(_run(self.late_convs, features, training), axis=1)
        for block, dropout in zip(self.fcs, self.dropouts, strict=True):
            features = dropout(block(features, training=training), training=training)
        # a sum over the whole batch, which the mean over replicas is to leave a sum
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return features, replicas * ORTHOGONALITY_WEIGHT * tf.reduce_sum(tf.square(defect)) / 2


MODELS = ("pointnet", "vanilla")


def whole(model: str) -> str:
    """The model as it is written to a run's settings: FILE.py:CLASS with the file's whole path; InputError for none."""
    return model if model in MODELS else own_network.load(model)[0]


def called(model: str) -> str:
    """What tables call the network: "pointnet", "vanilla" or CLASS."""
    return model.rpartition(":")[2]


def build(model: str, num_classes: int, num_points: int = 8) -> keras.Model:
    """A built network: "pointnet", "vanilla", or FILE.py:CLASS, which is tried on clouds of `num_points`."""
    if model not in MODELS:
        return own_network.build(model, num_classes, num_points)
    net = PointNet(num_classes, t_nets=model == "pointnet", name=model)
    net(np.zeros((1, 8, 3), np.float32))
    return net


def load_task(folder: str) -> tuple[keras.Model, list[str], SimpleNamespace]:
    """Open the frozen classifier of a finished run: the network, its class names and the run's settings."""
    if not folder:
        raise InputError("--task is needed: the run folder of the trained classifier")
    config, arrays, meta = finished_run(
        folder,
        model=str,
        num_points=int,
        data_root=str | None,
        shapes_per_class=int,
        hold_out=float,
    )
    net = build(config.model, len(meta["names"]), config.num_points)
    State(net).restore(arrays, folder)
    net.trainable = False  # batch norm keeps its stored statistics
    return net, meta["names"], config


def task_loss(net: keras.Model, points, labels, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean cross-entropy plus the network's own loss, a scalar, and the logits (B, num_classes)."""
    logits, own = net.forward(points, training)
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return tf.reduce_mean(entropy) + own, logits
