"""Batch norm with ReLU against NumPy and, with its gradients, against float64, in every backend."""

import numpy as np
import pytest

from samplenet import InputError
from samplenet.ops import reference

FRAMEWORKS = ["tf", "tf native", "torch", "torch native"]
EPSILON = 1e-3


def arrays(rows, channels, offset=0.0):
    rng = np.random.default_rng(rows + channels)
    features, grad = rng.normal(size=(2, rows, channels))
    return (3 * features + offset, *rng.normal(size=(2, channels)), grad)


def _torch(dtype, features, scale, shift, grad):
    import torch

    from samplenet.ops.torch import batch_norm_relu

    *inputs, grad = (torch.tensor(a.astype(dtype)) for a in (features, scale, shift, grad))
    inputs = [a.requires_grad_() for a in inputs]
    outputs = batch_norm_relu(*inputs, EPSILON)
    gradients = torch.autograd.grad((outputs[0] * grad).sum(), inputs)
    return [tensor.detach().numpy() for tensor in (*outputs, *gradients)]


def _tf(dtype, features, scale, shift, grad):
    import tensorflow as tf

    from samplenet.ops.tf import batch_norm_relu

    *inputs, grad = (tf.constant(a, dtype) for a in (features, scale, shift, grad))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = batch_norm_relu(*inputs, EPSILON)
        loss = tf.reduce_sum(outputs[0] * grad)
    return [tensor.numpy() for tensor in (*outputs, *tape.gradient(loss, inputs))]


def expected(features, scale, shift, grad):
    """Return outputs and gradients by definition, in float64."""
    deviation = features - features.mean(0)
    factor = 1 / np.sqrt(features.var(0) + EPSILON)
    out = np.maximum(deviation * factor * scale + shift, 0)
    passed = np.where(out > 0, grad, 0)
    normalised = deviation * factor
    of_scale = (passed * normalised).sum(0)
    of_features = passed - passed.mean(0) - normalised * of_scale / len(features)
    return (
        out,
        features.mean(0),
        features.var(0),
        scale * factor * of_features,
        of_scale,
        passed.sum(0),
    )


@pytest.mark.parametrize(("rows", "channels"), [(1, 3), (5, 1), (127, 64), (129, 37), (1000, 130)])
def test_agrees_with_the_reference(backend, rows, channels):
    features, scale, shift, _ = (a.astype(np.float32) for a in arrays(rows, channels))
    want = reference.batch_norm_relu(features, scale, shift, EPSILON)
    got = backend.batch_norm_relu(features, scale, shift, epsilon=EPSILON)
    for name, a, b in zip(("out", "mean", "variance"), got, want, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", FRAMEWORKS)
@pytest.mark.parametrize(
    ("dtype", "offset", "tolerance"),
    [("float64", 0, 1e-11), ("float32", 0, 1e-5), ("float32", 100, 3e-5)],
)
def test_gradients_are_those_of_the_definition(serve, name, dtype, offset, tolerance):
    rounded = [a.astype(dtype).astype(np.float64) for a in arrays(700, 33, offset)]
    with serve(name):
        got = (_torch if "torch" in name else _tf)(dtype, *rounded)
    for a, b in zip(got, expected(*rounded), strict=True):
        assert np.abs(a - b).max() <= tolerance * np.abs(b).max()


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_epsilon_keeps_the_digits_of_float64(serve, name):
    features, *others = arrays(100, 33)
    given = 1e-3 * features, *others  # the variance is far below epsilon
    with serve(name):
        got = (_torch if "torch" in name else _tf)("float64", *given)
    for a, b in zip(got, expected(*given), strict=True):
        assert np.abs(a - b).max() <= 1e-11 * np.abs(b).max()


def test_what_is_not_a_number_shows(backend):
    features = np.ones((300, 5), np.float32)
    features[200, 3] = np.nan
    ones = np.ones(5, np.float32)
    out, *_ = backend.batch_norm_relu(features, ones, ones, epsilon=EPSILON)
    assert np.isnan(out[:, 3]).all()
    assert not np.isnan(np.delete(out, 3, 1)).any()


@pytest.mark.parametrize("name", ["tf native", "torch native"])
def test_both_frameworks_have_the_same_bits_each_time(serve, name):
    given = arrays(1000, 20)
    results = []
    for _ in range(2):
        with serve(name):
            results.append((_torch if "torch" in name else _tf)("float32", *given))
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("features", "scale", "sentence"),
    [
        ((2, 3, 4), (4,), r"features must have shape \(R, C\), got \(2, 3, 4\)"),
        ((2, 3), (4,), r"scale must have shape \(C,\) = \(3,\), got \(4,\)"),
        ((0, 3), (3,), r"features is empty \(R = 0\), at least one row"),
    ],
)
def test_wrong_shapes_are_named(eager, features, scale, sentence):
    vector = np.ones(scale, np.float32)
    with pytest.raises(InputError, match=sentence):
        eager.batch_norm_relu(np.zeros(features, np.float32), vector, vector, EPSILON)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # Dynamo's own doing
def test_pytorch_can_trace_and_compile_the_op(serve):
    torch = pytest.importorskip("torch")
    from samplenet.ops.torch import batch_norm_relu

    features, scale, shift = torch.randn(50, 8, requires_grad=True), torch.randn(8), torch.randn(8)
    with serve("torch native"):
        wanted = batch_norm_relu(features, scale, shift, EPSILON)  # loads the build
        given = (features, scale, shift, EPSILON)
        torch.library.opcheck(torch.ops.samplenet.batch_norm_relu, given)
        compiled = torch.compile(batch_norm_relu, fullgraph=True, backend="aot_eager")
        for want, got in zip(wanted, compiled(*given), strict=True):
            torch.testing.assert_close(got, want)
        assert torch.autograd.grad(compiled(*given)[0].sum(), features)
