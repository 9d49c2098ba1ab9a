"""RGB-D frames of generated rooms, taken on a walk around their middle."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rgbd_pairs import Frames
from samplenet.data import cameras, rooms, shapes
from samplenet.data.views.meshes import Surface

FRAMES = 12  # of a room, 30 degrees apart
SIZE = 96  # pixels a side
FOCAL = 0.9  # of the lens, in sides of the picture: 58 degrees, as the camera's of ScanNet
RADIUS = 0.35  # of the walk, in sides of the room


def generated(count: int, split: str) -> Iterator[tuple[str, Frames]]:
    """Yield names and frames of the first rooms of a split."""
    for index in range(count):
        yield f"{split}_room_{index}", of_room(index, split)


def of_room(index: int, split: str) -> Frames:
    """Take FRAMES pictures across a room, from eye's height to a metre above the floor or below."""
    from samplenet.data.views import rays  # here: other data sets need no Embree

    meshes = rooms.generate_meshes(index, split)
    surface = Surface(meshes.triangles, meshes.colors, meshes.labels)
    middle = meshes.triangles.max((0, 1)) / 2
    rng = np.random.default_rng([shapes.SPLITS.index(split), index, 2])
    angles = 2 * np.pi * (np.arange(FRAMES) + rng.uniform(-0.2, 0.2, FRAMES)) / FRAMES
    poses = []
    for angle in angles:
        aside = 2 * RADIUS * middle * (np.cos(angle), np.sin(angle), 0)
        eye, towards = middle + aside, middle - aside
        eye[2], towards[2] = rng.uniform(1.4, 1.8), rng.uniform(0.3, 1.1)
        poses.append(looking(eye, towards))
    poses = np.stack(poses)
    views = rays.render(surface, np.linalg.inv(poses), SIZE, focal=FOCAL)
    K = cameras.intrinsics(SIZE, FOCAL)
    lens = np.array([K[0, 0], K[1, 1], K[0, 2] - 0.5, K[1, 2] - 0.5])
    return Frames(np.round(255 * views.rgb).astype(np.uint8), views.depth, poses, lens)


def looking(eye: ArrayLike, towards: ArrayLike) -> NDArray[np.float64]:
    """Return a pose, camera to world (4, 4), that looks from one point at another; z is up."""
    forward = np.subtract(towards, eye) / np.linalg.norm(np.subtract(towards, eye))
    right = np.cross(forward, (0, 0, 1))
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], 1)
    pose[:3, 3] = eye
    return pose
