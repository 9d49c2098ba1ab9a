"""Baselines: samplers that need no training. Like a trained `SampleNet`, each maps (B, N, 3) to `Sampled`."""

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
    if (
        not tf.executing_eagerly()
        or isinstance(points, keras.KerasTensor)
        or "GPU" in getattr(points, "device", "")
    ):
        return
    if not np.isfinite(np.asarray(points)).all():
        raise InputError(contract.non_finite(name, "points"))


class RandomSampler:
    """m input points drawn uniformly, without repeats.

    Args:
        m: points to draw, at most N.
        seed: with the cloud's number it decides the draw.
    """

    project = None

    def __init__(self, m: int, seed: int = 0):
        self.m, self.seed = m, seed

    def __call__(self, points, cloud=None) -> Sampled:
        """points (B, N, 3); cloud (B,): each cloud's number in its data set, 0..B-1 if not given."""
        check_finite("RandomSampler", points)
        batch, n = points.shape[:2]
        idx = random_indices(n, self.m, self.seed, np.arange(batch) if cloud is None else cloud)
        idx = tf.convert_to_tensor(idx)
        return Sampled(ops.gather(points, idx), idx, None)


class FarthestPointSampler:
    """Farthest point sampling of m points.

    Args:
        m: points to pick, at most N.
        start: the first point of every cloud; "random": one of its own for each, as `RandomSampler(1, seed)` draws.
        seed: with the cloud's number it decides a random start.
    """

    project = None

    def __init__(self, m: int, start: int | str = 0, seed: int = 0):
        self.m, self.start, self.seed = m, start, seed

    def __call__(self, points, cloud=None) -> Sampled:
        """points (B, N, 3); cloud (B,): each cloud's number in its data set, 0..B-1 if not given."""
        check_finite("FarthestPointSampler", points)
        start = self.start
        if start == "random":
            start = RandomSampler(1, self.seed)(points, cloud).idx[:, 0]
        idx = ops.farthest_points(points, self.m, start=start)
        return Sampled(ops.gather(points, idx), idx, None)
