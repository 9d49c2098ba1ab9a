"""Samples in files: one sampler's points of every test cloud, so that anybody's can be put in the same table.

A folder `<name>-<m>-seed<seed>`, or `<name>-ordered-seed<seed>` of a sampler that orders whole clouds, holds the
samples in a layout of `samplenet.data.saved_layouts`, and sampler.yaml, a `Header`, which may be missing.
"""

import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from samplenet.atomic import naming
from samplenet.data import saved_index
from samplenet.data.clouds import Clouds
from samplenet.data.saved_layouts import Layout, visible
from samplenet.errors import InputError
from samplenet.runs import settings
from samplenet.sampled import Sampled

HEADER = "sampler.yaml"
RESERVED = ("none", "icp")  # what the tables call results on full clouds

log = logging.getLogger(__name__)


@dataclass
class Header:
    """The sampler whose samples a folder holds.

    Attributes:
        sampler: its name in the tables; empty: the folder's.
        m: points of a sample; None: as many as there are.
        seed: the sampler's seed.
        ordered: whether the first c points of a sample are the sample of size c, for every c.
        protocol: `matched` for subsets of the test clouds, `generated` for other points; None: as the points show.
    """

    sampler: str = ""
    m: int | None = None
    seed: int = 0
    ordered: bool = False
    protocol: str | None = None


class Originals(NamedTuple):
    """The test set that was sampled.

    Attributes:
        parts: sub-folder -> its clouds, as many in each and of as many points; "" is the folder itself. Pairs have
            `template` and `source`.
        layout: the layout of a folder of samples.
    """

    parts: dict[str, Clouds]
    layout: Layout


@dataclass
class Saved:
    """The samples of a folder as a sampler. With P parts of a test set, cloud i of part p has number i P + p.

    Attributes:
        points: (n P, m, 3), and idx: (n P, m) int32, None for generated points.
        convert: turns a NumPy array into what the task network takes.
    """

    folder: Path
    name: str
    seed: int
    ordered: bool
    points: np.ndarray
    idx: np.ndarray | None
    convert: Callable[[np.ndarray], Any]
    project = None

    @property
    def m(self) -> int:
        return self.points.shape[1]

    def __call__(self, points, cloud: np.ndarray) -> Sampled:
        """Return the samples of the clouds number `cloud` (B,); `points` (B, N, 3) are ignored."""
        idx = None if self.idx is None else self.convert(self.idx[cloud])
        return Sampled(self.convert(self.points[cloud]), idx, None)

    def first(self, m: int) -> "Saved":
        """Return the sampler of the first m points of each sample."""
        return replace(
            self, points=self.points[:, :m], idx=None if self.idx is None else self.idx[:, :m]
        )


def new_folder(
    root: str | os.PathLike, name: str, m: int, seed: int, ordered: bool = False
) -> Path:
    """Name the folder of a sampler's samples below `root`; InputError when it exists already."""
    folder = Path(root, f"{name}-{'ordered' if ordered else m}-seed{seed}")
    if os.path.lexists(folder):
        raise InputError(f"{folder} is there already; remove it, or choose another --save-samples")
    return folder


def write(
    root: str | os.PathLike,
    name: str,
    seed: int,
    test: Originals,
    idx: Sequence[np.ndarray] | None = None,
    points: Sequence[np.ndarray] | None = None,
    ordered: bool = False,
) -> Path:
    """Write samples to their `new_folder`, which appears when it is complete.

    Args:
        idx: for each part of `test` (n, m), which points of each cloud were picked.
        points: instead, for each part (n, m, 3), generated points.
    """
    clouds = list(test.parts.values())
    protocol = "generated" if idx is None else "matched"
    if idx is None:
        idx = [None] * len(clouds)
    else:
        points = [
            saved_index.gather(part.points, picked)
            for part, picked in zip(clouds, idx, strict=True)
        ]
    m = points[0].shape[1]
    folder = new_folder(root, name, m, seed, ordered)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        naming(folder),
        tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary,
    ):
        new = Path(
            temporary, folder.name
        )  # made by mkdir for the usual permissions: the outer one is private
        for part, originals, samples, picked in zip(test.parts, clouds, points, idx, strict=True):
            (new / part).mkdir(parents=True)
            test.layout.write(new / part, originals, samples, picked)
        (new / HEADER).write_text(
            settings.dump(Header(name, m, seed, ordered, protocol)), encoding="utf-8"
        )
        os.rename(new, folder)
    return folder


def read(
    folders: Sequence[str | os.PathLike],
    test: Originals,
    convert: Callable[[np.ndarray], Any] = lambda array: array,
) -> list[Saved]:
    """Read the samples of each folder; a folder of sampler folders is expanded, hidden ones are skipped.

    Samples are matched if each consists of points of its test cloud, none of them twice, by the index where there is
    one, else by equal coordinates; otherwise generated.

    Raises:
        InputError: a file is missing, damaged, or holds what is no sample of `test`; the message names the cloud.
    """
    expanded: dict[Path, None] = {}  # each once, in order
    for folder in folders:
        expanded |= dict.fromkeys(_expand(Path(folder).resolve(), test))
    return [_read(folder, test, convert) for folder in expanded]


def _expand(folder: Path, test: Originals) -> list[Path]:
    if not folder.is_dir():
        raise InputError(
            f"--samples: {folder} is not a folder; name one that --save-samples wrote, or of its layout"
        )
    if (folder / HEADER).exists() or any(test.layout.is_in(folder / part) for part in test.parts):
        return [folder]
    if not (inner := visible(folder)):
        raise InputError(
            f"--samples: {folder} holds no samples; name one that --save-samples wrote, or of its layout"
        )
    return inner


def _read(folder: Path, test: Originals, convert: Callable) -> Saved:
    header = _header(folder)
    m = header.m
    points, indices, no_subset = [], [], []
    for part, clouds in test.parts.items():
        part_folder, n = folder / part, clouds.points.shape[1]
        if not part_folder.is_dir():
            raise InputError(f"{part_folder} is missing; give the samples of the {part}s too")
        samples, idx = test.layout.read(part_folder, clouds)
        size = samples.shape[1]
        if not 1 <= size <= n:
            raise InputError(
                f"{part_folder} has samples of {size} points: m must be in [1, N] = [1, {n}]"
            )
        m = m or size
        if size != m:
            raise InputError(
                f"{part_folder} has samples of {size} points, not {m}; correct {HEADER} or the samples"
            )
        if idx is None:
            idx = saved_index.search(samples, clouds.points)
        else:
            idx = saved_index.check(part_folder, samples, idx, clouds)
        no_subset += [f"{part_folder}, {clouds.describe(i)}" for i in np.flatnonzero(idx[:, 0] < 0)]
        points.append(samples)
        indices.append(idx)
    if no_subset and header.protocol == "matched":
        raise InputError(
            f"{no_subset[0]}: the sample is not of distinct points of the test cloud, yet {HEADER} says matched; "
            "correct either"
        )
    points, idx = _interleaved(points), _interleaved(indices)
    if 0 < len(no_subset) < len(points):
        log.warning(
            "%d samples of %d are no subsets (%s), so all are scored as generated",
            len(no_subset),
            len(points),
            no_subset[0],
        )
    if no_subset or header.protocol == "generated":
        idx = None
    return Saved(folder, header.sampler, header.seed, header.ordered, points, idx, convert)


def _interleaved(parts: list[np.ndarray]) -> np.ndarray:
    """Join P arrays of n rows so that row i of part p becomes row i P + p."""
    return np.stack(parts, 1).reshape(-1, *parts[0].shape[1:])


def _header(folder: Path) -> Header:
    path = folder / HEADER
    header = settings.read(Header, path) if path.exists() else Header()
    header.sampler = name = header.sampler or folder.name
    if name in RESERVED or not all(c.isalnum() or c in " .+-_()" for c in name):
        raise InputError(
            f"{path}: sampler must be of letters, digits, space and .+-_(), not {' or '.join(RESERVED)}; got {name!r}"
        )
    if header.seed < 0 or header.m is not None and header.m < 1:
        raise InputError(
            f"{path}: seed must be at least 0 and m at least 1, got {header.seed} and {header.m}"
        )
    if header.protocol not in (None, "matched", "generated"):
        raise InputError(f"{path}: protocol must be matched or generated, got {header.protocol!r}")
    return header
