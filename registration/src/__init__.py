"""Compatibility: the released code's interface; nothing here uses it. `from src import SampleNet, sputils`."""

from . import quaternion, sputils
from .released import ChamferDistance, FPSSampler, RandomSampler, SampleNet, SoftProjection

__all__ = [
    "ChamferDistance",
    "FPSSampler",
    "RandomSampler",
    "SampleNet",
    "SoftProjection",
    "quaternion",
    "sputils",
]
