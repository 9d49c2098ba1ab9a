"""What is drawn of each model, and which models train, validate and test."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samplenet.atomic import write_atomic
from samplenet.data import cameras
from samplenet.data.views.arrays import read_npy
from samplenet.data.views.meshes import stream
from samplenet.errors import InputError

AZIMUTHS, ELEVATIONS = (-180, 180), (-20, 40)  # degrees, as published; the upper ends are left out
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
SPLITS = tuple(SHARES)


@dataclass(frozen=True)
class Drawing:
    """What a data set of pictures is drawn with.

    Attributes:
        views: of each model.
        size: pixels a side.
        samples: rays a side for each pixel, see `rays.render`.
        points: of each ground-truth cloud.
        lit: whether light falls on the model; without, a pixel has the colour of what it shows.
        seed: of cameras, clouds and splits.
    """

    views: int = 5
    size: int = 128
    samples: int = 4
    points: int = 10_000
    seed: int = 0
    lit: bool = True

    def __post_init__(self):
        for name, value in asdict(self).items():
            if name != "lit" and value < (lowest := 0 if name == "seed" else 1):
                raise InputError(f"{name} must be at least {lowest}, got {value}")
        if self.samples > 1 and self.samples % 2:
            raise InputError(f"samples must be 1 or even, got {self.samples}")


def random_cameras(synset: str, model: str, views: int, seed: int) -> NDArray[np.float64]:
    """Draw a model's extrinsics (views, 4, 4): whole degrees, within AZIMUTHS and ELEVATIONS.

    They depend on the arguments alone; fewer views are the first of more.
    """
    low, high = zip(AZIMUTHS, ELEVATIONS, strict=True)
    angles = stream(seed, synset, model, use=1).integers(low, high, (views, 2))
    return cameras.extrinsic(*angles.T)


def splits_of(
    models: dict[str, list[str]], lists: Sequence[Path], seed: int
) -> dict[str, dict[str, list[str]]]:
    """Return the models of each synset and split: of `lists`, else at random in SHARES.

    Raises:
        InputError: a list of another name, a model in two lists of its synset, or no model in any.
    """
    given = {}
    for path in lists:
        synset, _, split = path.stem.rpartition("_")
        if split not in SPLITS or synset not in models:
            raise InputError(
                f"{path} must be named <synset>_<split>.txt, of the splits "
                f"{', '.join(SPLITS)} and the synsets {', '.join(models)}"
            )
        parts = given.setdefault(synset, {})
        if split in parts:
            raise InputError(f"there are two lists for {synset}_{split}: give one")
        parts[split] = read_list(path)
        if twice := {*parts[split]} & {m for s, ms in parts.items() if s != split for m in ms}:
            raise InputError(f"{path} names {min(twice)}, which another list has too")
    for synset, parts in given.items():
        if not any(parts.values()):
            raise InputError(f"the lists of {synset} name no model")
    return {synset: given.get(synset) or _random(synset, models[synset], seed) for synset in models}


def _random(synset: str, models: list[str], seed: int) -> dict[str, list[str]]:
    order = stream(seed, synset, "", use=3).permutation(len(models))
    ends = np.round(np.cumsum([*SHARES.values()]) * len(models)).astype(int)[:-1]
    return {
        split: sorted(models[i] for i in rows)
        for split, rows in zip(SHARES, np.split(order, ends), strict=True)
    }


def write_lists(root: Path, synset: str, parts: dict[str, list[str]]) -> None:
    """Write `<root>/splits/<synset>_<split>.txt` of each split, a model a line.

    Older lists of the synset's other splits are removed, as they may name the same models.
    """
    folder = root / "splits"
    folder.mkdir(exist_ok=True)
    for split in {*SPLITS} - {*parts}:
        (folder / f"{synset}_{split}.txt").unlink(missing_ok=True)
    for split, models in parts.items():
        content = "".join(f"{name}\n" for name in models)
        write_atomic(folder / f"{synset}_{split}.txt", content.encode())


def read_split(root: Path, synset: str, split: str) -> list[str]:
    """Read the models of `<root>/splits/<synset>_<split>.txt`.

    Where that is missing, of a list released for DIFFER, `<synset>_<split>_list.txt` or `.npy`.

    Raises:
        InputError: no list, or a bad one, see `read_list`.
    """
    start = f"{root / 'splits' / synset}_{split}"
    own, text, names = (Path(start + ending) for ending in (".txt", "_list.txt", "_list.npy"))
    if own.is_file() or not (text.is_file() or names.is_file()):
        return read_list(own)
    if text.is_file():
        return read_list(text)
    return _checked(names, read_npy(names, kinds="US").reshape(-1).astype(str).tolist())


def read_list(path: str | Path) -> list[str]:
    """Read the models of a list, one a line, perhaps none; InputError if one is there twice."""
    path = Path(path)
    try:
        models = path.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    return _checked(path, models)


def _checked(path: Path, models: list[str]) -> list[str]:
    """Return the models that a list names; InputError if one is there twice or no folder's name."""
    if len({*models}) != len(models):
        raise InputError(
            f"{path} names {max(models, key=models.count)} twice: name each model once"
        )
    if bad := [name for name in models if not re.fullmatch(r"[\w-][\w.-]*", name)]:
        raise InputError(f"{path} names {bad[0]!r}, which cannot be the name of a model's folder")
    return models
