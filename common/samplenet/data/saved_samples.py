"""Samples in files: what one sampler left of every test cloud, so that anybody's can be put in the same table.

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
    """Whose samples a folder holds.

    Attributes:
        sampler: the name in the tables; empty: the folder's.
        m: points of a sample; None: as many as there are.
        seed: of the sampler.
        ordered: the first c points of a sample are the sample of size c, for every c.
        protocol: `matched` for subsets of the test clouds, `generated` for other points; None: found out.
    """

    sampler: str = ""
    m: int | None = None
    seed: int = 0
    ordered: bool = False
    protocol: str | None = None


class Originals(NamedTuple):
    """The test set that samples are of.

    Attributes:
        parts: sub-folder -> its clouds, as many in each and of as many points; "" is the folder itself. Pairs have
            `template` and `source`.
        layout: of a folder of samples.
    """

    parts: dict[str, Clouds]
    layout: Layout


@dataclass
class Saved:
    """The samples of a folder as a sampler. Of P parts of a test set, cloud i of part p has number i P + p.

    Attributes:
        points: (n P, m, 3), and idx: (n P, m) int32, None for generated points.
        convert: NumPy array -> what the task network takes.
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
        """The samples of the clouds number `cloud` (B,); `points` (B, N, 3) make no difference."""
        idx = None if self.idx is None else self.convert(self.idx[cloud])
        return Sampled(self.convert(self.points[cloud]), idx, None)

    def first(self, m: int) -> "Saved":
        """The sampler of the first m points of each sample."""
        return replace(self, points=self.points[:, :m], idx=None if self.idx is None else self.idx[:, :m])


def place(root: str | os.PathLike, name: str, m: int, seed: int, ordered: bool = False) -> Path:
    """The folder of a sampler's samples below `root`; InputError when it is there already."""
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
    """Write samples to their `place`, which appears when it is complete.

    Args:
        idx: for each part of `test` (n, m), which points of each cloud were picked.
        points: instead, for each part (n, m, 3), generated points.
    """
    clouds = list(test.parts.values())
    protocol = "generated" if idx is None else "matched"
    if idx is None:
        idx = [None] * len(clouds)
    else:
        points = [_gather(part.points, picked) for part, picked in zip(clouds, idx, strict=True)]
    m = points[0].shape[1]
    folder = place(root, name, m, seed, ordered)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with naming(folder), tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        new = Path(temporary, folder.name)  # made by mkdir for the usual permissions: the outer one is private
        for part, of, some, picked in zip(test.parts, clouds, points, idx, strict=True):
            (new / part).mkdir(parents=True)
            test.layout.write(new / part, of, some, picked)
        (new / HEADER).write_text(settings.dump(Header(name, m, seed, ordered, protocol)), encoding="utf-8")
        os.rename(new, folder)
    return folder


def read(
    folders: Sequence[str | os.PathLike], test: Originals, convert: Callable[[np.ndarray], Any] = lambda array: array
) -> list[Saved]:
    """The samples of each folder; a folder that is not of one sampler stands for all those in it but hidden ones.

    They are matched where every sample is of points of its test cloud, none of them twice, by the index where there is
    one, else by equal coordinates; otherwise generated.

    Raises:
        InputError: a file is missing, damaged, or holds what is no sample of `test`; the message names the cloud.
    """
    found = [single for folder in folders for single in _expand(Path(folder).resolve(), test)]
    return [_read(folder, test, convert) for folder in dict.fromkeys(found)]


def _expand(folder: Path, test: Originals) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"--samples: {folder} is not a folder; name one that --save-samples wrote, or of its layout")
    if (folder / HEADER).exists() or any(test.layout.is_in(folder / part) for part in test.parts):
        return [folder]
    if not (inner := visible(folder)):
        raise InputError(f"--samples: {folder} holds no samples; name one that --save-samples wrote, or of its layout")
    return inner


def _read(folder: Path, test: Originals, convert: Callable) -> Saved:
    header = _header(folder)
    points, indices, alien = [], [], []
    for part, clouds in test.parts.items():
        inner, most = folder / part, clouds.points.shape[1]
        if not inner.is_dir():
            raise InputError(f"{inner} is missing; give the samples of the {part}s too")
        some, idx = test.layout.read(inner, clouds)
        m = some.shape[1]
        if not 1 <= m <= most:
            raise InputError(f"{inner} has samples of {m} points: m must be in [1, N] = [1, {most}]")
        if m != (told := points[0].shape[1] if points else header.m or m):
            raise InputError(f"{inner} has samples of {m} points, not {told}; correct {HEADER} or the samples")
        idx = _search(some, clouds.points) if idx is None else _checked(inner, some, idx, clouds)
        alien += [f"{inner}, {_called(clouds, i)}" for i in np.flatnonzero(idx[:, 0] < 0)]
        points.append(some)
        indices.append(idx)
    points, indices = (np.stack(arrays, 1).reshape(-1, *arrays[0].shape[1:]) for arrays in (points, indices))
    if alien and header.protocol == "matched":
        raise InputError(
            f"{alien[0]}: the sample is not of distinct points of the test cloud, yet {HEADER} says matched; "
            "correct either"
        )
    if 0 < len(alien) < len(points):
        log.warning(
            "%d samples of %d are no subsets (%s), so all are scored as generated", len(alien), len(points), alien[0]
        )
    generated = alien or header.protocol == "generated"
    return Saved(folder, header.sampler, header.seed, header.ordered, points, None if generated else indices, convert)


def _header(folder: Path) -> Header:
    path = folder / HEADER
    header = settings.read(Header, path) if path.exists() else Header()
    header.sampler = name = header.sampler or folder.name
    if name in RESERVED or not all(c.isalnum() or c in " .+-_()" for c in name):
        raise InputError(
            f"{path}: sampler must be of letters, digits, space and .+-_(), not {' or '.join(RESERVED)}; got {name!r}"
        )
    if header.seed < 0 or header.m is not None and header.m < 1:
        raise InputError(f"{path}: seed must be at least 0 and m at least 1, got {header.seed} and {header.m}")
    if header.protocol not in (None, "matched", "generated"):
        raise InputError(f"{path}: protocol must be matched or generated, got {header.protocol!r}")
    return header


def _called(clouds: Clouds, i: int) -> str:
    return f"cloud {i} ({clouds.ids[i]})"


def _gather(points: np.ndarray, idx: np.ndarray) -> np.ndarray:
    """points (n, N, 3), idx (n, m) -> (n, m, 3)."""
    return np.take_along_axis(points, np.asarray(idx, np.int64)[..., None], 1)


def _checked(folder: Path, points: np.ndarray, idx: np.ndarray, test: Clouds) -> np.ndarray:
    """The index (n, m) as int32; InputError unless it says which points of the test clouds the `points` are."""
    if idx.shape != points.shape[:2] or idx.dtype.kind not in "iu":
        raise InputError(
            f"{folder}: the index must be whole numbers of shape {points.shape[:2]}, one a point, got {idx.dtype} of "
            f"shape {idx.shape}; correct it or leave it out"
        )
    n, ranked = test.points.shape[1], np.sort(idx, 1)
    for i in np.flatnonzero((ranked[:, 0] < 0) | (ranked[:, -1] >= n)):
        wrong = ranked[i, 0] if ranked[i, 0] < 0 else ranked[i, -1]
        raise InputError(f"{folder}, {_called(test, i)}: the index must be in [0, {n}), got {wrong}; count from 0")
    for i, j in np.argwhere(ranked[:, 1:] == ranked[:, :-1]):
        raise InputError(f"{folder}, {_called(test, i)}: the index holds {ranked[i, j]} twice; pick a point once")
    for i, j in np.argwhere((_gather(test.points, idx) != points).any(2)):
        raise InputError(
            f"{folder}, {_called(test, i)}: point {j} is not point {idx[i, j]} of the test cloud, as its index says; "
            "write points as they are in the test set, or leave the index out"
        )
    return idx.astype(np.int32)


def _search(points: np.ndarray, clouds: np.ndarray) -> np.ndarray:
    """Which of its cloud's points (n, N, 3) each sample (n, m, 3) is of: (n, m) int32, -1 for one that is no subset."""
    idx = np.full(points.shape[:2], -1, np.int32)
    points, clouds = (np.ascontiguousarray(array + 0).view("V12")[..., 0] for array in (points, clouds))  # -0 is 0
    for row, sample, cloud in zip(idx, points, clouds, strict=True):
        rows = {}
        for k, point in reversed(list(enumerate(cloud.tolist()))):
            rows.setdefault(point, []).append(k)  # equal points are picked in their order
        found = [left.pop() if (left := rows.get(point)) else -1 for point in sample.tolist()]
        if min(found) >= 0:
            row[:] = found
    return idx
