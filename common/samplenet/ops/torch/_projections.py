"""Points drawn on images: silhouettes (CAPNet), features by a soft z-buffer (DIFFER)."""

import torch
from torch import Tensor

from samplenet.ops.projections import (
    FAR,
    LEAK,
    OFFSET,
    TINY,
    Projected,
    check_points,
    check_positive,
    first_centre,
    widest_well,
)
from samplenet.ops.torch.build import serves_natively
from samplenet.ops.torch.checks import check_clouds, dtype_names, on_one_device


def project_mask(
    points, height: int, width: int, variance=0.5, before_tanh=False, as_released=False
) -> Tensor:
    """Draw the silhouettes of clouds, (B, N, 3) -> (B, H, W): tanh of a sum of Gaussians.

    `samplenet.ops.reference` has the definition. Differentiable in u and v. Framework operations
    hold the Gaussians of rows and columns, (B, N, H) and (B, N, W), and multiply them.

    Args:
        points: (B, N, 3): row u, column v, both in pixels; depth > 0, in front of the camera.
        height, width: of the image, H and W.
        variance: of the Gaussians, in square pixels.
        before_tanh: return the sums.
        as_released: the centres of pixels are whole numbers, not 0.5, 1.5, ...
    """
    (points,) = _tensors("project_mask", height, width, points=points)
    check_positive("project_mask", variance=variance)
    if serves_natively(points):
        sums = torch.ops.samplenet.project_sums(points, height, width, float(variance), as_released)
    else:
        with torch.autocast(points.device.type, enabled=False):
            sums = _sums(points, height, width, variance, first_centre(as_released))
    return sums if before_tanh else torch.tanh(sums)


def project_features(
    points, features, height: int, width: int, radius=1.0, beta=100.0, as_released=False
) -> Projected:
    """Draw features of points behind one another, by a soft z-buffer in a square well.

    `samplenet.ops.reference` has the definition. Differentiable in depths and features; as
    published, no gradient reaches u and v. Framework operations hold the features of each point
    once for each of the (2 radius + 1)^2 pixels that it touches at most.

    Args:
        points: (B, N, 3): row u, column v, both in pixels; depth > 0, in front of the camera.
        features: (B, N, C).
        height, width: of the image, H and W.
        radius: of the well around a pixel's centre, in pixels.
        beta: how much the nearer point counts.
        as_released: the released code's centres of pixels, largest depth and sum of weights.
    """
    op = "project_features"
    points, features = _tensors(op, height, width, points=points, features=features)
    check_positive(op, radius=radius, beta=beta)
    options = height, width, float(radius), float(beta), as_released
    if serves_natively(points):
        return Projected(*torch.ops.samplenet.project_features(points, features, *options))
    return _draw(points, features, *options)


def _tensors(op: str, height, width, **tensors) -> list[Tensor]:
    """Check points and features; return them in the dtype that the op computes in."""
    tensors = on_one_device(op, **tensors)
    dtypes = dtype_names(**tensors)
    check_points(op, dtypes, height, width, **{n: tuple(t.shape) for n, t in tensors.items()})
    (points,) = check_clouds(op, points=tensors.pop("points"))
    return [points, *(t.to(points.dtype) for t in tensors.values())]


def _centres(size: int, first: float, like: Tensor) -> Tensor:
    return torch.arange(size, dtype=like.dtype, device=like.device) + first


def _seen(points: Tensor) -> Tensor:
    """Return which points are in front of the camera, and finite: (B, N)."""
    return points.isfinite().all(-1) & (points[..., 2] > 0)


def _sums(points: Tensor, height: int, width: int, variance: float, first: float) -> Tensor:
    seen = _seen(points)

    def gaussians(axis, size):
        # where() before and after: a coordinate that is not finite must not reach the gradient
        at = torch.where(seen, points[..., axis], 0)[..., None]
        values = torch.exp((at - _centres(size, first, points)).square() / (-2 * variance))
        return torch.where(seen[..., None], values, 0)  # (B, N, size)

    return gaussians(0, height).transpose(1, 2) @ gaussians(1, width)


def _draw(points, features, height, width, radius, beta, as_released) -> Projected:
    seen = _seen(points) & features.isfinite().all(-1)  # (B, N)
    depth = torch.where(seen, points[..., 2], 1) + OFFSET
    features = torch.where(seen[..., None], features, 0)
    if as_released:
        seen = seen & (depth < FAR)
    pixel = _pixels(points.detach(), seen, height, width, radius, first_centre(as_released))
    batch, count, reach = pixel.shape
    pixel, size = pixel.flatten(1), height * width  # (B, N K)

    def gather(image):
        return image.gather(1, pixel)

    def add(values):
        return values.new_zeros((batch, size + 1)).scatter_add(1, pixel, values)

    scores = (beta / (depth + TINY))[..., None].expand(-1, -1, reach).flatten(1)
    nearest = scores.new_zeros((batch, size + 1))
    nearest.scatter_reduce_(1, pixel, scores.detach(), "amax")  # above 0
    parts = torch.exp(scores - gather(nearest))
    total = add(parts)
    points_in = add(torch.ones_like(parts).detach())
    if as_released:
        # above 0 only where no point is, and there it could be infinite
        exponent = (beta / (FAR + TINY) - nearest).clamp(max=0)
        others = (count - points_in) * torch.exp(exponent)
        total = total + LEAK * (total + others)
    weights = parts / gather(total)
    spread = weights[..., None] * features.repeat_interleave(reach, 1)  # (B, N K, C)
    where = pixel[..., None].expand(-1, -1, spread.shape[2])
    images = spread.new_zeros((batch, size + 1, spread.shape[2])).scatter_add(1, where, spread)
    images = images[:, :size].unflatten(1, (height, width))
    coverage = (points_in[:, :size] > 0).to(points.dtype).unflatten(1, (height, width))
    return Projected(images, coverage)


def _pixels(points, seen, height, width, radius, first) -> Tensor:
    """Return the pixels whose wells hold each point, filled up with H W: (B, N, K)."""

    def window(axis, size):
        inside = (points[..., axis, None] - _centres(size, first, points)).abs() <= radius
        steps = torch.arange(widest_well(radius, size), device=points.device)
        at = inside.to(torch.uint8).argmax(-1, keepdim=True) + steps  # they follow one another
        return at, steps < inside.sum(-1, keepdim=True)

    (row, above), (column, left) = window(0, height), window(1, width)
    pixel = row[..., :, None] * width + column[..., None, :]
    hit = above[..., :, None] & left[..., None, :] & seen[..., None, None]
    return torch.where(hit, pixel, height * width).flatten(2)
