"""Choose points by the gradient of a frozen network's own answer; nothing is trained."""

from functools import partial

import tensorflow as tf

from samplenet.greedy import Greedy
from samplenet.ops import tf as ops
from samplenet.sampled import Sampled
from samplenet.tf.baselines import check_finite


class GreedySampler:
    """Pick the points that bring a frozen network nearest to its answer for the whole pool.

    The network takes the maximum c of its points' features phi. Each turn picks the point i with
    the largest gain to first order, sum_f max(phi_if - c_f, 0) g_f with g = -d discrepancy / d c,
    and puts its features into c, which is 0 at first. If a feature of the pool is negative, c
    starts from the pool's first point. Of equal gains the lowest index wins, so the same cloud
    always gives the same points, and those of a smaller m are the first of a larger one's.

    Args:
        network: frozen, with three methods:
            `early_features(points)`: (B, N, 3) -> (B, N, C), per point;
            `late_features(early)`: (B, N, C) -> (B, N, F), whose maximum over points it takes;
            `discrepancy(pooled, whole)`: (B, F) twice -> (B,), how far its answer from the maximum
            over the chosen points is from its answer from the maximum over the pool.
        settings, named: the fields of `samplenet.greedy.Greedy`, by position or by name.
        queries: for the pool "near", and only for it: a function, clouds (B, N, 3) -> (B, M, 3),
            such as a trained SampleNet's `simplify`.

    Raises:
        InputError: a setting is out of range, or queries and pool do not belong together.
    """

    project = None  # evaluations look for a soft projection, and find none

    def __init__(self, network, *settings, queries=None, **named):
        self.network, self.settings, self.queries = network, Greedy(*settings, **named), queries
        self.settings.check_queries(queries)
        self.m = self.settings.m
        # not the method: TensorFlow takes one method of several objects for one function, and
        # warns that it is compiled again and again
        self._compiled = tf.function(partial(GreedySampler._sample, self))

    def __call__(self, points, cloud=None) -> Sampled:
        """Sample points (B, N, 3) in the order in which they are chosen; `cloud` is ignored."""
        check_finite("GreedySampler", points)
        self.settings.pool_size(points.shape[1])  # its error, outside the graph
        points = tf.convert_to_tensor(points)
        idx = self._compiled(points)
        return Sampled(ops.gather(points, idx), idx, None)

    def _sample(self, points):
        """Choose m of points (B, N, 3): indices (B, m)."""
        pool, early = self._pool(points)
        idx = self._choose(self.network.late_features(early))
        return idx if pool is None else tf.gather(pool, idx, batch_dims=1)

    def _pool(self, points):
        """Return the pool's indices (B, P), None for all points, and its early features."""
        own, size = self.settings, self.settings.pool_size(points.shape[1])
        if own.pool == "all":
            return None, self.network.early_features(points)
        if own.pool == "features":
            early = self.network.early_features(points)
            chosen = tf.argmax(early, axis=1, output_type=tf.int32)
            pool = ops.farthest_points(points, size, chosen=chosen)
            return pool, tf.gather(early, pool, batch_dims=1)
        chosen = None
        if own.pool == "near":
            queries = self.queries(points)  # (B, M, 3)
            count = own.neighbours(size, queries.shape[1])
            _, near = ops.knn(queries, points, count)  # (B, M, count)
            chosen = tf.reshape(tf.linalg.matrix_transpose(near), (-1, count * queries.shape[1]))
        pool = ops.farthest_points(points, size, chosen=chosen)
        return pool, self.network.early_features(ops.gather(points, pool))

    def _choose(self, features):
        """Choose m of features (B, P, F): indices (B, m) in the pool."""
        own, first = self.settings, features[:, 0]
        whole = tf.reduce_max(features, 1)
        negative = tf.reduce_min(features, [1, 2])[:, None] < 0
        pooled = tf.where(negative, first, tf.zeros_like(first))
        gradient, size, dtype = tf.zeros_like(pooled), features.shape[1], features.dtype
        infinity = tf.constant(float("inf"), dtype)
        # added to the gains: infinity for the point to take first, -infinity for those taken
        extra = tf.where(negative, tf.one_hot([0], size, infinity), tf.zeros((1, size), dtype))
        picks = tf.TensorArray(tf.int32, own.m)
        for turn in tf.range(own.m):
            # stated for `samplenet.tf.cost`, which counts a loop's work by its number of turns
            tf.autograph.experimental.set_loop_options(maximum_iterations=own.m)
            if own.refresh == 1 or turn % own.refresh == 0:
                gradient = -self._gradient(pooled, whole)
            gain = tf.map_fn(_gain, (features, pooled, gradient), fn_output_signature=dtype)
            pick = self._best(gain + extra, features, pooled, whole)
            extra = tf.where(tf.one_hot(pick, size, True, False), -infinity, extra)
            pooled = tf.maximum(pooled, tf.gather(features, pick, batch_dims=1))
            picks = picks.write(turn, pick)
        return tf.transpose(picks.stack())

    def _discrepancy(self, pooled, whole):
        if self.settings.on == "features":
            return tf.reduce_sum(tf.square(pooled - whole), 1)
        return self.network.discrepancy(pooled, whole)

    def _gradient(self, pooled, whole):
        with tf.GradientTape() as tape:
            tape.watch(pooled)
            discrepancy = self._discrepancy(pooled, whole)
        return tape.gradient(discrepancy, pooled)

    def _best(self, gain, features, pooled, whole):
        """Return the point with the largest gain; of `rerank`, the least discrepancy left: (B,)."""
        count = min(self.settings.rerank, gain.shape[1])
        if count == 1:
            return tf.argmax(gain, 1, output_type=tf.int32)
        gain, candidates = tf.math.top_k(gain, count)  # of equal gains the lowest index first
        joined = tf.maximum(pooled[:, None], tf.gather(features, candidates, batch_dims=1))
        whole = tf.broadcast_to(whole[:, None], tf.shape(joined))
        flat = (-1, joined.shape[2])
        left = self._discrepancy(tf.reshape(joined, flat), tf.reshape(whole, flat))
        left = tf.reshape(left, tf.shape(gain))
        # an infinite gain marks points that must be taken, or are taken already
        left = tf.where(tf.math.is_inf(gain), -gain, left)
        best = tf.argmin(left, 1, output_type=tf.int32)
        return tf.gather(candidates, best, batch_dims=1)


class TrialSampler:
    """Pick points by trying them, for a network that offers nothing but its answer.

    Each turn adds to the sample that point of a pool with which the discrepancy is the least; of
    equal ones the first of the pool. That asks the network about `size` samples for each point.

    Args:
        discrepancy: function of samples (B, P, t, 3), one for each point that could be next, and
            clouds (B, N, 3) -> (B, P): how far the network's answers for the samples are from its
            answer for the cloud.
        m: points to pick, at most `size`.
        size: farthest points that are tried.
    """

    project = None  # evaluations look for a soft projection, and find none

    def __init__(self, discrepancy, m: int, size: int = 32):
        self.discrepancy, self.settings, self.m = discrepancy, Greedy(m, "fps", size), m

    def __call__(self, points, cloud=None) -> Sampled:
        """Sample points (B, N, 3) in the order in which they are chosen; `cloud` is ignored."""
        check_finite("TrialSampler", points)
        points = tf.convert_to_tensor(points)
        pool = ops.farthest_points(points, self.settings.pool_size(points.shape[1]))
        candidates = ops.gather(points, pool)  # (B, P, 3)
        sample, picks = candidates[:, :0], []
        taken = tf.zeros_like(pool, tf.bool)
        for _ in range(self.m):
            before = tf.repeat(sample[:, None], pool.shape[1], axis=1)  # (B, P, t, 3)
            trials = tf.concat([before, candidates[:, :, None]], 2)
            left = self.discrepancy(trials, points)
            left = tf.where(taken, tf.constant(float("inf"), left.dtype), left)
            picks.append(tf.argmin(left, 1, output_type=tf.int32)[:, None])
            taken |= tf.one_hot(picks[-1][:, 0], pool.shape[1], True, False)
            sample = tf.concat([sample, ops.gather(candidates, picks[-1])], 1)
        return Sampled(sample, tf.gather(pool, tf.concat(picks, 1), batch_dims=1), None)


def _gain(of_cloud):
    """Return the gains (P,) of one cloud: its differences (P, F) stay in the processor's cache."""
    features, pooled, gradient = of_cloud
    return tf.linalg.matvec(tf.nn.relu(features - pooled), gradient)
