"""SampleNet for PyTorch: modules, losses, samplers; names and numbers as in `samplenet.tf`."""

from samplenet.torch.baselines import FarthestPointSampler, RandomSampler
from samplenet.torch.greedy import GreedySampler, TrialSampler
from samplenet.torch.layers import set_momentum
from samplenet.torch.losses import projection_loss, simplification_loss
from samplenet.torch.projection import SoftProjection
from samplenet.torch.samplenet import SampleNet

__all__ = [
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
