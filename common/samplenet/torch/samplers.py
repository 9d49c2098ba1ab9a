"""The samplers that learn nothing. Like a trained `SampleNet`, each maps (B, N, 3) to `Sampled`."""

import numpy as np
import torch

from samplenet.ops import torch as ops
from samplenet.sampled import Sampled, random_indices


class RandomSampler:
    """m input points drawn uniformly, without repeats; the same ones as `samplenet.tf.RandomSampler` draws.

    Args:
        m: points to draw, at most N.
        seed: with the cloud's number it decides the draw.
    """

    project = None

    def __init__(self, m: int, seed: int = 0):
        self.m, self.seed = m, seed

    def __call__(self, points, cloud=None) -> Sampled:
        """points (B, N, 3); cloud (B,): each cloud's number in its data set, 0..B-1 if not given.

        The draw happens on the host, which waits for a `cloud` that lies on a GPU.
        """
        batch, n = points.shape[:2]
        cloud = cloud.cpu().numpy() if isinstance(cloud, torch.Tensor) else cloud
        idx = random_indices(n, self.m, self.seed, np.arange(batch) if cloud is None else cloud)
        idx = torch.as_tensor(idx, dtype=torch.int64, device=points.device)
        return Sampled(ops.gather(points, idx), idx, None)


class FarthestPointSampler:
    """Farthest point sampling of m points, from point `start` of each cloud."""

    project = None

    def __init__(self, m: int, start: int = 0):
        self.m, self.start = m, start

    def __call__(self, points, cloud=None) -> Sampled:
        """points (B, N, 3); `cloud` makes no difference."""
        idx = ops.farthest_points(points, self.m, start=self.start)
        return Sampled(ops.gather(points, idx), idx, None)
