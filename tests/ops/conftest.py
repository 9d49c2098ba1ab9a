"""One test body for every backend: NumPy arrays in and out."""

import importlib
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from samplenet.ops import check_inputs, native, reference, use_native


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


@contextmanager
def _serve(name):
    if name == "reference":
        yield reference
        return
    framework = name.split()[0]
    module = importlib.import_module(f"samplenet.ops.{framework}")
    if "native" in name and (why := native.missing(framework, getattr(module, framework).__version__)):
        pytest.skip(f"no native ops for {framework}: {why}")
    old = use_native("native" in name)
    try:
        yield module
    finally:
        use_native(old)


@pytest.fixture(scope="session")
def serve():
    """`with serve(name) as ops:` is the module of a backend, served natively if the name says so, else not."""
    return _serve


@pytest.fixture(
    params=[
        "reference",
        "tf",
        "tf graph",
        "tf native",
        "tf native graph",
    ]
)
def backend(request):
    """The four ops of one backend."""
    wrap = _graph if "graph" in request.param else (lambda f: f)
    with _serve(request.param) as module:
        yield SimpleNamespace(name=request.param, **{n: _arrays(wrap(getattr(module, n))) for n in NAMES})


@pytest.fixture
def unchecked():
    """Non-finite coordinates pass, as in a training step."""
    old = check_inputs(False)
    yield
    check_inputs(old)
