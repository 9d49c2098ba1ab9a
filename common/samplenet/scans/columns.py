"""Columns of points across formats: what normals, colours and intensity are called, and which types a format has."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from samplenet.scans.errors import Bad

Columns = dict[str, NDArray]

# What programs call the same thing, compared without upper and lower case. A single name is one array (N, 3 or 4), or
# for rgb and rgba a number that has red, green and blue in its bytes.
SYNONYMS = {
    "normals": [
        ("nx", "ny", "nz"),
        ("normal_x", "normal_y", "normal_z"),
        ("normalx", "normaly", "normalz"),
        ("normals",),
        ("normal",),
    ],
    "colours": [
        ("red", "green", "blue", "alpha"),
        ("red", "green", "blue"),
        ("r", "g", "b", "a"),
        ("r", "g", "b"),
        ("diffuse_red", "diffuse_green", "diffuse_blue"),
        ("colors",),
        ("color",),
        ("rgba",),
        ("rgb",),
    ],
    "intensity": [("intensity",), ("scalar_intensity",)],
}
# Types that a format lacks -> what they become, by type alone: every sample of a file has the same types.
LACKING = {
    "ply": {"b1": "u1", "f2": "f4", "i8": "f8", "u8": "f8", "f16": "f8"},
    "pcd": {"b1": "u1", "f2": "f4", "f16": "f8"},
    "las": {"b1": "u1", "f2": "f4", "f16": "f8"},
    "npy": {"b1": "u1"},
    "text": {"b1": "u1"},
}
UNCOMMON = {"ply": {"i2": "i4"}}  # types that the format has, but not all of its readers, as meshio
# What full colour and full intensity are in the formats that say so.
FULL = {
    ("colours", "ply"): 255,
    ("colours", "pcd"): 255,
    ("colours", "las"): 65535,
    ("intensity", "las"): 65535,
}
# PCL and Open3D read these of a .pcd file only as float32; others would leave them without any point.
FLOAT32 = ("x", "y", "z", "normal_x", "normal_y", "normal_z", "intensity")


def rows_of(columns: dict[str, Any]) -> NDArray:
    """Join arrays of N rows each to one (N,) structured array."""
    columns = {name: np.asarray(array) for name, array in columns.items()}
    kinds = [
        (name, array.dtype.newbyteorder("="), array.shape[1:]) for name, array in columns.items()
    ]
    rows = np.empty(len(columns["x"]), kinds)
    for name, array in columns.items():
        rows[name] = array
    return rows


def check_axes(names: Any) -> None:
    """Raise Bad if x, y or z is missing."""
    missing = [axis for axis in "xyz" if axis not in names]
    if missing:
        raise Bad(
            f"has no {missing[0]}; points need x, y and z, its columns are {', '.join(names) or 'missing'}"
        )


def distinct(names: list[str]) -> list[str]:
    """Add _2, _3 and so on to names that come again."""
    result: list[str] = []
    for name in names:
        number, free = 1, name
        while free in result:
            number += 1
            free = f"{name}_{number}"
        result.append(free)
    return result


def contents(kind: np.dtype) -> str:
    """Name what an array of a type holds."""
    return {"O": "lists", "S": "words", "U": "words", "M": "dates", "m": "durations"}.get(
        kind.kind, str(kind)
    )


def renamed(names: dict[str, str], extension: str) -> list[str]:
    """Return a sentence for each name that is not kept."""
    return [f"{old}: written as {new} in {extension}" for old, new in names.items() if old != new]


def find(rows: NDArray, quantity: str) -> tuple[str, ...]:
    """Return the names under which the rows hold normals, colours or intensity; () if they hold none."""
    names = {name.lower(): name for name in rows.dtype.names}
    for synonym in SYNONYMS[quantity]:
        if all(name in names for name in synonym) and _fits(
            quantity, synonym, [rows.dtype[names[n]] for n in synonym]
        ):
            return tuple(names[name] for name in synonym)
    return ()


def _fits(quantity: str, names: tuple[str, ...], kinds: list[np.dtype]) -> bool:
    if any(kind.base.kind not in "iuf" for kind in kinds):
        return False
    if len(names) > 1 or quantity == "intensity":
        return all(kind.shape == () for kind in kinds)
    if names[0] in ("rgb", "rgba") and kinds[0].shape == ():
        return kinds[0].str[1:] in ("f4", "u4", "i4")
    return kinds[0].shape == (3,) or quantity == "colours" and kinds[0].shape == (4,)


def colors_of(rows: NDArray) -> NDArray | None:
    """Return red, green, blue and, where there is one, alpha, (N, 3 or 4) as stored; None if there are none."""
    names = find(rows, "colours")
    if not names:
        return None
    if len(names) > 1:
        return np.stack([rows[name] for name in names], 1)
    array = rows[names[0]]
    if array.ndim == 2:
        return array
    packed = np.ascontiguousarray(array).view(np.uint32)
    shifts = (16, 8, 0, 24) if names[0].lower() == "rgba" else (16, 8, 0)
    return np.stack([packed >> shift & 255 for shift in shifts], 1).astype(np.uint8)


def full_scales(rows: NDArray) -> dict[str, int]:
    """Return the value of full colour and of full intensity: 1, 255 or 65535, judged by all rows of a file.

    Types do not show it: programs put 8 bits into the 16 of LAS, and both 0 to 1 and 0 to 255 into floats.
    """
    intensity = find(rows, "intensity")
    measured = {"colours": colors_of(rows), "intensity": rows[intensity[0]] if intensity else None}
    return {quantity: _full_scale(array) for quantity, array in measured.items()}


def _full_scale(array: NDArray | None) -> int:
    if array is None or array.dtype == np.uint8:
        return 255
    largest = array[np.isfinite(array)].max(initial=0)
    if largest > 255:
        return 65535
    return 1 if array.dtype.kind == "f" and largest <= 1 else 255


def rescale(array: NDArray, scale: int, target: int) -> NDArray:
    """Map 0 to `scale` on the whole numbers from 0 to `target`, 255 or 65535."""
    kind = np.uint8 if target == 255 else np.uint16
    if array.dtype.kind in "iu" and scale == 65535 and target == 255:
        return (np.clip(array, 0, 65535).astype(np.uint16) >> 8).astype(kind)  # 257 v becomes v
    return np.rint(
        np.clip(np.nan_to_num(array.astype(float)) * (target / scale), 0, target)
    ).astype(kind)


def for_format(scan, format: str, extension: str) -> tuple[Columns, list[str]]:
    """Name and type the columns of a scan as a format does; those read from that format stay as they are.

    Returns:
        Arrays of N rows and a sentence on each kind of change. x, y and z are first, unless the file had another order.

    Raises:
        Bad: numbers that no type of the format holds, or two columns of one name.
    """
    notes: list[str] = []
    if scan.format == format:
        columns = {name: scan.rows[name] for name in scan.rows.dtype.names}
    else:
        columns = _renamed(scan, format, extension, notes)
    if scan.format != format or format in ("npy", "text"):  # x, y and z first
        columns = {axis: columns[axis] for axis in "xyz"} | columns
    _drop_others(columns, format, scan.format, extension, notes)
    if format not in ("npz", "pcd"):  # the other formats have one number in each column
        columns = _flat(columns, extension, notes)
    if format in ("ply", "pcd"):  # blanks separate names there
        without_blanks: Columns = {}
        for name, array in columns.items():
            _add(without_blanks, "_".join(name.split()), array)
        notes += renamed(dict(zip(columns, without_blanks, strict=True)), extension)
        columns = without_blanks
    return _typed(columns, format, scan.format, extension, notes), notes


def _renamed(scan, format: str, extension: str, notes: list[str]) -> Columns:
    replaced: dict[str, Columns] = {}  # name -> what takes its place
    for quantity in SYNONYMS:
        names = find(scan.rows, quantity)
        if names:
            new = _quantity(scan, quantity, names, format, extension, notes)
            replaced |= dict.fromkeys(names, {}) | {names[0]: new}
            if tuple(new) != names and format not in ("npy", "text"):  # these have no names
                notes.append(f"{', '.join(names)}: written as {', '.join(new)} in {extension}")
    columns: Columns = {}
    taken = {new for group in replaced.values() for new in group}
    for name in scan.rows.dtype.names:
        if name in taken and name not in replaced:
            notes.append(f"{name} dropped: {extension} needs that name for another column")
            continue
        for new, array in replaced.get(name, {name: scan.rows[name]}).items():
            _add(columns, new, array)
    return columns


def _add(columns: Columns, name: str, array: NDArray) -> None:
    if name in columns:
        raise Bad(f"cannot be written: two columns would be called {name}; rename one of them")
    columns[name] = array


def _quantity(
    scan, quantity: str, names: tuple, format: str, extension: str, notes: list[str]
) -> Columns:
    """Give normals, colours or intensity the names and the range of a format."""
    if quantity == "normals":
        array = (
            np.stack([scan.rows[name] for name in names], 1)
            if len(names) == 3
            else scan.rows[names[0]]
        )
        new = ("normal_x", "normal_y", "normal_z") if format == "pcd" else ("nx", "ny", "nz")
        return {"normals": array} if format == "npz" else dict(zip(new, array.T, strict=True))
    array = scan.rows[names[0]] if quantity == "intensity" else colors_of(scan.rows)
    if (quantity, format) in FULL:
        scale, target = scan.full_scales[quantity], FULL[quantity, format]
        array = _rescaled(array, scale, target, quantity, extension, notes)
    if quantity == "intensity":
        return {"intensity": array}
    if format == "npz":
        return {"colors": array}
    if format == "pcd":
        red, green, blue, alpha = (*array.T.astype(np.uint32), np.uint32(0))[:4]
        packed = alpha << 24 | red << 16 | green << 8 | blue
        return {"rgb": packed.view(np.float32)} if array.shape[1] == 3 else {"rgba": packed}
    return dict(zip(("red", "green", "blue", "alpha"), array.T, strict=False))


def _rescaled(
    array: NDArray, scale: int, target: int, quantity: str, extension: str, notes: list[str]
) -> NDArray:
    if quantity == "intensity" and scale != 1:
        scale = target  # programs differ in the range: only 0 to 1 would lose all if it were kept
    result = rescale(array, scale, target)
    inside = (array >= 0) & (array <= scale)  # and not NaN
    difference = np.abs(result * (scale / target) - array)[inside]
    rounded = bool(difference.max(initial=0) > 1e-6 * scale)
    if not inside.all():
        notes.append(
            f"{quantity}: {(~inside).sum()} values outside 0 to {scale} were clipped in {extension}"
        )
    if scale != target:
        notes.append(
            f"{quantity}: 0 to {scale} became 0 to {target} in {extension}{', rounded' * rounded}"
        )
    elif rounded:
        notes.append(f"{quantity} rounded to whole numbers from 0 to {target} in {extension}")
    return result


def _drop_others(
    columns: Columns, format: str, source: str, extension: str, notes: list[str]
) -> None:
    """Drop what is no number; .npz keeps words and dates too, and .ply the lists of a .ply file."""
    kinds = {"npz": "biufcSUmM", "ply": "biufO" if source == "ply" else "biuf"}.get(format, "biuf")
    for name, array in [*columns.items()]:
        if array.dtype.kind not in kinds:
            del columns[name]
            notes.append(
                f"{name} dropped: it holds {contents(array.dtype)}, which {extension} cannot keep"
            )


def _flat(columns: Columns, extension: str, notes: list[str]) -> Columns:
    """Split columns of several numbers a point."""
    result: Columns = {}
    for name, array in columns.items():
        if array.ndim == 1:
            _add(result, name, array)
            continue
        parts = array.reshape(len(array), -1).T
        names = [name] if len(parts) == 1 else [f"{name}_{i}" for i in range(len(parts))]
        for part_name, part in zip(names, parts, strict=True):
            _add(result, part_name, part)
        if len(parts) > 1:
            notes.append(f"{name} is split into {names[0]} to {names[-1]} in {extension}")
    return result


def _typed(columns: Columns, format: str, source: str, extension: str, notes: list[str]) -> Columns:
    names_of: dict[tuple[str, str], list[str]] = {}
    roundings: dict[tuple[str, str], float] = {}
    for name, array in columns.items():
        lacking = LACKING.get(format, {}) | (UNCOMMON.get(format, {}) if source != format else {})
        kind = lacking.get(array.dtype.str[1:])
        float32 = (
            format == "pcd" and source != "pcd" and name in FLOAT32 and array.dtype != np.float32
        )
        if not kind and not float32:
            continue
        with np.errstate(over="ignore"):
            copy = array.astype("f4" if float32 else kind)
        rounding = largest_change(copy, array)
        if rounding and not float32 or rounding == np.inf:
            raise Bad(
                f"cannot be written: {name} holds {array[changed(copy, array)][0]}, which {extension} would round; "
                "write .npz, which does not"
            )
        columns[name] = copy
        change = str(array.dtype), str(copy.dtype)
        names_of.setdefault(change, []).append(name)
        roundings[change] = max(roundings.get(change, 0), rounding)
    for (old, new), names in names_of.items():
        rounding = roundings[old, new]
        rounded = f", rounded by up to {rounding:.2g}; .ply and .npz keep them" if rounding else ""
        notes.append(f"{', '.join(names)}: {old} became {new} in {extension}{rounded}")
    return columns


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
