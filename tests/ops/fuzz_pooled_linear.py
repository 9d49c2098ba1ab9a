"""Compare random calls of the pooled linear layers with plain layers, values and gradients.

    python tests/ops/fuzz_pooled_linear.py --framework torch --calls 10000

Half of the calls are made with the native op, the others with framework operations, all products at
once or some at a time. They are compared with PyTorch's matrix product, mean and variance in
float64. Sizes from nothing and from one point or channel on; normal features, also 100 from the
origin; whole numbers, whose ties are exact; coinciding points; NaN; float32 and float64; for
PyTorch, views that are not contiguous. Which of nearly equal points a layer takes depends on
rounding, so the gradients are those of plain layers at the point that was taken, once it is known
to hold the largest value.
"""

import importlib
import sys
from collections.abc import Callable

import numpy as np
import torch
from fuzzing import start

from samplenet.ops import reference, use_native

KINDS = ["normal", "offset", "whole", "coinciding", "not a number"]
TOLERANCES = {"float32": 2e-5, "float64": 2e-13}  # of the largest value, or of 1
NAMES = ("values", "gradient of the features", "gradient of the weight", "mean", "variance")


def torch_calls(rng: np.random.Generator) -> tuple[Callable, Callable]:
    """Return both ops in PyTorch, arrays in and out, with gradients."""
    from samplenet.ops import torch as ops

    def leaf(array):
        tensor = torch.from_numpy(array)
        if rng.random() < 0.3:  # as a Conv1d leaves its features
            tensor = tensor.transpose(-1, -2).contiguous().transpose(-1, -2)
        elif rng.random() < 0.3:
            tensor = tensor.repeat_interleave(2, -1)[..., ::2]
        return tensor.detach().requires_grad_()

    def pooled(features, weight, grad):
        leaves = leaf(features), leaf(weight)
        values, idx = ops.pooled_linear(*leaves)
        return arrays(values, *torch.autograd.grad(values, leaves, torch.from_numpy(grad)), idx)

    def normalised(features, weight, sign, grad, grad_variance):
        leaves, sign = (leaf(features), leaf(weight)), torch.from_numpy(sign)
        values, mean, variance = ops.normalised_pooled_linear(*leaves, sign)
        grads = torch.from_numpy(grad), torch.from_numpy(grad_variance)
        grads = torch.autograd.grad((values, variance), leaves, grads)
        with torch.no_grad():  # as in the op: a matrix product may round otherwise with gradients
            idx = ops.pooled_linear(leaves[0] - mean, leaves[1] * sign)[1]
        return arrays(values, *grads, mean, variance, idx)

    def arrays(*tensors):
        return [tensor.detach().numpy() for tensor in tensors]

    return pooled, normalised


def tf_calls(_) -> tuple[Callable, Callable]:
    """Return both ops in TensorFlow, arrays in and out, with gradients."""
    import tensorflow as tf

    from samplenet.ops import tf as ops

    def pooled(features, weight, grad):
        leaves = tf.constant(features), tf.constant(weight)
        with tf.GradientTape() as tape:
            tape.watch(leaves)
            values, idx = ops.pooled_linear(*leaves)
        return arrays(values, *tape.gradient(values, leaves, grad), idx)

    def normalised(features, weight, sign, grad, grad_variance):
        leaves = tf.constant(features), tf.constant(weight)
        with tf.GradientTape() as tape:
            tape.watch(leaves)
            values, mean, variance = ops.normalised_pooled_linear(*leaves, sign)
        grads = tape.gradient([values, variance], leaves, [grad, grad_variance])
        idx = ops.pooled_linear(leaves[0] - mean, leaves[1] * sign)[1]
        return arrays(values, *grads, mean, variance, idx)

    def arrays(*tensors):
        return [tf.convert_to_tensor(tensor).numpy() for tensor in tensors]

    return pooled, normalised


def draw(rng: np.random.Generator) -> tuple[str, np.ndarray, np.ndarray]:
    """Draw a kind, features (B, N, C) and a weight (C, F)."""
    large = rng.random() < 0.01
    batch, outer = int(rng.integers(0, 5)), int(rng.integers(0, 300 if large else 60))
    count = 1 if rng.random() < 0.05 else int(rng.integers(1, 2000 if large else 300))
    inner = 1 if rng.random() < 0.05 else int(rng.integers(1, 150 if large else 30))
    kind, dtype = str(rng.choice(KINDS)), rng.choice(["float32", "float64"])
    features, weight = rng.normal(size=(batch, count, inner)), rng.normal(size=(inner, outer))
    if kind == "offset":
        features += 100
    elif kind == "whole":
        features, weight = np.round(features), np.round(weight)
    elif kind == "coinciding":
        features = features[:, rng.integers(0, count, count) // 2]
    elif kind == "not a number":
        features[rng.random(features.shape) < 1 / max(1, features.size)] = np.nan
    return kind, features.astype(dtype), weight.astype(dtype)


def plain(features, weight, idx, grad, grad_variance=None) -> list[np.ndarray]:
    """Return what plain layers give in float64 at the points idx (B, F), in the order of NAMES.

    With `grad_variance`, of the layer minus its mean, and with its statistics.
    """
    leaves = [torch.from_numpy(a).double().requires_grad_() for a in (features, weight)]
    statistics = []
    if grad_variance is None:
        layer = leaves[0] @ leaves[1]  # (B, N, F)
    else:
        mean = leaves[0].mean((0, 1))
        # a constant first, which changes nothing but the digits that are left far from the origin
        layer = (leaves[0] - mean.detach()) @ leaves[1]
        layer = layer - layer.mean((0, 1))
        statistics = [mean, layer.square().mean((0, 1))]
    values = layer.gather(1, torch.from_numpy(idx.astype(np.int64))[:, None])[:, 0]
    loss = (values * torch.from_numpy(grad)).sum()
    if statistics:
        loss = loss + (statistics[1] * torch.from_numpy(grad_variance)).sum()
    grads = torch.autograd.grad(loss, leaves)
    return [tensor.detach().numpy() for tensor in (values, *grads, *statistics)]


def compare(want: list, got: list, tolerance: float, what: tuple) -> None:
    """End the program and name the call unless the arrays are close."""
    for name, expected, found in zip(NAMES, want, got, strict=False):
        error = np.abs(found - expected).max(initial=0)
        largest = np.abs(expected).max(initial=1)
        if found.shape != expected.shape or not error <= tolerance * largest:
            sys.exit(f"mismatch: {name} differ by {error:.2g} of {largest:.2g}: {what}")


def one_call(pooled: Callable, normalised: Callable, rng: np.random.Generator, how: str) -> None:
    """Make a random call of both ops."""
    kind, features, weight = draw(rng)
    batch, outer = len(features), weight.shape[1]
    grad, grad_variance = rng.normal(size=(batch, outer)), rng.normal(size=outer)
    grad, grad_variance = grad.astype(weight.dtype), grad_variance.astype(weight.dtype)
    what = (how, kind, features.shape, weight.shape, weight.dtype.name)
    tolerance = TOLERANCES[weight.dtype.name]
    if kind == "offset":  # the mean itself is rounded, near 100
        tolerance *= 5

    *got, idx = pooled(features, weight, grad)
    if kind == "not a number":
        wanted = reference.pooled_linear(features, weight)[0]
        if not np.array_equal(np.isnan(wanted), np.isnan(got[0])):
            sys.exit(f"mismatch: values that are not a number: {what}")
        return
    exact = [a.astype(np.float64) for a in (features, weight)]
    largest, lowest = reference.pooled_linear(*exact)
    if kind == "whole" and not np.array_equal(idx, lowest):
        sys.exit(f"mismatch: idx: {what}")
    compare([largest], got, tolerance, ("pooled_linear", *what))
    compare(plain(features, weight, idx, grad), got, tolerance, ("pooled_linear", *what))
    if batch == 0:  # has no mean
        return
    sign = rng.choice([-1, 1], outer).astype(weight.dtype)
    *got, idx = normalised(features, weight, sign, grad, grad_variance)
    what = ("normalised_pooled_linear", *what)
    largest = reference.pooled_linear(exact[0] - exact[0].mean((0, 1)), exact[1] * sign)[0]
    compare([largest * sign], got, tolerance, what)
    compare(plain(features, weight, idx, grad, grad_variance), got, tolerance, what)


def main() -> None:
    """Run the command line."""
    args = start(__doc__)
    module = importlib.import_module(f"samplenet.ops.{args.framework}._pooled_linear")
    rng = np.random.default_rng(args.seed)
    ops = {"torch": torch_calls, "tf": tf_calls}[args.framework](rng)
    ways = [("native", 1 << 24), ("native", 1 << 24), ("all at once", 1 << 24), ("chunks", 5000)]
    for call in range(args.calls):
        how, module.MAX_PRODUCTS = ways[call % len(ways)]
        use_native(how == "native")
        one_call(*ops, rng, f"call {call}, {how}")
    print(f"{args.calls} calls of each op without a mismatch")


if __name__ == "__main__":
    main()
