"""A folder of PLY files as one array: parsed once, then read from a cache while the files stay the same."""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from samplenet import scans
from samplenet.data import h5
from samplenet.errors import InputError

FORMAT = 1  # of the cache; another number makes older ones stale

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlyFolder:
    """The points of n files, one file after the other.

    Attributes:
        names: (n) sorted, without ".ply".
        points: (T, 3) float32, as stored in the files.
        counts: (n,) int64, points of each file; 0 for a bad one. They sum up to T.
        bad: for each file that is not a whole PLY file of finite points, its name and what is wrong with it.
    """

    names: list[str]
    points: NDArray[np.float32]
    counts: NDArray[np.int64]
    bad: dict[str, str]

    def first(self, rows: Sequence[int], num_points: int) -> NDArray[np.float32]:
        """Return the first points of the files number `rows` (m,), (m, num_points, 3); none may have fewer."""
        starts = np.cumsum(self.counts) - self.counts
        clouds = np.empty((len(rows), num_points, 3), np.float32)
        for cloud, start in zip(clouds, starts[rows], strict=True):
            cloud[:] = self.points[start : start + num_points]
        return clouds

    def unfit(self, num_points: int) -> dict[str, str]:
        """Return the bad files and those of fewer points: name -> what is wrong."""
        short = np.flatnonzero(self.counts < num_points)
        return {
            self.names[i]: f"has {self.counts[i]} points, asked for {num_points}" for i in short
        } | self.bad


def read_folder(folder: Path, caches: Sequence[Path]) -> PlyFolder:
    """Read every `<name>.ply` in `folder`.

    Args:
        caches: files that may hold the content already. Where none does, or names, sizes or times of the PLY
            files changed, the first one that can be written receives it.

    Raises:
        InputError: the folder or a file cannot be opened. Files with a bad content do not raise, see `bad`.
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
        if content := _recall(cache, stamp):
            return PlyFolder(names, *content)
    content, reasons = _parse(folder, names), []
    for cache in caches:
        try:
            _store(cache, stamp, *content)
        except OSError as error:
            reasons.append(f"{cache.parent} cannot be written ({error})")
            continue
        if reasons:
            log.warning("%s: its cache is %s", "; ".join(reasons), cache)
        return PlyFolder(names, *content)
    if caches:
        log.warning(
            "%s: without a cache, every start parses the files of %s anew",
            "; ".join(reasons),
            folder,
        )
    return PlyFolder(names, *content)


def encode(points: NDArray[np.float32]) -> bytes:
    """Return the content of a binary PLY file of these points (n, 3)."""
    x, y, z = np.asarray(points, np.float32).T
    content, _ = scans.ply.write(
        scans.Scan(scans.columns.rows_of({"x": x, "y": y, "z": z})), ".ply"
    )
    return content


def _parse(
    folder: Path, names: list[str]
) -> tuple[NDArray[np.float32], NDArray[np.int64], dict[str, str]]:
    """Read points, counts and bad of a `PlyFolder`."""
    nothing = np.empty((0, 3), np.float32)
    clouds, bad = [nothing], {}
    for name in tqdm(names, desc=f"reading {folder.name}", unit="file", leave=False, disable=None):
        try:
            clouds.append(_points(folder / f"{name}.ply"))
        except scans.Bad as error:
            clouds.append(nothing)
            bad[name] = str(error)
    return np.concatenate(clouds), np.array([len(cloud) for cloud in clouds[1:]], np.int64), bad


def _points(path: Path) -> NDArray[np.float32]:
    """Read the points (n, 3) of one file; `scans.Bad` if its content is at fault."""
    try:
        rows = scans.ply.read(path).rows
    except OSError as error:  # says nothing about the content, so no cache may remember it
        raise _unreadable(path, error) from error
    with np.errstate(
        over="ignore"
    ):  # what does not fit float32 becomes infinite, and is reported as such
        points = np.stack([rows[axis] for axis in "xyz"], 1).astype(np.float32)
    finite = np.isfinite(points).all(1)
    if not finite.all():
        raise scans.Bad(f"has a coordinate that is not finite in point {int(finite.argmin())}")
    return points


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path} cannot be read ({error.strerror}): correct or remove it")


def _recall(
    cache: Path, stamp: str
) -> tuple[NDArray[np.float32], NDArray[np.int64], dict[str, str]] | None:
    """Return what `_store` wrote under this stamp, or None."""
    if not cache.is_file():
        return None
    try:
        with h5.File(cache, "r") as file:
            if file.attrs.get("stamp") != stamp:
                return None
            return file["points"][()], file["counts"][()], json.loads(file["bad"].asstr()[()])
    except (
        OSError,
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
    ) as error:  # damaged
        log.warning("the cache %s cannot be read (%s): making it anew", cache, error)
        return None


def _store(
    cache: Path,
    stamp: str,
    points: NDArray[np.float32],
    counts: NDArray[np.int64],
    bad: dict[str, str],
) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{cache.name}.", dir=cache.parent) as temporary:
        new = Path(temporary, "new.h5")  # of the usual permissions: the folder around it is private
        h5.write(
            new, {"points": points, "counts": counts, "bad": json.dumps(bad)}, {"stamp": stamp}
        )
        with open(new, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(new, cache)
