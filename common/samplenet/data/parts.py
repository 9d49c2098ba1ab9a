"""Clouds whose points are labelled by the part they lie on: ShapeNetPart, and built-in shapes."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samplenet import normalisation
from samplenet.data import h5, shapes
from samplenet.data.shapes.mesh import sample_faces, turn
from samplenet.errors import InputError

LISTS = {"train": ("train", "val"), "test": ("test",)}  # as published


@dataclass(frozen=True)
class PartClouds:
    """Clouds of several categories, whose parts are numbered through all categories.

    Attributes:
        points: (n, N, 3) float32, mean 0 and largest norm 1 before the first N were taken.
        labels: (n,) int64, categories, indices into `names`.
        parts: (n, N) int64, the part of each point.
        names: the categories.
        parts_of: of each category, the numbers of its parts.
    """

    points: NDArray[np.float32]
    labels: NDArray[np.int64]
    parts: NDArray[np.int64]
    names: tuple[str, ...]
    parts_of: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.points)

    @property
    def num_parts(self) -> int:
        """Count the parts of all categories."""
        return 1 + max(max(parts) for parts in self.parts_of)


def load(root: str | os.PathLike, split: str, num_points: int = 2048) -> PartClouds:
    """Read a split of ShapeNetPart in HDF5, as released with PointNet (folder hdf5_data).

    `all_object_categories.txt` names the categories, `overallid_to_catid_partid.json` the category
    of each part, `{train,val,test}_hdf5_file_list.txt` the files. No address of the archive
    shapenet_part_seg_hdf5_data.zip is known to work.

    Args:
        split: "train", which has the validation clouds too, or "test".

    Raises:
        InputError: a missing or damaged file.
    """
    root = Path(root)
    if split not in LISTS:
        raise InputError(f"split must be 'train' or 'test', got {split!r}")
    names, parts_of = _categories(root)
    points, labels, parts = [], [], []
    for part in LISTS[split]:
        for line in _text(root / f"{part}_hdf5_file_list.txt").split():
            file = root / Path(line).name
            cloud, label = h5.read_clouds(file, None)
            (pid,) = h5.read(file, "pid")
            if cloud.shape[1] < num_points or pid.shape != cloud.shape[:2]:
                raise InputError(
                    f"{file} has {cloud.shape[1]} points a cloud and 'pid' of {pid.shape}: "
                    f"num_points must be at most that, got {num_points}"
                )
            points.append(normalisation.unit_sphere(cloud)[:, :num_points].astype(np.float32))
            labels.append(label)
            parts.append(pid[:, :num_points])
    if not points:
        raise InputError(f"{root} lists no file of its {split} split: fetch the data again")
    points, labels, parts = (np.concatenate(arrays) for arrays in (points, labels, parts))
    clouds = PartClouds(points, labels.astype(np.int64), parts.astype(np.int64), names, parts_of)
    if not 0 <= clouds.labels.min() <= clouds.labels.max() < len(names):
        raise InputError(f"{root} has labels of categories that it does not name")
    for label, own in enumerate(parts_of):
        if strange := {*np.unique(clouds.parts[clouds.labels == label])} - {*own}:
            raise InputError(
                f"{root} has points of part {min(strange)} in a cloud of a "
                f"{names[label]}, whose parts are {own}"
            )
    return clouds


def _categories(root: Path) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Read the names of the categories, and the parts of each."""
    file = root / "overallid_to_catid_partid.json"
    try:
        words = [line.split() for line in _text(root / "all_object_categories.txt").splitlines()]
        names, synsets = zip(*(pair for pair in words if pair), strict=True)
        of_part = [synset for synset, _ in json.loads(_text(file))]
    except (ValueError, TypeError) as error:
        raise InputError(f"{file} or the categories beside it are damaged: {error}") from error
    parts_of = tuple(tuple(i for i, s in enumerate(of_part) if s == synset) for synset in synsets)
    if not all(parts_of):
        raise InputError(f"{file} has no part of {names[parts_of.index(())]}")
    return names, parts_of


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{file} cannot be read ({error}): name a folder with ShapeNetPart's HDF5 files"
        ) from error


def built_in(
    split: str,
    num_points: int = 1024,
    classes: Sequence[str] = shapes.CLASSES,
    per_class: int = 100,
    seed: int = 0,
) -> PartClouds:
    """Draw the built-in shapes of one split with the part of each point, class by class.

    The shapes are those of `shapes.generate`; the points are others.

    Args:
        per_class: training shapes a class; two fifths as many are in the test split.

    Raises:
        InputError: an unknown class or split, or a count below 1.
    """
    if num_points < 1 or per_class < 1:
        raise InputError(
            f"num_points and per_class must be at least 1, got {num_points} and {per_class}"
        )
    if unknown := {*classes} - {*shapes.CLASSES}:
        known = ", ".join(shapes.CLASSES)
        raise InputError(f"classes must be of {known}; got {min(unknown)!r}")
    count = per_class if split == "train" else max(1, per_class * 2 // 5)
    stored = max(shapes.STORED, num_points)  # all are normalised by as many points
    points, parts, parts_of, first = [], [], [], 0
    for name in classes:
        for index in range(count):
            triangles, part = shapes.mesh_in_parts(name, index, seed, split)
            key = seed, shapes.CLASSES.index(name), shapes.SPLITS.index(split), index, 1
            rng = np.random.default_rng(key)
            mesh = turn(triangles, rng.uniform(-1, 1) * np.radians(10))
            cloud, face = sample_faces(mesh, stored, rng)
            points.append(normalisation.unit_sphere(cloud)[:num_points])
            parts.append(first + part[face[:num_points]])
        parts_of.append(tuple(range(first, first + len(shapes.PARTS[name]))))
        first += len(shapes.PARTS[name])
    labels = np.repeat(np.arange(len(classes)), count)
    points = np.stack(points).astype(np.float32)
    return PartClouds(points, labels, np.stack(parts), tuple(classes), tuple(parts_of))
