"""The pooled linear layer against NumPy and plain layers, in every backend."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samplenet import InputError
from samplenet.ops import reference

FRAMEWORKS = ["tf", "tf native", "torch", "torch native"]


def test_each_channel_takes_its_largest_value_and_the_lowest_of_equal_points(backend):
    features = np.array([[[1, 0], [0, 1], [1, 1], [1, 0]]], np.float32)
    values, idx = backend.pooled_linear(features, np.array([[1, 1, -1], [0, 2, -1]], np.float32))
    assert values.tolist() == [[1, 3, -1]]
    assert idx.tolist() == [[0, 2, 0]]


def test_a_value_is_not_a_number_where_a_product_is_not(backend):
    features = np.zeros((2, 700, 3), np.float32)
    features[0, 300, 1] = np.nan
    values, _ = backend.pooled_linear(features, np.ones((3, 40), np.float32))
    assert np.isnan(values[0]).all()
    assert not values[1].any()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_agrees_with_the_reference(eager, data):
    limits = {"B": 5, "N": 600, "C": 40, "F": 70}
    batch, count, inner, outer = (
        data.draw(st.integers(name in "NC", most), name) for name, most in limits.items()
    )
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    # whole numbers have exact sums, so that ties are ties in every order of summation
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    features = rng.integers(-3, 4, (batch, count, inner)).astype(dtype)
    weight = rng.integers(-3, 4, (inner, outer)).astype(dtype)
    want = reference.pooled_linear(features, weight)
    for expected, got in zip(want, eager.pooled_linear(features, weight), strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("features", "weight", "sentence"),
    [
        ((2, 3), (3, 4), r"features must have shape \(B, N, C\), got \(2, 3\)"),
        ((1, 2, 3), (4, 5), r"weight must have shape \(C, F\) with C = 3, got \(4, 5\)"),
        ((1, 0, 3), (3, 5), r"features is empty \(N = 0\)"),
    ],
)
def test_wrong_shapes_are_named(eager, features, weight, sentence):
    with pytest.raises(InputError, match=sentence):
        eager.pooled_linear(np.zeros(features, np.float32), np.zeros(weight, np.float32))


def test_types_must_agree(eager):
    with pytest.raises(InputError, match="must share one dtype"):
        eager.pooled_linear(np.zeros((1, 2, 3), np.float32), np.zeros((3, 4), np.float64))


# gradients, and batch norm: against plain layers, in float64


def _plain(features, weight, scale, shift):
    """Return layer, batch norm, ReLU, maximum by definition; and the norm's mean and variance."""
    import torch

    layer = features @ weight
    mean, variance = layer.mean((0, 1)), layer.var((0, 1), unbiased=False)
    normalised = (layer - mean) / torch.sqrt(variance + 1e-3) * scale + shift
    return torch.relu(normalised).amax(1), mean, variance


def _arrays(offset=0.0):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3, 300, 12)) + offset
    weight, scale, shift, grad = (rng.normal(size=s) for s in ((12, 40), 40, 40, (3, 40)))
    return features, weight, scale, shift, grad


def _torch(dtype, offset):
    """Outputs and gradients of the op in PyTorch."""
    import torch

    from samplenet.ops import torch as ops

    *arrays, grad = (torch.tensor(a, dtype=getattr(torch, dtype)) for a in _arrays(offset))
    features, weight, scale, shift = (a.requires_grad_() for a in arrays)
    sign = torch.where(scale < 0, -1.0, 1.0).to(scale.dtype)
    extreme, mean, variance = ops.normalised_pooled_linear(features, weight, sign)
    out = torch.relu(extreme * scale * torch.rsqrt(variance + 1e-3) + shift)
    loss = (out * grad).sum() + variance.sum()
    outputs = (out, mean @ weight, variance, *torch.autograd.grad(loss, arrays))
    return [tensor.detach().numpy() for tensor in outputs]


def _tf(dtype, offset):
    """Outputs and gradients of the op in TensorFlow."""
    import tensorflow as tf

    from samplenet.ops import tf as ops

    *arrays, grad = (tf.constant(a, dtype) for a in _arrays(offset))
    features, weight, scale, shift = arrays
    with tf.GradientTape() as tape:
        tape.watch(arrays)
        sign = tf.cast(tf.where(scale < 0, -1.0, 1.0), scale.dtype)
        extreme, mean, variance = ops.normalised_pooled_linear(features, weight, sign)
        out = tf.nn.relu(extreme * scale * tf.math.rsqrt(variance + 1e-3) + shift)
        loss = tf.reduce_sum(out * grad) + tf.reduce_sum(variance)
    outputs = (out, tf.linalg.matvec(weight, mean, transpose_a=True), variance)
    return [tensor.numpy() for tensor in (*outputs, *tape.gradient(loss, arrays))]


@pytest.mark.parametrize("name", FRAMEWORKS)
@pytest.mark.parametrize(
    ("dtype", "offset", "tolerance"),
    [("float64", 0, 1e-10), ("float32", 0, 3e-5), ("float32", 100, 3e-5)],
)
def test_batch_norm_and_gradients_are_those_of_plain_layers(serve, name, dtype, offset, tolerance):
    torch = pytest.importorskip("torch")
    *arrays, grad = (torch.tensor(a, dtype=torch.float64) for a in _arrays(offset))
    arrays = [a.to(getattr(torch, dtype)).double().requires_grad_() for a in arrays]
    outputs = _plain(*arrays)
    loss = (outputs[0] * grad).sum() + outputs[2].sum()
    want = (*outputs, *torch.autograd.grad(loss, arrays))
    with serve(name):
        got = (_torch if "torch" in name else _tf)(dtype, offset)
    for expected, actual in zip(want, got, strict=True):
        expected = expected.detach().numpy()
        assert np.abs(actual - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_second_backward_pass_gives_the_same_bits(serve, name):
    with serve(name):
        run = _torch if "torch" in name else _tf
        for first, second in zip(run("float32", 0), run("float32", 0), strict=True):
            np.testing.assert_array_equal(first, second)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # Dynamo's own doing
def test_pytorch_can_trace_and_compile_the_op(serve):
    torch = pytest.importorskip("torch")
    from samplenet.ops.torch import normalised_pooled_linear, pooled_linear

    features, weight = torch.randn(2, 50, 8, requires_grad=True), torch.randn(8, 20)
    with serve("torch native"):
        pooled_linear(features, weight)  # loads the build
        torch.library.opcheck(torch.ops.samplenet.pooled_linear, (features, weight))
        sign = torch.ones(20)
        compiled = torch.compile(normalised_pooled_linear, fullgraph=True, backend="aot_eager")
        wanted = normalised_pooled_linear(features, weight, sign)
        for want, got in zip(wanted, compiled(features, weight, sign), strict=True):
            torch.testing.assert_close(got, want)
        assert torch.autograd.grad(compiled(features, weight, sign)[0].sum(), features)


@pytest.mark.parametrize("name", ["torch", "torch native"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_transposed_and_half_features_have_the_gradients_of_plain_ones(serve, name, dtype):
    torch = pytest.importorskip("torch")
    from samplenet.ops.torch import normalised_pooled_linear

    features, weight, *_, grad = (torch.tensor(a, dtype=torch.float32) for a in _arrays())
    features = features.to(getattr(torch, dtype))
    turned = features.transpose(1, 2).contiguous().transpose(1, 2)  # as a Conv1d leaves them
    sign, results = torch.ones(40), []
    with serve(name):
        for given in (features.float(), turned):
            given = given.detach().requires_grad_()
            extreme, _, variance = normalised_pooled_linear(given, weight, sign)
            loss = (extreme * grad).sum() + variance.sum()
            results.append((extreme, variance, torch.autograd.grad(loss, given)[0].float()))
    for want, got in zip(*results, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-2 if dtype == "bfloat16" else 1e-5, atol=1e-4)


def test_xla_compiles_the_search_in_parts(serve, monkeypatch):
    tf = pytest.importorskip("tensorflow")
    from samplenet.ops.tf import _pooled_linear, normalised_pooled_linear, pooled_linear

    monkeypatch.setattr(_pooled_linear, "MAX_PRODUCTS", 1000)  # 16 points of 50 at a time
    rng = np.random.default_rng(0)
    features = rng.integers(-3, 4, (3, 50, 8)).astype(np.float32)
    weight, sign = rng.integers(-3, 4, (8, 20)).astype(np.float32), np.ones(20, np.float32)

    def step(features, weight):
        with tf.GradientTape() as tape:
            tape.watch([features, weight])
            values, idx = pooled_linear(features, weight)
            extremes, _, variance = normalised_pooled_linear(features, weight, sign)
            loss = tf.reduce_sum(values**2 + extremes**2) + tf.reduce_sum(variance)
        return values, idx, extremes, variance, *tape.gradient(loss, [features, weight])

    inputs = tf.constant(features), tf.constant(weight)
    with serve("tf native"):
        got, want = tf.function(step, jit_compile=True)(*inputs), step(*inputs)
    for expected, actual in zip(reference.pooled_linear(features, weight), got[:2], strict=True):
        np.testing.assert_array_equal(actual, expected)
    for expected, actual in zip(want, got, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-3)
