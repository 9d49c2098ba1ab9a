"""Soft projection of simplified points onto the input cloud."""

import torch
from torch import Tensor, nn

from samplenet.errors import InputError
from samplenet.ops import torch as ops


class SoftProjection(nn.Module):
    """Replace each query by a weighted mean of its k nearest points (SampleNet, sec. 3).

    The weights are softmax(-d² / sigma), sigma = max(t², min_sigma), d the distance to a point.

    Args:
        k: neighbours averaged. Classification 7, registration 8, reconstruction 16.
        temperature: initial t.
        trainable_temperature: whether t is learned.
        min_sigma: lower bound on sigma. Classification 0, registration 1e-2, reconstruction 1e-4.
    """

    def __init__(self, k=7, temperature=1.0, trainable_temperature=True, min_sigma=0.0):
        super().__init__()
        if not isinstance(k, int) or k < 1:
            raise InputError(f"SoftProjection: k must be a whole number of at least 1, got {k!r}")
        if min_sigma < 0:
            raise InputError(f"SoftProjection: min_sigma must be at least 0, got {min_sigma}")
        self.k, self.min_sigma = k, min_sigma
        self._temperature = nn.Parameter(
            torch.tensor(float(temperature)), requires_grad=trainable_temperature
        )

    def _sigma(self) -> Tensor:  # for a subclass whose `sigma` is a method, as the released code's
        return self._temperature.square().clamp(min=self.min_sigma)

    @property
    def sigma(self) -> Tensor:
        """max(t², min_sigma), the softmax's divisor and the projection loss."""
        return self._sigma()

    def weights(self, points, queries) -> tuple[Tensor, Tensor]:
        """Return the weights and indices (B, m, k) of the neighbours of queries (B, m, 3)."""
        dist2, idx = ops.knn(queries, points, self.k)  # (B, m, k)
        return torch.softmax(-dist2 / self._sigma().to(dist2.dtype), -1), idx

    def forward(self, points, queries) -> Tensor:
        """Project queries (B, m, 3) onto points (B, N, 3): (B, m, 3)."""
        return self.propagate(points, points, queries)

    def propagate(self, points, features, queries) -> Tensor:
        """Carry features (B, N, C) of the points to the queries, by the same weights: (B, m, C)."""
        return blend(*self.weights(points, queries), features)


def blend(weights, idx, values) -> Tensor:
    """Sum the neighbours' values (B, N, C) by weights and idx (B, m, k): (B, m, C)."""
    neighbours = ops.gather(values, idx).to(weights.dtype)  # (B, m, k, C)
    return (weights[..., None] * neighbours).sum(2)
