"""SampleNet for TensorFlow: Keras 3 layers, losses and samplers."""

from samplenet.tf.layers import BatchNorm, set_momentum
from samplenet.tf.losses import projection_loss, simplification_loss
from samplenet.tf.projection import SoftProjection
from samplenet.tf.samplenet import SampleNet
from samplenet.tf.samplers import FarthestPointSampler, RandomSampler

__all__ = [
    "BatchNorm",
    "FarthestPointSampler",
    "RandomSampler",
    "SampleNet",
    "SoftProjection",
    "projection_loss",
    "set_momentum",
    "simplification_loss",
]
