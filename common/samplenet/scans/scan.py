"""The cloud of a file, and the bytes of a file."""

import contextlib
import gzip
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samplenet.scans import columns
from samplenet.scans.errors import Bad

# A file that says it unpacks to more than this many times its size is taken for damaged or hostile.
MAX_COMPRESSION = 256


@dataclass(frozen=True, eq=False)
class Scan:
    """A cloud of N points.

    Attributes:
        rows: (N,) structured: x, y, z and everything else that the file stores for each point, as
            stored. A list property of a PLY file is a column of arrays.
        format: "ply", "pcd", "las", "npz", "npy" or "text": the format whose column names the rows
            have; "" if they come from elsewhere.
        kept: data beside the rows that the writer of the same format needs, see the readers.
        notes: sentences about anything not read, or read in another way.
        whole_scales: `full_scales` of the whole file, if these are some of its points.
    """

    rows: NDArray
    format: str = ""
    kept: Any = None
    notes: tuple[str, ...] = ()
    whole_scales: dict[str, int] | None = None

    @cached_property
    def points(self) -> NDArray:
        """Points (N, 3): float32, or float64 if the file has longer types or whole numbers."""
        points = np.stack([self.rows[axis] for axis in "xyz"], 1)
        kind = np.float32 if points.dtype in (np.float16, np.float32) else np.float64
        return points.astype(kind, copy=False)

    @cached_property
    def finite(self) -> NDArray[np.bool_]:
        """Whether (N,) all three coordinates of a point are finite."""
        return np.isfinite(self.points).all(1)

    @cached_property
    def colors(self) -> NDArray[np.uint8] | None:
        """Red, green and blue (N, 3) from 0 to 255; None if the file has no colours."""
        colors = columns.colors_of(self.rows)
        if colors is None:
            return None
        return columns.rescale(colors, self.full_scales["colours"], 255)[:, :3]

    @cached_property
    def full_scales(self) -> dict[str, int]:
        """The values of full colour and of full intensity, see `columns.full_scales`."""
        return self.whole_scales or columns.full_scales(self.rows)

    def take(self, idx: NDArray) -> "Scan":
        """Return the points of these indices (m,), in that order."""
        kept = self.kept[idx] if self.format == "las" else self.kept
        return replace(self, rows=self.rows[idx], kept=kept, whole_scales=self.full_scales)


@contextlib.contextmanager
def quiet(library: str) -> Iterator[None]:
    """Silence a library's log: `samplenet.scans` reports errors in one sentence."""
    logger = logging.getLogger(library)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def content(path: Path) -> bytes:
    """Read the bytes of a file, unpacked if its name ends in .gz."""
    if path.suffix.lower() != ".gz":
        return path.read_bytes()
    limit = MAX_COMPRESSION * path.stat().st_size
    with gzip.open(path) as file:
        unpacked = file.read(limit + 1)
    if len(unpacked) > limit:
        raise Bad(f"unpacks to more than {MAX_COMPRESSION} times its size; unpack it first")
    return unpacked
