"""The sampler's losses (SampleNet, sec. 3): L_task + alpha L_simplify + lmbda L_project."""

import tensorflow as tf

from samplenet.ops import tf as ops


def simplification_loss(queries, points, beta=1.0, gamma=1.0, delta=0.0) -> tf.Tensor:
    """Return L_a(Q, P) + beta L_m(Q, P) + (gamma + delta |Q|) L_a(P, Q), a scalar: L_simplify.

    L_a(X, Y) is the mean over x of the squared distance to the nearest y, L_m(X, Y) the maximum;
    both are averaged over the batch.

    Args:
        queries, points: Q (B, m, 3) and P (B, N, 3).
        beta: 1 in all three tasks.
        gamma: classification 1 (progressive 0.5), registration 1, reconstruction 0.
        delta: classification 0 (progressive 1/30), registration 0, reconstruction 1/64.
    """
    near = ops.chamfer(queries, points)
    average = tf.reduce_mean(near.a2b)
    maximum = tf.reduce_mean(tf.reduce_max(near.a2b, axis=1))
    coverage = tf.reduce_mean(near.b2a)
    size = tf.cast(tf.shape(queries)[1], near.a2b.dtype)
    return average + beta * maximum + (gamma + delta * size) * coverage


def projection_loss(sampler) -> tf.Tensor:
    """Return sigma of a sampler's soft projection, L_project; 0 for S-NET, which has none."""
    return sampler.project.sigma if sampler.project else tf.zeros(())
