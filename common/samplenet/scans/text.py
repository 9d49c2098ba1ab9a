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
from samplenet.scans.errors import Bad, NoNumbers
from samplenet.scans.scan import Scan, content

COMMENT = re.compile(r"(?:^|[ \t])(?:#|//).*", re.M)
SEPARATORS = (
    (None, "."),
    (",", "."),
    (";", "."),
    (";", ","),
    (None, ","),
)  # and the decimal point with them
NORMALS, COLORS = ["nx", "ny", "nz"], ["red", "green", "blue"]
NAMES = {  # of the columns after x, y and z, by extension and their number
    (".xyzn", 3): NORMALS,
    (".xyzrgb", 3): COLORS,
    (".pts", 1): ["intensity"],
    (".pts", 3): COLORS,
    (".pts", 4): ["intensity", *COLORS],
}
AXES = {"points:0": "x", "points:1": "y", "points:2": "z"}  # ParaView's


class Head(NamedTuple):
    """The lines before the numbers of the points."""

    start: int  # bytes
    first: str  # the first line of numbers
    names: list[
        str
    ]  # lines that may hold the names of columns: the header, then comments from the last one on
    has_header: bool
    count: int  # points, if a line says so


def read(path: Path) -> Scan:
    """Read numbers separated by blanks, commas, semicolons or tabs; decimal commas too where they are unambiguous.

    # and // begin comments. Before the numbers there may be a line of names, as a comment or not, and a line with the
    number of points. Columns without a name are called column_3, column_4, ... An empty cell is not a number (NaN), and
    columns of words are left out.
    """
    text = content(path)
    if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = text.decode("utf-16").encode()
    if b"\0" in text[:1000]:
        raise NoNumbers("is no text: it holds NUL bytes")
    text = text.removeprefix(b"\xef\xbb\xbf").replace(b"\r\r\n", b"\n")
    if b"\n" not in text:
        text = text.replace(b"\r", b"\n")
    head = _head(text)
    separator, decimal = _separators(head.first)
    if separator == ";" and text.find(b",", head.start) >= 0:  # perhaps not in the first line
        decimal = ","
    if decimal == ",":
        text = text[: head.start] + text[head.start :].replace(b",", b".")
    words = _cells(head.first, separator)
    if not words[-1] and all(len(_split(line, separator)) != len(words) for line in head.names):
        words.pop()  # a separator ends each line: the last cell is none, not an empty one
        ends = re.compile(rb"%b[ \t]*(?=\r?$)" % separator.encode(), re.M)
        text = text[: head.start] + ends.sub(b"", text[head.start :])
    if text.find(b"#", head.start) >= 0 or text.find(b"//", head.start) >= 0:
        text = text[: head.start] + COMMENT.sub("", text[head.start :].decode("latin-1")).encode(
            "latin-1"
        )
    stream = io.BytesIO(text)
    stream.seek(head.start)
    filled = [word or _first_cell(text[head.start :], separator, i) for i, word in enumerate(words)]
    numbers = [
        i for i, word in enumerate(filled) if _is_number(word.replace(decimal, ".") or "nan")
    ]
    table = parse(
        stream, separator=separator, usecols=numbers if len(numbers) < len(words) else None
    )
    if len(numbers) < 3:
        raise NoNumbers(f"has {len(numbers)} numbers in a line; points need x, y and z")
    if len(table) < head.count:
        raise Bad(f"is cut off: it holds {len(table)} of {head.count} points")
    names, notes = _names(path, head, separator, len(words), numbers)
    if len(numbers) < len(names):
        dropped = ", ".join(name for i, name in enumerate(names) if i not in numbers)
        notes += (f"{dropped} dropped: words, not numbers",)
        names = [names[i] for i in numbers]
        columns.check_axes(names)
    return Scan(columns.rows_of(dict(zip(names, table.T, strict=True))), "text", notes=notes)


def _first_cell(lines: bytes, separator: str | None, column: int) -> str:
    """Return the first cell of a column that is not empty; "" if there is none."""
    for line in io.BytesIO(lines):
        words = _cells(_decoded(line).strip(), separator)
        if len(words) > column and words[column]:
            return words[column]
    return ""


def _head(text: bytes) -> Head:
    header, comments, count, start = None, [], 0, 0
    for number, line in enumerate(io.BytesIO(text), 1):
        shown = _decoded(line).strip()
        numbers = COMMENT.sub("", shown)
        if shown and not numbers or shown.startswith("sep="):  # the latter by Excel
            comments.append(shown.lstrip("#/ "))
        elif shown.isdecimal() and not count:
            count = int(shown)
        elif shown and _separators(numbers):
            names = [header] if header is not None else []
            return Head(start, numbers, names + comments[::-1], header is not None, count)
        elif shown:  # not numbers
            if header is not None or any(map(_is_number, re.split(r"[\s,;]+", shown))):
                raise _no_numbers(number, shown, text[start + len(line) :])
            header = shown
        start += len(line)
    if header is not None:
        raise NoNumbers(f"holds no numbers; it begins with '{header[:40]}'")
    raise NoNumbers("has 0 points")


def _no_numbers(number: int, line: str, rest: bytes) -> Bad:
    following = _decoded(rest.lstrip()[:1000].split(b"\n")[0]).strip()
    alone = number == 1 and bool(following) and _separators(following) is not None
    advice = "; begin it with # if it is no point" if alone else ""
    words = [word for word in re.split(r"[\s,;]+", line) if not _is_number(word)]
    if not words:
        return Bad(f"cannot be read: line {number} has several kinds of separators: '{line[:40]}'")
    return (Bad if alone else NoNumbers)(
        f"cannot be read: line {number} holds '{_escaped(words[0])}', which is no number{advice}"
    )


def _escaped(word: str) -> str:
    """Shorten a word and make control characters visible."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in word[:40])


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _is_number(word: str) -> bool:
    try:
        float(word.removesuffix("(ind)"))  # programs for Windows write -nan(ind)
    except ValueError:
        return False
    return True


def _separators(line: str) -> tuple[str | None, str] | None:
    """Find what separates the numbers of a line, and their decimal point; None for a line of words."""
    best, best_count = None, 2
    for separator, decimal in SEPARATORS:
        words = _cells(line, separator)
        count = sum(_is_number(word.replace(decimal, ".")) for word in words)
        if count == len(words) - (len(words) > 1 and not words[-1]):
            return separator, decimal
        if count > best_count:  # beside words or empty cells
            best, best_count = (separator, decimal), count
    return best


def _cells(line: str, separator: str | None) -> list[str]:
    words = next(csv.reader([line], delimiter=separator)) if separator else line.split()
    return [word.strip(' \t"') for word in words]


def _names(
    path: Path, head: Head, separator: str | None, width: int, numbers: list[int]
) -> tuple[list[str], tuple[str, ...]]:
    """Return the names of the columns, and a sentence if the header does not say which are x, y and z.

    Without a header these are the first three columns of numbers, as behind the elements in files of molecules.
    """
    for line in head.names:
        names = _split(line, separator)
        if len(names) == width and {"x", "y", "z"} <= {*names}:
            return names, ()
    names = _split(head.names[0], separator) if head.has_header else []
    if len(names) == width:
        axes = _axes(names)
        taken = f"its columns {', '.join(names[i] for i in axes)} are taken as x, y and z"
        return columns.distinct([axes.get(i, name) for i, name in enumerate(names)]), (taken,)
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    others = NAMES.get((suffixes[-1], width - 3))
    if others and len(numbers) == width:
        return ["x", "y", "z", *others], ()
    axes = dict(zip(numbers, "xyz", strict=False))
    return [axes.get(i, f"column_{i}") for i in range(width)], ()


def _axes(names: list[str]) -> dict[int, str]:
    """Find the columns x, y and z: the only ones with names such as "X1 (mm)", or else the first three."""
    axes = {}
    for axis in "xyz":
        alike = [i for i, name in enumerate(names) if re.match(rf"{axis}([^a-z]|$)", name, re.I)]
        if len(alike) != 1:
            return dict(enumerate("xyz"))
        axes[alike[0]] = axis
    return axes


def _split(line: str, separator: str | None) -> list[str]:
    """Split the names in a line: x, y and z in lower case, none twice."""
    names = _cells(line, separator if separator and separator in line else None)
    if names and not names[-1]:  # a separator ends the line
        names.pop()
    axes = [AXES.get(name.lower(), name.lower()) for name in names]
    names = [
        axis if axis in ("x", "y", "z") else name for axis, name in zip(axes, names, strict=True)
    ]
    return columns.distinct([name or f"column_{i}" for i, name in enumerate(names)])


def parse(
    stream: BinaryIO,
    kind: np.dtype | type = float,
    count: int | None = None,
    separator: str | None = None,
    usecols: list[int] | None = None,
) -> NDArray:
    """Read lines of numbers from where a stream stands.

    Args:
        kind: a number, or a structure: of longer lines the first numbers are read.
        count: lines to read, without blank ones; None: all.
        usecols: columns to read; None: all.

    Returns:
        (count, C), or (count,) of structures; fewer where the stream ends.

    Raises:
        Bad: the first line that is shorter or longer than those before, or holds something else than numbers.
    """
    start, width = stream.tell(), len(np.dtype(kind).names or ())
    if count is not None:  # loadtxt makes room for all of them: no more than the file can hold
        count = min(count, stream.seek(0, io.SEEK_END) // (2 * width) + 1)
        stream.seek(start)
    options = {
        "comments": None,
        "delimiter": separator,
        "max_rows": count,
        "usecols": range(width) if width else usecols,
        "ndmin": 1 if width else 2,
        "quotechar": '"',
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on empty lines, and on whole numbers written as 255.0
            try:
                return np.loadtxt(stream, kind, **options)
            except ValueError:
                if not separator:
                    raise
                stream.seek(start)
                return np.loadtxt(
                    stream, kind, converters=lambda word: float(word.strip() or "nan"), **options
                )
    except (ValueError, OverflowError) as error:
        stream.seek(0)
        before, rest = stream.read(start), stream.read()
        if b"nan(ind)" in rest:
            stream = io.BytesIO(before + rest.replace(b"nan(ind)", b"nan"))
            stream.seek(start)
            return parse(stream, kind, count, separator, usecols)
        stream.seek(start)
        raise Bad(_fault(stream, before.count(b"\n"), width, separator, usecols)) from error


def _fault(
    stream: BinaryIO, before: int, width: int, separator: str | None, usecols: list[int] | None
) -> str:
    """Describe the first line that cannot be read."""
    expected = width
    for number, line in enumerate(stream, before + 1):
        if not line.strip():
            continue
        words = _cells(line.decode("latin-1").strip(), separator)
        expected = expected or len(words)
        if len(words) < expected and not line.endswith(b"\n"):
            return f"is cut off in line {number}: it has {len(words)} numbers instead of {expected}"
        if len(words) < expected or len(words) > expected and not width:
            return f"cannot be read: line {number} has {len(words)} numbers instead of {expected}"
        for i, word in enumerate(words[: width or None]):
            if not _is_number(word or "nan") and (usecols is None or i in usecols):
                return f"cannot be read: line {number} holds '{_escaped(word)}', which is no number"
    return (
        "is damaged: a number does not fit the type that its header names"
        if width
        else "is damaged"
    )


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
    """Return a sentence for formats without names of columns, if there are names to lose."""
    if all(re.fullmatch(r"[xyz]|column_\d+", name) for name in table):
        return []
    return [f"names of columns are lost in {extension}; they are {', '.join(table)}"]
