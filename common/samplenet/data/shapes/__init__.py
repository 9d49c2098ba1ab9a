"""Built-in data set: procedural CAD-like shapes in ModelNet40's layout, where no data are at hand.

Class names are ModelNet40's. The classes form groups that are easily confused (desk and table,
chair and stool, night_stand and dresser, cup and vase ...): their proportions overlap, so that
small parts such as handles, knobs, drawer fronts and backrests decide. Results on these shapes say
nothing about results on ModelNet40.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samplenet import normalisation
from samplenet.data.clouds import Clouds
from samplenet.errors import InputError

from .appliances import lamp, monitor
from .cabinets import bookshelf, dresser, night_stand, wardrobe
from .mesh import Mesh, sample_surface, stretch, turn
from .seating import bench, chair, stool
from .tables import desk, table, tv_stand
from .upholstered import bed, sofa
from .vehicles import airplane, car
from .vessels import bottle, bowl, cup, flower_pot, vase

__all__ = ["CLASSES", "PARTS", "SPLITS", "STORED", "clouds", "ensure", "generate"]
__all__ += ["mesh_in_parts", "mesh_of"]

_LIST = [airplane, bed, bench, bookshelf, bottle, bowl, car, chair, cup, desk, dresser]
_LIST += [flower_pot, lamp, monitor, night_stand, sofa, stool, table, tv_stand, vase, wardrobe]
_BUILDERS: dict[str, Callable[[np.random.Generator], tuple[NDArray, Mesh]]] = {
    builder.__name__: builder for builder in _LIST
}

CLASSES: tuple[str, ...] = tuple(sorted(_BUILDERS))
PARTS: dict[str, tuple[str, ...]] = {  # airplane, car, chair: as in ShapeNetPart
    "airplane": ("body", "wing", "tail", "engine"),
    "bed": ("frame", "mattress", "board", "pillow"),
    "bench": ("back", "seat", "leg", "arm"),
    "bookshelf": ("body", "shelf", "door", "book", "foot"),
    "bottle": ("body", "cap"),
    "bowl": ("body", "handle", "foot"),
    "car": ("roof", "hood", "wheel", "body"),
    "chair": ("back", "seat", "leg", "arm"),
    "cup": ("body", "handle", "foot", "content", "saucer"),
    "desk": ("top", "leg", "drawer", "panel"),
    "dresser": ("body", "drawer", "foot", "top", "mirror"),
    "flower_pot": ("body", "content", "plant", "saucer"),
    "lamp": ("base", "pole", "shade"),
    "monitor": ("screen", "frame", "stand", "case"),
    "night_stand": ("body", "drawer", "foot", "top"),
    "sofa": ("back", "seat", "leg", "arm"),
    "stool": ("seat", "leg", "grip"),
    "table": ("top", "leg", "apron", "shelf"),
    "tv_stand": ("body", "drawer", "leg", "shelf"),
    "vase": ("body", "handle", "foot"),
    "wardrobe": ("body", "door", "foot", "top", "drawer", "shelf"),
}
SPLITS: tuple[str, ...] = ("train", "test")
VERSION = "c4dcca19"  # of the clouds: any other word when they change, which a test notices
STORED = 2048  # points that a cloud is normalised by, unless it has more


def _rng(name: str, index: int, seed: int, split: str) -> np.random.Generator:
    """Return the random generator of one shape, which depends on this key and no earlier call."""
    if name not in CLASSES:
        raise InputError(f"name must be one of {', '.join(CLASSES)}; got {name!r}")
    if split not in SPLITS:
        raise InputError(f"split must be one of {', '.join(SPLITS)}; got {split!r}")
    if index < 0 or seed < 0:
        raise InputError(f"index and seed must be at least 0, got index {index}, seed {seed}")
    return np.random.default_rng([seed, CLASSES.index(name), SPLITS.index(split), index])


def mesh_of(rng: np.random.Generator, name: str) -> Mesh:
    """Build one random shape of a class, not normalised: (F, 3, 3), y up, front near +z."""
    return turn(_build(rng, name)[1], rng.uniform(-1, 1) * np.radians(10))


def _build(rng: np.random.Generator, name: str) -> tuple[NDArray, Mesh]:
    """Build what `mesh_of` turns: names (F,) of parts and triangles (F, 3, 3)."""
    parts, triangles = _BUILDERS[name](rng)
    triangles = stretch(triangles, rng.uniform(0.8, 1.2, 3))
    return parts, stretch(triangles, (-1, 1, 1)) if rng.random() < 0.5 else triangles


def mesh_in_parts(
    name: str, index: int, seed: int = 0, split: str = "train"
) -> tuple[Mesh, NDArray[np.int64]]:
    """Build the shape that `generate` draws points from, before it is turned and normalised.

    Returns:
        triangles (F, 3, 3), y up, front to +z, and the part (F,) of each, counting PARTS[name].

    Raises:
        InputError: as `generate`.
    """
    names, triangles = _build(_rng(name, index, seed, split), name)
    return triangles, (names[:, None] == PARTS[name]).argmax(1)


def generate(
    name: str, index: int, seed: int = 0, split: str = "train", num_points: int = STORED
) -> NDArray[np.float32]:
    """Draw one cloud (num_points, 3) uniformly from a surface: mean 0, largest norm 1, y up.

    The points are independent draws, so the first n of them are a uniform sample as well.

    Args:
        name: one of `CLASSES`.
        index: of the shape within class and split.
        split: "train" or "test"; they share no shape.

    Raises:
        InputError: an unknown name or split, a negative index or seed, or no points.
    """
    if num_points < 1:
        raise InputError(f"num_points must be at least 1, got {num_points}")
    rng = _rng(name, index, seed, split)
    points = sample_surface(mesh_of(rng, name), num_points, rng)
    return normalisation.unit_sphere(points).astype(np.float32)


def clouds(
    names: Sequence[str],
    numbers: Sequence[int],
    num_points: int = STORED,
    split: str = "train",
    seed: int = 0,
) -> Clouds:
    """Generate the shapes of these numbers, class by class; their ids are like "chair_0012".

    Each cloud is normalised by at least STORED points, so that fewer are a part of the same cloud.
    """
    points, labels, ids = [], [], []
    for label, name in enumerate(names):
        for number in numbers:
            cloud = generate(name, int(number), seed, split, max(STORED, num_points))
            points.append(cloud[:num_points])
            labels.append(label)
            ids.append(f"{name}_{number:04d}")
    return Clouds(np.stack(points), np.array(labels, np.int64), tuple(names), ids)


def ensure(
    root: str | Path, train_per_class: int = 100, test_per_class: int = 40, seed: int = 0
) -> Path:
    """Write the data set in ModelNet40's layout below `root`, unless it exists; return its folder.

    The folder's name holds the parameters and `VERSION`, so that a changed generator does not reuse
    an older folder.

    Raises:
        InputError: a count below 1 or a negative seed.
    """
    for label, count in (("train_per_class", train_per_class), ("test_per_class", test_per_class)):
        if count < 1:
            raise InputError(f"{label} must be at least 1, got {count}")
    folder = Path(root) / f"shapes-{train_per_class}-{test_per_class}-seed{seed}-{VERSION}"
    if folder.is_dir():  # complete, as `write` renames a finished folder
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)  # first, in case it cannot be written
    from samplenet.data import modelnet40  # here, so that `generate` needs no h5py

    train, test = _split("train", train_per_class, seed), _split("test", test_per_class, seed)
    return modelnet40.write(folder, CLASSES, train, test)


def _split(
    split: str, per_class: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], list[str]]:
    """Generate a split in random order: points (n, STORED, 3), labels (n,), ids."""
    shapes = clouds(CLASSES, range(per_class), split=split, seed=seed)
    order = np.random.default_rng([seed, SPLITS.index(split)]).permutation(len(shapes))
    return shapes.points[order], shapes.labels[order], [shapes.ids[i] for i in order]
