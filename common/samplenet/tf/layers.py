"""The layers of every network: batch norm with a schedule, and dense + batch norm + ReLU."""

import keras
import tensorflow as tf

from samplenet.ops import tf as ops


@keras.saving.register_keras_serializable("samplenet")
class BatchNorm(keras.layers.BatchNormalization):
    """Keras' batch norm on TensorFlow's fused kernel, about 1.5 times faster on the CPU.

    Each feature (last axis) is normalised over all other axes, of all replicas where a strategy has
    several. `set_momentum` changes the decay of the running statistics in training, without a new
    graph. float64 takes Keras' own path, which has neither.
    """

    def build(self, input_shape):
        super().build(input_shape)
        # a variable, as a schedule changes it in a compiled step; the schedule's, so not a weight
        self.decay = tf.Variable(
            self.momentum,
            dtype=tf.float32,
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,  # all set the same
        )

    def call(self, inputs, training=None, mask=None):
        if not training or not self.trainable or inputs.dtype == tf.float64:
            return super().call(inputs, training=training, mask=mask)
        several = tf.distribute.get_strategy().num_replicas_in_sync > 1
        out, mean, variance = (self._synchronized if several else self._fused)(inputs)
        self.update(mean, variance)
        return out

    def update(self, mean, variance):
        """Let a batch's mean (C,) and unbiased variance (C,) enter the running statistics."""
        self.moving_mean.assign(self.moving_mean * self.decay + mean * (1 - self.decay))
        self.moving_variance.assign(self.moving_variance * self.decay + variance * (1 - self.decay))

    def _fused(self, inputs):
        """Return the normalised inputs, the mean and the unbiased variance."""
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
        """Return what `_fused` does, over all replicas; each has an equal part of the batch."""
        axes = list(range(inputs.shape.rank - 1))
        features = tf.cast(inputs, tf.float32)
        context = tf.distribute.get_replica_context()
        mean = context.all_reduce("MEAN", tf.reduce_mean(features, axes))
        # of deviations: the mean of squares minus the square of the mean would lose digits
        variance = context.all_reduce("MEAN", tf.reduce_mean(tf.square(features - mean), axes))
        out = tf.nn.batch_normalization(
            features, mean, variance, self.beta, self.gamma, self.epsilon
        )
        size = context.num_replicas_in_sync * tf.size(inputs)
        count = tf.cast(size // inputs.shape[-1], tf.float32)
        return tf.cast(out, inputs.dtype), mean, _unbiased(variance, count)


def _unbiased(variance, count):
    """Return the variance (C,) as if divided by count - 1: what running statistics take."""
    return variance * count / tf.maximum(count - 1, 1)


def set_momentum(model: keras.Model, momentum: float | tf.Tensor) -> None:
    """Set the share of the running statistics that every `BatchNorm` of a built model keeps.

    Args:
        momentum: a number; inside a compiled step also a tensor, so that the host need not set it.
    """
    for layer in model._flatten_layers():
        if isinstance(layer, BatchNorm):
            layer.decay.assign(momentum)


class Block(keras.layers.Layer):
    """Dense, batch norm and ReLU on the last axis: of each point, or of a whole cloud's features.

    Args:
        units: output width.
        batch_norm, relu: False leaves it out.
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
        if training and self._fuses(inputs):
            return self._fused(inputs)
        out = self.fc(inputs)
        if self.bn:
            out = self.bn(out, training=training)
        return tf.nn.relu(out) if self.relu else out

    def _fuses(self, inputs) -> bool:
        """Return whether norm and ReLU are one native op: on a CPU with a build, outside XLA."""
        alone = tf.distribute.get_strategy().num_replicas_in_sync == 1
        serves = inputs.dtype == tf.float32 and ops.serves_layers()
        return bool(self.bn and self.bn.trainable and self.relu and alone and serves)

    def _fused(self, inputs):
        """Return the block's output in training; update the running statistics."""
        products = tf.matmul(tf.reshape(inputs, (-1, inputs.shape[-1])), self.fc.kernel)
        shift = self.bn.beta + 0 * self.fc.bias  # the norm takes the bias off; its gradient is zero
        out, mean, variance = ops.batch_norm_relu(products, self.bn.gamma, shift, self.bn.epsilon)
        count = tf.cast(tf.shape(products)[0], tf.float32)
        self.bn.update(mean + self.fc.bias, _unbiased(variance, count))
        return tf.reshape(out, (*tf.unstack(tf.shape(inputs))[:-1], self.units))


class PooledBlock(Block):
    """A `Block` of each point and its maximum over the points: (B, N, C) -> (B, units).

    Equal to `tf.reduce_max(Block(...)(features), axis=1)` up to rounding, with weights of the same
    names. But where the native op serves (a CPU with a build, outside XLA), the (B, N, units)
    activations, most of a PointNet's work, are never written: batch norm and ReLU keep the order of
    a channel's values, or reverse it where the scale is negative, so they need only the largest
    product, or the smallest.
    """

    def per_point(self, features):
        """Return what the maximum is taken of in inference: (B, N, C) -> (B, N, units)."""
        return super().call(features)

    def call(self, features, training=None):
        # on a GPU, under XLA, without a build or for other types: the framework's own layers
        if features.dtype != tf.float32 or not ops.serves_layers():
            return tf.reduce_max(super().call(features, training=training), axis=1)
        kernel, bias = self.fc.kernel, self.fc.bias
        if not self.bn:
            out = ops.pooled_linear(features, kernel)[0] + bias
        else:
            sign = tf.where(self.bn.gamma < 0, -1.0, 1.0)
            if training and self.bn.trainable:
                extreme, variance = self._of_batch(features, sign)
                mean = 0 * bias  # taken off already; the bias has a gradient, which is zero
            else:
                extreme = sign * ops.pooled_linear(features, kernel * sign)[0] + bias
                mean, variance = self.bn.moving_mean, self.bn.moving_variance
            out = tf.nn.batch_normalization(
                extreme, mean, variance, self.bn.beta, self.bn.gamma, self.bn.epsilon
            )
        return tf.nn.relu(out) if self.relu else out

    def _of_batch(self, features, sign):
        """Return the extremes minus the mean, and the variance; update the running statistics."""
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync

        def over_replicas(value):
            return context.all_reduce("MEAN", value) if replicas > 1 else value

        kernel = self.fc.kernel
        extreme, mean, variance = ops.normalised_pooled_linear(
            features, kernel, sign, over_replicas
        )
        count = tf.cast(replicas * tf.shape(features)[0] * tf.shape(features)[1], tf.float32)
        layer_mean = tf.linalg.matvec(kernel, mean, transpose_a=True) + self.fc.bias
        self.bn.update(layer_mean, _unbiased(variance, count))
        return extreme, variance
