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
CHAMFER = [  # (B, M, N)
    (32, 1024, 1024), (50, 2048, 2048), (3, 1, 1), (2, 1, 5000), (1, 777, 3), (70_000, 2, 3),
    (1, 30_000, 20_000),
]  # fmt: skip
FPS = [  # (B, N, m)
    (32, 1024, 512), (8, 2048, 64), (2, 5000, 5000), (1, 100_000, 300), (3, 1, 1), (70_000, 5, 3),
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


def check(ops, same: Callable, same_gradient: Callable) -> int:
    """Compare every op of the module `ops` for all sizes and kinds of clouds; return the calls.

    Args:
        same: `same(what, function, *arrays)` compares the outputs of `function(*arrays)` on both
            devices.
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
    return calls
