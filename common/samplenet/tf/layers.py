"""The layers the networks are built from: batch norm with a schedule, and dense + norm + ReLU."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("samplenet")
class BatchNorm(keras.layers.BatchNormalization):
    """Keras' batch norm on TensorFlow's fused kernel (about 1.5 times faster on CPU), with a settable momentum.

    Normalises each feature (last axis) over all other axes and, under a strategy of several replicas, over all of
    them. `set_momentum` changes the decay of the running statistics while training, without a new graph. float64 takes
    Keras' own path, without either.
    """

    def build(self, input_shape):
        super().build(input_shape)
        self.decay = tf.Variable(
            self.momentum, dtype=tf.float32, trainable=False
        )  # a schedule's state, no weight

    def call(self, inputs, training=None, mask=None):
        if not training or not self.trainable or inputs.dtype == tf.float64:
            return super().call(inputs, training=training, mask=mask)
        several = tf.distribute.get_strategy().num_replicas_in_sync > 1
        out, mean, variance = (self._synchronized if several else self._fused)(inputs)
        self.moving_mean.assign(self.moving_mean * self.decay + mean * (1 - self.decay))
        self.moving_variance.assign(self.moving_variance * self.decay + variance * (1 - self.decay))
        return out

    def _fused(self, inputs):
        """Normalised inputs, mean, and variance without bias."""
        out, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=tf.reshape(inputs, (1, 1, -1, inputs.shape[-1])),
            scale=tf.cast(self.gamma, tf.float32),
            offset=tf.cast(self.beta, tf.float32),
            mean=tf.constant([], tf.float32),
            variance=tf.constant([], tf.float32),
            epsilon=self.epsilon,
            is_training=True,
        )
        return tf.reshape(out, tf.shape(inputs)), mean, variance

    def _synchronized(self, inputs):
        """The same over all replicas, whose parts of the batch are of one size."""
        axes = list(range(inputs.shape.rank - 1))
        features = tf.cast(inputs, tf.float32)
        context = tf.distribute.get_replica_context()
        mean = context.all_reduce("MEAN", tf.reduce_mean(features, axes))
        # about the common mean: the mean of squares less the square of the mean loses digits
        variance = context.all_reduce("MEAN", tf.reduce_mean(tf.square(features - mean), axes))
        out = tf.nn.batch_normalization(
            features, mean, variance, self.beta, self.gamma, self.epsilon
        )
        count = tf.cast(
            context.num_replicas_in_sync * tf.size(inputs) // inputs.shape[-1], tf.float32
        )
        return tf.cast(out, inputs.dtype), mean, variance * count / (count - 1)


def set_momentum(model: keras.Model, momentum: float) -> None:
    """Set the decay of the running statistics of every `BatchNorm` of a built model."""
    for layer in model._flatten_layers():
        if isinstance(layer, BatchNorm):
            layer.decay.assign(momentum)


class Block(keras.layers.Layer):
    """Dense, batch norm, ReLU on the last axis: the per-point and the fully connected block of every network here.

    Args:
        units: output width.
        batch_norm, relu: leave either out with False.
        epsilon, momentum: of the batch norm.
    """

    def __init__(self, units, batch_norm=True, relu=True, epsilon=1e-3, momentum=0.9, **kwargs):
        super().__init__(**kwargs)
        self.units, self.relu = units, relu
        self.fc = keras.layers.Dense(units, name="fc")
        self.bn = BatchNorm(epsilon=epsilon, momentum=momentum, name="bn") if batch_norm else None

    def build(self, input_shape):
        self.fc.build(input_shape)
        if self.bn:
            self.bn.build((*input_shape[:-1], self.units))

    def call(self, inputs, training=None):
        out = self.fc(inputs)
        if self.bn:
            out = self.bn(out, training=training)
        return tf.nn.relu(out) if self.relu else out
