"""Doorway to `samplenet.torch` under the released code's names: `from src import SampleNet, sputils`.

`quaternion`, `pctransforms` and `qdataset` are loaded when asked for: they lead to the data sets, a sampler does not.
"""

import importlib

from samplenet.torch.released import ChamferDistance, FPSSampler, RandomSampler, SampleNet, SoftProjection

from . import sputils

MODULES = ["pctransforms", "qdataset", "quaternion"]

__all__ = ["ChamferDistance", "FPSSampler", "RandomSampler", "SampleNet", "SoftProjection", "sputils", *MODULES]


def __getattr__(name):
    if name in MODULES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
