"""Built-in shapes with pictures of all sides, and the pixels that show their points.

A camera sees a point if no part of the surface is nearer on the ray to it
(`samplenet.data.views.rays.visible`).
"""

import os

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from samplenet import normalisation
from samplenet.atomic import beside
from samplenet.data import cameras, h5, shapes
from samplenet.data.batches import own_folder
from samplenet.data.shapes.mesh import turn
from samplenet.data.views.meshes import Surface, stream
from samplenet.errors import InputError
from samplenet.locking import locked

ELEVATION = 30  # degrees, of all cameras: the published one is not known
GREY = 0.7  # a colour would tell the views of one shape from all others
STORED = 1024  # points of a cloud
KEYS = ("points", "images", "pairs", "counts")  # of a class's file


def read(config, split: str) -> tuple[tuple, tuple]:
    """Read the shapes of one split, `shapes_per_class` or two fifths of it for "test".

    Args:
        config: a `pixel_pairs.PairsConfig`.

    Returns:
        points (n, STORED, 3), images (n, V, S, S, 3), n arrays of pairs (P, 4) and labels (n,), as
        in `pixel_pairs.Objects`, and then the names of the classes and of the objects.
    """
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
        with locked(file):
            if not file.is_file():
                drawn = [draw(name, i, split, config) for i in range(count)]
                points, images, pairs = zip(*drawn, strict=True)
                arrays = {"points": np.stack(points), "images": np.stack(images)}
                arrays |= {"pairs": np.concatenate(pairs), "counts": [len(p) for p in pairs]}
                with beside(file) as new:
                    h5.write(new, arrays)
                    os.replace(new, file)
        parts.append(dict(zip(KEYS, h5.read(file, *KEYS), strict=True)))
    ids = [f"{name}/{split}/{name}_{i:04d}" for name in config.classes for i in range(count)]
    arrays = (
        np.concatenate([part["points"] for part in parts]),
        np.concatenate([part["images"] for part in parts]),
        [p for part in parts for p in np.split(part["pairs"], np.cumsum(part["counts"])[:-1])],
        np.repeat(np.arange(len(parts)), count),
    )
    return arrays, (tuple(config.classes), ids)


def draw(
    name: str, index: int, split: str, config
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
