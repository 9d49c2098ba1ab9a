"""Baselines: samplers without training, called on clouds (B, N, 3) as a `SampleNet` is."""

import keras
import numpy as np
import tensorflow as tf

from samplenet.errors import InputError
from samplenet.ops import contract
from samplenet.ops import tf as ops
from samplenet.sampled import Sampled, random_indices


def check_finite(name: str, points) -> None:
    """Raise InputError, beginning with the sampler's name, if a coordinate is NaN or infinite.

    Only in eager mode and on the CPU: elsewhere the check would make the host wait.
    """
    if not tf.executing_eagerly() or isinstance(points, keras.KerasTensor):
        return
    if "GPU" not in getattr(points, "device", "") and not np.isfinite(np.asarray(points)).all():
        raise InputError(contract.non_finite(name, "points"))


class RandomSampler:
    """Draw m input points uniformly, without repeats.

    Args:
        m: points to draw, at most N.
        seed: with the cloud's number, decides the draw.
    """

    project = None  # evaluations look for a soft projection, and find none

    def __init__(self, m: int, seed: int = 0):
        self.m, self.seed = m, seed

    def __call__(self, points, cloud=None) -> Sampled:
        """Sample points (B, N, 3); cloud (B,), their numbers in the data set, else 0..B-1."""
        check_finite("RandomSampler", points)
        batch, n = points.shape[:2]
        cloud = np.arange(batch) if cloud is None else cloud
        idx = tf.convert_to_tensor(random_indices(n, self.m, self.seed, cloud))
        return Sampled(ops.gather(points, idx), idx, None)


class FarthestPointSampler:
    """Pick m points by farthest point sampling.

    Args:
        m: points to pick, at most N.
        start: first point of every cloud; "random" draws one for each, as `RandomSampler(1, seed)`.
        seed: with the cloud's number, decides a random start.
    """

    project = None  # evaluations look for a soft projection, and find none

    def __init__(self, m: int, start: int | str = 0, seed: int = 0):
        self.m, self.start, self.seed = m, start, seed

    def __call__(self, points, cloud=None) -> Sampled:
        """Sample points (B, N, 3); cloud (B,), their numbers in the data set, else 0..B-1."""
        check_finite("FarthestPointSampler", points)
        start = self.start
        if start == "random":
            start = RandomSampler(1, self.seed)(points, cloud).idx[:, 0]
        idx = ops.farthest_points(points, self.m, start=start)
        return Sampled(ops.gather(points, idx), idx, None)
