"""Read and write pictures and pixel-point pairs in the layout of the released pre-training data.

    ModelNet40_blender_sampling_1024/<class>/<split>/<name>.txt     points, x y z a line, z up
    ModelNet40_MV/<class>/<split>/<name>.off/view_<k>.png           pictures, RGB
    ModelNet40_MV/<class>/<split>/<name>.off/pix_point_<k>.txt      row, column, point a line

The layout is that of the published code; no released file has been read here.
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from samplenet import normalisation
from samplenet.errors import InputError, needs_extra

with needs_extra("render"):
    from PIL import Image

CLOUDS, VIEWS = "ModelNet40_blender_sampling_1024", "ModelNet40_MV"
Y_UP = [0, 2, 1]  # of the columns of a file, as the released reader takes them
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def read(root: Path, split: str) -> tuple[tuple, tuple]:
    """Read one split, class by class, each sorted by name.

    Returns:
        clouds (n, N, 3), images (n, V, S, S, 3), n arrays of pairs (P, 4) and labels (n,), as in
        `pixel_pairs.Objects`, and then the names of the classes and of the objects.

    Raises:
        InputError: no object, a missing or damaged file, or objects that differ in their sizes.
    """
    clouds, images, pairs, labels, ids = [], [], [], [], []
    names = tuple(sorted(p.name for p in (root / CLOUDS).glob("*") if (p / split).is_dir()))
    files = [(i, file) for i, name in enumerate(names) for file in _clouds(root, name, split)]
    if not files:
        raise InputError(f"{root / CLOUDS} has no <class>/{split}/<name>.txt: correct the folder")
    for label, file in tqdm(files, f"read {split}", unit="object", disable=None):
        points = _table(file, float, 3)
        folder = root / VIEWS / file.relative_to(root / CLOUDS).with_suffix(".off")
        pictures, found = _views(folder, len(points))
        if clouds and (points.shape != clouds[0].shape or pictures.shape != images[0].shape):
            raise InputError(
                f"{file} has {len(points)} points and pictures {pictures.shape}, those before it "
                f"{len(clouds[0])} and {images[0].shape}: give all objects the same"
            )
        clouds.append(normalisation.unit_sphere(points[:, Y_UP]).astype(np.float32))
        images.append(pictures)
        pairs.append(found)
        labels.append(label)
        ids.append(str(file.relative_to(root / CLOUDS).with_suffix("")))
    arrays = np.stack(clouds), np.stack(images), pairs, np.array(labels, np.int64)
    return arrays, (names, ids)


def write(root: Path, name: str, cloud: NDArray, images: NDArray, pairs: NDArray) -> None:
    """Write an object "<class>/<split>/<name>": (N, 3), (V, S, S, 3) and (P, 4)."""
    file = root / CLOUDS / f"{name}.txt"
    folder = root / VIEWS / f"{name}.off"
    for parent in (file.parent, folder):
        parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(file, cloud[:, Y_UP], "%.6f")
    for k, image in enumerate(images):
        Image.fromarray(image).save(folder / f"view_{k}.png")
        np.savetxt(folder / f"pix_point_{k}.txt", pairs[pairs[:, 0] == k, 1:], "%d")


def _clouds(root: Path, name: str, split: str) -> list[Path]:
    return sorted((root / CLOUDS / name / split).glob("*.txt"))


def _views(folder: Path, num_points: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Read the pictures (V, S, S, 3) of an object and its pairs (P, 4)."""
    matches = (re.fullmatch(r"view_(\d+)\.png", path.name) for path in folder.glob("view_*.png"))
    numbers = sorted(int(match[1]) for match in matches if match)
    if not numbers or numbers != [*range(len(numbers))]:
        raise InputError(f"{folder} must hold view_0.png, view_1.png ..., found {numbers}")
    images, pairs = [], []
    for k in numbers:
        path = folder / f"view_{k}.png"
        try:
            with Image.open(path) as image:
                images.append(np.asarray(image.convert("RGB")))
        except UNREADABLE as error:
            raise InputError(f"{path} cannot be read: {error}") from error
        if images[k].shape != images[0].shape or images[k].shape[0] != images[k].shape[1]:
            raise InputError(f"{path} must be square and of the size of view_0.png")
        path = folder / f"pix_point_{k}.txt"
        table = _table(path, int, 3)
        size = len(images[0])
        if (table < 0).any() or (table >= (size, size, num_points)).any():
            raise InputError(
                f"{path} must name rows and columns below {size} and points below {num_points}"
            )
        pairs.append(np.insert(table, 0, k, axis=1))
    return np.stack(images), np.concatenate(pairs).astype(np.int32)


def _table(path: Path, kind: type, columns: int) -> NDArray:
    """Read the first columns of a table of numbers; a file of pairs may have no line."""
    try:
        lines = path.read_text().splitlines()
        rows = [line.replace(",", " ").split()[:columns] for line in lines if line.strip()]
        table = np.array(rows, kind).reshape(len(rows), columns)
    except UNREADABLE as error:
        raise InputError(f"{path} is no table of {columns} numbers a line: {error}") from error
    if not np.isfinite(table).all() or kind is float and not len(table):
        raise InputError(f"{path} must hold points, all of them finite")
    return table
