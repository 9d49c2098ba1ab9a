"""Rows of each cloud by their indices."""

import math

import torch
from torch import Tensor

from samplenet.errors import InputError
from samplenet.ops.torch.checks import check_indices


def gather(points, idx) -> Tensor:
    """Return rows of each cloud: points (B, N, C), idx (B, ...) -> (B, ..., C).

    Differentiable in points.
    """
    points = points if isinstance(points, Tensor) else torch.as_tensor(points)
    if points.ndim != 3:
        raise InputError(f"gather: points must have shape (B, N, C), got {tuple(points.shape)}")
    return rows(points, check_indices("gather", "idx", idx, points))


def rows(points: Tensor, idx: Tensor) -> Tensor:
    """Return `gather` without the checks; idx must be int64."""
    channels = points.shape[2]
    flat = idx.reshape(idx.shape[0], math.prod(idx.shape[1:]), 1)
    return torch.gather(points, 1, flat.expand(-1, -1, channels)).reshape(*idx.shape, channels)
