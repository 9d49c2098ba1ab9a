"""One test body for every backend: NumPy arrays in and out."""

import importlib
from types import SimpleNamespace

import numpy as np
import pytest

from samplenet.ops import check_inputs, native, reference


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


def _torch(function):
    """PyTorch tensors in; indices come back in the width the other backends give."""
    import torch

    def tensor(a):
        if not isinstance(a, np.ndarray):
            return a
        half = torch.bfloat16 if a.dtype.name == "bfloat16" else None  # which torch does not take from NumPy
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


def load_torch(name):
    """samplenet.ops.torch made of framework operations ("torch") or native ("torch native")."""
    torch = pytest.importorskip("torch")
    native_wanted = name == "torch native"
    if native_wanted and (why := native.missing("torch", torch.__version__)):
        pytest.skip(f"no native PyTorch ops: {why}")
    native.use_native(native_wanted)
    module = importlib.import_module("samplenet.ops.torch")
    return SimpleNamespace(name=name, **{n: _torch(getattr(module, n)) for n in NAMES})


@pytest.fixture(autouse=True)
def keep_native():
    """A test that switches native ops leaves them as they were."""
    old = native.enabled()
    yield
    native.use_native(old)


NAMES = ("knn", "chamfer", "farthest_points", "gather")


def load(name):
    """The four ops of one backend."""
    if name == "reference":
        return SimpleNamespace(name=name, **{n: _arrays(getattr(reference, n)) for n in NAMES})
    if name.startswith("torch"):
        return load_torch(name)
    module = importlib.import_module("samplenet.ops.tf")
    wrap = _graph if name == "tf graph" else (lambda f: f)
    return SimpleNamespace(name=name, **{n: _arrays(wrap(getattr(module, n))) for n in NAMES})


@pytest.fixture(params=["reference", "tf", "tf graph", "torch", "torch native"])
def backend(request):
    """Every backend."""
    return load(request.param)


@pytest.fixture(params=["reference", "tf", "torch", "torch native"])
def eager(request):
    """Every backend whose errors come at the call."""
    return load(request.param)


@pytest.fixture
def unchecked():
    """Non-finite coordinates pass, as in a training step."""
    old = check_inputs(False)
    yield
    check_inputs(old)
