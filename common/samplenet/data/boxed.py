"""Rooms whose objects have boxes: SUN RGB-D and ScanNet as VoteNet prepares them, and generated.

Points are z up, in metres. A box is as `samplenet.data.rooms.box_around` makes it: centre, size,
heading.
"""

import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samplenet.data import rooms, scannet
from samplenet.errors import InputError

SUNRGBD = (
    *("bed", "table", "sofa", "chair", "toilet"),
    *("desk", "dresser", "night_stand", "bookshelf", "bathtub"),
)
SCANNET = {  # by their number in NYU40
    number: name for name, number in scannet.NUMBERS.items() if name not in ("wall", "floor")
}
GENERATED = (*rooms.HEIGHTS,)


@dataclass(frozen=True)
class BoxedRoom:
    """The points and boxes of a room.

    Attributes:
        points: (P, 3) float32.
        votes: (P, V, 3) float32, from each point to the centres of up to V objects that it may be
            of; of fewer, the first one's again.
        inside: (P,) bool, whether the point is of an object: of others, no vote counts.
        boxes: (K, 7) float32.
        labels: (K,) int64.
    """

    points: NDArray[np.float32]
    votes: NDArray[np.float32]
    inside: NDArray[np.bool_]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class BoxedRooms(Sequence):
    """The rooms of a split, each read when it is asked for.

    Attributes:
        names: of the rooms.
        classes: names of the labels.
        turned: whether boxes have a heading; without, it is 0.
        boxes: name -> boxes (K, 7) and labels (K,), without reading the points.
        points: name -> points (P, 3), votes (P, V, 3), inside (P,).
    """

    names: Sequence[str]
    classes: tuple[str, ...]
    turned: bool
    boxes: Callable[[str], tuple[NDArray, NDArray]]
    points: Callable[[str], tuple[NDArray, NDArray, NDArray]]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> BoxedRoom:
        name = self.names[index]
        boxes, labels = self.boxes(name)
        points, votes, inside = self.points(name)
        points, votes, boxes = (array.astype(np.float32) for array in (points, votes, boxes))
        return BoxedRoom(points, votes, inside.astype(bool), boxes, labels.astype(np.int64))


def load(root: str | os.PathLike, split: str) -> BoxedRooms:
    """Open one split, "train" or "test", of VoteNet's folder `sunrgbd` or `scannet`.

    As published, the test rooms are those of the validation split.

    Raises:
        InputError: it is neither, or another split; a damaged file, when it is read.
    """
    if split not in ("train", "test"):
        raise InputError(f"split must be 'train' or 'test', got {split!r}")
    root, part = Path(root), "train" if split == "train" else "val"
    sunrgbd = root / f"sunrgbd_pc_bbox_votes_50k_v1_{part}"
    scannet = root / "scannet_train_detection_data"
    if sunrgbd.is_dir():
        return load_sunrgbd(sunrgbd)
    if scannet.is_dir():
        return load_scannet(scannet, root / "meta_data" / f"scannetv2_{part}.txt")
    raise InputError(
        f"{root} has neither {sunrgbd.name} nor {scannet.name}: name VoteNet's folder sunrgbd or "
        "scannet, with the data that its scripts prepare"
    )


def load_sunrgbd(folder: Path) -> BoxedRooms:
    """Open a folder of `<room>_pc.npz`, `<room>_bbox.npy` and `<room>_votes.npz`.

    Of a point three votes are kept; its boxes' sizes are stored halved, and headings clockwise.
    """

    def boxes(name):
        file = folder / f"{name}_bbox.npy"
        table = _array(file, 8)
        labels = _labels(file, table[:, 7], range(len(SUNRGBD)))
        return table[:, :7] * (1, 1, 1, 2, 2, 2, -1), labels

    def points(name):
        cloud = _array(folder / f"{name}_pc.npz", 6, "pc")
        votes = _array(folder / f"{name}_votes.npz", 10, "point_votes", len(cloud))
        return cloud[:, :3], votes[:, 1:].reshape(-1, 3, 3), votes[:, 0] > 0

    names = _names(folder, "_bbox.npy")
    return BoxedRooms(names, SUNRGBD, True, boxes, points)


def load_scannet(folder: Path, listing: Path) -> BoxedRooms:
    """Open the rooms that a list names of `<room>_{vert,ins_label,sem_label,bbox}.npy`.

    Rooms of the list that are not in the folder are left out, as published. A point votes for the
    middle of its instance's extent, if its class is one of `SCANNET`.
    """
    kinds = [*SCANNET]

    def boxes(name):
        file = folder / f"{name}_bbox.npy"
        table = _array(file, 7)
        return np.insert(table[:, :6], 6, 0, axis=1), _labels(file, table[:, 6], kinds)

    def points(name):
        cloud = _array(folder / f"{name}_vert.npy", 3)[:, :3]
        instances = _array(folder / f"{name}_ins_label.npy", 0, rows=len(cloud))
        inside = np.isin(_array(folder / f"{name}_sem_label.npy", 0, rows=len(cloud)), kinds)
        return cloud, _to_middles(cloud, instances), inside

    try:
        listed = listing.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{listing}, the list of a split's rooms, cannot be read") from error
    there = {*_names(folder, "_bbox.npy")}
    names = [name for name in listed if name in there]
    if not names:
        raise InputError(f"{folder} has no room of {listing}")
    return BoxedRooms(names, (*SCANNET.values(),), False, boxes, points)


def generated(
    count: int,
    split: str = "train",
    num_points: int = 20_000,
    largest: float = rooms.LARGEST_ROOM,
) -> BoxedRooms:
    """Generate the first `count` rooms of a split; a point votes for the centre of its box.

    The ceiling is left out, as a camera in a hand hardly sees it.

    Args:
        num_points: of a room, with the ceiling.
        largest: metres, of a side on the floor.
    """
    every = rooms.generated(count, split, num_points, largest=largest)
    own, ceiling = {room.name: room for room in every}, rooms.CLASSES.index("ceiling")
    first = rooms.CLASSES.index(GENERATED[0])  # those before it are of the room itself

    def boxes(name):
        return own[name].boxes, own[name].box_labels - first

    def points(name):
        room = own[name]
        centres = np.append(room.boxes[:, :3], np.zeros((1, 3)), axis=0)  # the last: of none
        seen = room.labels != ceiling
        points, instances = room.points[seen], room.instances[seen]
        return points, (centres[instances] - points)[:, None], instances >= 0

    return BoxedRooms([*own], GENERATED, True, boxes, points)


def mean_sizes(split: BoxedRooms) -> NDArray[np.float32]:
    """Return the mean size (C, 3) of each class's boxes, VoteNet's templates.

    Raises:
        InputError: a class has no box.
    """
    every = [split.boxes(name) for name in split.names]
    boxes, labels = (np.concatenate(arrays) for arrays in zip(*every, strict=True))
    missing = {*range(len(split.classes))} - {*labels.tolist()}
    if missing:
        words = ", ".join(split.classes[label] for label in sorted(missing))
        raise InputError(f"the {len(split)} training rooms have no box of {words}: use more rooms")
    sums = np.zeros((len(split.classes), 3))
    np.add.at(sums, labels, boxes[:, 3:6])
    return (sums / np.bincount(labels)[:, None]).astype(np.float32)


def _to_middles(points: NDArray, instances: NDArray) -> NDArray:
    """Return the way (P, 1, 3) from each point to the middle of its instance's extent."""
    _, own = np.unique(instances, return_inverse=True)
    low = np.full((own.max(initial=-1) + 1, 3), np.inf)
    high = -low
    np.minimum.at(low, own, points)
    np.maximum.at(high, own, points)
    return ((low + high) / 2)[own][:, None] - points[:, None]


def _names(folder: Path, ending: str) -> list[str]:
    names = sorted(file.name.removesuffix(ending) for file in folder.glob(f"*{ending}"))
    if not names:
        raise InputError(f"{folder} has no <room>{ending}")
    return names


def _labels(file: Path, values: NDArray, known: Iterable[int]) -> NDArray[np.int64]:
    """Return the places of class numbers (K,) in `known`."""
    places = {number: place for place, number in enumerate(known)}
    unknown = {*values.tolist()} - places.keys()
    if unknown:
        raise InputError(f"{file} has a box of class {unknown.pop():g}, which is none of the data")
    return np.array([places[value] for value in values.tolist()], np.int64)


def _array(file: Path, columns: int, key: str = "", rows: int | None = None) -> NDArray:
    """Read a table of numbers with so many columns or more, or a vector if `columns` is 0.

    Args:
        key: of the table in an .npz.
        rows: how many it must have.
    """
    try:
        found = np.load(file, allow_pickle=False)
        found = found[key] if key else found
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    wanted = f"(n, {columns} or more)" if columns else "(n,)"
    right = found.dtype.kind in "fiu" and found.ndim == (2 if columns else 1)
    right = right and (not columns or found.shape[1] >= columns) and rows in (None, len(found))
    if not right or not np.isfinite(found).all():
        lines = f", n = {rows}," if rows is not None else ""
        raise InputError(f"{file} must hold finite numbers {wanted}{lines} got {found.shape}")
    return found
