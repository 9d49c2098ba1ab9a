"""Batch norm in training and ReLU as one op."""

import torch
from torch import Tensor

from samplenet.ops import contract
from samplenet.ops.torch._pooled_linear import serves_layers
from samplenet.ops.torch.checks import dtype_names


def batch_norm_relu(
    features: Tensor, scale: Tensor, shift: Tensor, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise features (R, C) by the batch's statistics, scale (C,), shift (C,), and cut at 0.

    The native op reads the features twice and writes once, and in the backward pass likewise; the
    framework's own layers pass over them for norm and ReLU apart. Differentiable in features, scale
    and shift through `out`.

    Returns:
        out: (R, C).
        mean, variance: (C,), over the rows; the variance is not corrected for bias.
    """
    arrays = {"features": features, "scale": scale, "shift": shift}
    shapes = [tuple(array.shape) for array in arrays.values()]
    contract.check_norm("batch_norm_relu", dtype_names(**arrays), *shapes)
    if features.dtype != torch.float64:
        features, scale, shift = features.float(), scale.float(), shift.float()
    if serves_layers(features):
        return torch.ops.samplenet.batch_norm_relu(features, scale, shift, epsilon)
    variance, mean = torch.var_mean(features, 0, correction=0)
    out = torch.relu((features - mean) * (scale * torch.rsqrt(variance + epsilon)) + shift)
    return out, mean.detach(), variance.detach()
