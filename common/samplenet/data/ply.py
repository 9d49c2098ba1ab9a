"""PLY files as arrays: a file's table, and a folder's points, parsed once and then cached."""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from samplenet import scans
from samplenet.atomic import beside
from samplenet.data import h5
from samplenet.errors import InputError

FORMAT = 1  # of the cache; increase it when the format changes, so that older caches are ignored

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlyFolder:
    """The points of n files, one file after the other.

    Attributes:
        names: (n) sorted, without ".ply".
        points: (T, 3) float32, as stored in the files.
        counts: (n,) int64, points of each file; 0 for a bad one. They sum up to T.
        bad: name -> what is wrong, for each file that is not a whole PLY file of finite points.
    """

    names: list[str]
    points: NDArray[np.float32]
    counts: NDArray[np.int64]
    bad: dict[str, str]

    def first(self, rows: Sequence[int], num_points: int) -> NDArray[np.float32]:
        """Return the first points of the files number `rows`: (len(rows), num_points, 3).

        None of these files may have fewer points.
        """
        starts = np.cumsum(self.counts) - self.counts
        clouds = np.empty((len(rows), num_points, 3), np.float32)
        for cloud, start in zip(clouds, starts[rows], strict=True):
            cloud[:] = self.points[start : start + num_points]
        return clouds

    def unfit(self, num_points: int) -> dict[str, str]:
        """Map the bad files, and those with fewer points, to what is wrong with them."""
        short = np.flatnonzero(self.counts < num_points)
        reasons = {
            self.names[i]: f"has {self.counts[i]} points, asked for {num_points}" for i in short
        }
        return reasons | self.bad


def read_folder(folder: Path, caches: Sequence[Path]) -> PlyFolder:
    """Read every `<name>.ply` in `folder`.

    Args:
        caches: files that may hold the points already. If none does, or a PLY file's name, size or
            time has changed, the first of them that can be written becomes the cache.

    Raises:
        InputError: the folder or a file cannot be opened. Files with bad content do not raise; they
            are listed in `bad`.
    """
    files = []
    try:
        for name in sorted(os.listdir(folder)):
            if name.endswith(".ply") and not name.startswith("."):
                stat = os.stat(folder / name)
                files.append((name, stat.st_size, stat.st_mtime_ns))
    except OSError as error:
        raise _unreadable(error.filename or folder, error) from error
    names = [name.removesuffix(".ply") for name, _, _ in files]
    stamp = hashlib.sha256(json.dumps([FORMAT, files]).encode()).hexdigest()
    for cache in caches:
        if content := _recall(cache, names, stamp):
            return content
    content = _parse(folder, names)
    for cache in caches:
        try:
            _store(cache, stamp, content)
            break
        except OSError as error:
            text = "%s cannot be written (%s): the points of %s are not cached there"
            log.warning(text, cache.parent, error, folder)
    return content


def table(path: Path, *names: str) -> NDArray[np.float64]:
    """Read properties of a file's points as a table (P, properties).

    Raises:
        InputError: no such file, bad content, no point, a property that is not there or a number
            that is not finite.
    """
    try:
        rows = scans.ply.read(path).rows
    except OSError as error:
        raise _unreadable(path, error) from error
    except scans.Bad as error:
        raise InputError(f"{path} {error}: correct or remove it") from error
    if missing := {*names} - {*rows.dtype.names}:
        raise InputError(f"{path} has no property {', '.join(sorted(missing))} of its points")
    found = np.stack([rows[name].astype(np.float64) for name in names], 1)
    if not len(found) or not np.isfinite(found).all():
        raise InputError(f"{path} must hold points, all of them finite")
    return found


def encode(points: NDArray[np.float32]) -> bytes:
    """Return the content of a binary PLY file of these points (n, 3)."""
    x, y, z = np.asarray(points, np.float32).T
    scan = scans.Scan(scans.columns.rows_of({"x": x, "y": y, "z": z}))
    content, _ = scans.ply.write(scan, ".ply")
    return content


def _parse(folder: Path, names: list[str]) -> PlyFolder:
    nothing = np.empty((0, 3), np.float32)
    clouds, bad = [nothing], {}  # begins with `nothing`, as no arrays cannot be concatenated
    for name in tqdm(names, desc=f"reading {folder.name}", unit="file", leave=False, disable=None):
        try:
            clouds.append(_points(folder / f"{name}.ply"))
        except scans.Bad as error:
            clouds.append(nothing)
            bad[name] = str(error)
    counts = np.array([len(cloud) for cloud in clouds[1:]], np.int64)
    return PlyFolder(names, np.concatenate(clouds), counts, bad)


def _points(path: Path) -> NDArray[np.float32]:
    """Read the points (n, 3) of one file; `scans.Bad` if its content is bad."""
    try:
        rows = scans.ply.read(path).rows
    except OSError as error:  # no fault of the content: the cache must not remember it
        raise _unreadable(path, error) from error
    # a number too large for float32 becomes infinite, and is reported as such
    with np.errstate(over="ignore"):
        points = np.stack([rows[axis] for axis in "xyz"], 1).astype(np.float32)
    finite = np.isfinite(points).all(1)
    if not finite.all():
        raise scans.Bad(f"has a coordinate that is not finite in point {int(finite.argmin())}")
    return points


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path} cannot be read ({error.strerror}): correct or remove it")


def _recall(cache: Path, names: list[str], stamp: str) -> PlyFolder | None:
    """Read what `_store` wrote under this stamp; None if there is nothing."""
    if not cache.is_file():
        return None
    try:
        with h5.File(cache, "r") as file:
            if file.attrs.get("stamp") != stamp:
                return None
            bad = json.loads(file["bad"].asstr()[()])
            return PlyFolder(names, file["points"][()], file["counts"][()], bad)
    except h5.UNREADABLE as error:
        log.warning("the cache %s cannot be read (%s): writing it again", cache, error)
        return None


def _store(cache: Path, stamp: str, content: PlyFolder) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    bad = json.dumps(content.bad)
    with beside(cache) as new:
        datasets = {"points": content.points, "counts": content.counts, "bad": bad}
        h5.write(new, datasets, {"stamp": stamp})
        with open(new, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(new, cache)
