"""What training minimises, and the schedules of the run."""

import functools

import numpy as np
import tensorflow as tf

from camera import rotate
from samplenet.ops import tf as ops
from samplenet.ops.tf._render_voxels import smoothing

TINY = 1e-12  # keeps the gradients of a square root and of a quotient finite


def shrink(config, pictures) -> tf.Tensor:
    """Shrink pictures (B, V, S, S, C) to the size of what is drawn (B, V, D, D, C).

    Each pixel becomes the mean of those it covers. As released, it is the first of them: what is
    called bilinear or bicubic there takes every (S / D)th row and column.
    """
    size, factor = config.grid_size, config.image_size // config.grid_size
    if config.as_released:
        return pictures[:, :, ::factor, ::factor]
    blocks = tf.reshape(pictures, (*pictures.shape[:2], size, factor, size, factor, -1))
    return tf.reduce_mean(blocks, (3, 5))


def targets(config, pictures, sigma) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the masks (B, V, D, D) and colours (B, V, D, D, 3) that are to be drawn.

    Args:
        config: says whether they are smoothed as what is drawn.
        pictures: (B, V, S, S, 4) in [0, 1], the mask behind the colours.
        sigma: of the Gaussian in voxels.
    """
    small = shrink(config, pictures)
    masks, colours = small[..., 3], small[..., :3]
    matrix = smoothing(config.grid_size, config.kernel_size, sigma[None])[0]  # (D, D)
    if config.blur_colours:
        colours = tf.einsum("ih,bvhwc,wj->bvijc", matrix, colours, matrix)
    if config.blur_targets != "never":
        blurred = tf.einsum("ih,bvhw,wj->bvij", matrix, masks, matrix)
        late = config.blur_targets == "early" and sigma < 1
        masks = tf.where(late, masks, blurred)
    return masks, colours


def squared_errors(drawn, wanted) -> tf.Tensor:
    """Sum the squared differences of images (B, V, C, D, D) from (B, V, D, D): (B, V, C)."""
    return tf.reduce_sum(tf.square(drawn - wanted[:, :, None]), (-2, -1))


def image_loss(drawn, wanted) -> tf.Tensor:
    """Compute half the sum of squared differences of images (B, V, D, D, ...), a mean over B, V."""
    square = tf.square(drawn - wanted)
    return tf.reduce_mean(tf.reduce_sum(square, range(2, square.shape.rank))) / 2


def ray_loss(silhouette, wanted) -> tf.Tensor:
    """Compute how often rays end in the object where the mask is 0, or pass it where it is 1.

    The ray consistency of Tulsiani 2017 on masks (B, V, D, D): summed over pixels, a mean of B, V.
    """
    wrong = wanted + silhouette * (1 - 2 * wanted)
    return tf.reduce_mean(tf.reduce_sum(wrong, (-2, -1)))


def student_loss(student, teacher, kind: str = "angle") -> tf.Tensor:
    """Compute the mean distance of poses (..., 4) from the teacher's, which get no gradient.

    Args:
        kind: "angle": 1 - <s, t>^2 / |s|^2 |t|^2, the squared sine of half the angle between them.
            "points": half the mean squared distance between random points turned by both.
    """
    teacher = tf.stop_gradient(teacher)
    if kind == "points":
        student, teacher = tf.reshape(student, (-1, 4)), tf.reshape(teacher, (-1, 4))
        cloud = tf.tile(_random_cloud()[None], (tf.shape(student)[0], 1, 1))
        apart = tf.square(rotate(cloud, student) - rotate(cloud, teacher))
        return tf.reduce_mean(tf.reduce_sum(apart, -1)) / 2
    product = tf.reduce_sum(student * teacher, -1)
    squares = tf.reduce_sum(student**2, -1) * tf.reduce_sum(teacher**2, -1)
    return tf.reduce_mean(1 - tf.square(product) / tf.maximum(squares, TINY))


@functools.cache
def _random_cloud() -> np.ndarray:
    """Return normally distributed points (2000, 3), cut at 3, to compare rotations by."""
    return np.clip(np.random.default_rng(0).normal(size=(2000, 3)), -3, 3).astype(np.float32)


def cloud_loss(points, truth) -> tf.Tensor:
    """Compute the mean Chamfer distance of clouds (B, N, 3) and (B, M, 3): not squared, both ways.

    What the evaluation measures, on as many points of the truth as are given.
    """
    near = ops.chamfer(points, truth)
    forward, backward = tf.sqrt(near.a2b + TINY), tf.sqrt(near.b2a + TINY)
    return tf.reduce_mean(forward) + tf.reduce_mean(backward)


def squared_weights(net) -> tf.Tensor:
    """Compute half the sum of the squared weights, without biases."""
    return sum(tf.nn.l2_loss(v) for v in net.trainable_variables if v.name == "kernel")


def sigmas(config, progress: np.ndarray) -> np.ndarray:
    """Compute sigma in voxels at parts `progress` (steps,) in [0, 1] of the run."""
    return np.float32(config.sigma + (config.sigma_end - config.sigma) * progress)


def shares_kept(config, progress: np.ndarray) -> np.ndarray:
    """Compute the share of the points that is drawn at parts `progress` (steps,) of the run."""
    if config.keep_schedule == "constant":
        return np.full_like(progress, config.keep)
    if config.keep_schedule == "exponential":
        return config.keep ** (1 - progress)
    grown = (progress - config.keep_from) / (config.keep_until - config.keep_from)
    return config.keep + (1 - config.keep) * np.clip(grown, 0, 1)


def points_kept(config, progress: np.ndarray) -> np.ndarray:
    """Compute the number of the points that is drawn at parts `progress` (steps,) of the run."""
    return np.maximum(1, np.int32(config.num_points * shares_kept(config, progress)))


def choose_points(seed: int, step, copies: tuple[int, ...], num_points: int, count) -> tf.Tensor:
    """Draw indices (*copies, count) of points, for each copy of a cloud anew, none twice.

    The choice depends on the seed, the step of the run and the device, and on nothing before.
    """
    device = tf.distribute.get_replica_context().replica_id_in_sync_group
    key = tf.stack([tf.constant(seed, tf.int64), tf.cast(step, tf.int64)])
    key = tf.random.experimental.stateless_fold_in(key, device)
    chances = tf.random.stateless_uniform((*copies, num_points), key)
    return tf.math.top_k(chances, count, sorted=False).indices
