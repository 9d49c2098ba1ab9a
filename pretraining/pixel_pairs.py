"""Clouds, their pictures, and which pixel shows which point.

A point of a cloud is paired with a pixel of a picture if it projects into the pixel and the camera
sees it. Which cameras see a point is exact for built-in shapes, and given in released files.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import built_in_pairs
import pair_files
import rgbd_pairs
import room_frames
from samplenet.data import shapes
from samplenet.errors import InputError
from samplenet.ops.reference import farthest_points
from samplenet.runs.settings import RunConfig, option

CHOICES = ("random", "fps", "sps")

log = logging.getLogger(__name__)


@dataclass
class PairsConfig(RunConfig):
    """Settings of a script that learns from pictures, or from pixel-point pairs."""

    pairs_root: str | None = option(
        None,
        f"folder of {pair_files.CLOUDS} and {pair_files.VIEWS}; default: built-in shapes, which "
        "are drawn on first use",
        path=True,
    )
    frames_root: str | None = option(
        None,
        "folder of scenes of RGB-D frames, not objects; needs --num-views 2",
        path=True,
    )
    rooms: int | None = option(
        None, "generated rooms to look at, not objects; needs --num-views 2", at_least=1
    )
    classes: list[str] = option([*shapes.CLASSES], "built-in classes", filled=True)
    shapes_per_class: int = option(100, "built-in shapes: training shapes a class", at_least=1)
    num_points: int = option(1024, "points used of each cloud, N", at_least=1)
    num_views: int = option(12, "pictures of each object, V", at_least=1)
    image_size: int = option(32, "pixels a side of drawn pictures, or of frames, S", at_least=8)


@dataclass(frozen=True)
class Objects:
    """n objects of N points and V pictures each, S pixels a side.

    Attributes:
        points: (n, N, 3) float32, mean 0 and largest norm 1 before the first N points were taken;
            or (n, N, 6) in metres, z up, with colours less 0.5.
        images: (n, V, S, S, 3) uint8.
        pairs: (n) arrays (P, 4) of integers: view, row, column and point, P from object to object.
        labels: (n,) int64, indices into `names`.
        names: the classes.
        ids: (n), as "chair/train/chair_0012".
    """

    points: NDArray[np.float32]
    images: NDArray[np.uint8]
    pairs: list[NDArray[np.integer]]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    ids: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, rows: Sequence[int]) -> "Objects":
        """Return some of the objects."""
        pairs, ids = [self.pairs[i] for i in rows], [self.ids[i] for i in rows]
        arrays = self.points[rows], self.images[rows], pairs, self.labels[rows]
        return Objects(*arrays, self.names, ids)

    def first(self, num_points: int, num_views: int) -> "Objects":
        """Keep the first points of each cloud and the first pictures; InputError if too few."""
        for flag, wanted, have in (
            ("--num-points", num_points, self.points.shape[1]),
            ("--num-views", num_views, self.images.shape[1]),
        ):
            if wanted > have:
                raise InputError(f"{flag} must be at most the {have} of each object, got {wanted}")
        kept = [p[(p[:, 0] < num_views) & (p[:, 3] < num_points)] for p in self.pairs]
        points, images = self.points[:, :num_points], self.images[:, :num_views]
        return replace(self, points=points, images=images, pairs=kept)

    def with_pairs(self, least: int) -> "Objects":
        """Keep the objects with at least so many pairs and log the others' names.

        Differs from the released list of 18 names of objects with too few.
        """
        enough = [i for i, pairs in enumerate(self.pairs) if len(pairs) >= least]
        if not enough:
            most = max(map(len, self.pairs))
            raise InputError(f"no object has {least} pairs, the most is {most}: ask for fewer")
        if few := [self.ids[i] for i in sorted({*range(len(self))} - {*enough})]:
            log.warning("left out, with fewer than %d pairs: %s", least, ", ".join(few))
        return self.rows(enough) if few else self


def choose(
    pairs: NDArray[np.integer],
    points: NDArray[np.float32],
    count: int,
    how: str,
    rng: np.random.Generator,
    start: int | None = None,
) -> NDArray[np.integer]:
    """Choose some of an object's pairs (P, 4) of view, row, column and point: (count, 4).

    Args:
        points: (N, 3), which the pairs number.
        how: "random", all pairs alike, none twice; "fps", all pairs of a point, then of the point
            farthest from those chosen, until there are enough, the last few drawn from the next
            point's; "sps", one random pair of each point in that order, and again from the
            start if there are fewer points.
        start: the first point of the farthest ones; by default random.

    Raises:
        InputError: fewer pairs than `count`.
    """
    if len(pairs) < count:
        raise InputError(f"{count} of {len(pairs)} pairs cannot be chosen: ask for fewer")
    if how == "random":
        return pairs[rng.choice(len(pairs), count, replace=False)]
    if how not in CHOICES:
        raise InputError(f"pairs are chosen by {', '.join(CHOICES)}; got {how!r}")
    pairs = pairs[np.argsort(pairs[:, 3], kind="stable")]
    seen, begins, counts = np.unique(pairs[:, 3], return_index=True, return_counts=True)
    first = rng.integers(len(seen)) if start is None else int(np.searchsorted(seen, start))
    most = min(count, len(seen))
    order = farthest_points(points[None, seen], most, start=first)[0]  # indices into `seen`
    begins, counts = begins[order], counts[order]
    if how == "sps":
        turns = np.arange(count) % most
        return pairs[begins[turns] + rng.integers(counts[turns])]
    whole = int(np.searchsorted(np.cumsum(counts), count, side="right"))
    rows = [np.arange(b, b + c) for b, c in zip(begins[:whole], counts[:whole], strict=True)]
    missing = count - int(counts[:whole].sum())
    if missing:
        rows.append(begins[whole] + rng.integers(counts[whole], size=missing))
    return pairs[np.concatenate(rows)]


def open_pairs(config: PairsConfig, split: str = "train", metric: bool = False) -> Objects:
    """Read the objects of one split, "train" or "test", class by class; or pairs of frames.

    Built-in shapes are those of `samplenet.data.shapes.ensure`, in the same splits, drawn on first
    use below `samplenet.data.batches.own_folder`; a killed call is continued by the next.

    Args:
        metric: of frames, which alone can be, points in metres with colours, see `Objects`.
    """
    if config.pairs_root is not None:
        arrays, names = pair_files.read(Path(config.pairs_root), split)
    elif config.frames_root is not None or config.rooms is not None:
        if config.num_views > 2:  # before the frames are drawn or read
            raise InputError(
                f"--num-views must be at most the 2 of a pair of frames, got {config.num_views}"
            )
        if config.frames_root is not None:
            scenes, source = rgbd_pairs.in_folder(Path(config.frames_root)), config.frames_root
        else:
            scenes, source = room_frames.generated(config.rooms, split), f"--rooms {config.rooms}"
        arrays, names = rgbd_pairs.read(
            scenes, config.num_points, config.image_size, metric, source
        )
    else:
        arrays, names = built_in_pairs.read(config, split)
    objects = Objects(*arrays, *names)
    return objects.first(config.num_points, config.num_views)
