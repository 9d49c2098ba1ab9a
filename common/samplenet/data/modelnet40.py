"""ModelNet40 as clouds of 2048 points in HDF5, and any folder in its layout.

python -m samplenet.data.modelnet40 --root DIR   # download (435 MB), verify, extract, print folder
"""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from samplenet.atomic import beside
from samplenet.data import h5
from samplenet.data.clouds import Clouds
from samplenet.data.modelnet40_archive import FOLDER, MIRRORS, download
from samplenet.errors import InputError
from samplenet.runs.parser import Parser

CLOUDS_PER_FILE = 2048


def load(root: str | os.PathLike, split: str, num_points: int | None = 1024) -> Clouds:
    """Read one split of a folder in the ModelNet40 layout.

    `{split}_files.txt` lists the h5 files; only the base names of its lines count, and the files
    are in `root`. Ids come from `ply_data_{split}_{i}_id2file.json`; without it they are
    "ply_data_train0.h5[row]".

    Args:
        num_points: points read of each cloud, its first; None: all.

    Raises:
        InputError: a file is missing, damaged or holds anything but labelled clouds; the message
            names it.
    """
    root = Path(root)
    if split not in ("train", "test"):
        raise InputError(f"split must be 'train' or 'test', got {split!r}")
    if num_points is not None and num_points < 1:
        raise InputError(f"num_points must be at least 1, got {num_points}")
    if not root.is_dir():
        raise InputError(
            f"{root} is not a folder: correct it, or fetch the data by "
            "python -m samplenet.data.modelnet40 --root DIR"
        )
    names = tuple(_lines(root / "shape_names.txt"))
    points, labels, ids = [], [], []
    for file in files(root, split):
        part, part_labels = h5.read_clouds(file, num_points)
        _check_labels(file, part_labels, names)
        if points and part.shape[1] != points[0].shape[1]:
            raise InputError(
                f"{file} has {part.shape[1]} points a cloud, "
                f"the files before it {points[0].shape[1]}: give all the same"
            )
        points.append(part)
        labels.append(part_labels.astype(np.int64))
        ids += _read_ids(file, len(part))
    return Clouds(np.concatenate(points), np.concatenate(labels), names, ids)


def files(root: Path, split: str) -> list[Path]:
    """List the h5 files of one split, as `load` reads them; InputError if one is missing."""
    listing, paths = root / f"{split}_files.txt", []
    for line in _lines(listing):
        name = PurePosixPath(line.replace("\\", "/")).name  # so no line leads out of `root`
        if not (root / name).is_file():
            raise InputError(
                f"{listing} lists {line!r}, but {root} holds no file {name!r}: fetch the data again"
            )
        paths.append(root / name)
    return paths


def _lines(file: Path) -> list[str]:
    """Read the non-blank lines of a text file, at least one."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        inner = file.parent / FOLDER
        hint = "is this a folder in the ModelNet40 layout?"
        if inner.is_dir():
            hint = f"did you mean {inner}?"
        raise InputError(f"{file} is missing: {hint}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{file} cannot be read as text ({error}): fetch the data again"
        ) from error
    lines = [line.strip() for line in lines if line.strip()]
    if not lines:
        raise InputError(f"{file} is empty: fetch the data again")
    return lines


def _check_labels(source: object, labels: np.ndarray, names: Sequence[str]) -> None:
    """Raise InputError, which begins with `source`, unless each label is an index into `names`."""
    low, high = labels.min(), labels.max()
    if low < 0 or high >= len(names):
        raise InputError(
            f"{source} has labels {low}..{high}, but shape_names.txt has {len(names)} names: "
            "add the missing names or correct the labels"
        )


def ids_file(file: Path) -> Path:
    """Return the path of the ids of ply_data_train0.h5: ply_data_train_0_id2file.json beside it."""
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
    if not (
        isinstance(ids, list) and len(ids) == count and all(isinstance(name, str) for name in ids)
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
    """Write a data set that `load` reads, and return its folder, which appears when complete.

    If another process has written the folder meanwhile, that one is kept.

    Args:
        names: of the classes, at most 256, as labels are stored in a byte.
        train, test: points (n, P, 3) float32, labels (n,) int, and n ids such as
            "chair/train_0001"; n > 0.

    Raises:
        InputError: the sizes differ, or a label has no name.
    """
    folder = Path(folder)
    splits = {"train": train, "test": test}
    for split, (points, labels, ids) in splits.items():
        shape = np.shape(points)
        if len(shape) != 3 or shape[2] != 3 or not shape[0] == len(labels) == len(ids) > 0:
            raise InputError(
                f"{folder}: {split} has points of shape {shape}, {len(labels)} labels and "
                f"{len(ids)} ids: make them (n, P, 3), n and n"
            )
        _check_labels(f"{folder}: {split}", np.asarray(labels), names[:256])
    folder.parent.mkdir(parents=True, exist_ok=True)
    with beside(folder) as new:
        new.mkdir()
        write_names(new, names)
        for split, (points, labels, ids) in splits.items():
            write_split(new, split, points, labels, ids)
        try:
            os.rename(new, folder)
        except OSError:
            if not (folder / "test_files.txt").is_file():  # in the way is something else
                raise
    return folder


def write_names(folder: Path, names: Sequence[str]) -> None:
    """Write the names of the classes."""
    (folder / "shape_names.txt").write_text("\n".join(names) + "\n", encoding="utf-8")


def write_split(
    folder: Path,
    split: str,
    points: np.ndarray,
    labels: np.ndarray,
    ids: Sequence[str],
    **more: np.ndarray,
) -> None:
    """Write the files of one split; `more` are further datasets, with a row for each cloud."""
    listing = ""
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
        listing += f"data/{folder.name}/{file.name}\n"
    (folder / f"{split}_files.txt").write_text(listing, encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(description="Download, verify and extract ModelNet40.")
    parser.add_argument("--root", required=True, help=f"folder to hold {FOLDER}")
    parser.add_argument(
        "--url", nargs="+", default=MIRRORS, help="addresses of the archive, tried in order"
    )
    args = parser.parse_args(argv)
    from samplenet.runs import script  # here: reading data needs no run folders

    script.main(lambda: print(download(args.root, args.url)))


if __name__ == "__main__":
    main()
