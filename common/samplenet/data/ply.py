"""A folder of PLY files as one array: parsed once, then read from a cache for as long as the files stay the same."""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from samplenet import scans
from samplenet.data import h5
from samplenet.errors import InputError

FORMAT = 1  # of the cache; another number makes older ones stale

log = logging.getLogger(__name__)


class _Bad(Exception):
    """What is wrong with the content of one file."""


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
        """The first points of the files number `rows` (m,), each of which has so many -> (m, num_points, 3)."""
        starts = np.cumsum(self.counts) - self.counts
        clouds = np.empty((len(rows), num_points, 3), np.float32)
        for cloud, start in zip(clouds, starts[rows], strict=True):
            cloud[:] = self.points[start : start + num_points]
        return clouds

    def unfit(self, num_points: int) -> dict[str, str]:
        """The bad files and those of fewer points: name -> what is wrong."""
        short = np.flatnonzero(self.counts < num_points)
        return {self.names[i]: f"has {self.counts[i]} points, asked for {num_points}" for i in short} | self.bad


def read_folder(folder: Path, caches: Sequence[Path]) -> PlyFolder:
    """Read every `<name>.ply` in `folder`.

    Args:
        caches: files that may hold the content already. Where none does, or names, sizes or times of the PLY
            files changed, the first one that can be written receives it.

    Raises:
        InputError: the folder or a file cannot be opened. Files with a bad content do not raise, see `bad`.
    """
    try:
        with os.scandir(folder) as entries:
            visible = (entry for entry in entries if entry.name.endswith(".ply") and not entry.name.startswith("."))
            files = sorted((entry.name, (stat := entry.stat()).st_size, stat.st_mtime_ns) for entry in visible)
    except OSError as error:
        raise InputError(
            f"{error.filename or folder} cannot be read ({error.strerror}): correct or remove it"
        ) from error
    names = [name.removesuffix(".ply") for name, _, _ in files]
    stamp = hashlib.sha256(json.dumps([FORMAT, files]).encode()).hexdigest()
    for cache in caches:
        if content := _recall(cache, stamp):
            return PlyFolder(names, *content)
    content = _parse(folder, names)
    reasons = []
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
        log.warning("%s: without a cache, every start parses the files of %s anew", "; ".join(reasons), folder)
    return PlyFolder(names, *content)


def encode(points: NDArray[np.float32]) -> bytes:
    """The content of a PLY file of these points (n, 3), binary, as they are."""
    axes = "".join(f"property float {axis}\n" for axis in "xyz")
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n{axes}end_header\n"
    return header.encode() + np.asarray(points, "<f4").tobytes()


def _parse(folder: Path, names: list[str]) -> tuple[NDArray[np.float32], NDArray[np.int64], dict[str, str]]:
    """Points, counts and bad of a `PlyFolder`."""
    nothing = np.empty((0, 3), np.float32)
    clouds, bad = [], {}
    for name in tqdm(names, desc=f"reading {folder.name}", unit="file", leave=False, disable=None):
        try:
            clouds.append(_points(folder / f"{name}.ply"))
        except _Bad as error:
            clouds.append(nothing)
            bad[name] = str(error)
    return np.concatenate([nothing, *clouds]), np.array([len(cloud) for cloud in clouds], np.int64), bad


def _points(path: Path) -> NDArray[np.float32]:
    """Points (n, 3) of one file; _Bad tells what is wrong with its content."""
    try:
        rows = scans.ply.read(path).rows
        with np.errstate(over="ignore"):  # what does not fit float32 becomes infinite, and is told as such
            points = np.stack([rows[axis] for axis in "xyz"], 1).astype(np.float32)
    except OSError as error:  # says nothing about the content, so no cache may remember it
        raise InputError(f"{path} cannot be read ({error.strerror}): correct or remove it") from error
    except scans.Bad as error:
        raise _Bad(str(error)) from error
    if not np.isfinite(points).all():
        raise _Bad(f"has a coordinate that is not finite in point {int(np.isfinite(points).all(1).argmin())}")
    return points


def _recall(cache: Path, stamp: str) -> tuple[NDArray[np.float32], NDArray[np.int64], dict[str, str]] | None:
    """What `_store` wrote under this stamp; None where there is no such thing."""
    if not cache.is_file():
        return None
    try:
        with h5py.File(cache, "r") as file:
            if file.attrs.get("stamp") != stamp:
                return None
            return file["points"][()], file["counts"][()], json.loads(file["bad"].asstr()[()])
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:  # damaged
        log.warning("the cache %s cannot be read (%s): made anew", cache, error)
        return None


def _store(
    cache: Path, stamp: str, points: NDArray[np.float32], counts: NDArray[np.int64], bad: dict[str, str]
) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{cache.name}.", dir=cache.parent) as temporary:
        new = Path(temporary, "new.h5")  # of the usual permissions: the folder around it is private
        h5.write(new, {"points": points, "counts": counts, "bad": json.dumps(bad)}, {"stamp": stamp})
        with open(new, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(new, cache)
