"""The index of saved samples: which points of the test clouds they are, checked or searched for."""

from pathlib import Path

import numpy as np

from samplenet.data.clouds import Clouds
from samplenet.errors import InputError


def gather(points: np.ndarray, idx: np.ndarray) -> np.ndarray:
    """Pick the points idx (n, m) of clouds (n, N, 3): (n, m, 3)."""
    return np.take_along_axis(points, np.asarray(idx, np.int64)[..., None], 1)


def check(folder: Path, points: np.ndarray, idx: np.ndarray, test: Clouds) -> np.ndarray:
    """Return idx (n, m) as int32; InputError unless it picks `points` (n, m, 3) from `test`.

    Each loop below raises at the first fault, and is empty if there is none.
    """
    if idx.shape != points.shape[:2] or idx.dtype.kind not in "iu":
        raise InputError(
            f"{folder}: the index must be whole numbers of shape {points.shape[:2]}, one for each "
            f"point, got {idx.dtype} of shape {idx.shape}; correct it or leave it out"
        )
    n = test.points.shape[1]
    for i, j in np.argwhere((idx < 0) | (idx >= n)):
        raise InputError(
            f"{folder}, {test.describe(i)}: the index must be in [0, {n}), got {idx[i, j]}; "
            "count from 0"
        )
    ranked = np.sort(idx, 1)
    for i, j in np.argwhere(ranked[:, 1:] == ranked[:, :-1]):
        raise InputError(
            f"{folder}, {test.describe(i)}: the index holds {ranked[i, j]} twice; pick a point once"
        )
    for i, j in np.argwhere((gather(test.points, idx) != points).any(2)):
        raise InputError(
            f"{folder}, {test.describe(i)}: point {j} is not point {idx[i, j]} of the test cloud, "
            "as its index says; write points as they are in the test set, or leave the index out"
        )
    return idx.astype(np.int32)


def search(points: np.ndarray, clouds: np.ndarray) -> np.ndarray:
    """Find each sample (n, m, 3) in its cloud (n, N, 3) by equal coordinates.

    Returns:
        (n, m) int32, no point of a cloud twice; a row of -1 for a sample that is no subset.
    """
    idx = np.full(points.shape[:2], -1, np.int32)
    # a point's 12 bytes as one value, so that a dictionary finds it; + 0 turns -0 into 0
    points = np.ascontiguousarray(points + 0).view("V12")[..., 0]
    clouds = np.ascontiguousarray(clouds + 0).view("V12")[..., 0]
    for row, sample, cloud in zip(idx, points, clouds, strict=True):
        numbers: dict[bytes, list[int]] = {}  # several numbers if points of the cloud are equal
        for k, point in enumerate(cloud.tolist()):
            numbers.setdefault(point, []).append(k)
        picked = []
        for point in sample.tolist():
            equal = numbers.get(point)
            picked.append(equal.pop(0) if equal else -1)  # popped, as no point is picked twice
        if min(picked) >= 0:
            row[:] = picked
    return idx
