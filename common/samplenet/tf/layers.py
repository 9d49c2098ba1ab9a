"""The layers the networks are built from: batch norm with a schedule, and dense + norm + ReLU."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("samplenet")
class BatchNorm(keras.layers.BatchNormalization):
    """Keras' batch norm on TensorFlow's fused kernel (about 1.5 times faster on CPU), with a settable momentum.

    Normalises the last axis over all others. `set_momentum` changes the decay of the running statistics while
    training, without a new graph. A synchronized layer takes Keras' own path.
    """

    def build(self, input_shape):
        super().build(input_shape)
        self.decay = tf.Variable(self.momentum, dtype=tf.float32, trainable=False)  # a schedule's state, no weight

    def call(self, inputs, training=None, mask=None):
        if not training or not self.trainable or self.synchronized or inputs.dtype == tf.float64:
            return super().call(inputs, training=training, mask=mask)
        flat = tf.reshape(inputs, (1, 1, -1, inputs.shape[-1]))
        out, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=flat,
            scale=tf.cast(self.gamma, tf.float32),
            offset=tf.cast(self.beta, tf.float32),
            mean=tf.constant([], tf.float32),
            variance=tf.constant([], tf.float32),
            epsilon=self.epsilon,
            is_training=True,
        )
        self.moving_mean.assign(self.moving_mean * self.decay + mean * (1 - self.decay))
        self.moving_variance.assign(self.moving_variance * self.decay + variance * (1 - self.decay))
        return tf.reshape(out, tf.shape(inputs))


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
