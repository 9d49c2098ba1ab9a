"""Points drawn on images: silhouettes (CAPNet), features by a soft z-buffer (DIFFER)."""

import tensorflow as tf

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
from samplenet.ops.tf.build import native_library, serves_renderers
from samplenet.ops.tf.checks import check_clouds


def project_mask(
    points, height: int, width: int, variance=0.5, before_tanh=False, as_released=False
) -> tf.Tensor:
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
    if serves_renderers(points):
        sums = native_library().samplenet_project_sums(
            points, height=height, width=width, variance=variance, as_released=as_released
        )
    else:
        sums = _sums(points, height, width, variance, first_centre(as_released))
    return sums if before_tanh else tf.tanh(sums)


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
    options = {"height": height, "width": width, "radius": radius, "beta": beta}
    options["as_released"] = as_released
    if serves_renderers(points):
        return Projected(*native_library().samplenet_project_features(points, features, **options))
    return _draw(points, features, **options)


def _tensors(op: str, height, width, **tensors) -> list[tf.Tensor]:
    """Check points and features; return them in the dtype that the op computes in."""
    tensors = {name: tf.convert_to_tensor(t) for name, t in tensors.items()}
    dtypes = {name: t.dtype.name for name, t in tensors.items()}
    check_points(op, dtypes, height, width, **{n: tuple(t.shape) for n, t in tensors.items()})
    (points,) = check_clouds(op, points=tensors.pop("points"))
    return [points, *(tf.cast(t, points.dtype) for t in tensors.values())]


def _centres(size: int, first: float, like) -> tf.Tensor:
    return tf.range(size, dtype=like.dtype) + first


def _seen(points) -> tf.Tensor:
    """Return which points are in front of the camera, and finite: (B, N)."""
    return tf.reduce_all(tf.math.is_finite(points), -1) & (points[..., 2] > 0)


def _keep(seen, values) -> tf.Tensor:
    return tf.where(seen, values, tf.zeros_like(values))


def _sums(points, height: int, width: int, variance: float, first: float) -> tf.Tensor:
    seen = _seen(points)

    def gaussians(axis, size):
        # _keep before and after: a coordinate that is not finite must not reach the gradient
        at = _keep(seen, points[..., axis])[..., None]
        values = tf.exp(tf.square(at - _centres(size, first, points)) / (-2 * variance))
        return _keep(seen[..., None], values)  # (B, N, size)

    return tf.matmul(gaussians(0, height), gaussians(1, width), transpose_a=True)


def _draw(points, features, height, width, radius, beta, as_released) -> Projected:
    seen = _seen(points) & tf.reduce_all(tf.math.is_finite(features), -1)  # (B, N)
    depth = _keep(seen, points[..., 2]) + OFFSET
    features = _keep(seen[..., None], features)
    if as_released:
        seen &= depth < FAR
    pixel = _pixels(
        tf.stop_gradient(points), seen, height, width, radius, first_centre(as_released)
    )
    batch, count, reach = tf.unstack(tf.shape(pixel))
    size, channels = height * width, tf.shape(features)[2]
    slots = batch * (size + 1)  # a cloud's pixels, and one for what it does not show
    pixel = tf.reshape(pixel + tf.range(batch)[:, None, None] * (size + 1), [-1])  # (B N K,)

    def add(values):
        return tf.math.unsorted_segment_sum(values, pixel, slots)

    scores = tf.repeat(tf.reshape(beta / (depth + TINY), [-1]), reach)
    nearest = tf.math.unsorted_segment_max(tf.stop_gradient(scores), pixel, slots)
    nearest = tf.maximum(nearest, 0)
    parts = tf.exp(scores - tf.gather(nearest, pixel))
    total, points_in = add(parts), add(tf.ones_like(parts))
    if as_released:
        others = tf.cast(count, points.dtype) - points_in
        # above 0 only where no point is, and there it could be infinite
        exponent = tf.minimum(beta / (FAR + TINY) - nearest, 0)
        total += LEAK * (total + others * tf.exp(exponent))
    weights = parts / tf.gather(total, pixel)
    each = tf.reshape(features, (batch * count, channels))
    spread = weights[:, None] * tf.repeat(each, reach, 0)  # (B N K, C)

    def image(values, *last):
        values = tf.reshape(values, (batch, size + 1, *last))[:, :size]
        return tf.reshape(values, (batch, height, width, *last))

    images = image(add(spread), channels)
    images = tf.ensure_shape(images, (points.shape[0], height, width, features.shape[2]))
    coverage = image(tf.cast(points_in > 0, points.dtype))
    coverage = tf.ensure_shape(coverage, (points.shape[0], height, width))
    return Projected(images, tf.stop_gradient(coverage))


def _pixels(points, seen, height, width, radius, first) -> tf.Tensor:
    """Return the pixels whose wells hold each point, filled up with H W: (B, N, K)."""

    def window(axis, size):
        inside = tf.abs(points[..., axis, None] - _centres(size, first, points)) <= radius
        inside, steps = tf.cast(inside, tf.int32), tf.range(widest_well(radius, size))
        at = tf.argmax(inside, -1, tf.int32)[..., None] + steps  # they follow one another
        return at, steps < tf.reduce_sum(inside, -1, keepdims=True)

    (row, above), (column, left) = window(0, height), window(1, width)
    pixel = row[..., :, None] * width + column[..., None, :]
    hit = above[..., :, None] & left[..., None, :] & seen[..., None, None]
    pixel = tf.where(hit, pixel, tf.fill(tf.shape(pixel), height * width))
    return tf.reshape(pixel, tf.concat([tf.shape(points)[:2], [-1]], 0))
