"""Depth images of rooms that do not exist, by seed: a floor, walls, boxes and tables."""

import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 720, 1280
FOCAL = 0.7  # of the image's width: a field of view of 71 degrees
NEAR = 0.2  # metres: no furniture is nearer to the camera


def intrinsics(height: int = HEIGHT, width: int = WIDTH) -> tuple[float, float, float, float]:
    """Return fx, fy, cx, cy in pixels of the camera in every room."""
    return FOCAL * width, FOCAL * width, (width - 1) / 2, (height - 1) / 2


def room(
    seed: int, height: int = HEIGHT, width: int = WIDTH, noise: bool = False
) -> NDArray[np.uint16]:
    """Cast a ray through every pixel of a camera in a room: depth (height, width) in millimetres.

    The room is 3 to 10 m long and wide. The camera stands near a corner, 0.5 to 1.8 m above the
    floor, and looks about at the room's middle, 5 to 25 degrees down.

    Args:
        noise: normal errors that grow with the square of the depth, 2.6 cm at 4 m, as Nguyen, Izadi
            and Lovell measured a Kinect's (2012); and 1 % of the pixels have no depth.
    """
    rng = np.random.default_rng(seed)
    length, breadth, ceiling = rng.uniform((3, 3, 2.4), (10, 10, 3.5))
    camera = rng.uniform((0.3, 0.3, 0.5), (0.3 * length, 0.3 * breadth, 1.8))  # x, y, z; z is up
    pitch, aside = np.radians(rng.uniform((5, -20), (25, 20)))
    yaw = np.arctan2(breadth / 2 - camera[1], length / 2 - camera[0]) + aside
    rays = _rays(height, width, pitch, yaw)
    inside = np.array(((0, 0, 0), (length, breadth, ceiling)))
    _, depth = _through(rays, inside - camera)
    for low, high in _furniture(rng, length, breadth):
        box = np.array((low, high)) - camera
        if np.maximum(box[0], -box[1]).max() < NEAR:  # around the camera, or in front of its lens
            continue
        enters, leaves = _through(rays, box)
        depth = np.where((enters > 0) & (enters < leaves), np.minimum(enters, depth), depth)
    if noise:
        depth += (0.0012 + 0.0019 * (depth - 0.4) ** 2) * rng.standard_normal(depth.shape)
        depth[rng.random(depth.shape) < 0.01] = 0
    return np.clip(np.rint(1000 * depth), 0, 65535).astype(np.uint16)


def _rays(height: int, width: int, pitch: float, yaw: float) -> NDArray:
    """Return each pixel's direction (3, height, width) in the room; one metre deep."""
    fx, fy, cx, cy = intrinsics(height, width)
    row, column = np.indices((height, width), np.float32)
    right, down = (column - cx) / fx, (row - cy) / fy
    ahead = np.cos(pitch) - down * np.sin(pitch)
    x = ahead * np.cos(yaw) + right * np.sin(yaw)
    y = ahead * np.sin(yaw) - right * np.cos(yaw)
    return np.stack((x, y, -np.sin(pitch) - down * np.cos(pitch))).astype(np.float32)


def _through(rays: NDArray, box: NDArray) -> tuple[NDArray, NDArray]:
    """Return the depths at which rays from 0 enter a box (2, 3), low and high, and leave it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = box.astype(np.float32)[:, :, None, None] / rays
    return ends.min(0).max(0), ends.max(0).min(0)


def _furniture(rng: np.random.Generator, length: float, breadth: float) -> list[tuple]:
    """Draw 12 boxes on the floor and 4 tables: corners (low, high) of boxes along the axes."""
    boxes = []
    for _ in range(12):
        x, y = rng.uniform(0, (length, breadth))
        size = rng.uniform((0.1, 0.1, 0.1), (0.8, 0.8, 1.2))
        boxes.append(((x, y, 0), (x + size[0], y + size[1], size[2])))
    for _ in range(4):
        x, y = rng.uniform(0, (length, breadth))
        wide, deep, high = rng.uniform((0.6, 0.6, 0.5), (2, 1, 0.9))
        boxes.append(((x, y, high - 0.04), (x + wide, y + deep, high)))
        for a, b in ((0, 0), (wide - 0.05, 0), (0, deep - 0.05), (wide - 0.05, deep - 0.05)):
            boxes.append(((x + a, y + b, 0), (x + a + 0.05, y + b + 0.05, high)))
    return boxes
