"""The losses of pre-training: contrast of images, and of points with pixels; distillation."""

import torch
import torch.nn.functional as F
from torch import Tensor


def contrastive_loss(a: Tensor, b: Tensor, temperature: float, ids: Tensor | None = None) -> Tensor:
    """Return NT-Xent (arXiv 2002.05709): each vector is to find its partner among all the others.

    Of a and b together, row i of a and row i of b are partners; all other rows of both are
    negatives. Averaged over the rows and over leading dimensions (...), which do not mix. With
    points of one object as a and their pixels as b, it is the point loss of the paper.

    Args:
        a, b: (..., n, D), of any length: they are normalised here.
        ids: (..., n) numbers of the points; rows of the same point are no negatives. By default, as
            released, a point that is in two pairs is a negative of itself.
    """
    z = torch.cat([a, b], -2)
    z = F.normalize(z.to(_exact(z)), dim=-1)  # (..., 2n, D)
    n, rows = a.shape[-2], torch.arange(2 * a.shape[-2], device=a.device)
    partner = (rows + n) % (2 * n)
    left_out = rows[:, None] == rows  # (2n, 2n): itself
    if ids is not None:
        ids = torch.cat([ids, ids], -1)
        same = ids[..., :, None] == ids[..., None, :]  # (..., 2n, 2n)
        left_out = left_out | same & (rows != partner[:, None])
    with torch.autocast(z.device.type, enabled=False):  # its 8 bits are too coarse for products
        logits = (z @ z.mT / temperature).masked_fill(left_out, -torch.inf)
    likeness = (z * z.roll(n, -2)).sum(-1) / temperature  # with the partner, (..., 2n)
    return (logits.logsumexp(-1) - likeness).mean()


def global_loss(cloud: Tensor, images: Tensor) -> Tensor:
    """Return the mean squared difference of an object's two descriptions, (B, D) each."""
    return F.mse_loss(cloud, images)


def transform_regulariser(transform: Tensor) -> Tensor:
    """Return half the sum over the batch of ||T T^T - I||_F^2 of matrices T (B, C, C)."""
    transform = transform.to(_exact(transform))
    identity = torch.eye(transform.shape[-1], dtype=transform.dtype, device=transform.device)
    with torch.autocast(transform.device.type, enabled=False):
        return (transform @ transform.mT - identity).square().sum() / 2


def _exact(tensor: Tensor) -> torch.dtype:
    """Return float32, or float64 for float64."""
    return torch.promote_types(tensor.dtype, torch.float32)
