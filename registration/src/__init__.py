"""Doorway to `samplenet.torch` under the released code's names: `from src import SampleNet, sputils`."""

from samplenet.torch.released import ChamferDistance, FPSSampler, RandomSampler, SampleNet, SoftProjection

from . import sputils

__all__ = ["ChamferDistance", "FPSSampler", "RandomSampler", "SampleNet", "SoftProjection", "sputils"]
