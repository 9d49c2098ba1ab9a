"""The task network: an autoencoder of clouds (the architecture of ICML 2018, arXiv 1707.02392), and its losses."""

from types import SimpleNamespace

import keras
import numpy as np
import tensorflow as tf

from emd import approximate_emd
from samplenet.data import shapenet
from samplenet.data.clouds import Clouds
from samplenet.errors import InputError
from samplenet.ops import tf as ops
from samplenet.runs.run import finished_run
from samplenet.tf.layers import Block
from samplenet.tf.state import State

CONV_WIDTHS = (64, 128, 128, 256, 128)  # per point, the last is the bottleneck
FC_WIDTHS = (256, 256)


class Autoencoder(keras.Model):
    """Reconstruct a cloud: (B, M, 3), any number of points -> (B, num_points, 3), in an order of its own.

    Args:
        num_points: N, of the reconstruction.
    """

    def __init__(self, num_points=2048, **kwargs):
        super().__init__(**kwargs)
        self.num_points = num_points
        self.convs = [
            Block(w, epsilon=1e-5, momentum=0.9, name=f"conv{i}")
            for i, w in enumerate(CONV_WIDTHS, 1)
        ]
        self.fcs = [Block(w, batch_norm=False, name=f"fc{i}") for i, w in enumerate(FC_WIDTHS, 1)]
        self.last = keras.layers.Dense(3 * num_points, name="points")

    def encode(self, points, training=None):
        """(B, M, 3) -> (B, 128)."""
        features = points
        for block in self.convs:
            features = block(features, training=training)  # (B, M, C)
        return tf.reduce_max(features, axis=1)

    def call(self, points, training=None):
        features = self.encode(points, training)
        for block in self.fcs:
            features = block(features)
        return tf.reshape(self.last(features), (-1, self.num_points, 3))


def build(num_points: int) -> Autoencoder:
    """A built network."""
    net = Autoencoder(num_points, name="autoencoder")
    net(np.zeros((1, 8, 3), np.float32))
    return net


def load_task(folder: str) -> tuple[Autoencoder, SimpleNamespace]:
    """Open the frozen autoencoder of a finished run, and the run's settings."""
    if not folder:
        raise InputError("--task is needed: the run folder of the trained autoencoder")
    config, arrays, _ = finished_run(
        folder,
        classes=list[str],
        num_points=int,
        data_root=str | None,
        shapes_per_class=int,
        loss=str,
    )
    net = build(config.num_points)
    State(net).restore(arrays, folder)
    net.trainable = False
    return net, config


def open_clouds(config, split: str) -> Clouds:
    """Open one split, "train", "val" or "test", of what the settings of an autoencoder's run name."""
    return shapenet.open_clouds(
        config.data_root,
        split,
        num_points=config.num_points,
        classes=config.classes,
        shapes_per_class=config.shapes_per_class,
        skip_bad=config.skip_bad,
    )


def chamfer_distance(a, b) -> tf.Tensor:
    """Chamfer distance of clouds (B, M, 3) and (B, N, 3): (B,).

    The sum, not the average, of both directions' mean squared distance to the nearest point.
    """
    near = ops.chamfer(a, b)
    return tf.reduce_mean(near.a2b, axis=1) + tf.reduce_mean(near.b2a, axis=1)


DISTANCES = {"chamfer": chamfer_distance, "emd": approximate_emd}


def task_loss(reconstruction, points, loss="chamfer") -> tf.Tensor:
    """Mean over the batch of the distance `loss` between reconstruction (B, N, 3) and input (B, N, 3), a scalar."""
    return tf.reduce_mean(DISTANCES[loss](reconstruction, points))


def errors(
    net, points: np.ndarray, batch_size: int, loss="chamfer", samples: np.ndarray | None = None
) -> np.ndarray:
    """Distance `loss` of each cloud (n, N, 3) to its reconstruction, or to that of its sample (n, m, 3): (n,)."""
    samples = points if samples is None else samples
    found = []
    for start in range(0, len(points), batch_size):
        part = slice(start, start + batch_size)
        found.append(DISTANCES[loss](net(samples[part], training=False), points[part]).numpy())
    return np.concatenate(found)
