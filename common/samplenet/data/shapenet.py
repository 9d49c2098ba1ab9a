"""ShapeNetCore as clouds of 2048 points in PLY files, and built-in shapes in its place.

python -m samplenet.data.shapenet --root DIR                 # download (1.4 GB), print the folder
python -m samplenet.data.shapenet --root DIR --archive FILE  # the same from a downloaded archive
"""

import hashlib
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samplenet.data import ply, shapes
from samplenet.data.batches import own_folder
from samplenet.data.clouds import Clouds
from samplenet.data.shapenet_archive import FOLDER, MIRRORS, SYNSETS, download
from samplenet.errors import InputError
from samplenet.normalisation import box_diagonal
from samplenet.runs.parser import Parser

CLASSES = tuple(SYNSETS)
SPLITS = ("train", "val", "test")
SPLIT_SEED = 42
STORED = 2048  # points of a cloud
FETCH = "fetch the data by python -m samplenet.data.shapenet --root DIR"  # ends error messages

log = logging.getLogger(__name__)


def load(
    folder: str | os.PathLike,
    split: str,
    num_points: int = STORED,
    classes: Sequence[str] = CLASSES,
    skip_bad: bool = False,
) -> Clouds:
    """Read one split of `<folder>/<synset>/<id>.ply`: the first points of each cloud, as stored.

    The clouds come class by class, sorted by name; labels count `classes`, ids are "03001627/<id>".
    Parsed clouds are cached as `<folder>/<synset>.h5` or, if that cannot be written, below
    `samplenet.data.batches.own_folder`.

    Args:
        split: one of `SPLITS`, see `split_rows`. Bad files are counted too, so that skipping them
            moves no other cloud to another split.
        classes: names of `SYNSETS`, or synsets such as "02828884".
        skip_bad: skip files that are damaged, not finite or have too few points, and log them.

    Raises:
        InputError: a class is missing or empty, or a file is bad; the message names it.
    """
    folder, classes = Path(folder), _checked(classes, num_points)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: correct it, or {FETCH}")
    points, labels, ids, bad, total = [], [], [], {}, 0
    for label, class_name in enumerate(classes):
        synset = _synset(class_name)
        files = ply.read_folder(_class_folder(folder, synset, class_name), _caches(folder, synset))
        faults, rows = files.unfit(num_points), split_rows(len(files.names), split)
        total += len(rows)
        good = [i for i in rows if files.names[i] not in faults]
        ids += [f"{synset}/{files.names[i]}" for i in good]
        names = [files.names[i] for i in rows]
        bad |= {f"{synset}/{name}.ply": faults[name] for name in names if name in faults}
        points.append(files.first(good, num_points))
        labels += [label] * len(good)
    _report(folder, split, bad, total, skip_bad)
    for name, part in zip(classes, points, strict=True):
        if not len(part):
            raise InputError(
                f"{folder} has no cloud of {name!r} for its {split} split: 10 files fill each"
            )
    return Clouds(np.concatenate(points), np.array(labels, np.int64), classes, ids)


def split_rows(count: int, split: str) -> NDArray[np.int64]:
    """Return a split's files: their numbers, ascending, among `count` files sorted by name.

    A random 85 % are for training, 5 % for validation ("val"), the rest for testing. Fewer than 10
    files may leave a split empty.
    """
    if split not in SPLITS:
        raise InputError(f"split must be one of {', '.join(SPLITS)}; got {split!r}")
    # not a newer generator: NumPy guarantees that this one's numbers never change
    order = np.random.RandomState(SPLIT_SEED).permutation(count)
    return np.sort(np.split(order, [count * 85 // 100, count * 90 // 100])[SPLITS.index(split)])


def built_in(
    split: str,
    num_points: int = STORED,
    classes: Sequence[str] = CLASSES,
    shapes_per_class: int = 200,
) -> Clouds:
    """Generate one split of `shapes_per_class` built-in shapes a class, normalised like ShapeNet.

    y is up; the box of a cloud's first 2048 points is centred at the origin, with a diagonal of 1.

    Args:
        classes: names of `samplenet.data.shapes.CLASSES`.

    Raises:
        InputError: an unknown class, or too few shapes for the split.
    """
    classes, rows = _checked(classes, num_points), split_rows(max(0, shapes_per_class), split)
    if not len(rows):
        raise InputError(
            f"{shapes_per_class} shapes a class leave none for the {split} split: 10 fill each"
        )
    clouds = shapes.clouds(classes, rows, max(STORED, num_points))
    return replace(clouds, points=box_diagonal(clouds.points, STORED)[:, :num_points])


def open_clouds(
    data_root: str | os.PathLike | None,
    split: str,
    num_points: int = STORED,
    classes: Sequence[str] = CLASSES,
    shapes_per_class: int = 200,
    skip_bad: bool = False,
) -> Clouds:
    """`load` a split of `data_root`; if it is None, generate a `built_in` one."""
    if data_root is None:
        return built_in(split, num_points, classes, shapes_per_class)
    return load(data_root, split, num_points, classes, skip_bad)


def _checked(classes: Sequence[str], num_points: int) -> tuple[str, ...]:
    if num_points < 1:
        raise InputError(f"num_points must be at least 1, got {num_points}")
    if len({SYNSETS.get(name, name) for name in classes}) != len(classes) or not classes:
        raise InputError(
            f"classes must be at least one, each of them once; got {', '.join(classes) or 'none'}"
        )
    return tuple(classes)


def _synset(name: str) -> str:
    if name in SYNSETS or re.fullmatch("[0-9]{8}", name):
        return SYNSETS.get(name, name)
    raise InputError(
        f"classes must be of {', '.join(CLASSES)}, or synsets of 8 digits; got {name!r}"
    )


def _class_folder(folder: Path, synset: str, name: str) -> Path:
    if (folder / synset).is_dir():
        return folder / synset
    hint = f"leave this class out, or {FETCH}"
    if (folder / FOLDER / synset).is_dir():
        hint = f"did you mean {folder / FOLDER}?"
    raise InputError(f"{folder / synset} ({name}) is missing: {hint}")


def _caches(folder: Path, synset: str) -> list[Path]:
    # the digest distinguishes data sets that share the own folder
    digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
    return [folder / f"{synset}.h5", own_folder() / f"shapenet-cache-{digest}" / f"{synset}.h5"]


def _report(folder: Path, split: str, bad: dict[str, str], total: int, skip_bad: bool) -> None:
    """Log the bad files if they are skipped, otherwise raise."""
    lines = [f"  {file} {reason}" for file, reason in bad.items()]
    count = f"{folder}: {len(lines)} of {total} {split} clouds"
    if lines and skip_bad:
        log.warning("%s are skipped:\n%s", count, "\n".join(lines))
    elif lines:
        if len(lines) > 5:
            lines[5:] = [f"  and {len(lines) - 5} more"]
        advice = "replace the files, or skip them (skip_bad; train the autoencoder with --skip-bad)"
        raise InputError("\n".join([f"{count} cannot be used; {advice}:", *lines]))


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(description="Download and extract ShapeNetCore as clouds of 2048 points.")
    parser.add_argument("--root", required=True, help=f"folder to hold {FOLDER}")
    parser.add_argument("--archive", help="use this archive instead of downloading it")
    parser.add_argument(
        "--url", nargs="+", default=MIRRORS, help="addresses of the archive, tried in order"
    )
    args = parser.parse_args(argv)
    from samplenet.runs import script  # here: reading data needs no run folders

    script.main(lambda: print(download(args.root, args.url, args.archive)))


if __name__ == "__main__":
    main()
