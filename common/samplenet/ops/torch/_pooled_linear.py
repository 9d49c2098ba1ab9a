"""The maximum over the points of a per-point linear layer, without the layer's output."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from samplenet.ops import contract
from samplenet.ops.torch.build import serves_natively
from samplenet.ops.torch.checks import dtype_names

FEW = 128  # points up to which framework operations do the whole layer faster than they search it
MAX_PRODUCTS = 1 << 24  # products held at once by framework operations: 64 MB in float32


def pooled_linear(features: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Pool a linear layer over the points: (B, N, C), (C, F) -> values (B, F), idx (B, F) int64.

    `values` is the maximum over n of features @ weight, `idx` the lowest n that has it.
    Differentiable in both arguments through `values`: each channel sends its gradient to one point
    of a cloud. The native op never holds the (B, N, F) products, framework operations hold some
    points' at a time. N >= 1.
    """
    dtypes = dtype_names(features=features, weight=weight)
    contract.check_layer("pooled_linear", dtypes, tuple(features.shape), tuple(weight.shape))
    if features.dtype != torch.float64:
        features, weight = features.float(), weight.float()
    if serves_layers(features):
        return torch.ops.samplenet.pooled_linear(features, weight)
    with torch.autocast(features.device.type, enabled=False):  # float32, as the native op
        if features.shape[1] <= FEW:
            return (features @ weight).max(1)
        idx = _search(features.detach(), weight.detach())
        # by whole points: the gradients of single numbers (take_along_dim) would be sorted on a GPU
        # one by one, where they must be deterministic
        clouds = torch.arange(len(features), device=features.device)
        kept = features[clouds[:, None], idx]  # (B, F, C)
        return (kept * weight.t()).sum(-1), idx


def serves_layers(features: Tensor) -> bool:
    """Return whether the native ops of layers serve this tensor; they have no CUDA kernel."""
    return features.device.type in ("cpu", "meta") and serves_natively(features)


def _search(features: Tensor, weight: Tensor) -> Tensor:
    """Find the point that holds each channel's maximum, some points at a time: (B, F)."""
    size = max(1, MAX_PRODUCTS // max(1, features.shape[0] * weight.shape[1]))
    largest, idx = (features[:, :size] @ weight).max(1)
    for first in range(size, features.shape[1], size):
        values, at = (features[:, first : first + size] @ weight).max(1)
        exceeds = (values > largest) | values.isnan()  # then none exceeds it
        largest = torch.where(exceeds, values, largest)
        idx = torch.where(exceeds, at + first, idx)
    return idx


def normalised_pooled_linear(
    features: Tensor,
    weight: Tensor,
    sign: Tensor,
    over_processes: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Pool a linear layer minus its mean, and return the statistics that batch norm needs.

    The layer's mean and variance follow from its input's: the variance is diag(W^T cov W), with the
    (C, C) covariance of the features. Differentiable in features and weight through the extremes
    and the variance.

    Args:
        features: (B, N, C).
        weight: (C, F).
        sign: (F,), 1 where the maximum is wanted, -1 where the minimum is.
        over_processes: averages a tensor over all processes whose batches are normalised together;
            None for one process.

    Returns:
        extremes: (B, F), the maximum or minimum over n of (features - mean) @ weight.
        mean: (C,), of the features over all B * N points; no gradient flows through it.
        variance: (F,), of the layer over all B * N points, not corrected for bias.
    """
    if features.dtype != torch.float64:
        features, weight, sign = features.float(), weight.float(), sign.float()
    with torch.autocast(features.device.type, enabled=False):
        return _Normalised.apply(features, weight, sign, over_processes or _alone)


def _alone(mean: Tensor) -> Tensor:
    return mean


class _Normalised(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, weight, sign, over_processes):
        mean = over_processes(features.mean((0, 1)))
        centred = features - mean  # first, as a product of off-centre features loses digits
        flat = centred.flatten(0, 1)  # (B N, C)
        spread = over_processes(flat.t() @ flat / len(flat)) @ weight  # (C, F)
        largest, idx = pooled_linear(centred, weight * sign)
        ctx.save_for_backward(centred, weight, sign, spread, idx)
        ctx.over_processes = over_processes
        return largest * sign, mean, (spread * weight).sum(0)

    @staticmethod
    @once_differentiable  # the statistics it uses are constants to it
    def backward(ctx, grad_extreme, _, grad_variance):
        centred, weight, sign, spread, idx = ctx.saved_tensors
        grad_features, grad_weight = pooled_linear_backward(grad_extreme, centred, weight, idx)
        grad_weight += 2 * grad_variance * spread
        # Each point has its share in the statistics. Every process's loss depends on them.
        count = centred.shape[0] * centred.shape[1]
        of_mean = ctx.over_processes(grad_extreme.sum(0)) @ weight.t()  # (C,)
        of_spread = weight * ctx.over_processes(grad_variance) @ weight.t()  # (C, C)
        grad_features -= of_mean / count
        grad_features.view(count, -1).addmm_(centred.flatten(0, 1), of_spread, alpha=2 / count)
        return grad_features, grad_weight, None, None


def pooled_linear_backward(grad, features, weight, idx) -> tuple[Tensor, Tensor]:
    """Return the gradients of sum(grad * values) of `pooled_linear`, whose `idx` is known."""
    if serves_layers(features):
        return torch.ops.samplenet.pooled_linear_backward(grad, features, weight, idx)
    at = idx[..., None].expand(-1, -1, features.shape[2])  # (B, F, C)
    grad_features = torch.zeros_like(features, memory_format=torch.contiguous_format)
    grad_features.scatter_add_(1, at, grad[..., None] * weight.t())
    grad_weight = (grad[..., None] * features.gather(1, at)).sum(0).t()
    return grad_features, grad_weight.contiguous()
