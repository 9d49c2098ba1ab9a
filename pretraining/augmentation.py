"""Random crops and colours of images, on their device, from numbers that are drawn elsewhere.

As SimCLR (arXiv 2002.05709) has them for small pictures: a crop of random size and shape, enlarged
to the whole; mirrored in half of the cases; other brightness, contrast, saturation and hue in four
fifths, in this order; grey in one fifth.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

NUMBERS = 11  # random numbers for an image
RATIO = 4 / 3  # of the sides of a crop, at most
JITTER, HUE = 0.4, 0.1  # of brightness, contrast and saturation; of hue, in turns
MIRRORED, COLOURED, GREYED = 0.5, 0.8, 0.2  # shares of the images
LUMA = (0.299, 0.587, 0.114)
# to brightness and two differences of colour, which a turn of hue turns (YIQ)
TO_YIQ = (LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


def augment(images: Tensor, numbers: Tensor, least_area: float = 0.08) -> Tensor:
    """Augment images (n, 3, S, S) in [0, 1] by random numbers (n, NUMBERS) in [0, 1).

    Args:
        least_area: of a crop, as a share of the image; the largest is the whole image.
    """
    numbers = numbers.to(images.dtype)
    images = crop(images, numbers[:, :5], least_area)
    coloured = jitter(images, numbers[:, 6:10])
    images = torch.where(_chosen(numbers[:, 5], COLOURED), coloured, images)
    return torch.where(_chosen(numbers[:, 10], GREYED), _grey(images), images)


def crop(images: Tensor, numbers: Tensor, least_area: float) -> Tensor:
    """Crop images (n, 3, S, S) by numbers (n, 5): area, shape, place (2) and mirroring."""
    area = least_area + (1 - least_area) * numbers[:, 0]
    ratio = torch.exp((2 * numbers[:, 1] - 1) * math.log(RATIO))
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    # in the coordinates of grid_sample: the image is [-1, 1]
    x, y = (1 - width) * (2 * numbers[:, 2] - 1), (1 - height) * (2 * numbers[:, 3] - 1)
    mirror = torch.where(numbers[:, 4] < MIRRORED, -1.0, 1.0)
    nothing = torch.zeros_like(x)
    matrix = torch.stack([width * mirror, nothing, x, nothing, height, y], 1).view(-1, 2, 3)
    grid = F.affine_grid(matrix, images.shape, align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def jitter(images: Tensor, numbers: Tensor) -> Tensor:
    """Change brightness, contrast, saturation and hue of images (n, 3, S, S) by numbers (n, 4)."""
    brightness, contrast, saturation, hue = (2 * numbers.T[..., None, None, None] - 1).unbind()
    images = (images * (1 + JITTER * brightness)).clamp(0, 1)
    mean = _grey(images).mean((2, 3), keepdim=True)
    images = (mean + (images - mean) * (1 + JITTER * contrast)).clamp(0, 1)
    grey = _grey(images)
    images = (grey + (images - grey) * (1 + JITTER * saturation)).clamp(0, 1)
    return _turn_hue(images, HUE * hue[:, 0, 0, 0])


def _grey(images: Tensor) -> Tensor:
    red, green, blue = (share * images[:, i : i + 1] for i, share in enumerate(LUMA))
    return (red + green + blue).expand_as(images)


def _turn_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Turn the differences of colour by `turns` (n) of a circle; the brightness stays."""
    to_yiq = torch.tensor(TO_YIQ, dtype=images.dtype, device=images.device)
    cos, sin = torch.cos(2 * math.pi * turns), torch.sin(2 * math.pi * turns)
    one, nothing = torch.ones_like(cos), torch.zeros_like(cos)
    rows = (one, nothing, nothing, nothing, cos, -sin, nothing, sin, cos)
    turn = torch.stack(rows, 1).view(-1, 3, 3)
    matrix = torch.linalg.inv(to_yiq) @ turn @ to_yiq  # (n, 3, 3)
    return torch.einsum("nij,njrc->nirc", matrix, images).clamp(0, 1)


def _chosen(numbers: Tensor, share: float) -> Tensor:
    return (numbers < share)[:, None, None, None]
