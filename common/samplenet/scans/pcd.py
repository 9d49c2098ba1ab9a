"""PCD, of PCL: every field, and the viewpoint. Text, binary or compressed (LZF); written binary."""

import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samplenet.scans import columns, conversion, text
from samplenet.scans.errors import Bad, needs
from samplenet.scans.scan import MAX_COMPRESSION, Scan

VIEWPOINT = "0 0 0 1 0 0 0"
MAX_HEADER = 1 << 16  # bytes
SIZES = {"F": ("4", "8"), "I": ("1", "2", "4", "8"), "U": ("1", "2", "4", "8")}  # by TYPE
PADDING = re.compile(r"_(_\d+)?")  # fields without meaning are called _; the second here is __2


def read(path: Path) -> Scan:
    """Read the points in the order of the file, also those of an organised cloud.

    `kept` is the viewpoint.
    """
    data = path.read_bytes()
    last = re.search(rb"^DATA[ \t]+(\w+)[ \t]*\r?\n", data[:MAX_HEADER], re.M)
    if not last:
        raise Bad("is not a PCD file, damaged or cut off: its header has no line 'DATA'")
    header = {}
    for line in data[: last.start()].decode("latin-1").splitlines():
        key, *values = line.split("#")[0].split() or [""]
        header[key] = values
    fields = header.get("FIELDS") or header.get("COLUMNS") or []  # COLUMNS: before version 0.6
    if not fields:
        raise Bad("has a damaged header: its line 'FIELDS' is missing")
    columns.check_axes(fields)
    names = columns.distinct(fields)
    dtype = _dtype(header, names)
    count = _count(header)
    if not count:
        raise Bad("has 0 points")
    readers = {"ascii": _ascii, "binary": _binary, "binary_compressed": _compressed}
    kind = last[1].decode("latin-1")
    reader = readers.get(kind.lower().replace("binarys", "binary_"))  # some writers misspell it
    if reader is None:
        raise Bad(f"has data of the kind '{kind}'; known are {', '.join(readers)}")
    rows = reader(data, last.end(), dtype, count)
    used = [name for name in names if not PADDING.fullmatch(name)]
    if used != names:
        rows = columns.rows_of({name: rows[name] for name in used})
    renamed = [(old, new) for old, new in zip(fields, names, strict=True) if old not in ("_", new)]
    notes = [f"a second field {old} is called {new}" for old, new in renamed]
    return Scan(rows, "pcd", " ".join(header.get("VIEWPOINT") or [VIEWPOINT]), tuple(notes))


def _dtype(header: dict[str, list[str]], names: list[str]) -> np.dtype:
    """Return the type of a point, by the lines TYPE, SIZE and COUNT."""
    values = {}
    for key, default in (("TYPE", "F"), ("SIZE", "4"), ("COUNT", "1")):
        values[key] = header.get(key, [default] * len(names))
        if len(values[key]) != len(names):
            counts = f"{len(names)} fields, but {len(values[key])} values in its line '{key}'"
            raise Bad(f"has a damaged header: {counts}")
    fields = []
    for name, kind, size, count in zip(names, *values.values(), strict=True):
        # more than 2**20 numbers a point are damage, for which no room must be made
        known = size in SIZES.get(kind, ()) and count.isdecimal() and 0 < int(count) <= 1 << 20
        if not known:
            shown = f"its field {name} has TYPE {kind}, SIZE {size} and COUNT {count}"
            raise Bad(f"has a damaged header: {shown}")
        shape = () if count == "1" else (int(count),)
        fields.append((name, f"<{kind.lower()}{size}", shape))
    return np.dtype(fields)


def _count(header: dict[str, list[str]]) -> int:
    """Return the number of points, by POINTS or else WIDTH and HEIGHT."""
    points = header.get("POINTS") or [*header.get("WIDTH", []), *header.get("HEIGHT", [])]
    if not points or not all(word.isdecimal() for word in points):
        raise Bad("has a damaged header: its line 'POINTS' is not a number of points")
    return math.prod(int(word) for word in points)


def _ascii(data: bytes, start: int, dtype: np.dtype, count: int) -> NDArray:
    fields = []
    for name in dtype.names:
        # text may hold anything for padding, for example nan in a field of whole numbers
        kind = "f8" if PADDING.fullmatch(name) else dtype[name].base
        fields.append((name, kind, dtype[name].shape))
    rows = text.parse(data[start:], np.dtype(fields), count, data.count(b"\n", 0, start))
    columns.check_count(len(rows), count)
    return rows


def _binary(data: bytes, start: int, dtype: np.dtype, count: int) -> NDArray:
    columns.check_count((len(data) - start) // dtype.itemsize, count)
    return np.frombuffer(data, dtype, count, start)


def _compressed(data: bytes, start: int, dtype: np.dtype, count: int) -> NDArray:
    """Unpack fields that are stored one after the other."""
    try:
        import lzf
    except ImportError as error:
        raise needs("python-neo-lzf") from error
    head = data[start : start + 8].ljust(8, b"\0")
    packed, size = np.frombuffer(head, "<u4").tolist()
    body = data[start + 8 : start + 8 + packed]
    if len(body) < packed or size > MAX_COMPRESSION * packed or size < count * dtype.itemsize:
        held = f"it holds {len(body)} of {packed} compressed bytes for {count} points"
        raise Bad(f"is damaged or cut off: {held}")
    unpacked = lzf.decompress(body, size) or b""
    if len(unpacked) < count * dtype.itemsize:
        raise Bad("is damaged: its points cannot be unpacked")
    rows, at = np.empty(count, dtype), 0
    for name in dtype.names:
        kind = dtype[name]
        numbers = np.frombuffer(unpacked, kind.base, count * math.prod(kind.shape), at)
        rows[name] = numbers.reshape(count, *kind.shape)
        at += count * kind.itemsize
    return rows


def write(scan: Scan, extension: str) -> tuple[bytes, list[str]]:
    """Return a binary file, which is not organised: a sample has no rows and columns."""
    table, notes = conversion.for_format(scan, "pcd", extension)
    rows = columns.rows_of(table)
    kinds = [rows.dtype[name] for name in table]
    lines = {
        "VERSION": ["0.7"],
        "FIELDS": list(table),
        "SIZE": [kind.base.itemsize for kind in kinds],
        "TYPE": [kind.base.kind.upper() for kind in kinds],
        "COUNT": [math.prod(kind.shape) for kind in kinds],
        "WIDTH": [len(rows)],
        "HEIGHT": [1],
        "VIEWPOINT": [scan.kept if scan.format == "pcd" else VIEWPOINT],
        "POINTS": [len(rows)],
        "DATA": ["binary"],
    }
    head = "".join(f"{key} {' '.join(map(str, values))}\n" for key, values in lines.items())
    return f"# .PCD v0.7 - Point Cloud Data file format\n{head}".encode() + rows.tobytes(), notes
