"""Other poses, shapes and colours of a scene, drawn at random, as PointContrast trains SR-UNet.

Its values for ScanNet, and for colours those for S3DIS. It has settings for hue and saturation that
it does not use; nor are they here.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

AUGMENTATIONS = ("none", "scene")
TILT = np.pi / 64  # about x and y, at most
SCALE = (0.9, 1.1)
ELASTIC = ((0.2, 0.4), (0.8, 1.6))  # metres between the nodes of the noise, and its factor
OFTEN, SELDOM = 0.95, 0.2  # shares of the scenes
TRANSLATION, JITTER = 0.05, 0.005  # of colours in [0, 1]: of all alike, at most; of each, deviation


def augment(
    points: NDArray[np.float32], colors: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Distort, turn, mirror and scale points (P, 3), z up and in metres; recolour (P, 3) in [0, 1].

    The points stay in their order.
    """
    if rng.random() < OFTEN:
        for spacing, factor in ELASTIC:
            points = distort(points, spacing, factor, rng)
    return (points @ pose(rng).T).astype(np.float32), recolor(colors, rng)


def distort(
    points: NDArray[np.float32], spacing: float, factor: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Move points (P, 3) by smooth noise: normal at nodes every `spacing`, blurred, interpolated.

    Args:
        factor: of the blurred noise, whose standard deviation is 0.11 of a node's.
    """
    low = points.min(0) - spacing
    nodes = ((np.ptp(points, 0) // spacing).astype(int) + 3).tolist()
    noise = torch.from_numpy(rng.standard_normal((1, 3, *nodes), np.float32))
    for _ in range(2):  # the mean over 3 nodes along each axis, with zeros outside
        noise = F.avg_pool3d(noise, 3, stride=1, padding=1)
    places = 2 * (points - low) / (spacing * (np.array(nodes) - 1)) - 1  # [-1, 1] over the nodes
    grid = torch.from_numpy(places[:, ::-1].astype(np.float32))  # which is asked for z, y, x
    moved = F.grid_sample(noise, grid[None, :, None, None], align_corners=True)
    return points + np.float32(factor) * moved[0, :, :, 0, 0].numpy().T


def pose(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a matrix (3, 3): about x, y and z, mirrored along x and y or not, larger or smaller."""
    matrix = np.eye(3)
    for axis, most in enumerate((TILT, TILT, np.pi)):
        angle = rng.uniform(-most, most)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[[i, j], [i, j]] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    mirror = np.append(rng.choice([-1.0, 1.0], 2), 1)
    return rng.uniform(*SCALE) * mirror[:, None] * matrix


def recolor(colors: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Change contrast, tint and noise of colours (P, 3) in [0, 1]."""
    if rng.random() < SELDOM:
        low, high = colors.min(0), colors.max(0)
        stretched = (colors - low) / np.maximum(high - low, 1 / 255)
        colors = colors + rng.random() * (stretched - colors)
    if rng.random() < OFTEN:
        colors = (colors + rng.uniform(-TRANSLATION, TRANSLATION, 3)).clip(0, 1)
    if rng.random() < OFTEN:
        colors = (colors + JITTER * rng.standard_normal(colors.shape)).clip(0, 1)
    return colors.astype(np.float32)
