"""NumPy's files: .npy, and .npz with an array `points` and further arrays of N rows."""

import io
from pathlib import Path

import numpy as np
from numpy.lib import recfunctions
from numpy.typing import NDArray

from samplenet.scans import columns, conversion, text
from samplenet.scans.columns import Columns
from samplenet.scans.errors import Bad
from samplenet.scans.scan import Scan


def read_npz(path: Path) -> Scan:
    """Read `points` (N, 3 or more), or the only such array, and every other array of N rows.

    `kept` is the name of that array and those of its columns.
    """
    arrays = _load(path)
    if isinstance(arrays, np.ndarray):
        raise Bad("is not a .npz file but a .npy file; rename it")
    clouds = [name for name, array in arrays.items() if array.ndim == 2 and array.shape[1] >= 3]
    if "points" in clouds:
        clouds = ["points"]
    if len(clouds) != 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "nothing"
        raise Bad(f"must hold an array 'points' of shape (N, 3), but holds {shapes}")
    cloud = clouds[0]
    points = arrays.pop(cloud)
    table, left_out = _named(points), []
    axes = tuple(table)
    for name, array in arrays.items():
        if not array.ndim or len(array) != len(points):
            left_out.append(name)
        elif name in axes:
            raise Bad(f"has an array '{name}' and a column '{name}' of '{cloud}'; rename the array")
        else:
            table[name] = array
    notes = []
    if left_out:
        notes = [f"{', '.join(left_out)} left out: not one row for each of {len(points)} points"]
    return Scan(columns.rows_of(table), "npz", (cloud, axes), tuple(notes))


def read_npy(path: Path) -> Scan:
    """Read an array (N, 3 or more), or a structured one with fields x, y and z.

    `kept` is whether it is structured.
    """
    array = _load(path)
    if isinstance(array, dict):
        raise Bad("is not a .npy file but a .npz file; rename it")
    if array.dtype.names:
        return Scan(array.ravel(), "npy", True)
    return Scan(columns.rows_of(_named(array)), "npy", False)


def _load(path: Path) -> NDArray | dict[str, NDArray]:
    try:
        with open(path, "rb") as file:  # np.load leaves damaged files open
            content = np.load(file, allow_pickle=False)
            return content if isinstance(content, np.ndarray) else dict(content)
    except ValueError as error:
        if "Object arrays" in str(error):
            raise Bad("holds Python objects; save an array of numbers") from error
        raise


def _named(array: NDArray) -> Columns:
    """Return the columns of (N, C): x, y, z, column_3, ..."""
    if array.ndim != 2 or array.shape[1] < 3 or array.dtype.kind not in "iuf":
        # not read as they are: (2, 5, 3) may be a picture of a depth camera, or a batch of clouds
        advice = "; of a depth camera's picture save a.reshape(-1, 3)" if array.ndim == 3 else ""
        shown = f"{columns.contents(array.dtype)} of shape {array.shape}"
        raise Bad(f"must hold numbers of shape (N, 3 or more), got {shown}{advice}")
    names = ["x", "y", "z", *(f"column_{i}" for i in range(3, array.shape[1]))]
    return dict(zip(names, array.T, strict=True))


def write_npz(scan: Scan, extension: str) -> tuple[bytes, list[str]]:
    """Return a file with the coordinates as one array and an array for each other column."""
    table, notes = conversion.for_format(scan, "npz", extension)
    cloud, axes = scan.kept if scan.format == "npz" else ("points", tuple("xyz"))
    points = np.stack([table.pop(axis) for axis in axes], 1)
    reserved = {"file", "allow_pickle"}  # savez_compressed has arguments of these names
    taken = reserved & {cloud, *table} | {cloud} & {*table}
    if taken:
        raise Bad(f"cannot be written: {extension} cannot have a column {taken.pop()}; rename it")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{cloud: points}, **table)
    return buffer.getvalue(), notes


def write_npy(scan: Scan, extension: str) -> tuple[bytes, list[str]]:
    """Return a file of one array (N, C) whose type holds every column, or structured as read."""
    if scan.format == "npy" and scan.kept:
        return saved(scan.rows), []
    table, notes = conversion.for_format(scan, "npy", extension)
    array = recfunctions.structured_to_unstructured(columns.rows_of(table))
    for name, column in zip(table, array.T, strict=True):
        if columns.changed(column, table[name]).any():
            raise Bad(f"cannot be written: {extension} would round {name}; write .npz instead")
    return saved(array), notes + text.lost_names(table, extension)


def saved(array: NDArray) -> bytes:
    """Return the content of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
