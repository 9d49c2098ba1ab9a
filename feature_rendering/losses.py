"""The losses between drawn views and true ones: L_M, L_aff, L_C and L_S, all means over pixels.

Views are (B, H, W), or with channels (B, H, W, C). The published weight of each loss stands with
the setting of `train_points.py` that holds it.
"""

import tensorflow as tf

from samplenet.ops import tf as ops

# by the name of the setting: the form of `samplenet.ops.tf.mask_affinity`, and a factor beside the
# weight: the released code's 1e-4 is for the 1e6 in its form
AFFINITY = {"released": ("released", 1e-4), "intended": ("chamfer", 1.0), "off": None}


def weights(config) -> dict[str, float]:
    """Return the weight of each loss that a training's settings ask for, by its name."""
    if config.supervision == "points":
        return {"chamfer": 1.0}
    asked = {"mask": config.mask_weight}
    if config.affinity != "off":
        asked["affinity"] = config.affinity_weight
    if config.features == "rgb":
        asked["rgb"] = config.colour_weight
    if config.features == "parts":
        asked["labels"] = config.label_weight
    return asked


def mask_loss(sums, masks) -> tf.Tensor:
    """Compute L_M, the binary cross-entropy of silhouettes, from sums before tanh."""
    # a copy: of a tensor at most two gradients are added, which has one order in all runs
    return tf.reduce_mean(ops.mask_cross_entropy(tf.identity(sums), masks))


def affinity_loss(sums, masks, affinity: str) -> tf.Tensor:
    """Compute L_aff of silhouettes from sums before tanh: how far the masks are from each other.

    "intended" is the paper's, a Chamfer distance of masks in square pixels: it pulls points that
    are drawn outside of the object to it. Its weight in the paper could not be verified; by 1 it is
    as large as L_M while points are astray. "released" is what the released code computes and was
    trained with: about 100 (t + M - 2 t M) for target t and mask M, the absolute difference where t
    is 0 or 1. `samplenet.ops.reference` has both formulas.

    Differs from the released code: there, the loss of the v-th view counts v times, by accident.
    """
    form, scale = AFFINITY[affinity]
    forward, backward = ops.mask_affinity(tf.tanh(sums), masks, form)
    return scale * (tf.reduce_mean(forward) + tf.reduce_mean(backward))


def rgb_loss(drawn, images) -> tf.Tensor:
    """Compute L_C, the mean squared difference of colours (B, H, W, 3), background included."""
    return tf.reduce_mean(tf.math.squared_difference(drawn, images))


def label_map(drawn) -> tf.Tensor:
    """Return the logits (B, H, W, 1 + parts) of drawn scores: 1 for the background where it is."""
    return tf.concat([1 - drawn.coverage[..., None], drawn.features], -1)


def label_loss(drawn, labels) -> tf.Tensor:
    """Compute L_S, the cross-entropy of drawn part scores, a `Projected`.

    The method's training of parts is not released; this is the loss that its code provides for it.

    Args:
        labels: (B, H, W), 0 the background, 1 more than the part.
    """
    logits = label_map(drawn)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(labels, tf.int32), logits)
    return tf.reduce_mean(losses)


def cloud_loss(points, clouds) -> tf.Tensor:
    """Compute the Chamfer distance to true clouds, of the 3D-supervised reference.

    Both directions' mean squared distances are added.
    """
    near = ops.chamfer(points, clouds)
    return tf.reduce_mean(near.a2b) + tf.reduce_mean(near.b2a)
