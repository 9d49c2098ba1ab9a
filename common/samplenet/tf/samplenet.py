"""The sampler network."""

import dataclasses
import inspect

import keras
import tensorflow as tf

from samplenet.ops import tf as ops
from samplenet.sampled import Sampled, Settings
from samplenet.tf.baselines import check_finite
from samplenet.tf.layers import Block
from samplenet.tf.projection import SoftProjection


@keras.saving.register_keras_serializable("samplenet")
class SampleNet(keras.Model):
    """Simplify clouds to m points: projected softly in training, matched to input points otherwise.

    A PointNet of per-point blocks, max pool and fully connected blocks gives the simplified points
    Q. In training, `points` is Q softly projected on the input. Otherwise each q is matched to its
    nearest input point, duplicates are dropped, and farthest point sampling completes the sample to
    m (SampleNet, sec. 3). Trained with the losses of its first c points for several c, the sampler
    is progressive: `order` then serves every size.

    Inference refuses coordinates that are NaN or infinite, in eager mode on the CPU.

    Args:
        settings, named: the fields of `samplenet.sampled.Settings`, by position or by name: m, and
            what differs from the classification experiment.
        name, trainable, dtype: those of every Keras layer.
    """

    def __init__(self, *settings, name=None, trainable=True, dtype=None, **named):
        super().__init__(name=name, trainable=trainable, dtype=dtype)
        self.settings = own = Settings(*settings, **named)
        self.m = own.m
        norm = {"epsilon": own.bn_epsilon, "momentum": own.bn_momentum}
        hidden, last = own.fc_batch_norm, len(own.fc_widths) + 1
        self.convs = [Block(w, name=f"conv{i}", **norm) for i, w in enumerate(own.conv_widths, 1)]
        self.fcs = [Block(w, hidden, name=f"fc{i}", **norm) for i, w in enumerate(own.fc_widths, 1)]
        self.fcs.append(
            Block(3 * own.m, own.output_batch_norm, relu=False, name=f"fc{last}", **norm)
        )
        self.project = None
        if own.projection:
            self.project = SoftProjection(
                own.k, own.temperature, min_sigma=own.min_sigma, name="project"
            )

    __init__.__signature__ = inspect.signature(Settings.__init__)  # for help()

    def build(self, points_shape, cloud_shape=None):
        self.simplify(tf.zeros((1, 1, 3)), training=False)  # each block builds itself when called
        if self.project:
            self.project.build(points_shape)
        self.built = True

    def simplify(self, points, training=None):
        """Return the simplified cloud Q (B, m, 3) of points (B, N, 3)."""
        out = points
        for block in self.convs:
            out = block(out, training=training)  # (B, N, C)
        out = tf.reduce_max(out, axis=1)  # (B, C)
        for block in self.fcs:
            out = block(out, training=training)  # (B, 3m)
        if self.settings.output_order == "m3":
            return tf.reshape(out, (-1, self.m, 3))
        return tf.transpose(tf.reshape(out, (-1, 3, self.m)), (0, 2, 1))

    def match(self, points, queries, m=None):
        """Match the queries to distinct input points, completed to m by FPS: idx (B, m)."""
        _, nearest = ops.knn(queries, points, 1)  # (B, M, 1)
        return ops.farthest_points(points, m or self.m, chosen=nearest[..., 0])

    def order(self, points, m=None) -> Sampled:
        """Put points (B, N, 3) in a progressive sampler's order; its first m are the sample of m.

        All of Q is matched, duplicates are dropped, and farthest point sampling continues to N, or
        to m. Returns points (B, N or m, 3) and idx in order, and queries (B, self.m, 3).
        """
        self._check(points)
        check_finite("SampleNet", points)
        if not self.built:
            self.build(points.shape)
        queries = self.simplify(points, training=False)
        idx = self.match(points, queries, m or points.shape[1])
        return Sampled(ops.gather(points, idx), idx, queries)

    def __call__(self, points, *args, **kwargs):
        self._check(points)  # not in `call`: Keras would bury the error's sentence in its own
        sampled = super().__call__(points, *args, **kwargs)
        # only here is it known whether this was training: Keras may take that from an outer model
        if sampled.idx is not None:
            check_finite("SampleNet", points)
        return sampled

    def _check(self, points):
        self.settings.check_clouds(tuple(points.shape))

    def call(self, points, cloud=None, training=None) -> Sampled:
        """Sample points (B, N, 3): projected in training, else matched; `cloud` is ignored."""
        queries = self.simplify(points, training)
        if training:
            projected = self.project(points, queries) if self.project else queries
            return Sampled(projected, None, queries)
        idx = self.match(points, queries)
        return Sampled(ops.gather(points, idx), idx, queries)

    def get_config(self):
        return {**super().get_config(), **dataclasses.asdict(self.settings)}
