"""The blocks of point networks, and the batch norm momentum as the whole library has it."""

import functools

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from samplenet.ops.torch import (
    batch_norm_relu,
    normalised_pooled_linear,
    pooled_linear,
    serves_layers,
)


def set_momentum(model: nn.Module, momentum: float) -> None:
    """Set the share of the running statistics that every batch norm of a model keeps.

    That is `samplenet.tf`'s convention; PyTorch's attribute is the share replaced, 1 - momentum.
    A compiled model is compiled again when it changes.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = 1 - momentum


def point_block(features: Tensor, weight: Tensor, bias: Tensor, norm: _BatchNorm) -> Tensor:
    """Apply a linear layer, batch norm and ReLU to each point.

    features (B, N, C), weight (C, F), bias (F,) -> (B, N, F).

    Args:
        norm: an affine `nn.BatchNorm2d` of F channels, or `nn.SyncBatchNorm`. In training its
            running statistics are updated.
    """
    if norm.training and _fuses(features, weight, norm):
        products = features.flatten(0, 1) @ weight
        shift = norm.bias + 0 * bias  # the norm takes the bias off; it has a gradient, zero
        out, mean, variance = batch_norm_relu(products, norm.weight, shift, norm.eps)
        update_statistics(norm, mean + bias, variance, len(products))
        return out.view(*features.shape[:2], -1)
    # as an image with channels last the per-point layers are faster
    image = features.transpose(1, 2)[..., None]  # (B, C, N, 1)
    out = torch.relu(norm(F.conv2d(image, weight.t()[..., None, None], bias)))
    return out[..., 0].transpose(1, 2)


def _fuses(features: Tensor, weight: Tensor, norm: _BatchNorm) -> bool:
    """Return whether norm and ReLU are one native op: on a CPU with a build, not synchronised."""
    alike = features.dtype == weight.dtype and features.dtype in (torch.float32, torch.float64)
    on_cpu = features.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    alone = not isinstance(norm, nn.SyncBatchNorm)
    return alike and on_cpu and alone and serves_layers(features)


def pooled_block(
    features: Tensor, weight: Tensor, bias: Tensor, norm: _BatchNorm | None = None
) -> Tensor:
    """Apply a linear layer, batch norm and ReLU to each point, and take the maximum over them.

    features (B, N, C), weight (C, F), bias (F,) -> (B, F). Equal to the plain layers up to
    rounding. But where the native op serves (a CPU with a build), the (B, N, F) activations, most
    of a PointNet's work, are never written: batch norm and ReLU keep the order of a channel's
    values, or reverse it where the scale is negative, so they need only the largest product, or
    the smallest.

    Args:
        norm: the affine batch norm of F channels, or None. In training its running statistics are
            updated; `nn.SyncBatchNorm` normalises over all processes, whose batches are equal.
    """
    if norm is None:
        return torch.relu(pooled_linear(features, weight)[0] + bias)
    sign = torch.where(norm.weight.detach() < 0, -1.0, 1.0).to(weight.dtype)
    if norm.training or not norm.track_running_stats:
        pooled, variance = _of_batch(features, weight, bias, norm, sign)
    else:
        pooled = sign * pooled_linear(features, weight * sign)[0] + bias - norm.running_mean
        variance = norm.running_var
    return torch.relu(pooled * norm.weight * torch.rsqrt(variance + norm.eps) + norm.bias)


def _of_batch(features, weight, bias, norm, sign) -> tuple[Tensor, Tensor]:
    """Return the extremes minus the mean, and the variance; update the running statistics."""
    count = features.shape[0] * features.shape[1]
    over_processes = None
    if norm.training and isinstance(norm, nn.SyncBatchNorm) and dist.is_initialized():
        over_processes = functools.partial(_mean_over_processes, group=norm.process_group)
        count *= dist.get_world_size(norm.process_group)
    pooled, mean, variance = normalised_pooled_linear(features, weight, sign, over_processes)
    update_statistics(norm, mean @ weight + bias, variance, count)
    return pooled + 0 * bias, variance  # the norm takes the bias off; it has a gradient, zero


@torch.no_grad()
def update_statistics(norm: _BatchNorm, mean: Tensor, variance: Tensor, count: int) -> None:
    """Let a batch's mean and variance, over `count` points, enter the running statistics."""
    if not norm.track_running_stats:
        return
    norm.num_batches_tracked += 1
    share = norm.momentum
    if share is None:  # PyTorch's word for the mean of all batches
        share = 1 / norm.num_batches_tracked.item()
    norm.running_mean.lerp_(mean, share)
    norm.running_var.lerp_(variance * count / max(count - 1, 1), share)


def _mean_over_processes(value: Tensor, group) -> Tensor:
    value = value.clone(memory_format=torch.contiguous_format)  # not autograd's own tensor
    dist.all_reduce(value, group=group)
    return value / dist.get_world_size(group)
