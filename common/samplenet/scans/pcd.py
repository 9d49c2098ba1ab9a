"""PCD, of PCL: every field, and the viewpoint. Read as text, binary or compressed by LZF; written binary."""

import io
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samplenet.scans import columns, text
from samplenet.scans.errors import Bad, needs
from samplenet.scans.scan import MAX_COMPRESSION, Scan

VIEWPOINT = "0 0 0 1 0 0 0"
HEADER = 1 << 16  # bytes in which its last line must come


def read(path: Path) -> Scan:
    """Read the points in the order of the file, also those of an organised cloud; `kept` is its viewpoint."""
    data = path.read_bytes()
    last = re.search(rb"^DATA[ \t]+(\w+)[ \t]*\r?\n", data[:HEADER], re.M)
    if not last:
        raise Bad("is no PCD file, damaged or cut off: its header has no line 'DATA'")
    header = {}
    for line in data[: last.start()].decode("latin-1").splitlines():
        key, *values = line.split("#")[0].split() or [""]
        header[key] = values
    dtype = _dtype(header)
    count = _count(header)
    if not count:
        raise Bad("has 0 points")
    readers = {b"ascii": _ascii, b"binary": _binary, b"binary_compressed": _compressed}
    reader = readers.get(
        last[1].lower().replace(b"binarys", b"binary_")
    )  # some writers misspell it
    if reader is None:
        raise Bad(
            f"has data of the kind '{last[1].decode('latin-1')}'; known are ascii, binary and binary_compressed"
        )
    rows = reader(data, last.end(), dtype, count)
    fields = [name for name in rows.dtype.names if rows.dtype[name].base.kind != "V"]
    if len(fields) < len(rows.dtype.names):
        rows = columns.rows_of({name: rows[name] for name in fields})
    viewpoint = " ".join(header.get("VIEWPOINT") or [VIEWPOINT])
    pairs = zip(header.get("FIELDS") or header["COLUMNS"], dtype.names, strict=True)
    notes = tuple(
        f"a second field {old} is called {new}" for old, new in pairs if old not in ("_", new)
    )
    return Scan(rows, "pcd", viewpoint, notes)


def _dtype(header: dict[str, list[str]]) -> np.dtype:
    """Return the type of a point; padding, called _, as bytes without meaning."""
    names = header.get("FIELDS") or header.get("COLUMNS") or []  # COLUMNS: before version 0.6
    if not names:
        raise Bad("has a damaged header: its line 'FIELDS' is missing")
    columns.check_axes(names)
    size = header.get("SIZE", ["4"] * len(names))
    type_ = header.get("TYPE", ["F"] * len(names))
    count = header.get("COUNT", ["1"] * len(names))
    for key, values in (("SIZE", size), ("TYPE", type_), ("COUNT", count)):
        if len(values) != len(names):
            raise Bad(
                f"has a damaged header: {len(names)} fields, but {len(values)} values in its line '{key}'"
            )
    kinds = []
    for name, *parts in zip(columns.distinct(names), type_, size, count, strict=True):
        kind, bytes_, number = parts
        known = bytes_ in (("4", "8") if kind == "F" else ("1", "2", "4", "8")) and kind in (
            "F",
            "I",
            "U",
        )
        if not known or not number.isdecimal() or not 0 < int(number) <= 1 << 20:
            raise Bad(
                f"has a damaged header: its field {name} has TYPE {kind}, SIZE {bytes_} and COUNT {number}"
            )
        base = f"V{bytes_}" if re.fullmatch(r"_(_\d+)?", name) else f"<{kind.lower()}{bytes_}"
        kinds.append((name, base) if number == "1" else (name, base, int(number)))
    return np.dtype(kinds)


def _count(header: dict[str, list[str]]) -> int:
    """Return the number of points."""
    points = header.get("POINTS") or [*header.get("WIDTH", []), *header.get("HEIGHT", [])]
    if not points or not all(word.isdecimal() for word in points):
        raise Bad("has a damaged header: its line 'POINTS' holds no number of points")
    return int(np.prod([int(word) for word in points], dtype=object))


def _numbers(kind: np.dtype) -> int:
    return int(np.prod(kind.shape, dtype=int))


def _check_room(held: int, count: int) -> None:
    if held < count:
        raise Bad(f"is cut off: it holds {held} of {count} points")


def _ascii(data: bytes, start: int, dtype: np.dtype, count: int) -> NDArray:
    kinds = []  # of each number in a line; loadtxt takes no fields of several
    for name in dtype.names:
        kind = dtype[name].base
        kinds += [np.dtype("f8") if kind.kind == "V" else kind] * _numbers(dtype[name])
    flat = [(str(i), kind) for i, kind in enumerate(kinds)]
    stream = io.BytesIO(data)
    stream.seek(start)
    table = text.parse(stream, np.dtype(flat), count)
    _check_room(len(table), count)
    rows, at = np.zeros(count, dtype), 0
    for name in dtype.names:
        values = [table[str(i)] for i in range(at, at + _numbers(dtype[name]))]
        at += len(values)
        if dtype[name].base.kind != "V":
            rows[name] = np.stack(values, 1).reshape(count, *dtype[name].shape)
    return rows


def _binary(data: bytes, start: int, dtype: np.dtype, count: int) -> NDArray:
    _check_room((len(data) - start) // dtype.itemsize, count)
    return np.frombuffer(data, dtype, count, start)


def _compressed(data: bytes, start: int, dtype: np.dtype, count: int) -> NDArray:
    """Unpack fields that are stored one after the other."""
    try:
        import lzf
    except ImportError as error:
        raise needs("python-neo-lzf") from error
    packed, size = (
        int(number) for number in np.frombuffer(data[start : start + 8].ljust(8, b"\0"), "<u4")
    )
    body = data[start + 8 : start + 8 + packed]
    if len(body) < packed or size > MAX_COMPRESSION * packed or size < count * dtype.itemsize:
        raise Bad(
            f"is damaged or cut off: it holds {len(body)} of {packed} compressed bytes for {count} points"
        )
    try:
        unpacked = lzf.decompress(body, size)
    except ValueError:
        unpacked = None
    if unpacked is None or len(unpacked) < count * dtype.itemsize:
        raise Bad("is damaged: its points cannot be unpacked")
    rows, at = np.empty(count, dtype), 0
    for name in dtype.names:
        kind = dtype[name]
        numbers = np.frombuffer(unpacked, kind.base, count * _numbers(kind), at)
        rows[name] = numbers.reshape(count, *kind.shape)
        at += count * kind.itemsize
    return rows


def write(scan: Scan, extension: str) -> tuple[bytes, list[str]]:
    """Write the content of a binary file: not organised, as a sample has no rows and columns."""
    table, notes = columns.for_format(scan, "pcd", extension)
    rows = columns.rows_of(table)
    kinds = [rows.dtype[name] for name in rows.dtype.names]
    lines = {
        "VERSION": ["0.7"],
        "FIELDS": rows.dtype.names,
        "SIZE": [kind.base.itemsize for kind in kinds],
        "TYPE": [kind.base.kind.upper() for kind in kinds],
        "COUNT": [_numbers(kind) for kind in kinds],
        "WIDTH": [len(rows)],
        "HEIGHT": [1],
        "VIEWPOINT": [scan.kept if scan.format == "pcd" else VIEWPOINT],
        "POINTS": [len(rows)],
        "DATA": ["binary"],
    }
    head = "".join(f"{key} {' '.join(map(str, values))}\n" for key, values in lines.items())
    return f"# .PCD v0.7 - Point Cloud Data file format\n{head}".encode() + rows.tobytes(), notes
