"""Columns of points: their names across formats, and the colours and intensity among them."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samplenet.scans.errors import Bad

Columns = dict[str, NDArray]

# Names that programs use for the same quantity, compared without upper and lower case. A single
# name is an array (N, 3 or 4), or for rgb and rgba a number with red, green and blue in its bytes.
SYNONYMS = {
    "normals": [
        "nx ny nz",
        "normal_x normal_y normal_z",
        "normalx normaly normalz",
        "normals",
        "normal",
    ],
    "colours": [
        "red green blue alpha",
        "red green blue",
        "r g b a",
        "r g b",
        "diffuse_red diffuse_green diffuse_blue",
        "colors",
        "color",
        "rgba",
        "rgb",
    ],
    "intensity": ["intensity", "scalar_intensity"],
}


def rows_of(columns: dict[str, Any]) -> NDArray:
    """Join arrays of N rows each into one (N,) structured array."""
    arrays = {name: np.asarray(array) for name, array in columns.items()}
    kinds = [(name, a.dtype.newbyteorder("="), a.shape[1:]) for name, a in arrays.items()]
    rows = np.empty(len(arrays["x"]), kinds)
    for name, array in arrays.items():
        rows[name] = array
    return rows


def check_axes(names: Iterable[str]) -> None:
    """Raise Bad if x, y or z is missing."""
    missing = [axis for axis in "xyz" if axis not in names]
    if missing:
        columns = ", ".join(names) or "missing"
        raise Bad(f"has no {missing[0]}; points need x, y and z, its columns are {columns}")


def check_count(held: int, count: int) -> None:
    """Raise Bad if a file holds fewer points than it says."""
    if held < count:
        raise Bad(f"is cut off: it holds {held} of {count} points")


def distinct(names: list[str]) -> list[str]:
    """Add _2, _3 and so on to repeated names."""
    result: list[str] = []
    for name in names:
        number, free = 1, name
        while free in result:
            number += 1
            free = f"{name}_{number}"
        result.append(free)
    return result


def contents(kind: np.dtype) -> str:
    """Name in a word what an array of a type holds."""
    words = {"O": "lists", "S": "words", "U": "words", "M": "dates", "m": "durations"}
    return words.get(kind.kind, str(kind))


def find(rows: NDArray, quantity: str) -> tuple[str, ...]:
    """Return the names of the columns of normals, colours or intensity; () if there are none."""
    names = {name.lower(): name for name in rows.dtype.names}
    for synonym in SYNONYMS[quantity]:
        words = synonym.split()
        if names.keys() >= {*words}:
            found = tuple(names[word] for word in words)
            if _fits(quantity, words, [rows.dtype[name] for name in found]):
                return found
    return ()


def _fits(quantity: str, names: list[str], kinds: list[np.dtype]) -> bool:
    """Return whether columns of these types can hold the quantity, as their names suggest."""
    if any(kind.base.kind not in "iuf" for kind in kinds):
        return False
    if len(names) > 1 or quantity == "intensity":
        return all(kind.shape == () for kind in kinds)
    if names[0] in ("rgb", "rgba") and kinds[0].shape == ():
        return kinds[0].str[1:] in ("f4", "u4", "i4")
    return kinds[0].shape == (3,) or quantity == "colours" and kinds[0].shape == (4,)


def colors_of(rows: NDArray) -> NDArray | None:
    """Return red, green, blue and perhaps alpha (N, 3 or 4) as stored; None without colours."""
    names = find(rows, "colours")
    if not names:
        return None
    if len(names) > 1:
        return np.stack([rows[name] for name in names], 1)
    array = rows[names[0]]
    if array.ndim == 2:
        return array
    # PCL stores the four bytes as an integer or, in older files, as the float of the same bits
    packed = np.ascontiguousarray(array).view(np.uint32)
    shifts = (16, 8, 0, 24) if names[0].lower() == "rgba" else (16, 8, 0)
    return np.stack([packed >> shift & 255 for shift in shifts], 1).astype(np.uint8)


def full_scales(rows: NDArray) -> dict[str, int]:
    """Return the values of full colour and of full intensity: 1, 255 or 65535.

    Judged by all rows of a file, as types do not show it: programs put 8 bits into the 16 of LAS,
    and both 0 to 1 and 0 to 255 into floats.
    """
    names = find(rows, "intensity")
    intensity = rows[names[0]] if names else None
    return {"colours": _full_scale(colors_of(rows)), "intensity": _full_scale(intensity)}


def _full_scale(array: NDArray | None) -> int:
    if array is None or array.dtype == np.uint8:
        return 255
    largest = array[np.isfinite(array)].max(initial=0)
    if largest > 255:
        return 65535
    return 1 if array.dtype.kind == "f" and largest <= 1 else 255


def rescale(array: NDArray, scale: int, target: int) -> NDArray:
    """Map 0 to `scale` to the whole numbers from 0 to `target`, 255 or 65535."""
    kind = np.uint8 if target == 255 else np.uint16
    if array.dtype.kind in "iu" and scale == 65535 and target == 255:
        # the upper byte, as other programs do: exact for 8 bits that were spread to 16 as 257 v
        return (np.clip(array, 0, 65535).astype(np.uint16) >> 8).astype(kind)
    scaled = np.nan_to_num(array.astype(float)) * (target / scale)
    return np.rint(np.clip(scaled, 0, target)).astype(kind)


def changed(copy: NDArray, array: NDArray) -> NDArray[np.bool_]:
    """Return where a copy in another type holds another number."""
    copy, array = _exact(copy), _exact(array)
    return (copy != array) & ~(np.isnan(copy) & np.isnan(array))


def largest_change(copy: NDArray, array: NDArray) -> float:
    """Return the largest difference of a copy in another type; 0 if every number is the same."""
    rows = changed(copy, array)
    return float(np.abs(_exact(copy[rows]) - _exact(array[rows])).max(initial=0))


def _exact(array: NDArray) -> NDArray:
    return array.astype(np.longdouble)  # holds the whole numbers of 64 bits, and float64
