"""Text: a line of numbers for each point (.xyz .txt .csv .asc .pts .xyzn .xyzrgb; packed by gzip with .gz behind)."""

import csv
import io
import re
import warnings
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from samplenet.scans import columns
from samplenet.scans.columns import Bad
from samplenet.scans.scan import Scan, content

COMMENTS = (b"#", b"//")
SEPARATORS = ((None, "."), (",", "."), (";", "."), (";", ","), (None, ","))  # and the decimal point with them
NORMALS, COLORS = ["nx", "ny", "nz"], ["red", "green", "blue"]
NAMES = {  # what the extension says of the columns after x, y and z, if there are so many
    (".xyzn", 3): NORMALS,
    (".xyzrgb", 3): COLORS,
    (".pts", 1): ["intensity"],
    (".pts", 3): COLORS,
    (".pts", 4): ["intensity", *COLORS],
}
AXES = {"points:0": "x", "points:1": "y", "points:2": "z"}  # ParaView's


class Head(NamedTuple):
    """What stands before the numbers of the points."""

    start: int  # bytes
    first: str  # the first line of numbers
    header: str | None  # a line of names
    comments: list[str]
    count: int  # points, if a line tells


def read(path: Path) -> Scan:
    """Read numbers separated by blanks, commas, semicolons or tabs, decimal commas too where they can be told apart.

    # and // begin comments. Before the numbers there may be a line of names, as a comment or not, and a line with the
    number of points. Columns without a name are called column_3, column_4, ...
    """
    text = content(path)
    if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = text.decode("utf-16").encode()
    text = text.removeprefix(b"\xef\xbb\xbf")
    if b"\n" not in text:
        text = text.replace(b"\r", b"\n")
    head = _head(text)
    separator, decimal = _separators(head.first)
    body = text[head.start :]
    if decimal == ",":
        body = body.replace(b",", b".")
    if separator and head.first.endswith(separator):
        body = re.sub(rb"%b[ \t]*(?=\r?$)" % separator.encode(), b"", body, flags=re.M)
    stream = io.BytesIO(text[: head.start] + body)
    stream.seek(head.start)
    table = parse(stream, separator=separator, comments=[mark for mark in COMMENTS if mark in body])
    if table.shape[1] < 3:
        raise Bad(f"has {table.shape[1]} numbers in a line; points need x, y and z")
    if len(table) < head.count:
        raise Bad(f"is cut off: {len(table)} of {head.count} points")
    names, notes = _names(path, head, separator, table.shape[1])
    return Scan(columns.rows_of(dict(zip(names, table.T, strict=True))), "text", notes=notes)


def _head(text: bytes) -> Head:
    header, comments, count, start = None, [], 0, 0
    for number, line in enumerate(io.BytesIO(text), 1):
        shown = _decoded(line).strip()
        if line.strip().startswith(COMMENTS):
            comments.append(shown.lstrip("#/ "))
        elif shown and _separators(shown) is None:  # not numbers alone
            if header is not None or any(map(_is_number, re.split(r"[\s,;]+", shown))):
                raise _no_numbers(number, shown, text[start + len(line) :])
            header = shown
        elif shown.isdecimal() and not count:
            count = int(shown)
        elif shown:
            return Head(start, shown, header, comments, count)
        start += len(line)
    if header is not None:
        raise Bad(f"holds no numbers; it begins with '{header[:40]}'")
    raise Bad("has 0 points")


def _no_numbers(number: int, line: str, rest: bytes) -> Bad:
    following = _decoded(rest.lstrip().split(b"\n")[0]).strip()
    advice = "; begin it with # if it is no point" if number == 1 and _separators(following) else ""
    word = next(word for word in re.split(r"[\s,;]+", line) if not _is_number(word))
    return Bad(f"cannot be read: line {number} holds '{word[:40]}', which is no number{advice}")


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _is_number(word: str) -> bool:
    try:
        float(word.strip(' \t"'))
    except ValueError:
        return False
    return True


def _separators(line: str) -> tuple[str | None, str] | None:
    """What separates the numbers of a line, and their decimal point; None if the line is not of numbers."""
    for separator, decimal in SEPARATORS:
        words = line.rstrip(separator).split(separator)
        if all(_is_number(word.replace(decimal, ".")) for word in words):
            return separator, decimal
    return None


def _names(path: Path, head: Head, separator: str | None, width: int) -> tuple[list[str], tuple[str, ...]]:
    """The names of the columns, and a sentence if they do not say which are x, y and z."""
    for line in [head.header, *reversed(head.comments)]:
        names = _split(line, separator) if line else []
        if len(names) == width and {"x", "y", "z"} <= {*names}:
            return names, ()
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    others = NAMES.get((suffixes[-1], width - 3)) or [f"column_{i}" for i in range(3, width)]
    if head.header is None:
        return ["x", "y", "z", *others], ()
    names = _split(head.header, separator)
    if len(names) != width:
        return ["x", "y", "z", *others], (f"the names in its first line are not used: {len(names)} of {width} columns",)
    named = columns.distinct(["x", "y", "z", *names[3:]])
    return named, (f"its columns {', '.join(names[:3])} are taken as x, y and z",)


def _split(line: str, separator: str | None) -> list[str]:
    """Names of columns, quoted or not."""
    if separator not in line if separator else False:
        separator = None
    mark = separator or " "
    words = next(csv.reader([line if separator else " ".join(line.split())], delimiter=mark, skipinitialspace=True))
    words = [word.strip() for word in words]
    if words and not words[-1]:  # after a separator at the end
        words.pop()
    lower = [word.lower() for word in words]
    axes = [AXES.get(word, word) for word in lower]
    names = [axis if axis in ("x", "y", "z") else word for axis, word in zip(axes, words, strict=True)]
    return columns.distinct([name or f"column_{i}" for i, name in enumerate(names)])


def parse(
    stream: BinaryIO,
    kind: np.dtype | type = float,
    count: int | None = None,
    separator: str | None = None,
    comments: list[bytes] | None = None,
) -> NDArray:
    """Read lines of numbers from where a stream stands.

    Args:
        kind: a number, or a structure: of longer lines the first numbers are read.
        count: lines to read, without blank ones; None: all.

    Returns:
        (count, C), or (count,) of structures; fewer where the stream ends.

    Raises:
        Bad: the first line that is shorter or longer than those before, or holds something else than numbers.
    """
    start, width = stream.tell(), len(np.dtype(kind).names or ())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on empty lines, and on whole numbers written as 255.0
            return np.loadtxt(
                stream,
                kind,
                comments=[mark.decode() for mark in comments] if comments else None,
                delimiter=separator,
                max_rows=count,
                usecols=range(width) if width else None,
                ndmin=1 if width else 2,
                quotechar='"',
            )
    except (ValueError, OverflowError) as error:
        stream.seek(0)
        number = stream.read(start).count(b"\n") + 1
        raise Bad(_fault(stream, number, width, separator, comments or [])) from error


def _fault(stream: BinaryIO, number: int, width: int, separator: str | None, comments: list[bytes]) -> str:
    """Say which line cannot be read: the first that is unlike those before."""
    expected = width
    for number, line in enumerate(stream, number):
        for mark in comments:
            line = line.split(mark)[0]
        words = line.decode("latin-1").strip().split(separator)
        if not words or words == [""]:
            continue
        for word in words[: width or None]:
            if not _is_number(word):
                return f"cannot be read: line {number} holds '{word[:40]}', which is no number"
        expected = expected or len(words)
        if len(words) < expected or len(words) > expected and not width:
            return f"cannot be read: line {number} has {len(words)} numbers instead of {expected}"
    return "is damaged: a number does not fit the type that its header names"


def write(scan: Scan, extension: str) -> tuple[bytes, list[str]]:
    """Write the shortest digits that read back as the same numbers, without names of columns."""
    table, notes = columns.for_format(scan, "text", extension)
    notes += lost_names(table, extension)
    words = []
    for array in table.values():
        exact = array.dtype.kind in "iu"
        words.append([str(v) if exact else np.format_float_positional(v, trim="-") for v in array])
    return "".join(" ".join(line) + "\n" for line in zip(*words, strict=True)).encode(), notes


def lost_names(table: columns.Columns, extension: str) -> list[str]:
    """A sentence for formats without names of columns, if there are names to lose."""
    if all(re.fullmatch(r"[xyz]|column_\d+", name) for name in table):
        return []
    return [f"names of columns are lost in {extension}; they are {', '.join(table)}"]
