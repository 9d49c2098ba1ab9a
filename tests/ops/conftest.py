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
        clouds, rest = (
            [tf.convert_to_tensor(c) for c in clouds if np.ndim(c)],
            [c for c in clouds if not np.ndim(c)],
        )
        signature = [
            tf.TensorSpec(
                [None, None, c.shape[-1]] if c.shape.rank == 3 else [None] * c.shape.rank, c.dtype
            )
            for c in clouds
        ]
        traced = tf.function(lambda *c: function(*c, *rest, **kwargs), input_signature=signature)
        return traced(*clouds)

    return call


def _torch(function):
    """PyTorch tensors in; indices come back in the width the other backends give."""
    import torch

    def tensor(a):
        if not isinstance(a, np.ndarray):
            return a
        half = (
            torch.bfloat16 if a.dtype.name == "bfloat16" else None
        )  # which torch does not take from NumPy
        return torch.from_numpy(a.astype(np.float32) if half else a).to(half)

    def array(t):
        a = t.detach().numpy()
        return a.astype(np.int32) if a.dtype == np.int64 else a

    def call(*args, **kwargs):
        out = function(*map(tensor, args), **{name: tensor(a) for name, a in kwargs.items()})
        if hasattr(out, "_fields"):
            return type(out)(*map(array, out))
        return tuple(map(array, out)) if isinstance(out, tuple) else array(out)

    return call


@contextmanager
def _serve(name):
    if name == "reference":
        yield reference
        return
    framework = name.split()[0]
    library = pytest.importorskip({"tf": "tensorflow"}.get(framework, framework))
    module = importlib.import_module(f"samplenet.ops.{framework}")
    if "native" in name and (why := native.missing(framework, library.__version__)):
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


def _wrapped(name):
    wrap = (
        _torch
        if "torch" in name
        else (lambda f: _arrays(_graph(f)))
        if "graph" in name
        else _arrays
    )
    with _serve(name) as module:
        yield SimpleNamespace(name=name, **{n: wrap(getattr(module, n)) for n in NAMES})


NAMES = ("knn", "chamfer", "farthest_points", "gather", "pooled_linear")
EAGER = ["reference", "tf", "tf native", "torch", "torch native"]


@pytest.fixture(params=[*EAGER, "tf graph", "tf native graph"])
def backend(request):
    """The ops of every backend."""
    yield from _wrapped(request.param)


@pytest.fixture(params=EAGER)
def eager(request):
    """The ops of every backend whose errors come at the call."""
    yield from _wrapped(request.param)


@pytest.fixture
def unchecked():
    """Non-finite coordinates pass, as in a training step."""
    old = check_inputs(False)
    yield
    check_inputs(old)
