"""One test body for every backend: NumPy arrays in and out."""

import importlib
from types import SimpleNamespace

import numpy as np
import pytest

from samplenet.ops import check_inputs, reference


def _arrays(function):
    """Call with NumPy arguments, return NumPy results."""

    def call(*args, **kwargs):
        out = function(*args, **kwargs)
        return type(out)(*map(np.asarray, out)) if hasattr(out, "_fields") else _plain(out)

    return call


def _plain(out):
    return tuple(map(np.asarray, out)) if isinstance(out, tuple) else np.asarray(out)


def _graph(function):
    """The function traced with unknown sizes, as a model sees it."""
    import tensorflow as tf

    def call(*clouds, **kwargs):
        clouds, rest = [tf.convert_to_tensor(c) for c in clouds if np.ndim(c)], [c for c in clouds if not np.ndim(c)]
        signature = [
            tf.TensorSpec([None, None, c.shape[-1]] if c.shape.rank == 3 else [None] * c.shape.rank, c.dtype)
            for c in clouds
        ]
        traced = tf.function(lambda *c: function(*c, *rest, **kwargs), input_signature=signature)
        return traced(*clouds)

    return call


NAMES = ("knn", "chamfer", "farthest_points", "gather")


@pytest.fixture(params=["reference", "tf", "tf graph"])
def backend(request):
    """The four ops of one backend."""
    if request.param == "reference":
        return SimpleNamespace(name=request.param, **{n: _arrays(getattr(reference, n)) for n in NAMES})
    module = importlib.import_module("samplenet.ops.tf")
    wrap = _graph if request.param == "tf graph" else (lambda f: f)
    return SimpleNamespace(name=request.param, **{n: _arrays(wrap(getattr(module, n))) for n in NAMES})


@pytest.fixture
def unchecked():
    """Non-finite coordinates pass, as in a training step."""
    old = check_inputs(False)
    yield
    check_inputs(old)
