"""NumPy's `project_mask` and `project_features`: the specification of the other backends."""

import numpy as np

from samplenet.errors import InputError
from samplenet.ops import contract
from samplenet.ops.projections import (
    FAR,
    LEAK,
    OFFSET,
    TINY,
    Projected,
    check_points,
    check_positive,
    first_centre,
)


def project_mask(
    points, height: int, width: int, variance=0.5, before_tanh=False, as_released=False
) -> np.ndarray:
    """Draw the silhouettes of clouds (CAPNet, Navaneet et al. 2019): (B, N, 3) -> (B, H, W).

    Each point adds exp(-((u - i)^2 + (v - j)^2) / (2 variance)) to the pixel in row i, column j;
    the mask is tanh of the sums. Depths do not matter, but a point that is behind the camera
    (depth <= 0) or not finite adds nothing and gets no gradient.

    Args:
        points: (B, N, 3): row u, column v, both in pixels; depth.
        height, width: of the image, H and W.
        variance: of the Gaussian in square pixels, without a normalising factor.
        before_tanh: return the sums, from which losses are stable (`mask_cross_entropy`).
        as_released: pixels have their centres at whole numbers, from 0 on. This is half a pixel
            off the released cameras, whose images reach from 0 to H and W with the centres at 0.5,
            1.5, ..., as here by default.
    """
    (points,) = _arrays("project_mask", height, width, points=points)
    check_positive("project_mask", variance=variance)
    sums = np.zeros((len(points), height, width), points.dtype)
    for cloud, image in zip(points, sums, strict=True):
        u, v, _ = cloud[_seen(cloud)].T
        down, right = _offsets(u, v, height, width, as_released)
        with np.errstate(over="ignore", under="ignore"):  # far points
            image[:] = np.exp(-(down**2 + right**2) / (2 * points.dtype.type(variance))).sum(0)
    return sums if before_tanh else np.tanh(sums)


def project_features(
    points, features, height: int, width: int, radius=1.0, beta=100.0, as_released=False
) -> Projected:
    """Draw features of points behind one another (DIFFER, Navaneet et al. 2019).

    A pixel shows the mean of the points in the square well around its centre, |u - i| <= radius
    and |v - j| <= radius, weighted by exp(beta / (depth + 1 + 1e-5)) over the sum of these: a soft
    z-buffer. Gradients reach depths and features. As published, none reach u and v, since a well
    has steep walls: silhouettes move the points across the image, features only along the ray.

    A point that is behind the camera (depth <= 0), or has a coordinate or feature that is not
    finite, is not drawn and gets no gradient.

    Args:
        points: (B, N, 3): row u, column v, both in pixels; depth.
        features: (B, N, C), such as colours, or the shares of a point in each part. The label map
            of the paper has one channel more, in front: 1 - coverage.
        height, width: of the image, H and W.
        radius: of the well in pixels.
        beta: how much the nearer point counts.
        as_released: as in the released code, pixels have their centres at whole numbers (see
            `project_mask`), a point of depth 9 or more is not drawn, and the sum of the weights
            leaks: all other points count in it with exp(beta / (10 + 1e-5)), times 1e-8.
    """
    op = "project_features"
    points, features = _arrays(op, height, width, points=points, features=features)
    check_positive(op, radius=radius, beta=beta)
    images = np.zeros((len(points), height, width, features.shape[2]), points.dtype)
    coverage = np.zeros((len(points), height, width), points.dtype)
    for cloud, colours, image, covered in zip(points, features, images, coverage, strict=True):
        seen = _seen(cloud) & np.isfinite(colours).all(-1)
        weights = _weights(cloud[seen], len(cloud), height, width, radius, beta, as_released)
        image[:] = np.tensordot(weights, colours[seen], (0, 0))
        covered[:] = weights.any(0)
    return Projected(images, coverage)


def _weights(cloud, count: int, height, width, radius, beta, as_released) -> np.ndarray:
    """Return the shares of points (N, 3), of a cloud of `count`, in each pixel: (N, H, W)."""
    u, v, depth = cloud.T
    down, right = _offsets(u, v, height, width, as_released)
    radius = cloud.dtype.type(radius)
    inside = (np.abs(down) <= radius) & (np.abs(right) <= radius)  # (N, H, W)
    if as_released:
        inside &= (depth + cloud.dtype.type(OFFSET) < FAR)[:, None, None]
    scores = beta / (depth.astype(np.float64) + OFFSET + TINY)
    scores = np.where(inside, scores[:, None, None], -np.inf)
    nearest = np.maximum(scores.max(0, initial=-np.inf), 0)  # no point: anything finite
    parts = np.exp(scores - nearest)
    total = parts.sum(0)
    if as_released:
        others = (count - inside.sum(0)) * np.exp(beta / (FAR + TINY) - nearest)
        total += LEAK * (total + others)
    return np.divide(parts, total, out=np.zeros_like(parts), where=inside)


def _offsets(u, v, height, width, as_released) -> tuple[np.ndarray, np.ndarray]:
    """Return how far points lie below and to the right of pixels: (N, H, 1), (N, 1, W)."""
    first = u.dtype.type(first_centre(as_released))
    rows, columns = (np.arange(size, dtype=u.dtype) + first for size in (height, width))
    return u[:, None, None] - rows[:, None], v[:, None, None] - columns


def _seen(points: np.ndarray) -> np.ndarray:
    """Return which points are in front of the camera, and finite."""
    return np.isfinite(points).all(-1) & (points[..., 2] > 0)


def _arrays(op: str, height, width, **arrays) -> list[np.ndarray]:
    """Check points and features; return them in the dtype that the op computes in."""
    arrays = {name: np.asarray(a) for name, a in arrays.items()}
    dtypes = {name: a.dtype.name for name, a in arrays.items()}
    check_points(op, dtypes, height, width, **{name: a.shape for name, a in arrays.items()})
    if contract.checking() and not np.isfinite(arrays["points"].astype(np.float64)).all():
        raise InputError(contract.non_finite(op, "points"))
    dtype = np.float64 if dtypes["points"] == "float64" else np.float32
    return [a.astype(dtype, copy=False) for a in arrays.values()]
