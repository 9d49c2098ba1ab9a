"""From one format to another: the names, scales and types that the target format uses."""

import numpy as np
from numpy.typing import NDArray

from samplenet.scans import columns
from samplenet.scans.columns import Columns
from samplenet.scans.errors import Bad
from samplenet.scans.scan import Scan

# Types that a format lacks -> the types that replace them. By type alone and not by the numbers,
# so that all samples of a file have the same types.
LACKING = {
    "ply": {"b1": "u1", "f2": "f4", "i8": "f8", "u8": "f8", "f16": "f8"},
    "pcd": {"b1": "u1", "f2": "f4", "f16": "f8"},
    "las": {"b1": "u1", "f2": "f4", "f16": "f8"},
    "npy": {"b1": "u1"},
    "text": {"b1": "u1"},
}
UNCOMMON = {"ply": {"i2": "i4"}}  # types of the format that some of its readers lack, as meshio
# The values of full colour and full intensity, in the formats that define them.
FULL = {
    ("colours", "ply"): 255,
    ("colours", "pcd"): 255,
    ("colours", "las"): 65535,
    ("intensity", "las"): 65535,
}
# PCL and Open3D read these fields only as float32: of other types they would show no point at all.
FLOAT32 = ("x", "y", "z", "normal_x", "normal_y", "normal_z", "intensity")
UNNAMED = ("npy", "text")  # formats that store columns in order, without names


def for_format(scan: Scan, format: str, extension: str) -> tuple[Columns, list[str]]:
    """Return a scan's columns with the names and types of a format.

    Columns that were read from that format stay as they are.

    Returns:
        Arrays of N rows and a sentence on each kind of change. x, y and z are first, unless the
        file had another order.

    Raises:
        Bad: numbers that no type of the format holds, or two columns of one name.
    """
    conversion = _Conversion(scan, format, extension)
    return conversion.convert(), conversion.notes


class _Conversion:
    """The steps of `for_format`; each adds its sentences to `notes`."""

    def __init__(self, scan: Scan, format: str, extension: str):
        self.scan, self.format, self.extension = scan, format, extension
        self.same_format = scan.format == format
        self.notes: list[str] = []

    def convert(self) -> Columns:
        rows = self.scan.rows
        same = {name: rows[name] for name in rows.dtype.names}
        table = same if self.same_format else self._renamed()
        if not self.same_format or self.format in UNNAMED:
            table = {axis: table[axis] for axis in "xyz"} | table
        return self._typed(self._separate(table))

    def _renamed(self) -> Columns:
        """Give normals, colours and intensity the names of the format."""
        replaced: dict[str, Columns] = {}  # name -> the columns that take its place
        for quantity in columns.SYNONYMS:
            names = columns.find(self.scan.rows, quantity)
            if names:
                new = self._quantity(quantity, names)
                replaced |= dict.fromkeys(names, {}) | {names[0]: new}
                if tuple(new) != names and self.format not in UNNAMED:
                    self._note(f"{', '.join(names)}: written as {', '.join(new)}")
        table: Columns = {}
        taken = {new for group in replaced.values() for new in group}
        for name in self.scan.rows.dtype.names:
            if name in taken and name not in replaced:
                self.notes.append(
                    f"{name} dropped: {self.extension} needs the name for another column"
                )
                continue
            for new, array in replaced.get(name, {name: self.scan.rows[name]}).items():
                _add(table, new, array)
        return table

    def _quantity(self, quantity: str, names: tuple[str, ...]) -> Columns:
        """Return normals, colours or intensity with the names and the scale of the format."""
        rows = self.scan.rows
        if quantity == "normals":
            normals = rows[names[0]]
            if len(names) == 3:
                normals = np.stack([rows[name] for name in names], 1)
            if self.format == "npz":
                return {"normals": normals}
            prefix = "normal_" if self.format == "pcd" else "n"
            return {prefix + axis: normals[:, i] for i, axis in enumerate("xyz")}
        array = rows[names[0]] if quantity == "intensity" else columns.colors_of(rows)
        if (quantity, self.format) in FULL:
            array = self._rescaled(array, quantity)
        if quantity == "intensity":
            return {"intensity": array}
        if self.format == "npz":
            return {"colors": array}
        if self.format == "pcd":
            red, green, blue, alpha = (*array.T.astype(np.uint32), np.uint32(0))[:4]
            packed = alpha << 24 | red << 16 | green << 8 | blue
            return {"rgb": packed.view(np.float32)} if array.shape[1] == 3 else {"rgba": packed}
        return dict(zip(("red", "green", "blue", "alpha"), array.T, strict=False))

    def _rescaled(self, array: NDArray, quantity: str) -> NDArray:
        scale, target = self.scan.full_scales[quantity], FULL[quantity, self.format]
        if quantity == "intensity" and scale != 1:
            # Programs use different ranges, so the numbers are kept; but 0 to 1 would all be lost.
            scale = target
        result = columns.rescale(array, scale, target)
        inside = (array >= 0) & (array <= scale)  # and not NaN
        difference = np.abs(result * (scale / target) - array)[inside]
        rounded = difference.max(initial=0) > 1e-6 * scale
        if not inside.all():
            self._note(f"{quantity}: {(~inside).sum()} values outside 0 to {scale} were clipped")
        if scale != target:
            self._note(f"{quantity}: 0 to {scale} became 0 to {target}")
            self.notes[-1] += ", rounded" if rounded else ""
        elif rounded:
            self._note(f"{quantity} rounded to whole numbers from 0 to {target}")
        return result

    def _separate(self, table: Columns) -> Columns:
        """Drop columns that the format cannot keep, split and rename those that it cannot name."""
        kinds = {"npz": "biufcSUmM", "ply": "biufO" if self.same_format else "biuf"}
        result: Columns = {}
        for name, array in table.items():
            if array.dtype.kind not in kinds.get(self.format, "biuf"):
                words = columns.contents(array.dtype)
                sentence = f"{name} dropped: it holds {words}, which {self.extension} cannot keep"
                self.notes.append(sentence)
                continue
            parts = {name: array}
            if array.ndim > 1 and self.format not in ("npz", "pcd"):  # others have one number
                flat = array.reshape(len(array), -1).T
                if len(flat) > 1:
                    self._note(f"{name} is split into {name}_0 to {name}_{len(flat) - 1}")
                    parts = {f"{name}_{i}": part for i, part in enumerate(flat)}
                else:
                    parts = {name: flat[0]}
            for part, numbers in parts.items():
                new = "_".join(part.split()) if self.format in ("ply", "pcd") else part
                if new != part:  # blanks separate names there
                    self._note(f"{part}: written as {new}")
                _add(result, new, numbers)
        return result

    def _typed(self, table: Columns) -> Columns:
        """Give columns the types of the format; raise Bad where that would round a number.

        Only what must be float32 in a .pcd file may be rounded, with a note.
        """
        changes: dict[tuple[str, str], dict[str, float]] = {}  # old, new -> name -> rounding
        lacking = LACKING.get(self.format, {})
        if not self.same_format:
            lacking = lacking | UNCOMMON.get(self.format, {})
        float32 = FLOAT32 if self.format == "pcd" and not self.same_format else ()
        for name, array in table.items():
            kind = "f4" if name in float32 else lacking.get(array.dtype.str[1:])
            if kind is None or array.dtype == kind:
                continue
            with np.errstate(over="ignore"):
                copy = array.astype(kind)
            rounding = columns.largest_change(copy, array)
            if rounding and kind != "f4" or rounding == np.inf:
                number = array[columns.changed(copy, array)][0]
                raise Bad(
                    f"cannot be written: {name} holds {number}, which {self.extension} would "
                    "round; write .npz, which does not"
                )
            table[name] = copy
            changes.setdefault((str(array.dtype), str(copy.dtype)), {})[name] = rounding
        for (old, new), roundings in changes.items():
            self._note(f"{', '.join(roundings)}: {old} became {new}")
            if rounding := max(roundings.values()):
                self.notes[-1] += f", rounded by up to {rounding:.2g}; .ply and .npz keep them"
        return table

    def _note(self, change: str) -> None:
        self.notes.append(f"{change} in {self.extension}")


def _add(table: Columns, name: str, array: NDArray) -> None:
    if name in table:
        raise Bad(f"cannot be written: two columns would be called {name}; rename one of them")
    table[name] = array
