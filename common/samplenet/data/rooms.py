"""Rooms as labelled points, and generated ones: walls, floor, ceiling and built-in furniture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samplenet.data import shapes
from samplenet.data.cameras import TO_BLENDER
from samplenet.data.shapes.mesh import Mesh, loft, sample_faces, turn
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
SMALLEST_ROOM, LARGEST_ROOM = 3, 6  # metres, of a side on the floor
TRIES = 30  # places tried for a piece of furniture


@dataclass(frozen=True)
class Room:
    """P points of a room, z up, in metres.

    Attributes:
        points: (P, 3) float32; the least of each coordinate is 0.
        colors: (P, 3) uint8.
        labels: (P,) int64, UNLABELLED where it is not known.
        name: such as "Area_1_office_3".
        instances: (P,) int64, whose box each point is in, -1 for none; None where it is not known.
        boxes: (K, 7), as of `box_around`; None where they are not known.
        box_labels: (K,) int64; None without boxes.
    """

    points: NDArray[np.float32]
    colors: NDArray[np.uint8]
    labels: NDArray[np.int64]
    name: str
    instances: NDArray[np.int64] | None = None
    boxes: NDArray[np.float64] | None = None
    box_labels: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Meshes:
    """The surface of a generated room as loose triangles, z up.

    Attributes:
        triangles: (F, 3, 3).
        colors: (F, 3) in [0, 1].
        labels: (F,) int64.
        instances: (F,) int64, the piece of furniture, -1 for the room itself.
        boxes: (K, 7) of the pieces, as of `box_around`.
        box_labels: (K,) int64.
    """

    triangles: Mesh
    colors: NDArray[np.float64]
    labels: NDArray[np.int64]
    instances: NDArray[np.int64]
    boxes: NDArray[np.float64]
    box_labels: NDArray[np.int64]


def generate(
    index: int,
    split: str = "train",
    num_points: int = 20_000,
    seed: int = 0,
    largest: float = LARGEST_ROOM,
) -> Room:
    """Generate a room and draw points uniformly from its surfaces.

    Its furniture is of the split's built-in shapes, so no piece is in a room of both splits.

    Args:
        index: of the room in its split.
        largest: metres, of a side on the floor.

    Raises:
        InputError: an unknown split, a negative index or seed, no points, or too small a room.
    """
    if num_points < 1:
        raise InputError(f"num_points must be at least 1, got {num_points}")
    meshes = generate_meshes(index, split, seed, largest)
    rng = np.random.default_rng([seed, shapes.SPLITS.index(split), index, 1])
    points, face = sample_faces(meshes.triangles, num_points, rng)
    colors = meshes.colors[face] + 0.03 * rng.standard_normal((num_points, 3))
    colors = np.round(255 * colors.clip(0, 1)).astype(np.uint8)
    corner = points.min(0)
    boxes = meshes.boxes - np.append(corner, np.zeros(4))
    points, name = (points - corner).astype(np.float32), f"{split}_room_{index}"
    labels, instances = meshes.labels[face], meshes.instances[face]
    return Room(points, colors, labels, name, instances, boxes, meshes.box_labels)


def generate_meshes(
    index: int, split: str = "train", seed: int = 0, largest: float = LARGEST_ROOM
) -> Meshes:
    """Generate the surfaces of a room: sides of 3 m to the largest, 2.5 to 3 m high."""
    if split not in shapes.SPLITS:
        raise InputError(f"split must be one of {', '.join(shapes.SPLITS)}; got {split!r}")
    if index < 0 or seed < 0:
        raise InputError(f"index and seed must be at least 0, got index {index}, seed {seed}")
    if not largest >= SMALLEST_ROOM:
        raise InputError(f"largest must be at least {SMALLEST_ROOM}, got {largest}")
    rng = np.random.default_rng([seed, shapes.SPLITS.index(split), index, 0])
    size = np.array([*rng.uniform(SMALLEST_ROOM, largest, 2), rng.uniform(2.5, 3)])
    shell = [*_shell(size, rng)]
    furniture, boxes = [], []
    for *piece, heading in _furniture(size, split, rng):
        furniture.append(piece)
        boxes.append(box_around(piece[1], heading))
    names, meshes, colors = zip(*shell, *furniture, strict=True)
    labels, faces = np.array([CLASSES.index(name) for name in names]), [len(m) for m in meshes]
    instances = np.maximum(np.arange(-len(shell), len(furniture)), -1)
    colors = [np.broadcast_to(color, (n, 3)) for color, n in zip(colors, faces, strict=True)]
    return Meshes(
        np.concatenate(meshes),
        np.concatenate(colors),
        np.repeat(labels, faces),
        np.repeat(instances, faces),
        np.reshape(boxes, (-1, 7)),
        labels[len(shell) :],
    )


def box_around(points: NDArray, heading: float) -> NDArray[np.float64]:
    """Return the smallest box of a heading around points (..., 3).

    Returns:
        (7,): the centre, the size along the box's own axes, and the heading, the angle in radians
        from the x axis to the first of them, counter-clockwise as seen from above. A piece of
        furniture has its front there.
    """
    own = turn(points, -heading, axis=2).reshape(-1, 3)
    low, high = own.min(0), own.max(0)
    return np.array([*turn((low + high) / 2, heading, axis=2), *(high - low), heading])


def _shell(size: NDArray, rng: np.random.Generator) -> Iterator[tuple[str, Mesh, NDArray]]:
    """Yield class, mesh and colour of floor, ceiling and walls: the inner side, as scans see it."""
    width, depth, height = size
    corners = np.array([(0, 0, 0), (width, 0, 0), (width, depth, 0), (0, depth, 0)])
    walls, floor, ceiling = np.split(loft([corners, corners + (0, 0, height)]), (8, 12))
    yield "floor", floor, rng.uniform(0.2, 0.7, 3)
    yield "ceiling", ceiling, rng.uniform(0.7, 1, 3)
    yield "wall", walls, rng.uniform(0.5, 1, 3)


def _furniture(
    size: NDArray, split: str, rng: np.random.Generator
) -> Iterator[tuple[str, Mesh, NDArray, float]]:
    """Yield 5 to 10 pieces whose axis-parallel boxes do not meet: class, mesh, colours, heading."""
    taken: list[tuple[NDArray, NDArray]] = []
    for _ in range(rng.integers(5, 11)):
        name = str(rng.choice([*HEIGHTS]))
        mesh, part = shapes.mesh_in_parts(name, int(rng.integers(1000)), split=split)
        angle = rng.uniform(0, 2 * np.pi)
        mesh = turn(mesh, angle) @ TO_BLENDER.T  # z up; the front, +z, was moved to -y
        mesh = mesh * rng.uniform(*HEIGHTS[name]) / np.ptp(mesh[..., 2])
        side = np.ptp(mesh[..., :2], axis=(0, 1)).max()
        mesh = mesh * np.minimum(1, LARGEST / side) ** np.array([1, 1, 0])  # narrower if too wide
        low, high = mesh.min((0, 1)), mesh.max((0, 1))
        colors = rng.uniform(0.05, 0.95, (len(shapes.PARTS[name]), 3))[part]
        place = _free_place(size, high - low, taken, rng)
        if place is not None:
            yield name, mesh - low + np.append(place, 0), colors, angle - np.pi / 2


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
    count: int,
    split: str = "train",
    num_points: int = 20_000,
    seed: int = 0,
    largest: float = LARGEST_ROOM,
) -> Sequence[Room]:
    """Generate the first `count` rooms of a split."""
    return [generate(index, split, num_points, seed, largest) for index in range(count)]
