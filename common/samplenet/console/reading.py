"""Read a cloud for the console command: its points, and what is to be said of its file."""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samplenet import scans
from samplenet.errors import InputError


class Notes:
    """Sentences about files, for stderr; each is printed once, with the number of its files."""

    def __init__(self):
        self.added: dict[str, list[tuple[Path, int]]] = {}

    def add(self, file: Path, sentence: str, count: int = 0) -> None:
        """Add a sentence about a file. A {} in it stands for the sum of the files' counts."""
        self.added.setdefault(sentence, []).append((file, count))

    def join(self, other: "Notes") -> None:
        """Add the sentences of `other`."""
        for sentence, added in other.added.items():
            self.added.setdefault(sentence, []).extend(added)

    def print(self) -> None:
        """Print the notes, a line each."""
        for sentence, added in self.added.items():
            others = f" and {len(added) - 1} more" if len(added) > 1 else ""
            if total := sum(count for _, count in added):
                sentence = sentence.format(total)
            print(f"samplenet: note: {added[0][0]}{others}: {sentence}", file=sys.stderr)


def read(path: Path, notes: Notes) -> scans.Scan:
    """Read a cloud; add its reader's notes, and how many points are not finite."""
    scan = scans.read(path)
    for sentence in scan.notes:
        notes.add(path, sentence)
    if not scan.finite.all():
        sentence = "left out {} points whose coordinates are not finite (NaN or infinity)"
        notes.add(path, sentence, len(scan.rows) - int(scan.finite.sum()))
    return scan


def axis_up(asked: str | None, path: Path, notes: Notes) -> str:
    """Return the axis that points up: the one asked for, or the usual one of the file's format."""
    if asked is None and scans.extension(path) in (".las", ".laz"):
        notes.add(path, "z is taken to point up, as in most las and laz files; --up y changes that")
        return "z"
    return asked or "y"


def finite_points(path: Path, scan: scans.Scan, m: int | None) -> NDArray:
    """Return the points (N, 3) of a scan that are finite; InputError if they are too few for m."""
    finite, n = np.flatnonzero(scan.finite), len(scan.rows)
    if m is not None and m > len(finite):
        points = "1 point" if n == 1 else f"{n} points"
        if len(finite) < n:
            points += f", of which {len(finite)} are finite"
        # a few rows of numbers in a .txt or .csv file are as likely a camera's pose as a cloud
        kind = scans.NoCloud if scans.extension(path) in (".txt", ".csv") else InputError
        raise kind(f"{path} has {points}; -m asks for {m}")
    points = scan.points[finite] if len(finite) < n else scan.points
    largest = np.abs(points).max()
    if largest > np.sqrt(np.finfo(points.dtype).max) / 4:  # squared distances would be infinite
        fault = f"has coordinates up to {largest:.2g}, too large to measure distances"
        raise InputError(f"{path} {fault}; is it damaged?")
    return points


def named(path: Path | str, error: Exception) -> InputError:
    """Turn an error into a sentence that names the file."""
    if not isinstance(error, (InputError, OSError)):
        what = f"{type(error).__name__}: {error}"
        return InputError(f"{path} could not be sampled ({what}); --debug shows the traceback")
    text = sentence(error)
    return InputError(text if str(path) in text else f"{path}: {text}")


def sentence(error: InputError | OSError) -> str:
    """Return what an error says to a person."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'the file system'}: {error.strerror}"
    return str(error)
