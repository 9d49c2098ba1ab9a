"""A differentiable renderer of clouds: trilinear splatting, smoothing, ray termination."""

from itertools import product

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from samplenet.ops.torch.build import serves_natively
from samplenet.ops.torch.checks import check_clouds, dtype_names
from samplenet.ops.voxels import SMALLEST_SIGMA, TINY, Rendered, Voxels, check_voxels

MAX_CELLS = 1 << 21  # voxels that framework operations hold at once: 8 MB a grid in float32


def render_voxels(points, sigma, scale=None, colours=None, **options) -> Rendered:
    """Draw clouds through a grid of occupancies, differentiably; docs/ops.md says how.

    The native op draws one cloud after the other on each thread, in memory that does not grow with
    B; framework operations draw `MAX_CELLS` voxels at a time, and again in the backward pass.
    Differentiable in points, sigma, scale and colours.

    Args:
        points: (B, N, 3) in the box [-0.5, 0.5] as the camera sees them: depth, up, right.
        sigma: of the Gaussian in voxels, a number or (B,).
        scale: factor of the smoothed occupancies, a number or (B,); None: 1.
        colours: (B, N, C) in [0, 1].
        **options: of `samplenet.ops.Voxels`.

    Raises:
        InputError: names the argument and its value.
    """
    grid = Voxels(**options)
    points = points if isinstance(points, Tensor) else torch.as_tensor(points)
    arrays = {"points": points, "sigma": sigma, "scale": 1.0 if scale is None else scale}
    arrays |= {} if colours is None else {"colours": colours}
    for name, array in arrays.items():
        if not isinstance(array, Tensor):
            arrays[name] = torch.as_tensor(array, dtype=points.dtype, device=points.device)
    check_voxels(dtype_names(**arrays), **{name: tuple(a.shape) for name, a in arrays.items()})
    (points,) = check_clouds("render_voxels", points=points)
    batch, dtype = points.shape[0], points.dtype
    sigma, scale = (arrays[name].to(dtype).expand(batch) for name in ("sigma", "scale"))
    tint = points.new_zeros((*points.shape[:2], 0)) if colours is None else colours.to(dtype)
    if serves_natively(points):
        options = grid.native.values()
        images = torch.ops.samplenet.render_voxels(points, sigma, scale, tint, *options)
    else:
        with torch.autocast(points.device.type, enabled=False):
            images = _in_parts(points, sigma, scale, tint, grid)
    return grid.rendered(images, colours is not None)


def _in_parts(points, sigma, scale, colours, grid: Voxels) -> tuple[Tensor, ...]:
    """Draw some clouds at a time; only the inputs are kept for the backward pass."""
    at_once = max(1, MAX_CELLS // grid.cells)
    if len(points) <= at_once:
        return _render(points, sigma, scale, colours, grid)
    parts = zip(*(a.split(at_once) for a in (points, sigma, scale, colours)), strict=True)
    options = {"use_reentrant": False, "preserve_rng_state": False}
    images = [checkpoint(_render, *part, grid, **options) for part in parts]
    return tuple(torch.cat(some) for some in zip(*images, strict=True))


def _render(points, sigma, scale, colours, grid: Voxels) -> tuple[Tensor, ...]:
    """Draw clouds: the images of `Rendered`, an empty one where one is not asked for."""
    raw, tint = _splat(points, colours, grid)  # (B, 1, Z, D, D), (B, C, Z, D, D)
    occupancy = _smooth(raw.clamp(0, 1), sigma, grid)[:, 0] * scale[:, None, None, None]
    occupancy = occupancy.clamp(0, 1).flip(2)  # (B, Z, D, D), row 0 at the top
    if grid.max_projection:
        # not amax, which shares the gradient among equal ones
        silhouette = occupancy.max(1).values
        return silhouette, silhouette[:0], silhouette[:0], silhouette[:0]
    probabilities = _terminate(occupancy, grid)
    inside, beyond = probabilities[:, :-1], probabilities[:, -1]
    slices = torch.arange(grid.size_z, dtype=raw.dtype, device=raw.device)
    depth = torch.einsum("bzyx,z->byx", inside, grid.depth(slices)) + beyond * grid.max_depth
    tint = _smooth_colours(tint, raw, sigma, grid).flip(3)
    colour = torch.einsum("bzyx,bczyx->byxc", inside, tint) + beyond[..., None]  # on white
    return inside.sum(1), depth, colour, probabilities if grid.probabilities else depth[:0]


def _splat(points: Tensor, colours: Tensor, grid: Voxels) -> tuple[Tensor, Tensor]:
    """Add points to the eight voxels around them, trilinearly."""
    usable = (points.abs() <= 0.5).all(-1) & colours.isfinite().all(-1)  # (B, N)
    points, colours = (torch.where(usable[..., None], a, 0) for a in (points, colours))
    axes = []
    for coordinate, size in zip(points.unbind(-1), grid.shape, strict=True):
        at = (coordinate + 0.5) * size - 0.5  # voxel i reaches from i - 0.5 to i + 0.5
        at = (coordinate + 0.5) * (size - 1) if grid.as_released else at
        low = at.detach().floor()
        pairs = (low, 1 - (at - low)), (low + 1, at - low)
        axes.append([_inside(cell, share, size) for cell, share in pairs])
    cells, weights = [], []
    for (z, a), (y, b), (x, c) in product(*axes):
        cells.append((z * grid.size + y) * grid.size + x)
        weights.append(torch.where(usable, a * b * c, 0))
    cells, weights = (torch.cat(a, 1)[:, None] for a in (cells, weights))  # (B, 1, 8 N)
    raw = points.new_zeros((len(points), 1, grid.cells)).scatter_add(2, cells, weights)
    if not grid.colours_move_points:
        weights = weights.detach()
    channels = colours.transpose(1, 2)  # (B, C, N)
    tint = points.new_zeros((*channels.shape[:2], grid.cells)).scatter_add(
        2, cells.expand(-1, channels.shape[1], -1), weights * channels.repeat(1, 1, 8)
    )
    return raw.unflatten(2, grid.shape), tint.unflatten(2, grid.shape)


def _inside(cell: Tensor, share: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the index of a voxel along an axis, and no share of one outside the grid."""
    inside = (cell >= 0) & (cell < size)
    return cell.clamp(0, size - 1).long(), torch.where(inside, share, 0)


def _gaussian(size: int, taps: int, sigma: Tensor) -> Tensor:
    """Return the matrices (B, size, size) that smooth an axis."""
    sigma = sigma.clamp(min=SMALLEST_SIGMA)[:, None, None]

    def weigh(t):
        return torch.where(t.abs() <= taps // 2, torch.exp(-0.5 * (t / sigma).square()), 0)

    at = torch.arange(max(size, taps), dtype=sigma.dtype, device=sigma.device)
    total = weigh(at[:taps] - taps // 2).sum(-1, keepdim=True)
    return weigh(at[:size, None] - at[:size]) / total


def _smooth(values: Tensor, sigma: Tensor, grid: Voxels) -> Tensor:
    """Smooth (B, C, Z, D, D) along its last three axes."""
    plane = _gaussian(grid.size, grid.kernel_size, sigma)[:, None, None]
    along_ray = _gaussian(grid.size_z, grid.kernel_size_z, sigma * grid.stretch)[:, None]
    values = plane @ values @ plane  # symmetric
    return (along_ray @ values.flatten(3)).unflatten(3, values.shape[3:])


def _smooth_colours(tint: Tensor, raw: Tensor, sigma: Tensor, grid: Voxels) -> Tensor:
    tint = _smooth(tint.clamp(0, 1) if grid.clip_colours == "before" else tint, sigma, grid)
    if grid.divide_colours:
        tint = tint / (_smooth(raw.detach(), sigma.detach(), grid) + 0.01)
    return tint.clamp(0, 1) if grid.clip_colours == "after" else tint


def _terminate(occupancy: Tensor, grid: Voxels) -> Tensor:
    """Return the probabilities (B, Z + 1, D, D) that a ray ends in a slice, or behind them all."""
    if grid.as_released:
        occupancy = occupancy.clamp(TINY, 1 - TINY)
    one = torch.ones_like(occupancy[:, :1])
    passed, reach = torch.cat([one, 1 - occupancy], 1), 1
    while reach <= grid.size_z:  # the products of all before, by doubling; no division by 0
        passed = torch.cat([passed[:, :reach], passed[:, reach:] * passed[:, :-reach]], 1)
        reach *= 2
    first, inner, last = (torch.cat([occupancy, one], 1) * passed).split([1, grid.size_z - 1, 1], 1)
    return torch.cat([first * grid.end_factor, inner, last * grid.end_factor], 1)
