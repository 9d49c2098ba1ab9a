"""What training minimises, and the schedules of the run."""

import functools

import numpy as np
import tensorflow as tf

from camera import rotate
from samplenet.ops import tf as ops

TINY = 1e-12  # keeps the gradients of a square root and of a quotient finite


def targets(images: np.ndarray, size: int, as_released: bool = False) -> np.ndarray:
    """Shrink uint8 images (B, V, S, S, ...) to float32 in [0, 1], (B, V, D, D, ...).

    Each pixel becomes the mean of those it covers. As released, it is the first of them: what is
    called bilinear or bicubic there takes every (S / D)th row and column.
    """
    factor = images.shape[2] // size
    if as_released:
        shrunk = images[:, :, ::factor, ::factor]
    else:
        blocks = images.shape[:2] + 2 * (size, factor) + images.shape[4:]
        shrunk = images.reshape(blocks).mean((3, 5))
    return np.float32(shrunk / 255)


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
    wrong = silhouette * (1 - wanted) + (1 - silhouette) * wanted
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


def choose_points(key, copies: tuple[int, ...], num_points: int, count) -> tf.Tensor:
    """Choose points for copies of clouds by chance: numbers (*copies, count), no one twice.

    Args:
        key: (2,) integers that decide the choice.
    """
    chances = tf.random.stateless_uniform((*copies, num_points), key)
    return tf.math.top_k(chances, count, sorted=False).indices
