"""Samples in files: a sampler's points of every test cloud, so that a table can show any sampler.

A folder `<name>-<m>-seed<seed>`, or `<name>-ordered-seed<seed>` if the sampler orders whole clouds,
holds the samples in a layout of `samplenet.data.saved_layouts`, and may hold a `Header` in
sampler.yaml.
"""

import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from samplenet.atomic import beside
from samplenet.data import saved_index
from samplenet.data.clouds import Clouds
from samplenet.data.saved_layouts import Layout, visible
from samplenet.errors import InputError
from samplenet.runs import settings
from samplenet.runs.settings import option
from samplenet.sampled import Sampled

HEADER = "sampler.yaml"
RESERVED = ("none", "icp")  # what the tables call results on full clouds

log = logging.getLogger(__name__)


@dataclass
class Header:
    """The sampler whose samples a folder holds."""

    sampler: str = option("", "its name in the tables; empty: the folder's name")
    m: int | None = option(None, "points of a sample; None: as many as the files hold", at_least=1)
    seed: int = option(0, "the sampler's", at_least=0)
    ordered: bool = option(False, "whether the first c points of a sample are the sample of size c")
    protocol: str | None = option(
        None,
        "subsets of the test clouds, or other points; None: matched if all samples are subsets",
        choices=("matched", "generated"),
    )


class Originals(NamedTuple):
    """The test set that was sampled.

    Attributes:
        parts: sub-folder -> its clouds, equally many of equally many points in each; "" is the
            folder itself. Pairs have `template` and `source`.
        layout: of a folder of samples.
    """

    parts: dict[str, Clouds]
    layout: Layout


@dataclass
class Saved:
    """The samples of a folder, as a sampler.

    With P parts of a test set, cloud i of part p has number i P + p, as in evaluations of pairs.

    Attributes:
        points: (n P, m, 3).
        idx: (n P, m) int32; None for generated points.
        convert: turns a NumPy array into the tensor that the task network takes.
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
        """Return the samples of the clouds with the numbers `cloud` (B,), and ignore `points`."""
        idx = None if self.idx is None else self.convert(self.idx[cloud])
        return Sampled(self.convert(self.points[cloud]), idx, None)

    def first(self, m: int) -> "Saved":
        """Return a sampler of the first m points of each sample."""
        idx = None if self.idx is None else self.idx[:, :m]
        return replace(self, points=self.points[:, :m], idx=idx)


def new_folder(
    root: str | os.PathLike, name: str, m: int, seed: int, ordered: bool = False
) -> Path:
    """Name the folder for a sampler's samples below `root`; InputError if it exists already."""
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
        idx: for each part of `test`, (n, m), which points of each cloud were picked.
        points: instead of `idx`, for each part, (n, m, 3) generated points.
    """
    clouds = list(test.parts.values())
    if idx is None:
        protocol, idx = "generated", [None] * len(clouds)
    else:
        protocol = "matched"
        pairs = zip(clouds, idx, strict=True)
        points = [saved_index.gather(part.points, picked) for part, picked in pairs]
    m = points[0].shape[1]
    folder = new_folder(root, name, m, seed, ordered)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with beside(folder) as new:
        for part, originals, samples, picked in zip(test.parts, clouds, points, idx, strict=True):
            (new / part).mkdir(parents=True)
            test.layout.write(new / part, originals, samples, picked)
        header = settings.dump(Header(name, m, seed, ordered, protocol))
        (new / HEADER).write_text(header, encoding="utf-8")
        os.rename(new, folder)
    return folder


def read(
    folders: Sequence[str | os.PathLike],
    test: Originals,
    convert: Callable[[np.ndarray], Any] = lambda array: array,
) -> list[Saved]:
    """Read the samples of each folder; a folder of sampler folders is expanded.

    Samples are matched if each consists of points of its test cloud, none of them twice: by the
    index if there is one, else by equal coordinates. Otherwise they are generated.

    Raises:
        InputError: a file is missing, damaged or no sample of `test`; the message names the cloud.
    """
    expanded: dict[Path, None] = {}  # a set that keeps the order
    for folder in folders:
        expanded |= dict.fromkeys(_expand(Path(folder).resolve(), test))
    return [_read(folder, test, convert) for folder in expanded]


def _expand(folder: Path, test: Originals) -> list[Path]:
    """List the sampler folders in `folder`, without hidden ones, or `folder` if it is one."""
    advice = "name one that --save-samples wrote, or one in its layout"
    if not folder.is_dir():
        raise InputError(f"--samples: {folder} is not a folder; {advice}")
    if (folder / HEADER).exists() or any(test.layout.is_in(folder / part) for part in test.parts):
        return [folder]
    if inner := visible(folder):
        return inner
    raise InputError(f"--samples: {folder} holds no samples; {advice}")


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
                f"{part_folder} has samples of {size} points, not {m}; "
                f"correct {HEADER} or the samples"
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
            f"{no_subset[0]}: the sample is not of distinct points of the test cloud, "
            f"yet {HEADER} says matched; correct either"
        )
    points, idx = _interleaved(points), _interleaved(indices)
    if 0 < len(no_subset) < len(points):
        text = "%d samples of %d are no subsets (%s), so all are scored as generated"
        log.warning(text, len(no_subset), len(points), no_subset[0])
    if no_subset or header.protocol == "generated":
        idx = None
    return Saved(folder, header.sampler, header.seed, header.ordered, points, idx, convert)


def _interleaved(parts: list[np.ndarray]) -> np.ndarray:
    """Join P arrays of n rows so that row i of part p becomes row i P + p."""
    return np.stack(parts, 1).reshape(-1, *parts[0].shape[1:])


def _header(folder: Path) -> Header:
    """Read the folder's header, or return the default one, with the sampler's name filled in."""
    path = folder / HEADER
    header = settings.read(Header, path) if path.exists() else Header()
    header.sampler = name = header.sampler or folder.name
    # names become folders and lines of tables, so no slash and no markup
    if name in RESERVED or not re.fullmatch(r"[\w .+()-]*", name):
        raise InputError(
            f"{path}: sampler must be of letters, digits, space and .+-_(), "
            f"not {' or '.join(RESERVED)}; got {name!r}"
        )
    return header
