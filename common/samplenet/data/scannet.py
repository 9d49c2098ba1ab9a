"""ScanNet v2 (Dai 2017): scans as labelled points, the vertices of their meshes.

    <root>/scannetv2_train.txt, scannetv2_val.txt             names of scans, one a line
    <root>/scans/<name>/<name>_vh_clean_2.ply                 x y z red green blue
    <root>/scans/<name>/<name>_vh_clean_2.labels.ply          label, the number in NYU40

The data are given on request to their authors. The layout is that of published code and of the
data's description; no file of ScanNet has been read here.
"""

import os
from pathlib import Path

import numpy as np

from samplenet.data import ply
from samplenet.data.rooms import UNLABELLED, Room
from samplenet.errors import InputError

# of the benchmark, by their number in NYU40; other numbers are unlabelled
NUMBERS = {
    "wall": 1,
    "floor": 2,
    "cabinet": 3,
    "bed": 4,
    "chair": 5,
    "sofa": 6,
    "table": 7,
    "door": 8,
    "window": 9,
    "bookshelf": 10,
    "picture": 11,
    "counter": 12,
    "desk": 14,
    "curtain": 16,
    "refrigerator": 24,
    "shower curtain": 28,
    "toilet": 33,
    "sink": 34,
    "bathtub": 36,
    "other furniture": 39,
}
CLASSES = tuple(NUMBERS)
LISTS = {"train": "scannetv2_train.txt", "test": "scannetv2_val.txt"}  # the test's labels are kept


def is_scans(root: str | os.PathLike) -> bool:
    """Return whether a folder is one for `load_rooms`."""
    return (Path(root) / LISTS["train"]).is_file()


def load_rooms(root: str | os.PathLike, split: str) -> list[Room]:
    """Read the scans of a split: "train", or "test", which are ScanNet's for validation.

    Raises:
        InputError: an unknown split, an empty or missing list, or a missing or damaged file.
    """
    return [_room(file) for file in files(root, split)]


def files(root: str | os.PathLike, split: str) -> list[Path]:
    """Return the scans' files of a split, unopened; beside each is its .labels.ply."""
    if split not in LISTS:
        raise InputError(f"split must be 'train' or 'test', got {split!r}")
    try:
        names = (Path(root) / LISTS[split]).read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{Path(root) / LISTS[split]} cannot be read: {error}") from error
    if not names:
        raise InputError(f"{Path(root) / LISTS[split]} names no scan")
    return [Path(root) / "scans" / name / f"{name}_vh_clean_2.ply" for name in names]


def _room(file: Path) -> Room:
    table = ply.table(file, "x", "y", "z", "red", "green", "blue")
    numbers = ply.table(file.with_suffix(".labels.ply"), "label")[:, 0]
    if len(numbers) != len(table):
        raise InputError(f"{file} has {len(table)} points and its .labels.ply {len(numbers)}")
    labels = np.full(len(table), UNLABELLED, np.int64)
    for label, number in enumerate(NUMBERS.values()):
        labels[numbers == number] = label
    points = (table[:, :3] - table[:, :3].min(0)).astype(np.float32)
    return Room(points, table[:, 3:].clip(0, 255).astype(np.uint8), labels, file.parent.name)
