"""Clouds, their pictures, and which pixel shows which point.

A point of a cloud is paired with a pixel of a picture if it projects into the pixel and the camera
sees it: no part of the surface is nearer on the ray to the point (`samplenet.data.views.rays`).
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import pair_files
from samplenet import normalisation
from samplenet.atomic import beside
from samplenet.data import cameras, h5, shapes
from samplenet.data.batches import own_folder
from samplenet.data.shapes.mesh import turn
from samplenet.data.views.meshes import Surface, stream
from samplenet.errors import InputError
from samplenet.ops.reference import farthest_points
from samplenet.runs.settings import RunConfig, option

CHOICES = ("random", "fps", "sps")
ELEVATION = 30  # degrees, of all cameras: the published one is not known
GREY = 0.7  # of built-in shapes: a colour would tell the views of one shape from all others
STORED = 1024  # points of a cloud

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
    classes: list[str] = option([*shapes.CLASSES], "built-in classes")
    shapes_per_class: int = option(100, "built-in shapes: training shapes a class", at_least=1)
    num_points: int = option(STORED, "points used of each cloud, N", at_least=1)
    num_views: int = option(12, "pictures of each object, V", at_least=1)
    image_size: int = option(32, "pixels a side of built-in shapes' pictures, S", at_least=8)


@dataclass(frozen=True)
class Objects:
    """n objects of N points and V pictures each, S pixels a side.

    Attributes:
        points: (n, N, 3) float32, mean 0 and largest norm 1 before the first N points were taken.
        images: (n, V, S, S, 3) uint8.
        pairs: (n) arrays (P, 4) int16 of view, row, column and point, P from object to object.
        labels: (n,) int64, indices into `names`.
        names: the classes.
        ids: (n), as "chair/train/chair_0012".
    """

    points: NDArray[np.float32]
    images: NDArray[np.uint8]
    pairs: list[NDArray[np.int16]]
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

    def draw(
        self, rows: Sequence[int], count: int, how: str, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Choose `count` pairs of each of these objects (B): (B, count, 4); see `choose`."""
        chosen = [choose(self.pairs[i], self.points[i], count, how, rng) for i in rows]
        return np.stack(chosen).astype(np.int64)


def choose(
    pairs: NDArray[np.int16],
    points: NDArray[np.float32],
    count: int,
    how: str,
    rng: np.random.Generator,
    start: int | None = None,
) -> NDArray[np.int16]:
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


def open_pairs(config: PairsConfig, split: str = "train") -> Objects:
    """Read the objects of one split, "train" or "test", class by class.

    Built-in shapes are those of `samplenet.data.shapes.ensure`, in the same splits, drawn on first
    use below `samplenet.data.batches.own_folder`; a killed call is continued by the next.
    """
    if config.pairs_root is not None:
        arrays, names = pair_files.read(Path(config.pairs_root), split)
        objects = Objects(*arrays, *names)
    else:
        objects = built_in(config, split)
    return objects.first(config.num_points, config.num_views)


def built_in(config: PairsConfig, split: str) -> Objects:
    """Read the built-in shapes of one split, `shapes_per_class` or two fifths of it for "test"."""
    count = config.shapes_per_class
    count = count if split == "train" else max(1, count * 2 // 5)
    words = f"pairs-{count}x{config.num_views}-{config.image_size}px-{shapes.VERSION}"
    folder = own_folder() / words
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    if unknown := {*config.classes} - {*shapes.CLASSES}:
        known = ", ".join(shapes.CLASSES)
        raise InputError(f"classes must be of {known}; got {min(unknown)!r}")
    for name in tqdm(config.classes, f"pictures, {split}", unit="class", disable=None):
        file = folder / f"{name}_{split}.h5"
        if not file.is_file():
            drawn = [draw(name, i, split, config) for i in range(count)]
            points, images, pairs = zip(*drawn, strict=True)
            arrays = {"points": np.stack(points), "images": np.stack(images)}
            arrays |= {"pairs": np.concatenate(pairs), "counts": [len(p) for p in pairs]}
            with beside(file) as new:
                h5.write(new, arrays)
                os.replace(new, file)
        with h5.File(file, "r") as content:
            parts.append({key: content[key][()] for key in content})
    ids = [f"{name}/{split}/{name}_{i:04d}" for name in config.classes for i in range(count)]
    return Objects(
        np.concatenate([part["points"] for part in parts]),
        np.concatenate([part["images"] for part in parts]),
        [p for part in parts for p in np.split(part["pairs"], np.cumsum(part["counts"])[:-1])],
        np.repeat(np.arange(len(parts)), count),
        tuple(config.classes),
        ids,
    )


def draw(
    name: str, index: int, split: str, config: PairsConfig
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.int16]]:
    """Draw a built-in shape: cloud (STORED, 3), images (V, S, S, 3) on white, pairs (P, 4)."""
    from samplenet.data.views import rays  # here: other data sets need no Embree

    triangles, parts = shapes.mesh_in_parts(name, index, split=split)
    rng = stream(0, f"{name}/{split}", str(index), use=4)
    triangles = turn(triangles, rng.uniform(-1, 1) * np.radians(10))  # as labelled clouds are
    grey = np.full((len(triangles), 3), GREY)
    surface = Surface(triangles, grey, parts).fitted()
    azimuths = 360 / config.num_views * np.arange(config.num_views)
    extrinsics = cameras.extrinsic(azimuths, ELEVATION)
    views = rays.render(surface, extrinsics, config.image_size)
    points = surface.cloud(STORED, rng).points
    pairs = pairs_of(
        points, extrinsics, config.image_size, rays.visible(surface, extrinsics, points)
    )
    on_white = views.rgb * views.alpha[..., None] + (1 - views.alpha[..., None])
    images = np.round(255 * on_white).astype(np.uint8)
    return normalisation.unit_sphere(points).astype(np.float32), images, pairs


def pairs_of(
    points: NDArray, extrinsics: NDArray, size: int, seen: NDArray[np.bool_]
) -> NDArray[np.int16]:
    """Pair points (N, 3) with the pixels that they project into, where `seen` (V, N): (P, 4)."""
    pixels, _ = cameras.project(points, extrinsics, cameras.intrinsics(size))
    pixels = np.floor(pixels).astype(np.int64)  # (V, N, 2), column first
    inside = ((pixels >= 0) & (pixels < size)).all(-1)
    view, point = np.nonzero(seen & inside)
    column, row = pixels[view, point].T
    return np.stack([view, row, column, point], 1).astype(np.int16)
