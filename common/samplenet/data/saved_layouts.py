"""The two layouts of a folder of samples: a data set's own, with an index beside the points.

MODELNET40   ply_data_test0.h5 with `data` (n, m, 3), `label` (n, 1) and `index` (n, m),
             and its text files
SHAPENET     <class>/<id>.ply, and indices.npz with `ids` (n,) such as "<class>/<id>"
             and `index` (n, m)

The index counts the points of a test cloud from 0. It may be missing, as may ModelNet40's ids.
"""

import io
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from samplenet.data import h5, modelnet40, ply
from samplenet.data.clouds import Clouds
from samplenet.errors import InputError

INDICES = "indices.npz"


class Layout(NamedTuple):
    """How the samples of n clouds are stored in a folder.

    Attributes:
        write: (folder, test, points (n, m, 3), idx (n, m) or None), into an empty folder.
        read: (folder, test) -> points (n, m, 3) and the index as stored, or None, in the order of
            `test`. InputError if a file is missing, damaged or of another cloud.
        is_in: whether a folder looks like samples in this layout.
    """

    write: Callable[[Path, Clouds, np.ndarray, np.ndarray | None], None]
    read: Callable[[Path, Clouds], tuple[np.ndarray, np.ndarray | None]]
    is_in: Callable[[Path], bool]


def _write_h5(folder: Path, test: Clouds, points: np.ndarray, idx: np.ndarray | None) -> None:
    more = {} if idx is None else {"index": np.asarray(idx, np.int32)}
    modelnet40.write_names(folder, test.names)
    modelnet40.write_split(folder, "test", points, test.labels, test.ids, **more)


def _read_h5(folder: Path, test: Clouds) -> tuple[np.ndarray, np.ndarray | None]:
    stored, files = modelnet40.load(folder, "test", None), modelnet40.files(folder, "test")
    if len(stored) != len(test):
        raise InputError(
            f"{folder} holds samples of {len(stored)} clouds, the test set has {len(test)}; "
            "give all"
        )
    _check_same(folder, _class_names(stored), _class_names(test))
    if all(modelnet40.ids_file(file).is_file() for file in files):
        _check_same(folder, stored.ids, test.ids)
    parts = {file: _read_index(file) for file in files}
    lacking = [file for file, part in parts.items() if part is None]
    if len(lacking) == len(files):
        return stored.points, None
    if lacking:
        raise InputError(
            f"{lacking[0]} has no dataset 'index' and other files have; give it to all or none"
        )
    if len({part.shape[1:] for part in parts.values()}) > 1:
        raise InputError(f"{folder}: 'index' differs in shape from file to file; make it (n, m)")
    return stored.points, np.concatenate([*parts.values()])


def _read_index(file: Path) -> np.ndarray | None:
    try:
        with h5.File(file, "r") as source:
            return np.atleast_1d(source["index"][()]) if "index" in source else None
    except h5.UNREADABLE as error:
        raise InputError(
            f"{file}: 'index' cannot be read ({error}); write the file again"
        ) from error


def _class_names(clouds: Clouds) -> list[str]:
    return [clouds.names[label] for label in clouds.labels]


def _check_same(folder: Path, names: Sequence[str], expected: Sequence[str]) -> None:
    """Raise InputError at the first name that differs from the test set's."""
    for i, (name, right) in enumerate(zip(names, expected, strict=True)):
        if name != right:
            raise InputError(
                f"{folder}: cloud {i} is {name!r}, the test set's {right!r}; "
                "write samples in the order of the test set"
            )


def _file_names(test: Clouds) -> list[str]:
    """Name each cloud's file: <class>/<id>, without ".ply".

    ShapeNet's ids begin with the class's folder; those of built-in shapes get the class's name.
    """
    pairs = zip(test.ids, _class_names(test), strict=True)
    return [name if "/" in name else f"{folder}/{name}" for name, folder in pairs]


def _write_ply(folder: Path, test: Clouds, points: np.ndarray, idx: np.ndarray | None) -> None:
    names = _file_names(test)
    for name, cloud in zip(names, points, strict=True):
        file = folder / f"{name}.ply"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(ply.encode(cloud))
    if idx is not None:
        np.savez_compressed(folder / INDICES, ids=np.array(names), index=np.asarray(idx, np.int32))


def _read_ply(folder: Path, test: Clouds) -> tuple[np.ndarray, np.ndarray | None]:
    expected, clouds = _file_names(test), {}
    for class_folder in visible(folder):
        files = ply.read_folder(class_folder, ())
        for name, reason in files.bad.items():
            raise InputError(f"{class_folder / name}.ply {reason}: write it again")
        points = np.split(files.points, np.cumsum(files.counts))[:-1]
        names = [f"{class_folder.name}/{name}" for name in files.names]
        clouds |= zip(names, points, strict=True)
    _check_once_each(folder, [*clouds], expected)
    m = len(clouds[expected[0]])
    for name in expected:
        if len(clouds[name]) != m:
            raise InputError(
                f"{folder / name}.ply has {len(clouds[name])} points, {expected[0]}.ply {m}; "
                "give all the same"
            )
    return np.stack([clouds[name] for name in expected]), _read_indices(folder / INDICES, expected)


def _read_indices(path: Path, expected: list[str]) -> np.ndarray | None:
    if not path.exists():
        return None
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            ids, index = [str(name) for name in arrays["ids"].tolist()], arrays["index"]
            rows = dict(zip(ids, index, strict=True))
    except (*h5.UNREADABLE, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path} is damaged or lacks ids or index ({error}); write it again or remove it"
        ) from error
    _check_once_each(path, ids, expected)
    return np.stack([rows[name] for name in expected])


def _check_once_each(path: Path, names: list[str], expected: list[str]) -> None:
    """Raise InputError unless `names` are those of the test set, each of them once."""
    if missing := sorted({*expected} - {*names}):
        raise InputError(
            f"{path} lacks {missing[0]}, one of {len(missing)} test clouds; give a sample of each"
        )
    if others := sorted({*names} - {*expected}):
        raise InputError(f"{path} holds {others[0]}, which is not in the test set; remove it")
    if len(names) > len(expected):
        raise InputError(f"{path} names a cloud more than once; give one sample of each")


def visible(folder: Path) -> list[Path]:
    """List the folders in a folder by name, without hidden ones."""
    return sorted(path for path in folder.glob("[!.]*") if path.is_dir())


MODELNET40 = Layout(_write_h5, _read_h5, lambda folder: (folder / "test_files.txt").is_file())
SHAPENET = Layout(_write_ply, _read_ply, lambda folder: any(folder.glob("*/*.ply")))
