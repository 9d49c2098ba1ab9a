"""Losses between a drawn mask and the one that is wanted; no native kernels."""

from math import log

import tensorflow as tf

from samplenet.ops.mask_losses import ABSENT, LEAST, Affinity, check_form, check_masks


def mask_cross_entropy(sums, target) -> tf.Tensor:
    """Return the binary cross-entropy of each pixel of tanh(sums): (B, H, W) -> (B, H, W).

    Stable where the mask rounds to 1: `samplenet.ops.reference` has the formula. Differentiable in
    sums, which `project_mask(..., before_tanh=True)` returns.
    """
    sums, target = _tensors("mask_cross_entropy", sums=sums, target=target)
    missed = -tf.math.log(tf.tanh(sums) + LEAST)
    added = tf.nn.softplus(2 * sums) - log(2)
    return target * missed + (1 - target) * added


def mask_affinity(mask, target, form: str = "chamfer") -> Affinity:
    """Return CAPNet's affinity losses of each pixel, (B, H, W) each.

    `samplenet.ops.reference` has the three forms. Differentiable in mask.

    Args:
        mask: (B, H, W) in [0, 1], as drawn by `project_mask`.
        target: (B, H, W), as wanted.
        form: "chamfer": 2D Chamfer distances, by distance transforms; "soft_chamfer": with the
            released code's terms, (H W)^2 steps an image; "released": what that code computes, the
            absolute difference in the main.
    """
    check_form(form)
    mask, target = _tensors("mask_affinity", mask=mask, target=target)
    if form == "released":
        # a copy: of a tensor at most two gradients are added, which has one order in all runs
        return Affinity(mask * _penalty(target), target * _penalty(tf.identity(mask)))
    if form == "soft_chamfer":
        return Affinity(mask * _least(target), target * _least(mask))
    return Affinity(mask * _square_distance(target), target * _square_distance(mask))


def _penalty(image):
    return image + ABSENT * (1 - image)


def _square_distance(image) -> tf.Tensor:
    """Transform images (B, H, W) into squared distances to their objects, rows first."""
    down, right = (tf.square(_lag(image, axis)) for axis in (1, 2))
    size = tf.cast(tf.shape(image), image.dtype)
    none = tf.zeros_like(image) + size[1] ** 2 + size[2] ** 2
    distance = tf.where(image >= 0.5, tf.zeros_like(image), none)
    distance = tf.reduce_min(distance[:, :, None] + right, 3)  # (B, H, W, W) before
    distance = tf.reduce_min(distance[:, None] + down[:, :, None], 2)  # (B, H, H, W) before
    return tf.stop_gradient(tf.minimum(distance, none))


def _least(image) -> tf.Tensor:
    """Return the least (D + 1) penalty over the pixels of images, for each pixel: (B, H, W)."""
    down, right = (tf.square(_lag(image, axis)) for axis in (1, 2))
    shape = tf.shape(image)
    penalty = tf.reshape(_penalty(image), (shape[0], -1))  # (B, H W)
    searched = tf.stop_gradient(penalty)

    def distances(down):  # from a row of pixels to all: (W, H W)
        square = down[:, None] + right[:, None]
        return tf.reshape(tf.sqrt(square), (shape[2], -1)) + 1

    def search(down):  # (B, W, H W) at a time
        distance = distances(down)
        where = tf.argmin(searched[:, None] * distance, -1, tf.int32)  # (B, W)
        columns = tf.broadcast_to(tf.range(shape[2]), tf.shape(where))
        return where, tf.gather_nd(distance, tf.stack([columns, where], -1))

    signature = (tf.int32, image.dtype)
    where, nearest = tf.map_fn(search, down, 1, fn_output_signature=signature)  # (H, B, W)
    where, nearest = (tf.transpose(a, (1, 0, 2)) for a in (where, nearest))
    found = tf.gather(penalty, tf.reshape(where, (shape[0], -1)), batch_dims=1)
    return tf.reshape(found, shape) * tf.stop_gradient(nearest)


def _lag(image, axis: int) -> tf.Tensor:
    """Return the differences of all pixels along an axis: (size, size)."""
    at = tf.cast(tf.range(tf.shape(image)[axis]), image.dtype)
    return at[:, None] - at


def _tensors(op: str, **tensors) -> list[tf.Tensor]:
    """Check the masks; return them in the dtype that the loss computes in."""
    tensors = {name: tf.convert_to_tensor(t) for name, t in tensors.items()}
    dtypes = {name: t.dtype.name for name, t in tensors.items()}
    check_masks(op, dtypes, **{name: tuple(t.shape) for name, t in tensors.items()})
    dtype = tf.float64 if "float64" in dtypes.values() else tf.float32
    image, target = (tf.cast(t, dtype) for t in tensors.values())
    return [image, tf.stop_gradient(target)]
