"""The task network: an autoencoder of clouds (architecture of arXiv 1707.02392), and its losses."""

from types import SimpleNamespace

import keras
import numpy as np
import tensorflow as tf

from samplenet.data import shapenet
from samplenet.data.clouds import Clouds
from samplenet.ops import tf as ops
from samplenet.runs.run import finished_run
from samplenet.tf.emd import approximate_emd
from samplenet.tf.layers import Block
from samplenet.tf.state import State

CONV_WIDTHS = (64, 128, 128, 256, 128)  # per point, the last is the bottleneck
FC_WIDTHS = (256, 256)


class Autoencoder(keras.Model):
    """Reconstruct clouds of any number of points: (B, M, 3) -> (B, num_points, 3).

    Input and output points do not correspond by number.

    Args:
        num_points: points of the reconstruction, N.
    """

    def __init__(self, num_points=2048, **kwargs):
        super().__init__(**kwargs)
        self.num_points = num_points
        self.convs, self.fcs = [], []
        for i, width in enumerate(CONV_WIDTHS, 1):
            self.convs.append(Block(width, epsilon=1e-5, momentum=0.9, name=f"conv{i}"))
        for i, width in enumerate(FC_WIDTHS, 1):
            self.fcs.append(Block(width, batch_norm=False, name=f"fc{i}"))
        self.last = keras.layers.Dense(3 * num_points, name="points")

    def encode(self, points, training=None):
        """Describe clouds (B, M, 3) by their bottleneck features (B, 128)."""
        features = self.late_features(self.early_features(points, training), training)
        return tf.reduce_max(features, axis=1)

    def decode(self, bottleneck):
        """Rebuild clouds (B, num_points, 3) from their bottleneck features (B, 128)."""
        features = bottleneck
        for block in self.fcs:
            features = block(features)
        return tf.reshape(self.last(features), (-1, self.num_points, 3))

    def call(self, points, training=None):
        return self.decode(self.encode(points, training))

    # what `samplenet.tf.GreedySampler` asks

    def early_features(self, points, training=False):
        """Return each point's features (B, N, 256) before the last layer of them."""
        features = points
        for block in self.convs[:-1]:
            features = block(features, training=training)
        return features

    def late_features(self, early, training=False):
        """Return the features (B, N, 128) that are pooled, of (B, N, 256)."""
        return self.convs[-1](early, training=training)

    def discrepancy(self, pooled, whole):
        """Return the mean squared distance (B,) between the points rebuilt from each, by number."""
        offsets = self.decode(pooled) - self.decode(whole)
        return tf.reduce_mean(tf.reduce_sum(tf.square(offsets), 2), 1)


def build(num_points: int) -> Autoencoder:
    """Build the network, with its first weights."""
    net = Autoencoder(num_points, name="autoencoder")
    net(np.zeros((1, 8, 3), np.float32))  # Keras makes the weights at the first call
    return net


def load_task(folder: str) -> tuple[Autoencoder, SimpleNamespace]:
    """Open the frozen autoencoder of a finished run, and the run's settings."""
    data = {"num_points": int, "data_root": str | None, "shapes_per_class": int}
    config, arrays, _ = finished_run(folder, classes=list[str], loss=str, **data)
    net = build(config.num_points)
    State(net).restore(arrays, folder)
    net.trainable = False
    return net, config


def open_clouds(config, split: str) -> Clouds:
    """Open the "train", "val" or "test" clouds of the data set in an autoencoder's settings."""
    return shapenet.open_clouds(
        config.data_root,
        split,
        num_points=config.num_points,
        classes=config.classes,
        shapes_per_class=config.shapes_per_class,
        skip_bad=config.skip_bad,
    )


def chamfer_distance(a, b) -> tf.Tensor:
    """Compute the Chamfer distance between clouds (B, M, 3) and (B, N, 3): (B,).

    The sum, not the average, of both directions' mean squared distance to the nearest point.
    """
    near = ops.chamfer(a, b)
    return tf.reduce_mean(near.a2b, axis=1) + tf.reduce_mean(near.b2a, axis=1)


DISTANCES = {"chamfer": chamfer_distance, "emd": approximate_emd}


def task_loss(reconstruction, points, loss="chamfer") -> tf.Tensor:
    """Compute the batch's mean distance `loss` from reconstructions to inputs, (B, N, 3) each."""
    return tf.reduce_mean(DISTANCES[loss](reconstruction, points))


def errors(
    net, points: np.ndarray, batch_size: int, loss="chamfer", samples: np.ndarray | None = None
) -> np.ndarray:
    """Compute the distance `loss` from clouds (n, N, 3) to their reconstructions: (n,).

    The clouds are rebuilt from all their points, or from `samples` (n, m, 3).
    """
    samples = points if samples is None else samples
    distances = []
    for start in range(0, len(points), batch_size):
        batch = slice(start, start + batch_size)
        distances.append(DISTANCES[loss](net(samples[batch], training=False), points[batch]))
    return np.concatenate(distances)
