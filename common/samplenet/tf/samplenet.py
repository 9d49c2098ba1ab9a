"""The sampler network."""

import keras
import tensorflow as tf

from samplenet.errors import InputError
from samplenet.ops import tf as ops
from samplenet.sampled import Sampled
from samplenet.tf.baselines import check_finite
from samplenet.tf.layers import Block
from samplenet.tf.projection import SoftProjection


@keras.saving.register_keras_serializable("samplenet")
class SampleNet(keras.Model):
    """Simplify a cloud to m points, project them softly while training, pick input points otherwise.

    A PointNet of per-point blocks, max pool and fully connected blocks gives the simplified points Q. While
    training `points` is Q softly projected on the input; otherwise each q is matched to its nearest input
    point, duplicates are dropped, and farthest point sampling completes the sample to m (SampleNet, sec. 3).
    Trained on the losses of its first c points for several c it is progressive: `order` then serves every size.
    The defaults are those of the classification experiment.

    Inference refuses coordinates that are NaN or infinite, in eager mode on the CPU.

    Args:
        m: points to sample, at most N.
        k, temperature, min_sigma: of the soft projection; see `SoftProjection`.
        projection: False gives S-NET (arXiv 1812.01659): Q itself is what the task sees while training.
        conv_widths: per-point widths, the last is the bottleneck. Classification and registration
            (64, 64, 64, 128, 128), reconstruction (64, 128, 128, 256, 128).
        fc_widths: hidden widths. Classification and registration (256, 256, 256), reconstruction (256, 256).
        fc_batch_norm: batch norm in the hidden layers. Reconstruction False, the others True.
        output_batch_norm: batch norm after the last layer. Classification True, the others False.
        output_order: how the last layer's 3m values lie: "m3" (classification, reconstruction), "3m" (registration).
        bn_epsilon, bn_momentum: classification 1e-3 and a schedule (`set_momentum`), the others 1e-5 and 0.9.
    """

    def __init__(
        self,
        m,
        k=7,
        temperature=1.0,
        min_sigma=0.0,
        projection=True,
        conv_widths=(64, 64, 64, 128, 128),
        fc_widths=(256, 256, 256),
        fc_batch_norm=True,
        output_batch_norm=True,
        output_order="m3",
        bn_epsilon=1e-3,
        bn_momentum=0.9,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(m, int) or m < 1:
            raise InputError(f"SampleNet: m must be a whole number of at least 1, got {m!r}")
        if output_order not in ("m3", "3m"):
            raise InputError(f"SampleNet: output_order must be 'm3' or '3m', got {output_order!r}")
        self.config = {
            "m": m,
            "k": k,
            "temperature": temperature,
            "min_sigma": min_sigma,
            "projection": projection,
            "conv_widths": tuple(conv_widths),
            "fc_widths": tuple(fc_widths),
            "fc_batch_norm": fc_batch_norm,
            "output_batch_norm": output_batch_norm,
            "output_order": output_order,
            "bn_epsilon": bn_epsilon,
            "bn_momentum": bn_momentum,
        }
        self.m, self.output_order = m, output_order
        norm = {"epsilon": bn_epsilon, "momentum": bn_momentum}
        self.convs = [Block(w, name=f"conv{i}", **norm) for i, w in enumerate(conv_widths, 1)]
        self.fcs = [
            Block(w, fc_batch_norm, name=f"fc{i}", **norm) for i, w in enumerate(fc_widths, 1)
        ]
        self.fcs.append(
            Block(3 * m, output_batch_norm, relu=False, name=f"fc{len(fc_widths) + 1}", **norm)
        )
        self.project = (
            SoftProjection(k, temperature, min_sigma=min_sigma, name="project")
            if projection
            else None
        )

    def build(self, points_shape, cloud_shape=None):
        shape = tuple(points_shape)
        for block in self.convs:
            block.build(shape)
            shape = (*shape[:-1], block.units)
        shape = (shape[0], shape[-1])
        for block in self.fcs:
            block.build(shape)
            shape = (shape[0], block.units)
        if self.project:
            self.project.build(points_shape)
        self.built = True

    def simplify(self, points, training=None):
        """points (B, N, 3) -> Q (B, m, 3)."""
        out = points
        for block in self.convs:
            out = block(out, training=training)  # (B, N, C)
        out = tf.reduce_max(out, axis=1)  # (B, C)
        for block in self.fcs:
            out = block(out, training=training)  # (B, 3m)
        if self.output_order == "m3":
            return tf.reshape(out, (-1, self.m, 3))
        return tf.transpose(tf.reshape(out, (-1, 3, self.m)), (0, 2, 1))

    def match(self, points, queries, m=None):
        """The m distinct input points matched to the queries, completed by farthest point sampling: idx (B, m)."""
        _, nearest = ops.knn(queries, points, 1)  # (B, M, 1)
        return ops.farthest_points(points, m or self.m, chosen=nearest[..., 0])

    def order(self, points, m=None) -> Sampled:
        """The whole cloud in a progressive sampler's order, or its first m points: those are the sample of size m.

        All of Q is matched, duplicates are dropped, and farthest point sampling continues to N.
        points (B, N, 3) -> Sampled, points (B, N or m, 3) and idx in order, queries (B, self.m, 3).
        """
        self._check(points)
        check_finite("SampleNet", points)
        if not self.built:
            self.build(points.shape)
        queries = self.simplify(points, training=False)
        idx = self.match(points, queries, m or points.shape[1])
        return Sampled(ops.gather(points, idx), idx, queries)

    def __call__(self, points, *args, **kwargs):
        self._check(points)  # here: inside `call`, Keras would bury the sentence in its own
        sampled = super().__call__(points, *args, **kwargs)
        if (
            sampled.idx is not None
        ):  # not training, which Keras may know from the model around this one
            check_finite("SampleNet", points)
        return sampled

    def _check(self, points):
        shape = tuple(points.shape)
        if len(shape) != 3 or shape[2] not in (3, None):
            raise InputError(f"SampleNet: points must have shape (B, N, 3), got {shape}")
        n = shape[1]
        if n is not None and n < self.m:
            raise InputError(
                f"SampleNet: m must be at most N, got m = {self.m} for clouds of N = {n} points"
            )

    def call(self, points, cloud=None, training=None) -> Sampled:
        """points (B, N, 3) -> Sampled: projected while training, matched otherwise; `cloud` is ignored."""
        queries = self.simplify(points, training)
        if training:
            return Sampled(
                self.project(points, queries) if self.project else queries, None, queries
            )
        idx = self.match(points, queries)
        return Sampled(ops.gather(points, idx), idx, queries)

    def get_config(self):
        return {**super().get_config(), **self.config}
