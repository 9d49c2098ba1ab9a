"""Compare random calls of the projections of points with their reference, values and gradients.

    python tests/ops/fuzz_projections.py --framework torch --calls 5000

Half of the calls are made with the native ops, the others with framework operations. Images of
one pixel and more, any option; from no cloud and no point on; points on the borders of pixels and
wells, outside the image, far away, behind the camera, all in one place, not finite; features that
are not. Gradients are compared with those of framework operations in float64, which other tests
compare with finite differences.
"""

import sys

import numpy as np
from fuzzing import start
from projecting import call

from samplenet.ops import use_native

KINDS = ["normal", "wide", "border", "coinciding", "odd"]


def draw_options(rng: np.random.Generator) -> tuple[dict, dict]:
    """Draw the options of a call of each op."""
    sides = {"height": int(rng.integers(1, 20)), "width": int(rng.integers(1, 20))}
    sides["as_released"] = bool(rng.random() < 0.5)
    mask = {"variance": float(rng.choice([1e-3, 0.05, 0.4, 0.5, 2, 40, rng.uniform(0.1, 3)]))}
    mask["before_tanh"] = bool(rng.random() < 0.5)
    features = {"radius": float(rng.choice([0.25, 0.5, 1, 1.5, 2, 30, rng.integers(1, 40) / 8]))}
    features["beta"] = float(rng.choice([5, 100, 100, 1000]))
    return sides | mask, sides | features


def draw_points(rng: np.random.Generator, kind: str, shape: tuple, size: tuple) -> np.ndarray:
    """Draw points (B, N, 3) in steps, so that rounding does not decide whose well they are in."""
    points = rng.uniform(-3, np.array([*size, 0]) + 3, shape)
    if kind == "wide":
        points *= rng.choice([1, 5, 100], shape)
    steps = 4 if kind == "border" else 64  # borders lie at eighths at the finest
    points = np.round(points * steps) / steps + (0 if kind == "border" else 1 / 128)
    points[..., 2] = np.round(rng.uniform(0.1, 12, shape[:2]) * 64) / 64  # 9 is hit exactly
    if kind == "coinciding":
        points[..., :2] = points[:, :1, :2]
    elif kind == "odd":
        odd = rng.choice([np.nan, np.inf, -np.inf, 1e30, -1e30, 0, -2.5], shape)
        points = np.where(rng.random(shape) < 0.1, odd, points)
    return points


def compare(name: str, want: np.ndarray, got: np.ndarray, tolerance: float, what: tuple) -> None:
    """End the program and name the call unless the arrays are close."""
    error = np.abs(got - want).max(initial=0)
    limit = tolerance * np.abs(want).max(initial=1)
    if got.shape != want.shape or not error <= limit:
        sys.exit(f"mismatch: {name} differs by {error:.2g}, more than {limit:.2g}: {what}")


def one_call(framework: str, op: str, inputs: dict, options: dict, rng, how: str, what) -> None:
    """Make a call of an op and compare its results."""
    dtype = inputs["points"].dtype
    exact = {name: a.astype(np.float64) for name, a in inputs.items()}
    wanted, _ = call("reference", op, exact, **options)
    weight = rng.normal(size=wanted[0].shape)
    use_native(how == "native")
    got, gradients = call(framework, op, inputs, (weight.astype(dtype),), **options)
    # a score of beta / depth is rounded, and then raised to the power
    steps = 10 + options.get("beta", 0)
    tolerance = steps * (3e-7 if dtype == np.float32 else 1e-15)
    for i, (want, result) in enumerate(zip(wanted, got, strict=True)):
        compare(f"result {i} of {op}", want, result, tolerance, what)
    use_native(False)
    _, wanted = call("torch", op, exact, (weight.astype(dtype).astype(np.float64),), **options)
    for name, want in wanted.items():
        compare(f"the gradient of {name} of {op}", want, gradients[name], 5 * tolerance, what)


def calls(framework: str, rng: np.random.Generator, how: str) -> None:
    """Make a random call of each op."""
    kind, dtype = str(rng.choice(KINDS)), str(rng.choice(["float32", "float32", "float64"]))
    mask, features = draw_options(rng)
    shape = int(rng.integers(0, 4)), int(rng.choice([0, 1, rng.integers(2, 60)])), 3
    points = draw_points(rng, kind, shape, (mask["height"], mask["width"])).astype(dtype)
    colours = rng.normal(size=(*shape[:2], int(rng.integers(0, 5)))).astype(dtype)
    if kind == "odd":
        colours[rng.random(colours.shape) < 0.02] = rng.choice([np.nan, np.inf])
    what = (how, kind, dtype, shape, colours.shape)
    one_call(framework, "project_mask", {"points": points}, mask, rng, how, (*what, mask))
    inputs = {"points": points, "features": colours}
    one_call(framework, "project_features", inputs, features, rng, how, (*what, features))


def main() -> None:
    """Run the command line."""
    args = start(__doc__)
    rng = np.random.default_rng(args.seed)
    for i in range(args.calls):
        calls(args.framework, rng, ("native", "framework operations")[i % 2])
    print(f"{args.calls} calls of each op without a mismatch")


if __name__ == "__main__":
    main()
