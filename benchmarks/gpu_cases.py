"""The calls by which `gpu.py` and `gpu_tf.py` compare the ops on a GPU with those on the CPU."""

from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray

KINDS = ("normal", "grid", "non-finite")
# The sizes of the experiments, then edges: a single point, k = N, a k on both sides of a fast
# kernel's limit of 32, more clouds than a CUDA grid's second axis has blocks, large clouds, none.
KNN = [  # (B, M, N, k)
    (32, 64, 1024, 8), (50, 64, 2048, 16), (32, 1024, 1024, 16), (2, 1, 1, 1), (3, 5, 7, 7),
    (1, 33, 1025, 32), (1, 33, 1025, 33), (2, 65, 300, 300), (70_000, 2, 4, 2),
    (1, 20_000, 20_000, 16), (0, 4, 4, 2), (2, 0, 4, 2),
]  # fmt: skip
BALLS = [  # (B, M, N, radius, k)
    (8, 2048, 20_000, 0.2, 64), (2, 33, 1025, 0.5, 300), (3, 1, 1, 1.0, 2), (2, 0, 4, 1.0, 2),
    (0, 4, 4, 1.0, 2), (70_000, 2, 4, 1.0, 2),
]  # fmt: skip
CHAMFER = [  # (B, M, N)
    (32, 1024, 1024), (50, 2048, 2048), (3, 1, 1), (2, 1, 5000), (1, 777, 3), (70_000, 2, 3),
    (1, 30_000, 20_000),
]  # fmt: skip
FPS = [  # (B, N, m)
    (32, 1024, 512), (8, 2048, 64), (2, 5000, 5000), (1, 100_000, 300), (3, 1, 1), (70_000, 5, 3),
]  # fmt: skip
RENDERED = [  # (B, N, pixels along a side)
    (16, 1024, 64), (4, 8000, 33), (1, 20_000, 100), (2, 1, 3), (300, 5, 2), (0, 4, 4), (2, 0, 4),
]  # fmt: skip


def cloud(seed: int, batch: int, n: int, kind: str = "normal", dtype: str = "float32") -> NDArray:
    """Draw points (batch, n, 3): normal, on a coarse grid (ties), or some of them not finite."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(batch, n, 3)).astype(dtype)
    if kind == "grid":
        points = points.round()
    elif kind == "non-finite":
        points[rng.random(points.shape) < 0.02] = np.nan
        points[rng.random(points.shape) < 0.02] = np.inf
    return points


def require_equal(what: str, want: NDArray, got: NDArray) -> None:
    """Raise an AssertionError unless the values are equal; NaN equals NaN."""
    if not np.array_equal(want, got, equal_nan=True):
        different = (want != got).sum()
        raise AssertionError(f"{what}: GPU and CPU differ in {different} of {want.size} values")


def require_close(what: str, want: NDArray, got: NDArray) -> None:
    """Raise an AssertionError unless the values agree to the rounding of float32."""
    np.testing.assert_allclose(got, want, 1e-4, 1e-5 * np.abs(want).max(initial=1), err_msg=what)


def check_renderers(ops, same: Callable, same_gradient: Callable, kind: str, dtype: str) -> int:
    """Compare the renderers for clouds of a kind, for all sizes; return the calls."""
    for batch, n, size in RENDERED:
        points = cloud(0, batch, n, kind, dtype)
        colours = np.random.default_rng(1).random((batch, n, 5), dtype)
        pixels = size * (0.5 + points / 4)
        pixels[..., 2] = 1 + np.abs(points[..., 2])
        voxels = {"scale": 0.3, "size": size, "kernel_size": 9}
        box, sigma = points * np.asarray(0.15, dtype), np.ones(batch, dtype)

        def render(points, sigma, colours, options=voxels):
            return ops.render_voxels(points, sigma, colours=colours, **options)[:3]

        def project(points, size=size):
            return [ops.project_mask(points, size, size, before_tanh=True)]

        def draw(points, colours, size=size):
            return ops.project_features(points, colours, size, size, beta=5.0)[:1]

        calls = [(render, (box, sigma, colours)), (project, (pixels,)), (draw, (pixels, colours))]
        for function, arrays in calls:
            what = f"{function.__name__} {(batch, n, size)} {kind} {dtype}"
            same(what, function, *arrays, require=require_close)
            if kind == "normal":  # where points coincide, rounding decides what passes a clip
                same_gradient(what, function, *arrays)
    return 3 * len(RENDERED)


def check(ops, same: Callable, same_gradient: Callable) -> int:
    """Compare every op of the module `ops` for all sizes and kinds of clouds; return the calls.

    Args:
        same: `same(what, function, *arrays, require=require_equal)` compares the outputs of
            `function(*arrays)` on both devices.
        same_gradient: compares the gradients of the outputs.
    """
    calls = 0
    for kind, dtype in product(KINDS, ("float32", "float64")):
        for batch, m, n, k in KNN:
            clouds = cloud(0, batch, m, kind, dtype), cloud(1, batch, n, kind, dtype)
            what = f"knn {(batch, m, n, k)} {kind} {dtype}"
            same(what, lambda a, b, k=k: ops.knn(a, b, k), *clouds)
            if kind != "non-finite":
                same_gradient(what, lambda a, b, k=k: ops.knn(a, b, k)[:1], *clouds)
            calls += 1
        for batch, m, n, radius, k in BALLS:
            clouds = cloud(0, batch, m, kind, dtype), cloud(1, batch, n, kind, dtype)
            what = f"ball_query {(batch, m, n, radius, k)} {kind} {dtype}"
            same(what, lambda a, b, r=radius, k=k: ops.ball_query(a, b, r, k), *clouds)
            calls += 1
        for batch, m, n in CHAMFER:
            clouds = cloud(0, batch, m, kind, dtype), cloud(1, batch, n, kind, dtype)
            what = f"chamfer {(batch, m, n)} {kind} {dtype}"
            same(what, ops.chamfer, *clouds)
            if kind != "non-finite":
                same_gradient(what, lambda a, b: ops.chamfer(a, b)[:2], *clouds)
            calls += 1
        for batch, n, m in FPS:
            chosen = np.random.default_rng(0).integers(0, n, (batch, 3))

            def pick(points, chosen, m=m):
                idx = ops.farthest_points(points, m, chosen=chosen)
                return idx, ops.gather(points, idx)

            what = f"farthest_points {(batch, n, m)} {kind} {dtype}"
            same(what, pick, cloud(0, batch, n, kind, dtype), chosen)
            calls += 1
        calls += check_renderers(ops, same, same_gradient, kind, dtype)
    return calls
