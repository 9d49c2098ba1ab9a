"""ModelNet40 as clouds of 2048 points in HDF5, and any folder in its layout.

python -m samplenet.data.modelnet40 --root DIR      # download (435 MB), verify, extract, print the folder
"""

import json
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from samplenet.atomic import naming
from samplenet.data import h5
from samplenet.data.clouds import Clouds
from samplenet.data.modelnet40_archive import FOLDER, MIRRORS, download
from samplenet.errors import InputError
from samplenet.runs.parser import Parser

__all__ = ["download", "files", "ids_file", "load", "write", "write_split"]

CLOUDS_PER_FILE = 2048


def load(root: str | os.PathLike, split: str, num_points: int | None = 1024) -> Clouds:
    """Read one split of a folder in the ModelNet40 layout, the first `num_points` points of each cloud (None: all).

    `{split}_files.txt` lists the h5 files; only the base names of its lines count, and they lie in `root`.
    Ids come from `ply_data_{split}_{i}_id2file.json` where present, else they are "ply_data_train0.h5[row]".

    Raises:
        InputError: a file is missing, damaged or holds what is not a labelled cloud; the message names it.
    """
    root = Path(root)
    if split not in ("train", "test"):
        raise InputError(f"split must be 'train' or 'test', got {split!r}")
    if num_points is not None and num_points < 1:
        raise InputError(f"num_points must be at least 1, got {num_points}")
    if not root.is_dir():
        raise InputError(
            f"{root} is not a folder: correct it, or fetch the data by python -m samplenet.data.modelnet40 --root DIR"
        )
    names = tuple(_lines(root / "shape_names.txt"))
    points, labels, ids = [], [], []
    for file in files(root, split):
        part, part_labels = _read(file, num_points)
        part_ids = _read_ids(file, len(part))
        if part_labels.min() < 0 or part_labels.max() >= len(names):
            raise InputError(
                f"{file} has labels {part_labels.min()}..{part_labels.max()}, but shape_names.txt has "
                f"{len(names)} names: add the missing names or correct the labels"
            )
        finite = np.isfinite(part).all((1, 2))
        if not finite.all():
            row = int(finite.argmin())
            raise InputError(
                f"{file} has a coordinate that is not finite in cloud {row}: remove this cloud"
            )
        if points and part.shape[1] != points[0].shape[1]:
            raise InputError(
                f"{file} has {part.shape[1]} points a cloud, the files before it {points[0].shape[1]}"
            )
        points.append(part)
        labels.append(part_labels.astype(np.int64))
        ids += part_ids
    return Clouds(np.concatenate(points), np.concatenate(labels), names, ids)


def files(root: Path, split: str) -> list[Path]:
    """List the h5 files of one split, as `load` reads them; InputError when one is missing."""
    listing, paths = root / f"{split}_files.txt", []
    for line in _lines(listing):
        name = PurePosixPath(line.replace("\\", "/")).name
        if not (root / name).is_file():  # neither ".." nor "" is one
            raise InputError(
                f"{listing} lists {line!r}, but {root} holds no file {name!r}: fetch the data again"
            )
        paths.append(root / name)
    return paths


def _lines(file: Path) -> list[str]:
    """Read the lines of a text file that are not blank; at least one."""
    try:
        lines = [
            line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()
        ]
    except FileNotFoundError as error:
        inner = file.parent / FOLDER
        hint = (
            f"did you mean {inner}?"
            if inner.is_dir()
            else "is this a folder in the ModelNet40 layout?"
        )
        raise InputError(f"{file} is missing: {hint}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{file} cannot be read as text ({error}): fetch the data again"
        ) from error
    if not lines:
        raise InputError(f"{file} is empty: fetch the data again")
    return lines


def _read(file: Path, num_points: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Read points (n, num_points, 3) float32 (None: all points) and labels (n,) of one h5 file, n at least 1."""
    try:
        with h5.File(file, "r") as source:
            for key in ("data", "label"):
                if not isinstance(source.get(key), h5.Dataset):
                    raise InputError(
                        f"{file} has no dataset {key!r}, only {sorted(source)}: fetch it again"
                    )
            data, label = source["data"], source["label"]
            _check(file, data, label, num_points)
            with np.errstate(
                over="ignore"
            ):  # what does not fit float32 becomes infinite, and is reported as such
                return data[:, :num_points].astype(np.float32), label[()].reshape(-1)
    except InputError:
        raise
    except (
        OSError,
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
        MemoryError,
    ) as error:  # h5py's, for damaged files
        raise InputError(
            f"{file} cannot be read as HDF5 ({error}): it is cut off or damaged, fetch it again"
        ) from error


def _check(file: Path, data: h5.Dataset, label: h5.Dataset, num_points: int | None) -> None:
    shape, labels = data.shape or (), label.shape or ()
    if len(shape) != 3 or shape[2] != 3:
        raise InputError(f"{file} has 'data' of shape {shape}: make it (n, P, 3)")
    if data.dtype.kind != "f" or label.dtype.kind not in "iu":
        raise InputError(
            f"{file} has 'data' of {data.dtype} and 'label' of {label.dtype}: make them float32 and integer"
        )
    if shape[0] == 0:
        raise InputError(f"{file} holds no clouds: remove it from the list")
    if labels not in ((shape[0],), (shape[0], 1)):
        raise InputError(
            f"{file} has 'label' of shape {labels} for {shape[0]} clouds: give one label per cloud"
        )
    if num_points is not None and shape[1] < num_points:
        raise InputError(
            f"{file} has {shape[1]} points a cloud: num_points must be at most that, got {num_points}"
        )


def ids_file(file: Path) -> Path:
    """Name the file of ids beside ply_data_train0.h5: ply_data_train_0_id2file.json, which may be missing."""
    return file.with_name(re.sub(r"_?(\d*)$", r"_\1_id2file.json", file.stem, count=1))


def _read_ids(file: Path, count: int) -> list[str]:
    source = ids_file(file)
    if not source.is_file():
        return [f"{file.name}[{row}]" for row in range(count)]
    try:
        ids = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{source} cannot be read as JSON ({error}): fetch it again or remove it"
        ) from error
    if (
        not isinstance(ids, list)
        or len(ids) != count
        or not all(isinstance(name, str) for name in ids)
    ):
        raise InputError(
            f"{source} is not a list of {count} strings, one per cloud of {file.name}: remove it"
        )
    return ids


def write(
    folder: str | os.PathLike,
    names: Sequence[str],
    train: tuple[np.ndarray, np.ndarray, Sequence[str]],
    test: tuple[np.ndarray, np.ndarray, Sequence[str]],
) -> Path:
    """Write a data set as a folder that `load` reads; all of it appears at once.

    If another process has written it meanwhile, that one is kept.

    Args:
        names: one per class, at most 256, as labels are stored in a byte.
        train, test: points (n, P, 3) float32, labels (n,) int, ids (n) such as "chair/train_0001"; n > 0.

    Raises:
        InputError: sizes that do not match, or labels that have no name.
    """
    folder = Path(folder)
    splits = {"train": train, "test": test}
    for split, (points, labels, ids) in splits.items():
        points, labels = np.asarray(points), np.asarray(labels)
        if (
            points.ndim != 3
            or points.shape[2] != 3
            or not len(points) == len(labels) == len(ids) > 0
        ):
            raise InputError(
                f"{folder}: {split} has points {points.shape}, {len(labels)} labels, {len(ids)} ids: give n"
            )
        if labels.min() < 0 or labels.max() >= min(len(names), 256):
            raise InputError(
                f"{folder}: {split} has labels {labels.min()}..{labels.max()} for {len(names)} names: fix"
            )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        naming(folder),
        tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary,
    ):
        new = Path(
            temporary, "new"
        )  # made by mkdir for the usual permissions: the outer one is private
        new.mkdir()
        (new / "shape_names.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
        for split, (points, labels, ids) in splits.items():
            write_split(new, folder.name, split, points, labels, ids)
        try:
            os.rename(new, folder)
        except OSError:
            if not (
                folder / "test_files.txt"
            ).is_file():  # not a copy of the data: something else is in the way
                raise
    return folder


def write_split(
    folder: Path,
    prefix: str,
    split: str,
    points: np.ndarray,
    labels: np.ndarray,
    ids: Sequence[str],
    **more,
) -> None:
    """Write the files of one split but shape_names.txt; `more` are datasets beside the points, a row a cloud."""
    listing = []
    for i, start in enumerate(range(0, len(points), CLOUDS_PER_FILE)):
        rows = slice(start, start + CLOUDS_PER_FILE)
        file = folder / f"ply_data_{split}{i}.h5"
        datasets = {
            "data": np.asarray(points[rows], np.float32),
            "label": np.asarray(labels[rows], np.uint8)[:, None],
        }
        datasets |= {key: array[rows] for key, array in more.items()}
        h5.write(file, datasets, compression="gzip", shuffle=True)
        ids_file(file).write_text(json.dumps(list(ids[rows])), encoding="utf-8")
        listing.append(f"data/{prefix}/{file.name}\n")
    (folder / f"{split}_files.txt").write_text("".join(listing), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(description="Download, verify and extract ModelNet40.")
    parser.add_argument("--root", required=True, help=f"folder that is to hold {FOLDER}")
    parser.add_argument(
        "--url", nargs="+", default=MIRRORS, help="addresses of the archive, tried in order"
    )
    args = parser.parse_args(argv)
    from samplenet.runs import script  # here: reading data needs no run folders

    script.main(lambda: print(download(args.root, args.url)))


if __name__ == "__main__":
    main()
