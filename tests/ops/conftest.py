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
    """Trace the function for unknown sizes, as in a model."""
    import tensorflow as tf

    def call(*clouds, **kwargs):
        rest = [c for c in clouds if not np.ndim(c)]
        clouds = [tf.convert_to_tensor(c) for c in clouds if np.ndim(c)]
        signature = []
        for c in clouds:
            last = [c.shape[-1] if c.shape.rank == 3 else None]
            signature.append(tf.TensorSpec([None] * (c.shape.rank - 1) + last, c.dtype))
        traced = tf.function(lambda *c: function(*c, *rest, **kwargs), input_signature=signature)
        return traced(*clouds)

    return call


def _torch(function):
    """Call with PyTorch tensors; return indices as int32, like the other backends."""
    import torch

    def tensor(a):
        if not isinstance(a, np.ndarray):
            return a
        if a.dtype.name == "bfloat16":  # which torch does not take from NumPy
            return torch.from_numpy(a.astype(np.float32)).to(torch.bfloat16)
        return torch.from_numpy(a)

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
    """Open a backend by its name: `with serve("tf native") as ops:`."""
    return _serve


def _wrapped(name):
    wrap = _torch if "torch" in name else _arrays
    with _serve(name) as module:
        functions = {n: getattr(module, n) for n in NAMES}
        if "graph" in name:
            functions = {n: _graph(function) for n, function in functions.items()}
        yield SimpleNamespace(name=name, **{n: wrap(f) for n, f in functions.items()})


NAMES = (
    *("knn", "chamfer", "farthest_points", "gather", "ball_query"),
    *("pooled_linear", "batch_norm_relu"),
)
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
