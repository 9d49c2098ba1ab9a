"""Compare random calls of the renderer with its reference, images and gradients.

    python tests/ops/fuzz_render_voxels.py --framework torch --calls 5000

Half of the calls are made with the native op, the others with framework operations, all clouds at
once or some at a time. Grids of one voxel and more, of other depth, any option; from no cloud and
no point on; points outside the box, behind the camera, on its border, on voxels' centres, all in
one place, far away, not finite; sigma from 0 on. Gradients are compared with those of framework
operations in float64, which other tests compare with finite differences. No gradient is compared
where a value lies so close to the end of a clip, or to another largest one, that rounding decides.
"""

import importlib
import sys

import numpy as np
from drawing import draw
from fuzzing import start

from samplenet.ops import reference, use_native
from samplenet.ops.reference_rendering import smooth, splat
from samplenet.ops.voxels import Rendered, Voxels

KINDS = ["normal", "wide", "border", "centres", "coinciding", "odd"]
CLOSE = 2e-5  # to the end of a clip


def draw_options(rng: np.random.Generator) -> dict:
    """Draw the options of a call."""
    options = {"size": int(rng.integers(1, 20)), "kernel_size": 2 * int(rng.integers(0, 8)) + 1}
    if rng.random() < 0.3:
        options["size_z"] = int(rng.integers(1, 20))
    if rng.random() < 0.2:
        options |= {"max_projection": True}
    elif rng.random() < 0.3:
        options |= {"probabilities": True}
    if rng.random() < 0.3:
        options["clip_colours"] = "after"
    for name in ("divide_colours", "colours_move_points", "as_released"):
        options[name] = bool(rng.random() < 0.4)
    if rng.random() < 0.2:
        options |= {"camera_distance": float(rng.integers(0, 4)), "max_depth": 3.5}
    return options


def draw_points(rng: np.random.Generator, kind: str, shape: tuple, grid: Voxels) -> np.ndarray:
    """Draw points (B, N, 3), none so close to where its voxels change that rounding decides."""
    points = rng.normal(size=shape) * (2 if kind == "wide" else 0.2)
    sizes = np.array(grid.shape, np.float64)
    if kind == "border":
        points = np.where(rng.random(shape) < 0.3, np.sign(points) / 2, points)
    elif kind == "centres" and not grid.as_released and np.isin(sizes, (1, 2, 4, 8, 16)).all():
        return (np.floor(rng.random(shape) * sizes) + 0.5) / sizes - 0.5
    elif kind == "coinciding":
        points = np.repeat(points[:, :1], shape[1], 1)
    elif kind == "odd":
        odd = rng.choice([np.nan, np.inf, -np.inf, 1e30, -2.5], shape)
        points = np.where(rng.random(shape) < 0.1, odd, points)
    with np.errstate(invalid="ignore"):
        at = (points + 0.5) * (sizes - 1) if grid.as_released else (points + 0.5) * sizes - 0.5
        close = np.abs(at - np.round(at)) < 1e-4
    return np.where(close & (np.abs(points) != 0.5), points + 3e-4 / sizes, points)


def draw_inputs(rng: np.random.Generator, kind: str, grid: Voxels, dtype: str) -> dict:
    """Draw the clouds, and a sigma, a scale and colours for them."""
    batch, count = int(rng.integers(0, 4)), int(rng.choice([0, 1, rng.integers(2, 60)]))
    sigma = rng.choice([0, 1e-4, 0.2, 1, rng.uniform(0.3, 3)], batch)
    inputs = {
        "points": draw_points(rng, kind, (batch, count, 3), grid),
        "sigma": sigma,
        "scale": rng.uniform(0, 2, batch),
        "colours": rng.uniform(0.01, 1.3, (batch, count, int(rng.integers(0, 4)))),
    }
    if kind == "odd":
        inputs["colours"][rng.random(inputs["colours"].shape) < 0.02] = np.nan
    return {name: array.astype(dtype) for name, array in inputs.items()}


def undecided(inputs: dict, grid: Voxels, dtype: str) -> bool:
    """Return whether rounding to the dtype may decide a gradient of the clouds."""

    def near(values, *ends):
        return any(((values != end) & (np.abs(values - end) < CLOSE * end)).any() for end in ends)

    for points, sigma, scale, colours in zip(*inputs.values(), strict=True):
        raw, tint = splat(points, colours, grid)
        values = smooth(np.clip(raw, 0, 1), sigma, grid) * scale
        if near(raw, 1) or near(values, 1, 1 - 1e-5, 1e-5):
            return True
        if grid.max_projection and grid.size_z > 1:
            second, first = np.sort(values, 0)[-2:]
            equal = (second < 1 + CLOSE) & (first - second < CLOSE * first)
            # taps of the Gaussian that the middle one swallows are left out
            if ((first > 0) & (equal | (first < 10 * np.finfo(dtype).eps))).any():
                return True
        if grid.clip_colours == "after":
            tint = smooth(tint, sigma, grid)
            if grid.divide_colours:
                tint = tint / (smooth(raw, sigma, grid) + 0.01)[..., None]
        if near(tint, 1):
            return True
    return False


def compare(name: str, want: np.ndarray, got: np.ndarray, tolerance: float, what: tuple) -> None:
    """End the program and name the call unless the arrays are close."""
    error = np.abs(got - want).max(initial=0)
    limit = tolerance * np.abs(want).max(initial=1)
    if got.shape != want.shape or not error <= limit:
        sys.exit(f"mismatch: {name} differs by {error:.2g}, more than {limit:.2g}: {what}")


def one_call(framework: str, rng: np.random.Generator, how: str) -> bool:
    """Make a random call; return whether gradients were compared."""
    options, kind = draw_options(rng), str(rng.choice(KINDS))
    grid, dtype = Voxels(**options), str(rng.choice(["float32", "float32", "float64"]))
    inputs = draw_inputs(rng, kind, grid, dtype)
    what = (how, kind, dtype, inputs["points"].shape, inputs["colours"].shape, options)
    exact = {name: array.astype(np.float64) for name, array in inputs.items()}
    wanted = reference.render_voxels(**exact, **options)
    weights = {
        name: rng.normal(size=image.shape)
        for name, image in zip(Rendered._fields, wanted, strict=True)
        if image is not None and (name == "silhouette" or rng.random() < 0.7)
    }
    if rng.random() < 0.2:  # as where only the best of several poses has a loss
        weights = {
            name: w * (np.arange(len(w)) == 0)[(..., *[None] * (w.ndim - 1))]
            for name, w in weights.items()
        }
    use_native(how == "native")
    given = {name: w.astype(dtype) for name, w in weights.items()}
    images, gradients = draw(framework, inputs, given, **options)
    tolerance = 5e-6 if dtype == "float32" else 1e-12
    if kind == "coinciding":  # their places are rounded alike, so that errors add up
        tolerance *= 20
    for name, want, got in zip(Rendered._fields, wanted, images, strict=True):
        if want is not None:
            compare(name, want, got, tolerance, what)
    if undecided(exact, grid, dtype):
        return False
    use_native(False)
    _, wanted = draw("torch", exact, weights, **options)
    for name, want in wanted.items():
        compare(f"the gradient of {name}", want, gradients[name], 40 * tolerance, what)
    return True


def main() -> None:
    """Run the command line."""
    args = start(__doc__)
    module = importlib.import_module(f"samplenet.ops.{args.framework}._render_voxels")
    rng, compared = np.random.default_rng(args.seed), 0
    ways = [("native", 1 << 21), ("native", 1 << 21), ("all at once", 1 << 21), ("parts", 1000)]
    for call in range(args.calls):
        how, module.MAX_CELLS = ways[call % len(ways)]
        compared += one_call(args.framework, rng, how)
    if compared < 0.7 * args.calls:
        sys.exit(f"gradients could be compared in {compared} of {args.calls} calls only")
    print(f"{args.calls} calls of each op without a mismatch")


if __name__ == "__main__":
    main()
