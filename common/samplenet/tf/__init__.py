"""SampleNet for TensorFlow: Keras 3 layers, losses and samplers."""

from samplenet.tf.baselines import FarthestPointSampler, RandomSampler
from samplenet.tf.greedy import GreedySampler, TrialSampler
from samplenet.tf.layers import BatchNorm, set_momentum
from samplenet.tf.losses import projection_loss, simplification_loss
from samplenet.tf.projection import SoftProjection
from samplenet.tf.samplenet import SampleNet

__all__ = [
    "BatchNorm",
    "FarthestPointSampler",
    "GreedySampler",
    "RandomSampler",
    "SampleNet",
    "SoftProjection",
    "TrialSampler",
    "projection_loss",
    "set_momentum",
    "simplification_loss",
]
