"""NumPy ops: slow, obvious, and the specification that the other backends are tested against."""

import math

import numpy as np

from samplenet.errors import InputError
from samplenet.ops import contract
from samplenet.ops.contract import Chamfer
from samplenet.ops.reference_mask_losses import mask_affinity as mask_affinity
from samplenet.ops.reference_mask_losses import mask_cross_entropy as mask_cross_entropy
from samplenet.ops.reference_projections import project_features as project_features
from samplenet.ops.reference_projections import project_mask as project_mask
from samplenet.ops.reference_rendering import render_voxels as render_voxels


def _clouds(op: str, **arrays) -> list[np.ndarray]:
    """Check the named clouds; return them in the dtype that the op computes in."""
    arrays = {name: np.asarray(a) for name, a in arrays.items()}
    dtypes = {name: a.dtype.name for name, a in arrays.items()}
    contract.check_clouds(op, dtypes, **{name: a.shape for name, a in arrays.items()})
    if contract.checking():
        for name, a in arrays.items():
            if not np.isfinite(a.astype(np.float64)).all():
                raise InputError(contract.non_finite(op, name))
    dtype = np.float64 if "float64" in dtypes.values() else np.float32
    return [a.astype(dtype, copy=False) for a in arrays.values()]


def _indices(op: str, name: str, idx, batch: int, n: int, rank: int | None = None) -> np.ndarray:
    idx = np.asarray(idx)
    contract.check_index(op, name, idx.shape, idx.dtype.name, batch, rank)
    if idx.size and not (idx.min() >= 0 and idx.max() < n):
        raise InputError(contract.out_of_range(op, name, idx.min(), idx.max(), n))
    return idx


def distances(queries: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return squared distances, (..., M, 3), (..., N, 3) -> (..., M, N); NaN counts as infinite."""
    with np.errstate(all="ignore"):
        delta = queries[..., :, None, :] - points[..., None, :, :]
        square = delta * delta
        # no sum(-1): the contract fixes the order of the additions, and with it the last bit
        dist2 = (square[..., 0] + square[..., 1]) + square[..., 2]
    return np.where(np.isnan(dist2), np.array(np.inf, dist2.dtype), dist2)


def knn(queries, points, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the k nearest points of each query.

    Args:
        queries: (B, M, 3).
        points: (B, N, 3), 1 <= k <= N.

    Returns:
        dist2 (B, M, k) squared and idx (B, M, k) int32: nearest first, equal distances lowest
        index first.
    """
    queries, points = _clouds("knn", queries=queries, points=points)
    contract.check_not_empty("knn", "points", points.shape[1])
    k = contract.check_count("knn", "k", k, points.shape[1])
    dist2 = distances(queries, points)
    idx = np.argsort(dist2, axis=-1, kind="stable")[..., :k]  # stable: ties keep index order
    return np.take_along_axis(dist2, idx, -1), idx.astype(np.int32)


def ball_query(queries, points, radius: float, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the points nearer than the radius to each query: the k of lowest index.

    Args:
        queries: (B, M, 3).
        points: (B, N, 3), N >= 1.
        radius: 1.2e-38 to 3.4e38. A point is in the ball if its squared distance is below
            radius * radius, which is rounded as the clouds are; one at the radius is not.
        k: at least 1, also more than N.

    Returns:
        idx (B, M, k) int32 and count (B, M) int32: the first `count` indices of a row ascend, the
        others repeat the first of them, or are 0 where no point is in the ball (count 0).
    """
    queries, points = _clouds("ball_query", queries=queries, points=points)
    contract.check_not_empty("ball_query", "points", points.shape[1])
    radius = points.dtype.type(contract.check_radius("ball_query", radius))
    k = contract.check_count("ball_query", "k", k, math.inf)
    idx = np.zeros((*queries.shape[:2], k), np.int32)
    count = np.zeros(queries.shape[:2], np.int32)
    with np.errstate(over="ignore", under="ignore"):
        within = distances(queries, points) < radius * radius
    for row in np.ndindex(count.shape):
        (found,) = np.nonzero(within[row])
        if len(found):
            count[row] = min(len(found), k)
            idx[row] = found[0]
            idx[row][: count[row]] = found[:k]
    return idx, count


def chamfer(a, b) -> Chamfer:
    """Return squared nearest-neighbour distances of a (B, M, 3) and b (B, N, 3), both ways."""
    a, b = _clouds("chamfer", a=a, b=b)
    contract.check_not_empty("chamfer", "a", a.shape[1])
    contract.check_not_empty("chamfer", "b", b.shape[1])
    a2b, idx_ab = knn(a, b, 1)
    b2a, idx_ba = knn(b, a, 1)
    return Chamfer(a2b[..., 0], b2a[..., 0], idx_ab[..., 0], idx_ba[..., 0])


def farthest_points(points, m: int, start=0, chosen=None) -> np.ndarray:
    """Sample farthest points: points (B, N, 3) -> m distinct indices (B, m) int32, as picked.

    Args:
        start: first index, a scalar for all clouds or (B,).
        chosen: (B, S) indices to keep, in order and without repeats; of more than m, the first m.
            The rest are picked farthest-first from them, and `start` is ignored. With the nearest
            neighbours of Q this is SampleNet's inference matching. Differs from the released code,
            which repeats an index when every remaining distance is 0: here the lowest unchosen
            index follows.
    """
    op = "farthest_points"
    (points,) = _clouds(op, points=points)
    batch, n = points.shape[:2]
    contract.check_not_empty(op, "points", n)
    m = contract.check_count(op, "m", m, n)
    if chosen is None:
        start = np.asarray(start)
        start = np.full(batch, start) if start.ndim == 0 else start
        chosen = _indices(op, "start", start, batch, n, 1)[:, None]
    else:
        chosen = _indices(op, "chosen", chosen, batch, n, 2)
        contract.check_some_chosen(op, chosen.shape)
    out = np.zeros((batch, m), np.int32)
    for cloud, keep, row in zip(points, chosen, out, strict=True):
        keep = list(dict.fromkeys(keep.tolist()))[:m]  # without repeats, in order
        # Squared distance to the nearest picked point. -1 marks a picked point: it is below the 0
        # of a point that coincides with one, so no index is picked twice.
        nearest = np.full(n, np.inf, cloud.dtype)
        for i in range(m):
            pick = keep[i] if i < len(keep) else int(np.argmax(nearest))
            row[i] = pick
            nearest = np.minimum(nearest, distances(cloud[pick][None], cloud)[0])
            nearest[pick] = -1
    return out


def gather(points, idx) -> np.ndarray:
    """Return rows of each cloud: points (B, N, C), idx (B, ...) -> (B, ..., C)."""
    points = np.asarray(points)
    if points.ndim != 3:
        raise InputError(f"gather: points must have shape (B, N, C), got {points.shape}")
    idx = _indices("gather", "idx", idx, points.shape[0], points.shape[1])
    # idx picks the rows of its own cloud: (B, 1, ...) broadcasts against it
    batch = np.arange(points.shape[0]).reshape((-1,) + (1,) * (idx.ndim - 1))
    return points[batch, idx]


def pooled_linear(features, weight) -> tuple[np.ndarray, np.ndarray]:
    """Pool a linear layer over the points: (B, N, C), (C, F) -> values (B, F), idx (B, F) int32.

    `values` is the maximum over n of features @ weight, NaN if a product is NaN; `idx` is the
    lowest n that has it. N >= 1.
    """
    arrays = {"features": np.asarray(features), "weight": np.asarray(weight)}
    dtypes = {name: array.dtype.name for name, array in arrays.items()}
    contract.check_layer("pooled_linear", dtypes, *(array.shape for array in arrays.values()))
    dtype = np.float64 if dtypes["features"] == "float64" else np.float32
    products = arrays["features"].astype(dtype) @ arrays["weight"].astype(dtype)  # (B, N, F)
    return products.max(1), products.argmax(1).astype(np.int32)


def batch_norm_relu(features, scale, shift, epsilon) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalise features (R, C) by the batch's statistics, scale (C,), shift (C,), and cut at 0.

    Returns out (R, C), and the mean and the variance (C,), not corrected for bias.
    """
    arrays = {"features": features, "scale": scale, "shift": shift}
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    dtypes = {name: array.dtype.name for name, array in arrays.items()}
    contract.check_norm("batch_norm_relu", dtypes, *(array.shape for array in arrays.values()))
    dtype = np.float64 if dtypes["features"] == "float64" else np.float32
    features, scale, shift = (array.astype(dtype) for array in arrays.values())
    mean, variance = features.mean(0), features.var(0)
    normalised = (features - mean) / np.sqrt(variance + dtype(epsilon))
    return np.maximum(normalised * scale + shift, 0), mean, variance
