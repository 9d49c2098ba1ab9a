"""Soft projection of simplified points onto the input cloud."""

import torch
from torch import Tensor, nn

from samplenet.errors import InputError
from samplenet.ops import torch as ops


class SoftProjection(nn.Module):
    """Replace each query by a weighted mean of its k nearest points: weights softmax(-d2 / t2) (SampleNet, sec. 3).

    Args:
        k: neighbours averaged. Classification 7, registration 8, reconstruction 16.
        temperature: initial t.
        trainable_temperature: whether t is learned.
        min_sigma: lower bound on sigma = t2. Classification 0, registration 1e-2, reconstruction 1e-4.
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

    def _sigma(self) -> Tensor:
        return self._temperature.square().clamp(min=self.min_sigma)

    @property
    def sigma(self) -> Tensor:
        """max(t2, min_sigma), what the softmax divides by; the projection loss is this."""
        return self._sigma()

    def weights(self, points, queries) -> tuple[Tensor, Tensor]:
        """points (B, N, 3), queries (B, m, 3) -> the neighbours' weights and indices, (B, m, k) each."""
        dist2, idx = ops.knn(queries, points, self.k)  # (B, m, k)
        return torch.softmax(-dist2 / self._sigma().to(dist2.dtype), -1), idx

    def forward(self, points, queries) -> Tensor:
        """points (B, N, 3), queries (B, m, 3) -> (B, m, 3)."""
        return blend(*self.weights(points, queries), points)

    def propagate(self, points, features, queries) -> Tensor:
        """Features of the points at the queries, by the same weights: features (B, N, C) -> (B, m, C)."""
        return blend(*self.weights(points, queries), features)


def blend(weights, idx, values) -> Tensor:
    """weights, idx (B, m, k), values (B, N, C) -> (B, m, C): the weighted sum of the neighbours' values."""
    neighbours = ops.gather(values, idx).to(weights.dtype)  # (B, m, k, C)
    return (weights[..., None] * neighbours).sum(2)
