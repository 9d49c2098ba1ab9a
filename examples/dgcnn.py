"""A small DGCNN (arXiv 1801.07829) as the frozen classifier of the scripts in classification/.

bash reproduce.sh classification --model examples/dgcnn.py:DGCNN

docs/own.md says what the scripts ask of a network.
"""

import keras
import tensorflow as tf

from pointnet import Classifier  # the scripts' folder is on the path when they load this file
from samplenet.ops.tf import gather, knn
from samplenet.tf.layers import BatchNorm, PooledBlock


def nearest(features, k):
    """Find the k nearest neighbours of each point by its features: (B, N, C) -> (B, N, k)."""
    features = tf.stop_gradient(features)
    if features.shape[2] == 3:  # coordinates
        return knn(features, features, k)[1]
    # |a - b|^2 without |a|^2, which is the same for all neighbours b of a
    products = tf.matmul(features, features, transpose_b=True)  # (B, N, N)
    return tf.math.top_k(2 * products - tf.reduce_sum(features**2, 2)[:, None], k).indices


class EdgeConv(keras.layers.Layer):
    """Describe each point by its nearest neighbours, which every layer finds anew.

    The edge from point i to its neighbour j has the features relu(norm(A x_j + B x_i)). That is a
    linear layer on (x_j - x_i, x_i), as in the paper: A (x_j - x_i) + (A + B) x_i. But A and B are
    multiplied with N points, not with N k edges.
    """

    def __init__(self, width, k, **kwargs):
        super().__init__(**kwargs)
        self.k = k
        self.linear = keras.layers.Dense(2 * width, use_bias=False, name="linear")
        self.norm = BatchNorm(name="norm")

    def call(self, features, training=None):
        """(B, N, C) -> (B, N, width)."""
        idx = nearest(features, min(self.k, features.shape[1]))  # a sample may have fewer than k
        near, own = tf.split(self.linear(features), 2, axis=-1)
        edges = gather(near, idx) + own[:, :, None]  # (B, N, k, width)
        return tf.reduce_max(tf.nn.relu(self.norm(edges, training=training)), 2)


class DGCNN(Classifier):
    """Three edge convolutions, and the largest value of each feature over the cloud."""

    def __init__(self, num_classes, k=8):
        super().__init__()
        self.convs = [
            EdgeConv(width, k, name=f"conv{i}") for i, width in enumerate((32, 32, 64), 1)
        ]
        self.pool = PooledBlock(256, name="pool")  # dense, batch norm, ReLU, maximum
        self.last = keras.layers.Dense(num_classes, name="logits")

    def describe(self, points, training=None):
        """(B, N, 3) -> (B, 256), and no loss of its own."""
        features, found = points, []
        for conv in self.convs:
            features = conv(features, training=training)
            found.append(features)
        return self.pool(tf.concat(found, 2), training=training), 0.0
