"""NumPy's files: .npz with an array `points` and others of N rows beside it, and .npy."""

import io
from pathlib import Path

import numpy as np
from numpy.lib import recfunctions
from numpy.typing import NDArray

from samplenet.scans import columns, text
from samplenet.scans.errors import Bad
from samplenet.scans.scan import Scan


def read_npz(path: Path) -> Scan:
    """Read `points` (N, 3 or more), or the only such array, and every other array of N rows.

    `kept` is the name of that array and those of its columns.
    """
    arrays = _load(path)
    if isinstance(arrays, np.ndarray):
        raise Bad("is no .npz file but one of .npy; rename it")
    clouds = [name for name, array in arrays.items() if array.ndim == 2 and array.shape[1] >= 3]
    if "points" not in clouds and len(clouds) != 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "nothing"
        raise Bad(f"must hold an array 'points' of shape (N, 3), but holds {shapes}")
    name = "points" if "points" in clouds else clouds[0]
    points = arrays.pop(name)
    axes, kept, left_out = _named(points), {}, []
    for other, array in arrays.items():
        if not array.ndim or len(array) != len(points):
            left_out.append(other)
        elif other in axes:
            raise Bad(
                f"holds an array '{other}' beside the columns of '{name}' called so; rename it"
            )
        else:
            kept[other] = array
    notes = (
        (f"{', '.join(left_out)} left out: not one row for each of {len(points)} points",)
        if left_out
        else ()
    )
    return Scan(columns.rows_of({**axes, **kept}), "npz", (name, tuple(axes)), notes)


def read_npy(path: Path) -> Scan:
    """Read an array (N, 3 or more), or a structured one with fields x, y and z."""
    array = _load(path)
    if isinstance(array, dict):
        raise Bad("is no .npy file but one of .npz; rename it")
    if array.dtype.names:
        return Scan(array.ravel(), "npy", "structured")
    return Scan(columns.rows_of(_named(array)), "npy")


def _load(path: Path) -> NDArray | dict[str, NDArray]:
    try:
        with open(path, "rb") as file:  # np.load leaves damaged files open
            content = np.load(file, allow_pickle=False)
            return (
                content
                if isinstance(content, np.ndarray)
                else {name: content[name] for name in content.files}
            )
    except ValueError as error:
        if "Object arrays" in str(error):
            raise Bad("holds Python objects; save an array of numbers") from error
        raise


def _named(array: NDArray) -> columns.Columns:
    """Return the columns of (N, C): x, y, z, column_3, ..."""
    if array.ndim != 2 or array.shape[1] < 3 or array.dtype.kind not in "iuf":
        # not read as they are: (2, 5, 3) may be a picture of a depth camera, or a batch of clouds
        advice = "; of a depth camera's picture save a.reshape(-1, 3)" if array.ndim == 3 else ""
        shown = f"{columns.contents(array.dtype)} of shape {array.shape}"
        raise Bad(f"must hold numbers of shape (N, 3 or more), got {shown}{advice}")
    names = ["x", "y", "z", *(f"column_{i}" for i in range(3, array.shape[1]))]
    return dict(zip(names, array.T, strict=True))


def write_npz(scan: Scan, extension: str) -> tuple[bytes, list[str]]:
    """Write an array of coordinates, `points` (N, 3) or the one that was read, and an array for everything else."""
    table, notes = columns.for_format(scan, "npz", extension)
    cloud, axes = scan.kept if scan.format == "npz" else ("points", tuple("xyz"))
    points = np.stack([table.pop(axis) for axis in axes], 1)
    taken = {"file", "allow_pickle"} & {cloud, *table} | {cloud} & {
        *table
    }  # the first two are savez_compressed's own
    if taken:
        raise Bad(
            f"cannot be written: a column cannot be called {taken.pop()} in {extension}; rename it"
        )
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{cloud: points}, **table)
    return buffer.getvalue(), notes


def write_npy(scan: Scan, extension: str) -> tuple[bytes, list[str]]:
    """Write an array (N, C) in the one type that holds every column; a structured one if it was read as such."""
    if scan.format == "npy" and not all(
        name in ("x", "y", "z") or name.startswith("column_") for name in scan.rows.dtype.names
    ):
        return saved(scan.rows), []
    table, notes = columns.for_format(scan, "npy", extension)
    array = recfunctions.structured_to_unstructured(columns.rows_of(table))
    for name, column in zip(table, array.T, strict=True):
        if columns.changed(column, table[name]).any():
            raise Bad(
                f"cannot be written: {extension} would round {name}; write .npz, which does not"
            )
    return saved(array), notes + text.lost_names(table, extension)


def saved(array: NDArray) -> bytes:
    """Return the content of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
