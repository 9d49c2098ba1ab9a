"""Text: a line of numbers for each point (.xyz .txt .csv .asc .pts .xyzn .xyzrgb), or .gz of it."""

import csv
import functools
import io
import math
import re
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samplenet.scans import columns, conversion
from samplenet.scans.columns import Columns
from samplenet.scans.errors import Bad, NoNumbers
from samplenet.scans.scan import Scan, content

COMMENT = re.compile(rb"(?:^|[ \t])(?:#|//).*", re.M)
# Separator (None: blanks) and decimal point of the numbers in a line, the likeliest first.
SEPARATORS = ((None, "."), (",", "."), (";", "."), (";", ","), (None, ","))
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
    """The lines before the numbers of the points.

    Attributes:
        size: bytes.
        lines: number of lines.
        first: the first line of numbers, without comments.
        names: lines that may hold the names of columns: the header, then comments from the last.
        has_header: whether the first of `names` is a header and no comment.
        count: points, if a line gives their number; else 0.
    """

    size: int
    lines: int
    first: str
    names: list[str]
    has_header: bool
    count: int


def read(path: Path) -> Scan:
    """Read numbers separated by blanks, commas, semicolons or tabs.

    Decimal commas are read too where they are unambiguous. # and // begin comments. Before the
    numbers there may be a line of names, as a comment or not, and a line with the number of points.
    Columns without a name are called column_3, column_4, ... An empty cell is not a number (NaN),
    and columns of words are left out.
    """
    data = _unified(content(path))
    head = _head(data)
    body = data[head.size :]
    separator, decimal = _separators(head.first)
    if separator == ";" and b"," in body:  # decimal commas, perhaps not in the first line
        decimal = ","
    if decimal == ",":
        body = body.replace(b",", b".")
    words = _cells(head.first, separator)
    if not words[-1] and all(len(_split(line, separator)) != len(words) for line in head.names):
        words.pop()  # a separator ends each line: no cell follows it, not even an empty one
        body = re.sub(rb"%b[ \t]*(?=\r?$)" % separator.encode(), b"", body, flags=re.M)
    if b"#" in body or b"//" in body:
        body = COMMENT.sub(b"", body)
    numbers = []
    for i, word in enumerate(words):
        word = word or _first_cell(body, separator, i) or "nan"
        if _is_number(word.replace(decimal, ".")):
            numbers.append(i)
    used = numbers if len(numbers) < len(words) else None
    table = parse(body, before=head.lines, separator=separator, usecols=used)
    if len(numbers) < 3:
        raise NoNumbers(f"has {len(numbers)} numbers in a line; points need x, y and z")
    columns.check_count(len(table), head.count)
    names, notes = _names(path, head, separator, len(words), numbers)
    if len(numbers) < len(names):
        dropped = [name for i, name in enumerate(names) if i not in numbers]
        notes += (f"{', '.join(dropped)} dropped: words, not numbers",)
        names = [names[i] for i in numbers]
        columns.check_axes(names)
    return Scan(columns.rows_of(dict(zip(names, table.T, strict=True))), "text", notes=notes)


def _unified(data: bytes) -> bytes:
    """Return text as UTF-8 or Latin-1, without byte order mark, with newlines that NumPy knows."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        data = data.decode("utf-16").encode()
    if b"\0" in data[:1000]:
        raise NoNumbers("is not text: it holds NUL bytes")
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\r\n", b"\n")
    return data if b"\n" in data else data.replace(b"\r", b"\n")


def _first_cell(lines: bytes, separator: str | None, column: int) -> str:
    """Return the first cell of a column that is not empty; "" if there is none."""
    for line in io.BytesIO(lines):
        words = _cells(_decoded(line).strip(), separator)
        if len(words) > column and words[column]:
            return words[column]
    return ""


def _head(data: bytes) -> Head:
    header, comments, count, size = None, [], 0, 0
    for number, line in enumerate(io.BytesIO(data), 1):
        shown = _decoded(line).strip()
        numbers = _decoded(COMMENT.sub(b"", line)).strip()
        if shown and not numbers or shown.startswith("sep="):  # the latter by Excel
            comments.append(shown.lstrip("#/ "))
        elif shown.isdecimal() and not count:
            count = int(shown)
        elif shown and _separators(numbers):
            names = comments[::-1] if header is None else [header, *comments[::-1]]
            return Head(size, number - 1, numbers, names, header is not None, count)
        elif shown:  # words: a header, but only one and without a number
            if header is not None or any(map(_is_number, re.split(r"[\s,;]+", shown))):
                raise _no_numbers(number, shown, data[size + len(line) :])
            header = shown
        size += len(line)
    if header is not None:
        raise NoNumbers(f"holds no numbers; it begins with '{header[:40]}'")
    raise NoNumbers("has 0 points")


def _no_numbers(number: int, line: str, rest: bytes) -> Bad:
    """Return the error of a line that is neither a header nor a point."""
    words = [word for word in re.split(r"[\s,;]+", line) if not _is_number(word)]
    if not words:
        return Bad(f"cannot be read: line {number} has several kinds of separators: '{line[:40]}'")
    fault = f"cannot be read: line {number} holds '{_escaped(words[0])}', which is not a number"
    following = _decoded(rest.lstrip()[:1000].split(b"\n")[0]).strip()
    if number == 1 and following and _separators(following):
        return Bad(f"{fault}; begin it with # if it is not a point")
    return NoNumbers(fault)


def _escaped(word: str) -> str:
    """Shorten a word and make control characters visible."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda letter: ascii(letter[0])[1:-1], word[:40])


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
    """Find the separator of a line's numbers and their decimal point; None for a line of words.

    The first pair that makes every cell a number wins, else the one that makes most cells numbers,
    if these are three or more: lines may hold words and empty cells beside the numbers.
    """
    best, best_count = None, 2
    for separator, decimal in SEPARATORS:
        words = _cells(line, separator)
        count = sum(_is_number(word.replace(decimal, ".")) for word in words)
        # a separator may end the line, with an empty cell after it
        if count == len(words) - (len(words) > 1 and not words[-1]):
            return separator, decimal
        if count > best_count:
            best, best_count = (separator, decimal), count
    return best


def _cells(line: str, separator: str | None) -> list[str]:
    words = next(csv.reader([line], delimiter=separator)) if separator else line.split()
    return [word.strip(' \t"') for word in words]


def _names(
    path: Path, head: Head, separator: str | None, width: int, numbers: list[int]
) -> tuple[list[str], tuple[str, ...]]:
    """Return the names of the columns, and a sentence if x, y and z had to be guessed from them.

    Without a header x, y and z are the first three columns of numbers: files of molecules have a
    column of elements before them.
    """
    for line in head.names:
        names = _split(line, separator)
        if len(names) == width and {"x", "y", "z"} <= {*names}:
            return names, ()
    names = _split(head.names[0], separator) if head.has_header else []
    if len(names) == width:
        axes = _axes(names)
        taken = ", ".join(names[i] for i in axes)
        names = columns.distinct([axes.get(i, name) for i, name in enumerate(names)])
        return names, (f"its columns {taken} are taken as x, y and z",)
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    others = NAMES.get((suffixes[-1], width - 3))
    if others and len(numbers) == width:
        return ["x", "y", "z", *others], ()
    axes = dict(zip(numbers, "xyz", strict=False))
    return [axes.get(i, f"column_{i}") for i in range(width)], ()


def _axes(names: list[str]) -> dict[int, str]:
    """Find x, y and z: one column each with a name such as "X1 (mm)", else the first three."""
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
    for i, name in enumerate(names):
        axis = AXES.get(name.lower(), name.lower())
        if axis in ("x", "y", "z"):
            names[i] = axis
    return columns.distinct([name or f"column_{i}" for i, name in enumerate(names)])


def parse(
    lines: bytes,
    kind: np.dtype | type = float,
    count: int | None = None,
    before: int = 0,
    separator: str | None = None,
    usecols: list[int] | None = None,
) -> NDArray:
    """Read lines of numbers.

    Args:
        kind: a number, or a structure: of longer lines the first numbers are read.
        count: lines to read, without blank ones; None: all.
        before: lines of the file before these, for messages.
        separator: of the numbers; None: blanks.
        usecols: columns to read; None: all.

    Returns:
        (count, C), or (count,) of structures; fewer if the lines end earlier.

    Raises:
        Bad: the first line that is shorter or longer than those before, or holds something that is
            not a number.
    """
    dtype = np.dtype(kind)
    width = sum(math.prod(dtype[name].shape) for name in dtype.names or ())
    lines = lines.replace(b"nan(ind)", b"nan")  # as programs for Windows write it
    if count is not None:  # loadtxt allocates room for all of them: no more than the file can hold
        count = min(count, len(lines) // (2 * width) + 1)
    converters = [None]
    if separator:  # the second is slower, but takes empty cells
        converters.append(lambda word: float(word.strip() or "nan"))
    for converter in converters:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # on empty lines, and on 255.0 as a whole number
                return np.loadtxt(
                    io.BytesIO(lines),
                    dtype,
                    comments=None,
                    delimiter=separator,
                    converters=converter,
                    usecols=range(width) if width else usecols,
                    ndmin=1 if width else 2,
                    max_rows=count,
                    quotechar='"',
                )
        except (ValueError, OverflowError):
            continue
    raise Bad(_fault(lines, before, width, separator, usecols))


def _fault(
    lines: bytes, before: int, width: int, separator: str | None, usecols: list[int] | None
) -> str:
    """Describe the first line that cannot be read."""
    expected = width
    for number, line in enumerate(io.BytesIO(lines), before + 1):
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
                shown = f"line {number} holds '{_escaped(word)}'"
                return f"cannot be read: {shown}, which is not a number"
    if width:
        return "is damaged: a number does not fit the type that its header names"
    return "is damaged"


def write(scan: Scan, extension: str) -> tuple[bytes, list[str]]:
    """Return the shortest digits that read back as the same numbers, without column names."""
    table, notes = conversion.for_format(scan, "text", extension)
    notes += lost_names(table, extension)
    digits, words = functools.partial(np.format_float_positional, trim="-"), []
    for array in table.values():
        shown = str if array.dtype.kind in "iu" else digits
        words.append([shown(number) for number in array])
    lines = [" ".join(line) + "\n" for line in zip(*words, strict=True)]
    return "".join(lines).encode(), notes


def write_indices(idx: NDArray) -> bytes:
    """Return a file with one index a line."""
    return "".join(f"{i}\n" for i in idx.tolist()).encode()


def lost_names(table: Columns, extension: str) -> list[str]:
    """Return a sentence for formats without names of columns, if there are names to lose."""
    if all(re.fullmatch(r"[xyz]|column_\d+", name) for name in table):
        return []
    return [f"names of columns are lost in {extension}; they are {', '.join(table)}"]
