"""PLY: every property of the vertices, lists too, with comments and obj_info; other elements are skipped.

Own code: trimesh has no public reader of all properties, and plyfile is under the GPL.
"""

import io
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samplenet.scans import columns, text
from samplenet.scans.errors import Bad
from samplenet.scans.scan import Scan, content

KINDS = {
    "char": "i1",
    "uchar": "u1",
    "short": "i2",
    "ushort": "u2",
    "int": "i4",
    "uint": "u4",
    "float": "f4",
}
KINDS |= {
    "double": "f8",
    "int8": "i1",
    "uint8": "u1",
    "int16": "i2",
    "uint16": "u2",
    "int32": "i4",
    "uint32": "u4",
}
KINDS |= {"float32": "f4", "float64": "f8", "int64": "i8", "uint64": "u8"}  # the last two by meshio
TYPES = {
    "i1": "int8",
    "u1": "uint8",
    "i2": "int16",
    "u2": "uint16",
    "i4": "int",
    "u4": "uint",
    "f4": "float",
}
TYPES |= {"f8": "double"}  # of two names for a type that which every program reads, also meshio
LACKING = columns.LACKING["ply"]
FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


class Property(NamedTuple):
    name: str
    kind: str  # of NumPy
    length: str = ""  # of a list: the type of its length


class Element(NamedTuple):
    name: str
    count: int
    properties: list[Property]

    @property
    def has_lists(self) -> bool:
        return any(item.length for item in self.properties)

    def dtype(self, order: str) -> np.dtype:
        """One row without lists."""
        return np.dtype([(item.name, order + item.kind) for item in self.properties])


class Header(NamedTuple):
    order: str  # of bytes: < or >; "" for text
    elements: list[Element]
    remarks: list[str]  # lines of comment and obj_info
    notes: list[str]  # on properties of one name
    size: int  # bytes


class Kept(NamedTuple):
    """Lines of comment and obj_info, and the properties that are lists."""

    remarks: list[str]
    lists: dict[str, Property]


def read(path: Path) -> Scan:
    """Read the vertices."""
    data = content(path)
    header = _header(data)
    names = [element.name for element in header.elements]
    if "vertex" not in names:
        raise Bad(f"has no vertices; its elements are {', '.join(names) or 'missing'}")
    vertex = header.elements[names.index("vertex")]
    columns.check_axes([item.name for item in vertex.properties])
    before = header.elements[: names.index("vertex")]
    if not vertex.count:
        raise Bad("has 0 points")
    rows = (_binary if header.order else _ascii)(data, header, before, vertex)
    lists = [item for item in vertex.properties if item.length]
    lists = {item.name: item._replace(kind=LACKING.get(item.kind, item.kind)) for item in lists}
    return Scan(rows, "ply", Kept(header.remarks, lists), tuple(header.notes))


def _header(data: bytes) -> Header:
    first = re.match(rb"ply[ \t]*(\r\n|\n|\r)", data)
    if not first:
        raise Bad("is no PLY file: its first line is not 'ply'")
    newline = b"\r" if first[1] == b"\r" else b"\r?\n"
    end = re.search(rb"[\r\n]end_header[ \t]*(%b|\Z)" % newline, data)
    if not end:
        raise Bad("is damaged or cut off: its header has no line 'end_header'")
    order, elements, remarks = None, [], []
    for line in data[
        first.end() : end.start()
    ].splitlines():  # bytes: comments may hold any character
        line = line.decode(errors="surrogateescape")
        match line.split():
            case []:
                pass
            case ["comment" | "obj_info", *_]:
                remarks.append(line)
            case ["format", name, *_] if name in FORMATS:
                order = FORMATS[name]
            case ["element", name, count] if count.isdecimal():
                elements.append(Element(name, int(count), []))
            case ["property", "list", length, kind, *name] if (
                elements and {length, kind} <= KINDS.keys() and name
            ):
                elements[-1].properties.append(Property(" ".join(name), KINDS[kind], KINDS[length]))
            case ["property", kind, *name] if elements and kind in KINDS and name:
                elements[-1].properties.append(Property(" ".join(name), KINDS[kind]))
            case _:
                raise Bad(f"has a damaged header: its line '{line.strip()[:60]}' is not of PLY")
    if order is None:
        raise Bad("has a damaged header: its line 'format' is missing")
    notes = []
    for element in elements:
        for i, name in enumerate(columns.distinct([item.name for item in element.properties])):
            if name != element.properties[i].name:
                notes.append(f"a second property {element.properties[i].name} is called {name}")
                element.properties[i] = element.properties[i]._replace(name=name)
    return Header(order, elements, remarks, notes, end.end())


def _ascii(data: bytes, header: Header, before: list[Element], vertex: Element) -> NDArray:
    stream = io.BytesIO(data if b"\n" in data else data.replace(b"\r", b"\n"))
    stream.seek(header.size)
    for element in before:  # a line for each row
        for _ in range(element.count if element.properties else 0):
            if not stream.readline():
                raise Bad(f"is cut off: it ends within its element {element.name}")
    if vertex.has_lists:
        return _walk(_Words(stream.read().split()), vertex)
    rows = text.parse(stream, vertex.dtype("="), vertex.count)
    if len(rows) < vertex.count:
        raise Bad(f"is cut off: it holds {len(rows)} of {vertex.count} points")
    return rows


def _binary(data: bytes, header: Header, before: list[Element], vertex: Element) -> NDArray:
    body = _Bytes(data, header.size, header.order)
    for element in before:
        if element.has_lists:
            _walk(body, element, keep=False)
        else:
            body.at += element.count * element.dtype("<").itemsize
    if vertex.has_lists:
        return _walk(body, vertex)
    dtype = vertex.dtype(header.order)
    held = max(len(data) - body.at, 0) // dtype.itemsize
    if held < vertex.count:
        raise Bad(f"is cut off: it holds {held} of {vertex.count} points")
    return np.frombuffer(data, dtype, vertex.count, body.at).astype(
        dtype.newbyteorder("="), copy=False
    )


class _Bytes:
    """Numbers of a binary file, one after another."""

    def __init__(self, data: bytes, at: int, order: str):
        self.data, self.at, self.order = data, at, order

    def length(self, kind: str) -> int:
        start, self.at = self.at, self.at + int(kind[1])
        if self.at > len(self.data):
            raise EOFError
        order = "little" if self.order == "<" else "big"
        return max(int.from_bytes(self.data[start : self.at], order, signed=kind[0] == "i"), 0)

    def take(self, kind: str, count: int) -> NDArray:
        start, self.at = self.at, self.at + count * int(kind[1])
        if self.at > len(self.data):
            raise EOFError
        return np.frombuffer(self.data, self.order + kind, count, start)


class _Words:
    """Numbers of a text file, one after another."""

    def __init__(self, words: list[bytes]):
        self.words, self.at = words, 0

    def length(self, kind: str) -> int:
        return max(int(self.take(kind, 1)[0]), 0)

    def take(self, kind: str, count: int) -> NDArray:
        start, self.at = self.at, self.at + count
        if self.at > len(self.words):
            raise EOFError
        number = float if kind[0] == "f" else int
        return np.array([number(word) for word in self.words[start : self.at]], kind)


def _walk(body: _Bytes | _Words, element: Element, keep: bool = True) -> NDArray | None:
    """Read, or skip, rows with lists: only the rows themselves give the lists' lengths."""
    values: dict[str, list] = {item.name: [] for item in element.properties}
    done = 0
    try:
        while done < element.count:
            for item in element.properties:
                count = body.length(item.length) if item.length else 1
                if not keep:
                    body.at += count * int(item.kind[1])
                    continue
                numbers = body.take(item.kind, count)
                values[item.name].append(numbers if item.length else numbers[0])
            done += 1
    except EOFError:
        raise Bad(
            f"is cut off or damaged: it holds {done} of {element.count} rows of its element {element.name}"
        ) from None
    except (ValueError, OverflowError):
        raise Bad(
            f"is damaged: row {done} of its element {element.name} holds no such numbers"
        ) from None
    if not keep:
        return None
    rows = np.empty(
        element.count,
        [(item.name, "O" if item.length else item.kind) for item in element.properties],
    )
    for item in element.properties:
        column = values[item.name]
        if item.length:
            column = np.fromiter(
                (numbers.astype(item.kind) for numbers in column), object, len(column)
            )
        rows[item.name] = column
    return rows


def write(scan: Scan, extension: str) -> tuple[bytes, list[str]]:
    """Write the content of a binary little-endian file; lists and comments if the rows were read from a .ply file."""
    kept = scan.kept if scan.format == "ply" else Kept([], {})
    table, notes = columns.for_format(scan, "ply", extension)
    lines = []
    for name, array in table.items():
        item = kept.lists.get(name)
        kind = (
            f"list {TYPES[item.length]} {TYPES[item.kind]}" if item else TYPES[array.dtype.str[1:]]
        )
        lines.append(f"property {kind} {name}")
    rows = columns.rows_of(table)
    head = [
        "ply",
        "format binary_little_endian 1.0",
        *kept.remarks,
        f"element vertex {len(rows)}",
        *lines,
    ]
    header = "\n".join([*head, "end_header", ""])
    return header.encode(errors="surrogateescape") + _body(rows, kept.lists), notes


def _body(rows: NDArray, lists: dict[str, Property]) -> bytes:
    if not lists:
        return rows.astype(rows.dtype.newbyteorder("<"), copy=False).tobytes()
    parts = []
    for row in rows:
        for name, value in zip(rows.dtype.names, row, strict=True):
            if name in lists:
                parts.append(np.array(len(value), "<" + lists[name].length).tobytes())
                parts.append(np.asarray(value, "<" + lists[name].kind).tobytes())
            else:
                parts.append(np.asarray(value, rows.dtype[name].newbyteorder("<")).tobytes())
    return b"".join(parts)
