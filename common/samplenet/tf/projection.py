"""Soft projection of simplified points onto the input cloud."""

import keras
import tensorflow as tf

from samplenet.errors import InputError
from samplenet.ops import tf as ops


@keras.saving.register_keras_serializable("samplenet")
class SoftProjection(keras.layers.Layer):
    """Replace each query by a weighted mean of its k nearest points (SampleNet, sec. 3).

    The weights are softmax(-d² / sigma), sigma = max(t², min_sigma), d the distance to a point.

    Args:
        k: neighbours averaged. Classification 7, registration 8, reconstruction 16.
        temperature: initial t.
        trainable_temperature: whether t is learned.
        min_sigma: lower bound on sigma. Classification 0, registration 1e-2, reconstruction 1e-4.
    """

    def __init__(self, k=7, temperature=1.0, trainable_temperature=True, min_sigma=0.0, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(k, int) or k < 1:
            raise InputError(f"SoftProjection: k must be a whole number of at least 1, got {k!r}")
        if min_sigma < 0:
            raise InputError(f"SoftProjection: min_sigma must be at least 0, got {min_sigma}")
        self.k, self.min_sigma = k, min_sigma
        self.initial_temperature, self.trainable_temperature = temperature, trainable_temperature

    @property
    def sigma(self) -> tf.Tensor:
        """max(t², min_sigma), the softmax's divisor and the projection loss."""
        return tf.maximum(tf.square(tf.convert_to_tensor(self.temperature)), self.min_sigma)

    def build(self, points_shape, queries_shape=None):
        self.temperature = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(self.initial_temperature),
            trainable=self.trainable_temperature,
            name="temperature",
        )

    def call(self, points, queries):
        """Project queries (B, m, 3) onto points (B, N, 3): (B, m, 3)."""
        return self.propagate(points, points, queries)

    def propagate(self, points, features, queries) -> tf.Tensor:
        """Carry features (B, N, C) of the points to the queries, by the same weights: (B, m, C)."""
        if not self.built:
            self.build(points.shape)
        dist2, idx = ops.knn(queries, points, self.k)  # (B, m, k)
        weights = tf.nn.softmax(-dist2 / tf.cast(self.sigma, dist2.dtype))
        neighbours = tf.cast(ops.gather(features, idx), dist2.dtype)  # (B, m, k, C)
        return tf.reduce_sum(weights[..., None] * neighbours, axis=2)

    def compute_output_shape(self, points_shape, queries_shape):
        return queries_shape

    def get_config(self):
        return {
            **super().get_config(),
            "k": self.k,
            "temperature": self.initial_temperature,
            "trainable_temperature": self.trainable_temperature,
            "min_sigma": self.min_sigma,
        }
