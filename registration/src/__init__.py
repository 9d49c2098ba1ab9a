"""Compatibility only: the released code's interface, as in `from src import SampleNet, sputils`.

Nothing in this repository uses it.
"""

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
