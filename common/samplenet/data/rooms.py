"""Rooms as labelled points, and generated ones: walls, floor, ceiling and built-in furniture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samplenet.data import shapes
from samplenet.data.cameras import TO_BLENDER
from samplenet.data.shapes.mesh import Mesh, box, sample_faces, turn
from samplenet.errors import InputError

# metres: the height of each piece of furniture
HEIGHTS = {
    "bed": (0.5, 0.9),
    "bookshelf": (1.5, 2.1),
    "chair": (0.8, 1.0),
    "lamp": (1.4, 1.8),
    "sofa": (0.7, 0.9),
    "table": (0.65, 0.8),
}
CLASSES = ("ceiling", "floor", "wall", *HEIGHTS)
LARGEST = 2.2  # metres, of a piece of furniture's longer side on the floor
UNLABELLED = -100  # the label of points whose class is not known; PyTorch's loss leaves them out
TRIES = 30  # places tried for a piece of furniture
THICKNESS = 0.05


@dataclass(frozen=True)
class Room:
    """P points of a room, z up, in metres.

    Attributes:
        points: (P, 3) float32; the least of each coordinate is 0.
        colors: (P, 3) uint8.
        labels: (P,) int64, UNLABELLED where it is not known.
        name: such as "Area_1_office_3".
    """

    points: NDArray[np.float32]
    colors: NDArray[np.uint8]
    labels: NDArray[np.int64]
    name: str


@dataclass(frozen=True)
class Meshes:
    """The surface of a generated room as loose triangles, z up, with colours and classes."""

    triangles: Mesh
    colors: NDArray[np.float64]
    labels: NDArray[np.int64]


def generate(index: int, split: str = "train", num_points: int = 20_000, seed: int = 0) -> Room:
    """Generate a room and draw points uniformly from its surfaces.

    Its furniture is of the split's built-in shapes, so no piece is in a room of both splits.

    Args:
        index: of the room in its split.

    Raises:
        InputError: an unknown split, a negative index or seed, or no points.
    """
    if num_points < 1:
        raise InputError(f"num_points must be at least 1, got {num_points}")
    meshes = generate_meshes(index, split, seed)
    rng = np.random.default_rng([seed, shapes.SPLITS.index(split), index, 1])
    points, face = sample_faces(meshes.triangles, num_points, rng)
    colors = meshes.colors[face] + 0.03 * rng.standard_normal((num_points, 3))
    colors = np.round(255 * colors.clip(0, 1)).astype(np.uint8)
    points = (points - points.min(0)).astype(np.float32)
    return Room(points, colors, meshes.labels[face], f"{split}_room_{index}")


def generate_meshes(index: int, split: str = "train", seed: int = 0) -> Meshes:
    """Generate the surfaces of a room: 3 to 6 m by 3 to 6 m, 2.5 to 3 m high."""
    if split not in shapes.SPLITS:
        raise InputError(f"split must be one of {', '.join(shapes.SPLITS)}; got {split!r}")
    if index < 0 or seed < 0:
        raise InputError(f"index and seed must be at least 0, got index {index}, seed {seed}")
    rng = np.random.default_rng([seed, shapes.SPLITS.index(split), index, 0])
    size = np.array([*rng.uniform(3, 6, 2), rng.uniform(2.5, 3)])
    pieces = [*_shell(size, rng), *_furniture(size, split, rng)]
    labels = [np.full(len(mesh), CLASSES.index(name)) for name, mesh, _ in pieces]
    colors = [np.broadcast_to(color, (len(mesh), 3)) for _, mesh, color in pieces]
    meshes = np.concatenate([mesh for _, mesh, _ in pieces])
    return Meshes(meshes, np.concatenate(colors), np.concatenate(labels))


def _shell(size: NDArray, rng: np.random.Generator) -> Iterator[tuple[str, Mesh, NDArray]]:
    """Yield floor, ceiling and four walls: class, mesh and colour."""
    width, depth, height = size
    t = THICKNESS
    yield "floor", box((0, 0, -t), (width, depth, 0)), rng.uniform(0.2, 0.7, 3)
    yield "ceiling", box((0, 0, height), (width, depth, height + t)), rng.uniform(0.7, 1, 3)
    color = rng.uniform(0.5, 1, 3)
    yield "wall", box((-t, -t, 0), (0, depth + t, height)), color
    yield "wall", box((width, -t, 0), (width + t, depth + t, height)), color
    yield "wall", box((0, -t, 0), (width, 0, height)), color
    yield "wall", box((0, depth, 0), (width, depth + t, height)), color


def _furniture(
    size: NDArray, split: str, rng: np.random.Generator
) -> Iterator[tuple[str, Mesh, NDArray]]:
    """Yield 5 to 10 pieces of furniture whose boxes do not meet: class, mesh and colours."""
    taken: list[tuple[NDArray, NDArray]] = []
    for _ in range(rng.integers(5, 11)):
        name = str(rng.choice([*HEIGHTS]))
        mesh, part = shapes.mesh_in_parts(name, int(rng.integers(1000)), split=split)
        mesh = turn(mesh, rng.uniform(0, 2 * np.pi)) @ TO_BLENDER.T  # z up
        mesh = mesh * rng.uniform(*HEIGHTS[name]) / np.ptp(mesh[..., 2])
        side = np.ptp(mesh[..., :2], axis=(0, 1)).max()
        mesh = mesh * np.minimum(1, LARGEST / side) ** np.array([1, 1, 0])  # narrower if too wide
        low, high = mesh.min((0, 1)), mesh.max((0, 1))
        colors = rng.uniform(0.05, 0.95, (len(shapes.PARTS[name]), 3))[part]
        place = _free_place(size, high - low, taken, rng)
        if place is not None:
            yield name, mesh - low + np.append(place, 0), colors


def _free_place(
    size: NDArray, own: NDArray, taken: list, rng: np.random.Generator
) -> NDArray | None:
    """Find a corner (2,) for a box on the floor that meets no other box, and take it."""
    free = size[:2] - own[:2]
    for _ in range(TRIES if (free > 0).all() else 0):
        low = rng.uniform(0, 1, 2) * free
        high = low + own[:2]
        if not any(
            (low < other_high).all() and (other_low < high).all() for other_low, other_high in taken
        ):
            taken.append((low, high))
            return low
    return None


def generated(
    count: int, split: str = "train", num_points: int = 20_000, seed: int = 0
) -> Sequence[Room]:
    """Generate the first `count` rooms of a split."""
    return [generate(index, split, num_points, seed) for index in range(count)]
