"""S3DIS (Armeni 2016): rooms from the annotated scans or as PLY, and PointNet's blocks in HDF5.

python -m samplenet.data.s3dis --raw Stanford3dDataset_v1.2_Aligned_Version --out DIR

writes each room as `<area>_<room>.npy`, a line x y z r g b label a point, which `load_rooms` reads.
The scans are given on request to their authors; no address of the blocks' archive,
indoor3d_sem_seg_hdf5_data.zip, is known to work.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from samplenet.atomic import beside
from samplenet.data import h5, ply
from samplenet.data.blocks import FEATURES
from samplenet.data.rooms import UNLABELLED, Room
from samplenet.errors import InputError
from samplenet.runs.parser import Parser

CLASSES = (
    *("ceiling", "floor", "wall", "beam", "column", "window", "door"),
    *("table", "chair", "sofa", "bookcase", "board", "clutter"),
)
AREAS = range(1, 7)
# of PointContrast's PLY files, which have stairs too; these, and its 255, are unlabelled here
PLY_CLASSES = ("clutter", *sorted({*CLASSES, "stairs"} - {"clutter"}))


def is_blocks(root: str | os.PathLike) -> bool:
    """Return whether a folder is one for `load_blocks` rather than for `load_rooms`."""
    return (Path(root) / "all_files.txt").is_file()


def load_rooms(root: str | os.PathLike, split: str, test_area: int = 5) -> list[Room]:
    """Read the rooms `<root>/Area_<a>_<room>.npy` of the test area, or of all others.

    If there is `<root>/splits`, they are PointContrast's: `splits/area<a>.txt` lists the PLY files
    of an area, each with x y z red green blue label; no such file has been read here.

    Raises:
        InputError: no such room, or a damaged file.
    """
    rooms = []
    for file in files(root, split, test_area):
        if file.suffix == ".ply":
            rooms.append(_ply_room(file))
            continue
        try:
            table = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{file} cannot be read: {error}") from error
        rooms.append(_room(table, file))
    return rooms


def files(root: str | os.PathLike, split: str, test_area: int = 5) -> list[Path]:
    """List the files of the rooms that `load_rooms` reads; those that lists name may be missing.

    Raises:
        InputError: no such room, or a list that cannot be read.
    """
    root = Path(root)
    if (root / "splits").is_dir():
        return _ply_files(root, split, test_area)
    found = [
        file for file in sorted(root.glob("Area_*.npy")) if _is_in(file.name, split, test_area)
    ]
    if not found:
        raise InputError(f"{root} has no room Area_<a>_<room>.npy for its {split} split")
    return found


def _ply_files(root: Path, split: str, test_area: int) -> list[Path]:
    files = []
    for area in AREAS:
        if not _is_in(f"Area_{area}_", split, test_area):
            continue
        listed = root / "splits" / f"area{area}.txt"
        try:
            files += [root / line for line in listed.read_text().splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{listed} cannot be read: {error}") from error
    if not files:
        raise InputError(f"{root}/splits lists no room for its {split} split")
    return files


def _ply_room(file: Path) -> Room:
    table = ply.table(file, "x", "y", "z", "red", "green", "blue", "label")
    own = np.full(256, UNLABELLED)
    own[: len(PLY_CLASSES)] = [
        CLASSES.index(name) if name in CLASSES else UNLABELLED for name in PLY_CLASSES
    ]
    labels = table[:, 6]
    table[:, 6] = own[np.where(labels < 0, 255, labels).clip(max=255).astype(int)]
    return _room(table, file)


def _is_in(name: str, split: str, test_area: int) -> bool:
    if split not in ("train", "test") or test_area not in AREAS:
        raise InputError(
            f"split must be 'train' or 'test' and the area in [1, 6], got {split!r}, {test_area}"
        )
    return (f"Area_{test_area}_" in f"{name}_") == (split == "test")


def _room(table: NDArray, file: Path) -> Room:
    """Check a table (P, 7) and make a room of it, moved into the corner."""
    right = table.ndim == 2 and table.shape[1] == 7 and len(table) and table.dtype.kind in "fiu"
    if not right or not np.isfinite(table).all():
        raise InputError(f"{file} must hold x y z r g b label a point, finite; got {table.shape}")
    labels = table[:, 6].astype(np.int64)
    known = labels[labels != UNLABELLED]
    if len(known) and (known.min() < 0 or known.max() >= len(CLASSES)):
        raise InputError(f"{file} has labels {known.min()}..{known.max()}: make them 0..12")
    points = (table[:, :3] - table[:, :3].min(0)).astype(np.float32)
    return Room(points, table[:, 3:6].clip(0, 255).astype(np.uint8), labels, file.stem)


def load_blocks(
    root: str | os.PathLike, split: str, test_area: int = 5, num_points: int = 4096
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Read PointNet's blocks of the test area, or of all others: (K, N, 9) and labels (K, N).

    `all_files.txt` lists the h5 files (keys data and label), of whose lines the base names count;
    `room_filelist.txt` has the room of each block.

    Raises:
        InputError: a missing or damaged file, or files and list that disagree.
    """
    root, own = Path(root), rows_of_blocks(root, split, test_area)
    try:
        files = [root / Path(line).name for line in (root / "all_files.txt").read_text().split()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{root} is no folder of S3DIS blocks: {error}") from error
    parts = [h5.read(file, "data", "label") for file in files]
    for file, (data, label) in zip(files, parts, strict=True):
        if data.ndim != 3 or data.shape[2] != FEATURES or label.shape != data.shape[:2]:
            raise InputError(
                f"{file} has 'data' of {data.shape} and 'label' of {label.shape}: make them "
                f"(n, P, {FEATURES}) and (n, P)"
            )
        if num_points > data.shape[1]:
            raise InputError(f"num_points must be at most {data.shape[1]}, got {num_points}")
        if label.min() < 0 or label.max() >= len(CLASSES) or not np.isfinite(data).all():
            raise InputError(f"{file} has labels outside of 0..12, or features not finite")
    data = np.concatenate([data[:, :num_points] for data, _ in parts]).astype(np.float32)
    label = np.concatenate([label[:, :num_points] for _, label in parts]).astype(np.int64)
    if len(own) != len(data):
        raise InputError(f"{root}/room_filelist.txt has {len(own)} lines for {len(data)} blocks")
    return data[own], label[own]


def rows_of_blocks(root: str | os.PathLike, split: str, test_area: int = 5) -> NDArray[np.bool_]:
    """Return which blocks (K,) of `load_blocks` are of a split, by their rooms' names.

    Raises:
        InputError: no such block, or no list of rooms.
    """
    listed = Path(root) / "room_filelist.txt"
    try:
        rooms = listed.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{listed} cannot be read: {error}") from error
    own = np.array([_is_in(name, split, test_area) for name in rooms], bool)
    if not own.any():
        raise InputError(f"{root} has no block for its {split} split, test area {test_area}")
    return own


def read_annotations(folder: Path) -> NDArray[np.float32]:
    """Read a scanned room as a table (P, 7) from its `Annotations/<class>_<number>.txt`.

    Classes that are none of `CLASSES`, such as stairs, are clutter. A character that is no number,
    as Area_5's hallway_6 has, separates numbers.
    """
    tables = []
    for file in sorted((folder / "Annotations").glob("*_*.txt")):
        name = file.stem.split("_")[0]
        label = CLASSES.index(name if name in CLASSES else "clutter")
        text = re.sub(rb"[^0-9.eE+\n-]", b" ", file.read_bytes()).decode()
        try:
            values = np.array(text.split(), np.float32).reshape(-1, 6)
        except ValueError as error:
            raise InputError(f"{file} must have x y z r g b a line: {error}") from error
        tables.append(np.insert(values, 6, label, axis=1))
    if not tables:
        raise InputError(f"{folder}/Annotations has no <class>_<number>.txt")
    table = np.concatenate(tables)
    table[:, :3] -= table[:, :3].min(0)
    return table


def convert(raw: Path, out: Path) -> list[Path]:
    """Write `<out>/<area>_<room>.npy` of every room in `raw`, unless it is there already."""
    folders = sorted(folder.parent for folder in raw.glob("Area_*/*/Annotations"))
    if not folders:
        raise InputError(f"{raw} has no Area_<a>/<room>/Annotations: name the scans' folder")
    out.mkdir(parents=True, exist_ok=True)
    files = [out / f"{folder.parent.name}_{folder.name}.npy" for folder in folders]
    for folder, file in tqdm([*zip(folders, files, strict=True)], unit="room", disable=None):
        if file.is_file():
            continue
        with beside(file) as new:
            np.save(new, read_annotations(folder))
            os.replace(new, file)
    return files


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(description="Write the rooms of S3DIS's annotated scans as arrays.")
    parser.add_argument("--raw", required=True, help="folder of Area_<a>/<room>/Annotations")
    parser.add_argument("--out", required=True, help="folder to hold Area_<a>_<room>.npy")
    args = parser.parse_args(argv)
    from samplenet.runs import script  # here: reading data needs no run folders

    script.main(
        lambda: print(f"{len(convert(Path(args.raw), Path(args.out)))} rooms in {args.out}")
    )


if __name__ == "__main__":
    main()
