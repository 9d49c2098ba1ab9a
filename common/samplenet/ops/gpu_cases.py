"""What the checks of the CUDA kernels try: sizes of calls, and clouds."""

import numpy as np
from numpy.typing import NDArray

KINDS = ("normal", "grid", "non-finite")
# (B, M, N, k): the sizes of the experiments, their edges, capacities of fast kernels, many clouds, large clouds
KNN = [
    (32, 64, 1024, 8), (50, 64, 2048, 16), (32, 1024, 1024, 16), (2, 1, 1, 1), (3, 5, 7, 7), (1, 33, 1025, 32),
    (1, 33, 1025, 33), (2, 65, 300, 300), (70_000, 2, 4, 2), (1, 20_000, 20_000, 16), (0, 4, 4, 2), (2, 0, 4, 2),
]  # fmt: skip
CHAMFER = [
    (32, 1024, 1024),
    (50, 2048, 2048),
    (3, 1, 1),
    (2, 1, 5000),
    (1, 777, 3),
    (70_000, 2, 3),
    (1, 30_000, 20_000),
]
FPS = [(32, 1024, 512), (8, 2048, 64), (2, 5000, 5000), (1, 100_000, 300), (3, 1, 1), (70_000, 5, 3)]


def cloud(seed: int, batch: int, n: int, kind: str = "normal", dtype: str = "float32") -> NDArray:
    """Random points (batch, n, 3): normal, on a coarse grid (ties), or with some that are not finite."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(batch, n, 3)).astype(dtype)
    if kind == "grid":
        points = points.round()
    elif kind == "non-finite":
        points[rng.random(points.shape) < 0.02] = np.nan
        points[rng.random(points.shape) < 0.02] = np.inf
    return points
