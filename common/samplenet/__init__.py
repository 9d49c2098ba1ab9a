"""SampleNet: learn which few points of a point cloud a task needs (CVPR 2020, arXiv 1912.03663).

Importing this package loads no framework. The sampler is in `samplenet.tf` (Keras) and
`samplenet.torch`, the ops in `samplenet.ops`, the data sets in `samplenet.data`.
`samplenet.weights` saves a network for either framework, and `samplenet.load_pretrained` opens
trained samplers.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samplenet.errors import InputError
    from samplenet.normalisation import normalise
    from samplenet.pretrained import list_weights, load_pretrained
    from samplenet.sampled import Prefix, Sampled, random_indices

__all__ = [
    "InputError",
    "Prefix",
    "Sampled",
    "list_weights",
    "load_pretrained",
    "normalise",
    "random_indices",
]
__version__ = "0.1.0"

_MODULES = {
    "errors": ["InputError"],
    "normalisation": ["normalise"],
    "pretrained": ["list_weights", "load_pretrained"],
    "sampled": ["Prefix", "Sampled", "random_indices"],
    "weights": [],
}


def __getattr__(name: str):
    """Import a public name at its first use."""
    # not at the top: reproduce.py imports from this package before NumPy is installed
    for module, names in _MODULES.items():
        if name == module or name in names:
            imported = importlib.import_module(f"{__name__}.{module}")
            return imported if name == module else getattr(imported, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
