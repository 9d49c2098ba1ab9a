"""PLY: every property of the vertices, lists too, with comments and obj_info; no other elements.

Own code: trimesh has no public reader of all properties, and plyfile is under the GPL.
"""

import io
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samplenet.scans import columns, conversion, text
from samplenet.scans.errors import Bad
from samplenet.scans.scan import Scan, content

KINDS = {  # PLY's types as NumPy's; int64 and uint64 are meshio's
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "int64": "i8", "uint64": "u8",
    "float": "f4", "double": "f8", "float32": "f4", "float64": "f8",
}  # fmt: skip
WRITTEN = {  # of two names for a type the one that every program reads, also meshio
    "i1": "int8", "u1": "uint8", "i2": "int16", "u2": "uint16", "i4": "int", "u4": "uint",
    "f4": "float", "f8": "double",
}  # fmt: skip
ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


class Property(NamedTuple):
    """A number or a list of each row.

    Attributes:
        kind: NumPy's type of the numbers.
        length: NumPy's type of a list's length; "" without a list.
    """

    name: str
    kind: str
    length: str = ""


class Element(NamedTuple):
    """A table: the vertices, the faces, a camera."""

    name: str
    count: int
    properties: list[Property]

    @property
    def has_lists(self) -> bool:
        return any(item.length for item in self.properties)

    def dtype(self, order: str) -> np.dtype:
        """Return the type of a row; lists are objects."""
        kinds = ["O" if item.length else order + item.kind for item in self.properties]
        return np.dtype([(item.name, k) for item, k in zip(self.properties, kinds, strict=True)])


class Header(NamedTuple):
    """The lines before the data.

    Attributes:
        order: of the bytes: "<" or ">"; "" for text.
        remarks: lines of comment and obj_info.
        size: bytes of the header.
    """

    order: str
    elements: list[Element]
    remarks: list[str]
    size: int


def read(path: Path) -> Scan:
    """Read the vertices; `kept` is the lines of comment and obj_info, and the list properties."""
    data = content(path)
    header = _header(data)
    elements = [element.name for element in header.elements]
    if "vertex" not in elements:
        raise Bad(f"has no vertices; its elements are {', '.join(elements) or 'missing'}")
    before = header.elements[: elements.index("vertex")]
    vertex = header.elements[len(before)]
    old = [item.name for item in vertex.properties]
    columns.check_axes(old)
    if not vertex.count:
        raise Bad("has 0 points")
    new = columns.distinct(old)
    for i, name in enumerate(new):
        vertex.properties[i] = vertex.properties[i]._replace(name=name)
    notes = [
        f"a second property {a} is called {b}" for a, b in zip(old, new, strict=True) if a != b
    ]
    rows = (_binary if header.order else _ascii)(data, header, before, vertex)
    lists = {}
    for item in vertex.properties:
        if item.length:
            kind = conversion.LACKING["ply"].get(item.kind, item.kind)
            lists[item.name] = item._replace(kind=kind)
    return Scan(rows, "ply", (header.remarks, lists), tuple(notes))


def _header(data: bytes) -> Header:
    first = re.match(rb"ply[ \t]*(\r\n|\n|\r)", data)
    if not first:
        raise Bad("is not a PLY file: its first line is not 'ply'")
    newline = b"\r" if first[1] == b"\r" else b"\r?\n"
    end = re.search(rb"[\r\n]end_header[ \t]*(%b|\Z)" % newline, data)
    if not end:
        raise Bad("is damaged or cut off: its header has no line 'end_header'")
    order, elements, remarks = None, [], []
    # split as bytes: comments may hold any character, also those at which str.splitlines splits
    for raw in data[first.end() : end.start()].splitlines():
        line = raw.decode(errors="surrogateescape")
        match line.split():
            case []:
                pass
            case ["comment" | "obj_info", *_]:
                remarks.append(line)
            case ["format", name, *_] if name in ORDERS:
                order = ORDERS[name]
            case ["element", name, count] if count.isdecimal():
                elements.append(Element(name, int(count), []))
            case ["property", "list", length, kind, *name] if (
                elements and {length, kind} <= KINDS.keys() and name
            ):
                elements[-1].properties.append(Property(" ".join(name), KINDS[kind], KINDS[length]))
            case ["property", kind, *name] if elements and kind in KINDS and name:
                elements[-1].properties.append(Property(" ".join(name), KINDS[kind]))
            case _:
                raise Bad(f"has a damaged header: its line '{line.strip()[:60]}' is not valid PLY")
    if order is None:
        raise Bad("has a damaged header: its line 'format' is missing")
    return Header(order, elements, remarks, end.end())


def _ascii(data: bytes, header: Header, before: list[Element], vertex: Element) -> NDArray:
    stream = io.BytesIO(data if b"\n" in data else data.replace(b"\r", b"\n"))
    stream.seek(header.size)
    for element in before:  # a line for each row
        for _ in range(element.count if element.properties else 0):
            if not stream.readline():
                raise Bad(f"is cut off: it ends within its element {element.name}")
    lines_before = stream.getvalue().count(b"\n", 0, stream.tell())
    body = stream.read()
    if vertex.has_lists:
        return _walk(_Numbers(body.split(), 0, ""), vertex)
    rows = text.parse(body, vertex.dtype("="), vertex.count, lines_before)
    columns.check_count(len(rows), vertex.count)
    return rows


def _binary(data: bytes, header: Header, before: list[Element], vertex: Element) -> NDArray:
    body = _Numbers(data, header.size, header.order)
    for element in before:
        if element.has_lists:
            _walk(body, element, keep=False)
        else:
            for item in element.properties:
                body.skip(item.kind, element.count)
    if vertex.has_lists:
        return _walk(body, vertex)
    dtype = vertex.dtype(header.order)
    columns.check_count(max(len(data) - body.at, 0) // dtype.itemsize, vertex.count)
    rows = np.frombuffer(data, dtype, vertex.count, body.at)
    return rows.astype(dtype.newbyteorder("="), copy=False)


class _Numbers:
    """Numbers of a file, one after another: its bytes, or with an order of "" its words."""

    def __init__(self, data: bytes | list[bytes], at: int, order: str):
        self.data, self.at, self.order = data, at, order

    def skip(self, kind: str, count: int) -> None:
        self.at += count * int(kind[1]) if self.order else count

    def take(self, kind: str, count: int) -> NDArray:
        start = self.at
        self.skip(kind, count)
        if self.at > len(self.data):
            raise EOFError
        if self.order:
            return np.frombuffer(self.data, self.order + kind, count, start)
        number = float if kind[0] == "f" else int
        return np.array([number(word) for word in self.data[start : self.at]], kind)


def _walk(body: _Numbers, element: Element, keep: bool = True) -> NDArray | None:
    """Read, or skip, rows with lists: only the rows themselves give the lists' lengths."""
    values: list[list] = [[] for _ in element.properties]
    row = 0
    try:
        while row < element.count:
            for item, column in zip(element.properties, values, strict=True):
                count = max(int(body.take(item.length, 1)[0]), 0) if item.length else 1
                if not keep:
                    body.skip(item.kind, count)
                    continue
                numbers = body.take(item.kind, count)
                column.append(numbers.astype(item.kind) if item.length else numbers[0])
            row += 1
    except EOFError:
        held = f"it holds {row} of {element.count} rows of its element {element.name}"
        raise Bad(f"is cut off or damaged: {held}") from None
    except (ValueError, OverflowError):
        where = f"row {row} of its element {element.name}"
        raise Bad(f"is damaged: {where} holds numbers that do not fit their types") from None
    if not keep:
        return None
    rows = np.empty(element.count, element.dtype("="))
    for name, column in zip(rows.dtype.names, values, strict=True):
        # fromiter, as assignment would take lists of one length for a second axis
        rows[name] = np.fromiter(column, rows.dtype[name], element.count)
    return rows


def write(scan: Scan, extension: str) -> tuple[bytes, list[str]]:
    """Return a binary little-endian file.

    It has lists and comments if the rows were read from a .ply file.
    """
    remarks, lists = scan.kept if scan.format == "ply" else ([], {})
    table, notes = conversion.for_format(scan, "ply", extension)
    rows = columns.rows_of(table)
    head = ["ply", "format binary_little_endian 1.0", *remarks, f"element vertex {len(rows)}"]
    for name, array in table.items():
        if item := lists.get(name):
            head.append(f"property list {WRITTEN[item.length]} {WRITTEN[item.kind]} {name}")
        else:
            head.append(f"property {WRITTEN[array.dtype.str[1:]]} {name}")
    header = "\n".join([*head, "end_header", ""])
    return header.encode(errors="surrogateescape") + _body(rows, lists), notes


def _body(rows: NDArray, lists: dict[str, Property]) -> bytes:
    if not lists:
        return rows.astype(rows.dtype.newbyteorder("<"), copy=False).tobytes()
    parts = []
    for row in rows:
        for name, value in zip(rows.dtype.names, row, strict=True):
            kind = rows.dtype[name]
            if name in lists:
                parts.append(np.array(len(value), lists[name].length))
                kind = lists[name].kind
            parts.append(np.asarray(value, kind))
    return b"".join(part.astype(part.dtype.newbyteorder("<")).tobytes() for part in parts)
