"""The task networks: PointNet (arXiv 1612.00593) with its two T-Nets, or without (vanilla).

Any other network comes in as `--model FILE.py:CLASS`; see `Classifier` for what it must have.
"""

from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import tensorflow as tf

import own_network
from samplenet.data import batches, modelnet40
from samplenet.data.clouds import Clouds
from samplenet.errors import InputError
from samplenet.ops.tf import fan_out
from samplenet.runs.run import finished_run
from samplenet.tf.layers import Block, PooledBlock
from samplenet.tf.state import State

ORTHOGONALITY_WEIGHT = 0.001


def _sequence(name: str, widths: tuple, last=Block) -> list[Block]:
    """Create a block for each width; the last one is of the class `last`."""
    kinds = [Block] * (len(widths) - 1) + [last]
    numbered = enumerate(zip(kinds, widths, strict=True), 1)
    return [kind(width, name=f"{name}{i}") for i, (kind, width) in numbered]


def _run(blocks: list[Block], features, training):
    for block in blocks:
        features = block(features, training=training)
    return features


class Dropout(keras.layers.Dropout):
    """Keras' dropout, except that several devices together drop what a single device would."""

    def call(self, inputs, training=False):
        devices = tf.distribute.get_strategy().num_replicas_in_sync
        if not training or not self.rate or devices == 1:
            return super().call(inputs, training)
        # every device draws for the whole batch, from the same seed, and takes its own rows
        rows, device = tf.shape(inputs)[0], tf.distribute.get_replica_context()
        ones = tf.ones((rows * devices, inputs.shape[1]))
        factors = keras.random.dropout(ones, self.rate, seed=self.seed_generator)
        first = device.replica_id_in_sync_group * rows
        return inputs * factors[first : first + rows]


class TNet(keras.layers.Layer):
    """Predict a size x size transform of each cloud's features, at first the identity."""

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = size
        self.convs = _sequence("conv", (64, 128, 1024), last=PooledBlock)
        self.fcs = _sequence("fc", (512, 256))
        self.last = keras.layers.Dense(
            size * size,
            kernel_initializer="zeros",
            bias_initializer=lambda shape, dtype=None: tf.reshape(tf.eye(size, dtype=dtype), shape),
            name="transform",
        )

    def call(self, features, training=None):
        """(B, N, size) -> (B, size, size)."""
        return self.from_pooled(_run(self.convs, features, training), training)

    def from_pooled(self, pooled, training=None):
        """Return the transforms (B, size, size) of the maxima (B, 1024) of the clouds' features."""
        return tf.reshape(self.last(_run(self.fcs, pooled, training)), (-1, self.size, self.size))


class Classifier(keras.Model):
    """The interface of a task network. A subclass CLASS(num_classes) has:

    - `describe(points, training)`: clouds (B, N, 3) of any N -> descriptors (B, any width), which
      retrieval compares, and the network's own loss, added to the cross-entropy (0.0: none);
    - `last`: a layer, descriptors -> logits (B, num_classes).
    """

    def forward(self, points, training=None):
        """Return the logits of clouds (B, N, 3), and the network's own loss."""
        descriptors, own = self.describe(points, training)
        return self.last(descriptors), own

    def call(self, points, training=None):
        return self.forward(points, training)[0]


class PointNet(Classifier):
    """Classify clouds of any number of points: (B, N, 3) -> logits (B, num_classes).

    Args:
        num_classes: width of the last layer.
        t_nets: transform input (3 x 3) and features (64 x 64); False is the vanilla PointNet.
        dropout: share of the features that is dropped (0.3: the released code keeps 0.7).
    """

    def __init__(self, num_classes, t_nets=True, dropout=0.3, **kwargs):
        super().__init__(**kwargs)
        self.input_transform = TNet(3, name="input_transform") if t_nets else None
        self.feature_transform = TNet(64, name="feature_transform") if t_nets else None
        if t_nets:
            self.convs = _sequence("conv", (64, 64))
            self.late_convs = _sequence("late_conv", (64, 128, 1024), last=PooledBlock)
        else:
            self.convs = _sequence("conv", (64, 64, 64, 128, 1024), last=PooledBlock)
            self.late_convs = []
        self.fcs = _sequence("fc", (512, 256))
        # as released: the vanilla network has dropout after the second hidden layer only
        self.dropouts = [
            Dropout(dropout * t_nets, name="dropout1"),
            Dropout(dropout, name="dropout2"),
        ]
        self.last = keras.layers.Dense(num_classes, name="logits")

    def describe(self, points, training=None):
        """Return descriptors (B, 256), the last layer's input, and the T-Net's orthogonality loss.

        That is 0.001 * sum((A A^T - I)^2) / 2 over the feature transforms A of the batch.
        """
        early, defect, _ = self._before_last_conv(points, training)
        descriptors = self.from_pooled(self._last_conv(early, training=training), training)
        # devices average their losses; times their number, this stays a sum over the whole batch
        devices = tf.distribute.get_strategy().num_replicas_in_sync
        return descriptors, devices * ORTHOGONALITY_WEIGHT * tf.reduce_sum(tf.square(defect)) / 2

    @property
    def _last_conv(self) -> PooledBlock:
        return (self.late_convs or self.convs)[-1]

    def _before_last_conv(self, points, training):
        """Return each point's features (B, N, 128), A A^T - I (or 0.0), and what T-Nets got."""
        features, defect = points, 0.0
        if self.input_transform:
            features = tf.matmul(features, self.input_transform(features, training=training))
        if not self.feature_transform:
            return _run(self.convs[:-1], features, training), defect, []
        features = _run(self.convs, features, training)
        seen = [points, features]
        transform = self.feature_transform(features, training=training)  # (B, 64, 64)
        # used three times: without `fan_out` the order of the gradients' sum would vary
        transform, left, right = fan_out(transform, 3)
        features = tf.matmul(features, transform)
        defect = tf.matmul(left, right, transpose_b=True) - tf.eye(64)
        return _run(self.late_convs[:-1], features, training), defect, seen

    def from_pooled(self, pooled, training=None):
        """Return descriptors (B, 256) of the maxima (B, 1024) of the clouds' features."""
        features = pooled
        for block, dropout in zip(self.fcs, self.dropouts, strict=True):
            features = dropout(block(features, training=training), training=training)
        return features

    # What `samplenet.tf.GreedySampler` asks. A T-Net takes a maximum over the points too, and its
    # transform of a sample is that of the cloud only if the sample keeps this maximum. So each
    # T-Net's features stand beside the network's own, which are those behind the pool's transforms.

    @property
    def _t_nets(self) -> list[TNet]:
        return [net for net in (self.input_transform, self.feature_transform) if net]

    def _parts(self, features) -> list:
        """Split features (..., C) into the network's own and those of each T-Net."""
        return tf.split(features, 1 + len(self._t_nets), -1)

    def early_features(self, points):
        """Return each point's features before the last layers of them: (B, N, 128 or 384)."""
        own, _, seen = self._before_last_conv(points, False)
        inner = zip(self._t_nets, seen, strict=True)
        return tf.concat([own, *(_run(net.convs[:-1], each, False) for net, each in inner)], -1)

    def late_features(self, early):
        """Return the features (B, N, 1024 or 3072) that are pooled, of early ones."""
        layers = [self._last_conv, *(net.convs[-1] for net in self._t_nets)]
        parts = zip(layers, self._parts(early), strict=True)
        return tf.concat([layer.per_point(part) for layer, part in parts], -1)

    def discrepancy(self, pooled, whole):
        """Return how far the answer from `pooled` is from that from `whole`: (B,).

        That is their cross-entropy and, added, the squared distance of each T-Net's transforms.
        """
        own, *inner = self._parts(pooled)
        target, *targets = self._parts(whole)
        answer, target = self.last(self.from_pooled(own)), self.last(self.from_pooled(target))
        apart = tf.nn.softmax_cross_entropy_with_logits(tf.nn.softmax(target), answer)
        for net, seen, wanted in zip(self._t_nets, inner, targets, strict=True):
            difference = net.from_pooled(seen) - net.from_pooled(wanted)
            apart += tf.reduce_sum(tf.square(difference), [1, 2])
        return apart


MODELS = ("pointnet", "vanilla")


def with_absolute_path(model: str) -> str:
    """Make the path in FILE.py:CLASS absolute; InputError if there is no such network."""
    return model if model in MODELS else own_network.load(model)[0]


def called(model: str) -> str:
    """Return the network's name in tables: "pointnet", "vanilla" or CLASS."""
    return model.rpartition(":")[2]


def build(model: str, num_classes: int, num_points: int = 8) -> keras.Model:
    """Build "pointnet", "vanilla", or FILE.py:CLASS, which is tried on clouds of `num_points`."""
    if model not in MODELS:
        return own_network.build(model, num_classes, num_points)
    net = PointNet(num_classes, t_nets=model == "pointnet", name=model)
    net(np.zeros((1, 8, 3), np.float32))
    return net


def load_task(folder: str) -> tuple[keras.Model, list[str], SimpleNamespace]:
    """Open a finished run: the frozen classifier, its class names and the run's settings."""
    data = {"num_points": int, "data_root": str | None, "shapes_per_class": int, "hold_out": float}
    config, arrays, meta = finished_run(folder, model=str, **data)
    net = build(config.model, len(meta["names"]), config.num_points)
    State(net).restore(arrays, folder)
    net.trainable = False  # batch norm keeps its stored statistics
    return net, meta["names"], config


def open_clouds(config, task_config, names: list[str], split: str) -> tuple[Clouds, Path]:
    """Open a split of the classifier's data set, which lies where the run says or at --data-root.

    Returns:
        The clouds, and the data set's folder.

    Raises:
        InputError: the folder's classes are not those of the classifier, `names`.
    """
    root = config.data_root or task_config.data_root
    folder = batches.open_set(root, task_config.shapes_per_class)
    clouds = modelnet40.load(folder, split, task_config.num_points)
    if list(clouds.names) != names:
        raise InputError(f"--task {config.task} was trained on other classes than {folder} has")
    return clouds, folder


def accuracy(net: keras.Model, points: np.ndarray, labels: np.ndarray, batch_size: int) -> float:
    """Compute the share of clouds (n, N, 3) that are classified right."""
    right = 0
    for start in range(0, len(points), batch_size):
        batch = slice(start, start + batch_size)
        predicted = net(points[batch], training=False).numpy().argmax(1)
        right += int((predicted == labels[batch]).sum())
    return right / len(points)


def task_loss(net: keras.Model, points, labels, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the mean cross-entropy plus the network's own loss, and the logits (B, classes)."""
    logits, own = net.forward(points, training)
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return tf.reduce_mean(entropy) + own, logits
