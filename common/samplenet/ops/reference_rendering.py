"""NumPy's `render_voxels`: slow, obvious, and the specification of the other backends."""

from itertools import product

import numpy as np

from samplenet.errors import InputError
from samplenet.ops import contract
from samplenet.ops.voxels import SMALLEST_SIGMA, TINY, Rendered, Voxels, check_voxels


def render_voxels(points, sigma, scale=None, colours=None, **options) -> Rendered:
    """Draw clouds through a grid of occupancies (Insafutdinov and Dosovitskiy, NeurIPS 2018).

    Each point adds 1 to the eight voxels around it, trilinearly; the sums are clipped at 1,
    smoothed by a Gaussian, multiplied by `scale` and clipped again. A ray ends in a voxel with the
    probability of its occupancy, once it has passed those before it.

    A point outside the box, |coordinate| > 0.5, or with a coordinate or colour that is not finite,
    adds nothing and gets no gradient. Gradients pass a clip at its ends and not beyond them. Where
    sigma or scale is NaN, so are all images of the cloud.

    Args:
        points: (B, N, 3) as the camera sees them: depth, away from it; up; right. The box is
            [-0.5, 0.5] in each.
        sigma: of the Gaussian in voxels, a number or (B,). Less than 0.001 counts as that.
        scale: factor of the smoothed occupancies, a number or (B,); None: 1.
        colours: (B, N, C) in [0, 1].
        **options: of `samplenet.ops.Voxels`.

    Raises:
        InputError: names the argument and its value.
    """
    grid = Voxels(**options)
    arrays = {"points": points, "sigma": sigma, "scale": 1 if scale is None else scale}
    arrays |= {} if colours is None else {"colours": colours}
    points = np.asarray(points)
    # numbers take the dtype of the points
    arrays = {n: np.asarray(a, None if np.ndim(a) else points.dtype) for n, a in arrays.items()}
    dtypes = {name: array.dtype.name for name, array in arrays.items()}
    check_voxels(dtypes, **{name: array.shape for name, array in arrays.items()})
    if contract.checking() and not np.isfinite(points.astype(np.float64)).all():
        raise InputError(contract.non_finite("render_voxels", "points"))
    dtype = np.float64 if points.dtype == np.float64 else np.float32
    batch, count = points.shape[:2]
    tint = arrays.get("colours", np.zeros((batch, count, 0))).astype(dtype)
    sigma, scale = (np.broadcast_to(arrays[n].astype(dtype), batch) for n in ("sigma", "scale"))
    images = {
        "silhouette": np.zeros((batch, *grid.shape[1:]), dtype),
        "depth": np.zeros((batch, *grid.shape[1:]), dtype),
        "colour": np.zeros((batch, *grid.shape[1:], tint.shape[2]), dtype),
        "probabilities": np.zeros((batch, grid.size_z + 1, *grid.shape[1:]), dtype),
    }
    for b in range(batch):
        drawn = _render(points[b].astype(dtype), sigma[b], scale[b], tint[b], grid)
        for image, one in zip(images.values(), drawn, strict=True):
            image[b] = one
    return grid.rendered(images.values(), colours is not None)


def gaussian(taps: int, sigma) -> np.ndarray:
    """Return the taps of a Gaussian that add up to 1; `taps` is odd."""
    t = np.arange(taps) - taps // 2
    weights = np.exp(-0.5 * np.square(t / np.maximum(sigma, SMALLEST_SIGMA)))
    return weights / weights.sum()


def splat(points: np.ndarray, colours: np.ndarray, grid: Voxels) -> tuple[np.ndarray, np.ndarray]:
    """Add points (N, 3) and their colours (N, C) to the voxels: (Z, D, D) and (Z, D, D, C)."""
    occupancy = np.zeros(grid.shape, points.dtype)
    tint = np.zeros((*grid.shape, colours.shape[1]), points.dtype)
    sizes, half = np.array(grid.shape, points.dtype), points.dtype.type(0.5)
    for point, colour in zip(points, colours, strict=True):
        if not (np.abs(point) <= 0.5).all() or not np.isfinite(colour).all():
            continue
        at = (point + half) * sizes - half  # voxel i reaches from i - 0.5 to i + 0.5
        at = (point + half) * (sizes - 1) if grid.as_released else at
        low = np.floor(at)
        for corner in product((0, 1), repeat=3):
            cell = (low + corner).astype(int)
            if (cell >= 0).all() and (cell < grid.shape).all():
                weight = np.prod(np.where(corner, at - low, 1 - (at - low)))
                occupancy[tuple(cell)] += weight
                tint[tuple(cell)] += weight * colour
    return occupancy, tint


def smooth(values: np.ndarray, sigma, grid: Voxels) -> np.ndarray:
    """Smooth (Z, D, D, ...) along rows, columns and rays; outside the grid is nothing."""
    along_ray = gaussian(grid.kernel_size_z, sigma * grid.stretch)
    for axis, taps in enumerate((along_ray, *2 * [gaussian(grid.kernel_size, sigma)])):
        reach = len(taps) // 2
        padding = [(reach, reach) if a == axis else (0, 0) for a in range(values.ndim)]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, padding), len(taps), axis)
        values = windows @ taps.astype(values.dtype)
    return values


def terminate(occupancy: np.ndarray, grid: Voxels) -> np.ndarray:
    """Return the probabilities (Z + 1, D, D) that a ray ends in a slice, or behind them all."""
    if grid.as_released:  # in logarithms, where e stands in for log 1 = 0
        o = np.clip(occupancy, TINY, 1 - TINY)
        e = np.full_like(o[:1], TINY)
        ends, passed = np.concatenate([np.log(o), e]), np.cumsum(np.log(1 - o), 0)
        return np.exp(ends + np.concatenate([e, passed]))
    passed = np.cumprod(np.concatenate([np.ones_like(occupancy[:1]), 1 - occupancy]), 0)
    return np.concatenate([occupancy, np.ones_like(occupancy[:1])]) * passed


def _render(points, sigma, scale, colours, grid: Voxels) -> tuple:
    """Draw one cloud; return the images of `Rendered`."""
    raw, tint = splat(points, colours, grid)
    occupancy = np.clip(smooth(np.clip(raw, 0, 1), sigma, grid) * scale, 0, 1)
    if np.isnan(sigma) or np.isnan(scale):
        return (np.nan,) * 4
    if grid.max_projection:
        return occupancy.max(0)[::-1], 0, 0, 0
    tint = smooth(np.clip(tint, 0, 1) if grid.clip_colours == "before" else tint, sigma, grid)
    if grid.divide_colours:
        tint = tint / (smooth(raw, sigma, grid) + 0.01)[..., None]
    if grid.clip_colours == "after":
        tint = np.clip(tint, 0, 1)
    probabilities = terminate(occupancy, grid)[:, ::-1]  # row 0 is the top
    *inside, beyond = probabilities
    depth = sum(p * grid.depth(k) for k, p in enumerate(inside))
    colour = sum(p[..., None] * c for p, c in zip(inside, tint[:, ::-1], strict=True))
    return (
        sum(inside),
        depth + beyond * grid.max_depth,
        colour + beyond[..., None],
        probabilities,
    )
