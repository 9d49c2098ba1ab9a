"""A differentiable renderer of clouds: trilinear splatting, smoothing, ray termination."""

from itertools import product

import tensorflow as tf

from samplenet.ops.tf.build import native_library, serves_renderers
from samplenet.ops.tf.checks import check_clouds
from samplenet.ops.voxels import SMALLEST_SIGMA, TINY, Rendered, Voxels, check_voxels

MAX_CELLS = 1 << 21  # voxels that framework operations hold at once: 8 MB a grid in float32


def render_voxels(points, sigma, scale=None, colours=None, **options) -> Rendered:
    """Draw clouds through a grid of occupancies, differentiably; docs/ops.md says how.

    The native op, of float32, draws one cloud after the other on each thread, in memory that does
    not grow with B; framework operations draw `MAX_CELLS` voxels at a time, and again in the
    backward pass. Differentiable in points, sigma, scale and colours.

    Args:
        points: (B, N, 3) in the box [-0.5, 0.5] as the camera sees them: depth, up, right.
        sigma: of the Gaussian in voxels, a number or (B,).
        scale: factor of the smoothed occupancies, a number or (B,); None: 1.
        colours: (B, N, C) in [0, 1].
        **options: of `samplenet.ops.Voxels`.

    Raises:
        InputError: names the argument and its value.
    """
    grid, points = Voxels(**options), tf.convert_to_tensor(points)
    arrays = {"points": points, "sigma": sigma, "scale": 1.0 if scale is None else scale}
    arrays |= {} if colours is None else {"colours": colours}
    for name, array in arrays.items():
        number = isinstance(array, (int, float)) and points.dtype.is_floating
        arrays[name] = tf.convert_to_tensor(array, points.dtype if number else None)
    (points,) = check_clouds("render_voxels", points=points)
    dtypes = {name: array.dtype.name for name, array in arrays.items()}
    check_voxels(dtypes, **{name: tuple(array.shape) for name, array in arrays.items()})
    batch, dtype = tf.shape(points)[0], points.dtype
    numbers = (tf.cast(arrays[name], dtype) for name in ("sigma", "scale"))
    sigma, scale = (tf.broadcast_to(number, [batch]) for number in numbers)
    none = tf.zeros((batch, tf.shape(points)[1], 0), dtype)
    tint = none if colours is None else tf.cast(arrays["colours"], dtype)
    if serves_renderers(points):
        draw = native_library().samplenet_render_voxels
        images = draw(points, sigma, scale, tint, **grid.native)
    else:
        images = _in_parts(points, sigma, scale, tint, grid)
        sizes = (points.shape[0], grid.size, grid.size)
        images = (tf.ensure_shape(images[0], sizes), *images[1:])
    return grid.rendered(images, colours is not None)


def _in_parts(points, sigma, scale, colours, grid: Voxels) -> tuple:
    """Draw some clouds at a time; only the inputs are kept for the backward pass."""
    at_once = max(1, MAX_CELLS // grid.cells)
    if points.shape[0] is not None and points.shape[0] <= at_once:
        return _render(points, sigma, scale, colours, grid)

    @tf.custom_gradient
    def draw(*inputs):
        def gradient(*grads):
            return _map(backward, (inputs, grads), at_once)

        return _map(lambda part: _render(*part, grid), inputs, at_once), gradient

    def backward(part):
        inputs, grads = part
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            images = _render(*inputs, grid)
        return tape.gradient(images, inputs, grads, tf.UnconnectedGradients.ZERO)

    return draw(points, sigma, scale, colours)


def _map(function, arrays, at_once: int) -> tuple:
    """Apply a function of clouds, with four results, to some at a time; pad the last with zeros."""
    first = tf.nest.flatten(arrays)[0]
    batch = tf.shape(first)[0]
    parts = tf.maximum(1, -(-batch // at_once))  # rounded up
    size = -(-batch // parts)

    def split(array):
        padding = [[0, parts * size - batch], *[[0, 0]] * (array.shape.rank - 1)]
        shape = tf.concat([[parts, size], tf.shape(array)[1:]], 0)
        return tf.reshape(tf.pad(array, padding), shape)

    def join(array):
        shape = tf.shape(array)
        return tf.reshape(array, tf.concat([shape[:1] * shape[1:2], shape[2:]], 0))[:batch]

    arrays = tf.nest.map_structure(split, arrays)
    dtypes = 4 * (first.dtype,)
    out = tf.map_fn(function, arrays, parallel_iterations=1, fn_output_signature=dtypes)
    return tuple(map(join, out))


def _render(points, sigma, scale, colours, grid: Voxels) -> tuple:
    """Draw clouds: the images of `Rendered`, one of size 0 where it is not asked for."""
    raw, tint = _splat(points, colours, grid)  # (B, 1, Z, D, D), (B, C, Z, D, D)
    occupancy = _smooth(tf.clip_by_value(raw, 0, 1), sigma, grid)[:, 0]
    occupancy = tf.clip_by_value(occupancy * scale[:, None, None, None], 0, 1)
    occupancy = occupancy[:, :, ::-1]  # (B, Z, D, D), row 0 at the top
    if grid.max_projection:
        # not reduce_max, which shares the gradient among equal ones
        rays = tf.transpose(occupancy, (0, 2, 3, 1))
        silhouette = tf.gather(rays, tf.argmax(rays, -1), batch_dims=3)
        return silhouette, *3 * (silhouette[:, :0],)
    probabilities = _terminate(occupancy, grid)
    inside, beyond = probabilities[:, :-1], probabilities[:, -1]
    slices = tf.range(grid.size_z, dtype=raw.dtype)
    depth = tf.einsum("bzyx,z->byx", inside, grid.depth(slices)) + beyond * grid.max_depth
    tint = _smooth_colours(tint, raw, sigma, grid)[:, :, :, ::-1]
    colour = tf.einsum("bzyx,bczyx->byxc", inside, tint) + beyond[..., None]  # on white
    rest = probabilities if grid.probabilities else probabilities[:, :0]
    return tf.reduce_sum(inside, 1), depth, colour, rest


def _splat(points, colours, grid: Voxels) -> tuple[tf.Tensor, tf.Tensor]:
    """Add points to the eight voxels around them, trilinearly."""
    usable = tf.reduce_all(tf.abs(points) <= 0.5, -1)  # (B, N)
    usable &= tf.reduce_all(tf.math.is_finite(colours), -1)
    points, colours = (tf.where(usable[..., None], a, tf.zeros_like(a)) for a in (points, colours))
    axes = []
    for coordinate, size in zip(tf.unstack(points, 3, -1), grid.shape, strict=True):
        at = (coordinate + 0.5) * size - 0.5  # voxel i reaches from i - 0.5 to i + 0.5
        at = (coordinate + 0.5) * (size - 1) if grid.as_released else at
        low = tf.stop_gradient(tf.floor(at))
        pairs = (low, 1 - (at - low)), (low + 1, at - low)
        axes.append([_inside(cell, share, size) for cell, share in pairs])
    cells, weights = [], []
    for (z, a), (y, b), (x, c) in product(*axes):
        cells.append((z * grid.size + y) * grid.size + x)
        weights.append(tf.where(usable, a * b * c, tf.zeros_like(a)))
    cells, weights = tf.concat(cells, 1), tf.concat(weights, 1)[..., None]  # (B, 8 N), (B, 8 N, 1)
    moving = weights if grid.colours_move_points else tf.stop_gradient(weights)
    added = tf.concat([weights, moving * tf.tile(colours, (1, 8, 1))], -1)  # (B, 8 N, 1 + C)
    batch, channels = tf.shape(points)[0], tf.shape(added)[2]
    cells += tf.range(batch)[:, None] * grid.cells
    flat = tf.reshape(added, (tf.size(cells), channels)), tf.reshape(cells, [-1])
    sums = tf.math.unsorted_segment_sum(*flat, batch * grid.cells)
    sums = tf.transpose(tf.reshape(sums, tf.stack([batch, *grid.shape, channels])), (0, 4, 1, 2, 3))
    return sums[:, :1], sums[:, 1:]


def _inside(cell, share, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the index of a voxel along an axis, and no share of one outside the grid."""
    inside = (cell >= 0) & (cell < size)
    cell = tf.cast(tf.clip_by_value(cell, 0, size - 1), tf.int32)
    return cell, tf.where(inside, share, tf.zeros_like(share))


def smoothing(size: int, taps: int, sigma) -> tf.Tensor:
    """Return the matrices (B, size, size) that smooth an axis by Gaussians of sigma (B,)."""
    sigma = tf.where(sigma < SMALLEST_SIGMA, tf.constant(SMALLEST_SIGMA, sigma.dtype), sigma)
    sigma = sigma[:, None, None]

    def weigh(t):
        weights = tf.exp(-0.5 * tf.square(t / sigma))
        return tf.where(tf.abs(t) <= taps // 2, weights, tf.zeros_like(weights))

    at = tf.range(max(size, taps), dtype=sigma.dtype)
    total = tf.reduce_sum(weigh(at[:taps] - taps // 2), -1, keepdims=True)
    return weigh(at[:size, None] - at[:size]) / total


def _smooth(values, sigma, grid: Voxels) -> tf.Tensor:
    """Smooth (B, C, Z, D, D) along its last three axes."""
    plane = smoothing(grid.size, grid.kernel_size, sigma)[:, None, None]
    along_ray = smoothing(grid.size_z, grid.kernel_size_z, sigma * grid.stretch)[:, None]
    values = plane @ values @ plane  # symmetric
    shape = tf.shape(values)
    rays = tf.reshape(values, tf.concat([shape[:3], [grid.size**2]], 0))
    return tf.reshape(along_ray @ rays, shape)


def _smooth_colours(tint, raw, sigma, grid: Voxels) -> tf.Tensor:
    before = grid.clip_colours == "before"
    tint = _smooth(tf.clip_by_value(tint, 0, 1) if before else tint, sigma, grid)
    if grid.divide_colours:
        tint /= tf.stop_gradient(_smooth(raw, sigma, grid)) + 0.01
    return tint if before else tf.clip_by_value(tint, 0, 1)


def _terminate(occupancy, grid: Voxels) -> tf.Tensor:
    """Return the probabilities (B, Z + 1, D, D) that a ray ends in a slice, or behind them all."""
    if grid.as_released:
        occupancy = tf.clip_by_value(occupancy, TINY, 1 - TINY)
    one = tf.ones_like(occupancy[:, :1])
    passed, reach = tf.concat([one, 1 - occupancy], 1), 1
    while reach <= grid.size_z:  # the products of all before, by doubling; no division by 0
        passed = tf.concat([passed[:, :reach], passed[:, reach:] * passed[:, :-reach]], 1)
        reach *= 2
    ends = tf.concat([occupancy, one], 1) * passed
    first, last = ends[:, :1] * grid.end_factor, ends[:, -1:] * grid.end_factor
    return tf.concat([first, ends[:, 1:-1], last], 1)
