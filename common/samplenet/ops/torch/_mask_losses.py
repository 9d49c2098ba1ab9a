"""Losses between a drawn mask and the one that is wanted; no native kernels."""

from math import log

import torch
from torch import Tensor
from torch.nn.functional import softplus

from samplenet.ops.mask_losses import ABSENT, LEAST, Affinity, check_form, check_masks
from samplenet.ops.torch.checks import dtype_names, on_one_device


def mask_cross_entropy(sums: Tensor, target: Tensor) -> Tensor:
    """Return the binary cross-entropy of each pixel of tanh(sums): (B, H, W) -> (B, H, W).

    Stable where the mask rounds to 1: `samplenet.ops.reference` has the formula. Differentiable in
    sums, which `project_mask(..., before_tanh=True)` returns.
    """
    sums, target = _tensors("mask_cross_entropy", sums=sums, target=target)
    missed = -torch.log(torch.tanh(sums) + LEAST)
    added = softplus(2 * sums) - log(2)
    return target * missed + (1 - target) * added


def mask_affinity(mask: Tensor, target: Tensor, form: str = "chamfer") -> Affinity:
    """Return CAPNet's affinity losses of each pixel, (B, H, W) each.

    `samplenet.ops.reference` has the three forms. Differentiable in mask.

    Args:
        mask: (B, H, W) in [0, 1], as drawn by `project_mask`.
        target: (B, H, W), as wanted.
        form: "chamfer": 2D Chamfer distances, by distance transforms; "soft_chamfer": with the
            released code's terms, (H W)^2 steps an image; "released": what that code computes, the
            absolute difference in the main.
    """
    check_form(form)
    mask, target = _tensors("mask_affinity", mask=mask, target=target)
    if form == "released":
        return Affinity(mask * _penalty(target), target * _penalty(mask))
    if form == "soft_chamfer":
        return Affinity(mask * _least(target), target * _least(mask))
    return Affinity(mask * _square_distance(target), target * _square_distance(mask))


def _penalty(image: Tensor) -> Tensor:
    return image + ABSENT * (1 - image)


@torch.no_grad()
def _square_distance(image: Tensor) -> Tensor:
    """Transform images (B, H, W) into squared distances to their objects, rows first."""
    height, width = image.shape[1:]
    down, right = (_lag(size, image).square() for size in (height, width))
    none = torch.full_like(image, height**2 + width**2)
    distance = torch.where(image >= 0.5, 0, none)
    distance = (distance[:, :, None] + right).amin(3)  # (B, H, W, W) before
    distance = (distance[:, None] + down[:, :, None]).amin(2)  # (B, H, H, W) before
    return torch.minimum(distance, none)


def _least(image: Tensor) -> Tensor:
    """Return the least (D + 1) penalty over the pixels of images, for each pixel: (B, H, W)."""
    batch, height, width = image.shape
    down, right = (_lag(size, image) for size in (height, width))
    penalty = _penalty(image).flatten(1)  # (B, H W)
    rows = []
    for row in range(height):  # of pixels: (B, W, H W) at a time
        distance = torch.hypot(down[row, :, None], right[:, None]).flatten(1) + 1  # (W, H W)
        where = (penalty.detach()[:, None] * distance).argmin(-1)  # (B, W)
        nearest = distance.expand(batch, -1, -1).gather(2, where[..., None])[..., 0]
        rows.append(penalty.gather(1, where) * nearest)
    return torch.stack(rows, 1)


def _lag(size: int, like: Tensor) -> Tensor:
    """Return the differences of all pixels in a row: (size, size)."""
    at = torch.arange(size, dtype=like.dtype, device=like.device)
    return at[:, None] - at


def _tensors(op: str, **tensors) -> list[Tensor]:
    """Check the masks; return them in the dtype that the loss computes in."""
    tensors = on_one_device(op, **tensors)
    dtypes = dtype_names(**tensors)
    check_masks(op, dtypes, **{name: tuple(t.shape) for name, t in tensors.items()})
    dtype = torch.float64 if "float64" in dtypes.values() else torch.float32
    image, target = (t.to(dtype) for t in tensors.values())
    return [image, target.detach()]
