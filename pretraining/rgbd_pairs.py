"""Pixel-point pairs from RGB-D frames of known poses, in the layout that ScanNet's reader exports.

    <scene>/color/<k>.jpg or .png       of any size; resized to that of the depth image
    <scene>/depth/<k>.png               16 bits, millimetres, 0 where nothing was measured
    <scene>/pose/<k>.txt                camera to world, 4 x 4; z up, in metres
    <scene>/intrinsic/intrinsic_depth.txt

Two frames of a scene are a pair if enough of what each sees the other sees too. The cloud is drawn
from the first frame's depth and projected into both, as the paper describes; which pixels see a
point is decided here, by its depth. No file of ScanNet has been read here.
"""

import itertools
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pair_files import UNREADABLE
from samplenet import depth, normalisation
from samplenet.data import cameras
from samplenet.errors import InputError, needs_extra

with needs_extra("render"):
    from PIL import Image

EVERY = 25  # frames, of which one is read, as PointContrast does
LEAST_OVERLAP = 0.3  # of the points of either frame, as published
MARGIN = 0.05  # metres by which a point may differ from the depth of its pixel

log = logging.getLogger(__name__)


class Frames(NamedTuple):
    """F frames of one scene.

    Attributes:
        colors: (F, H, W, 3) uint8.
        depths: (F, H, W) float32 in metres, 0 where nothing was measured.
        poses: (F, 4, 4), camera (x right, y down, z forward) to world.
        intrinsics: fx, fy, cx, cy, see `samplenet.depth`.
    """

    colors: NDArray[np.uint8]
    depths: NDArray[np.float32]
    poses: NDArray[np.float64]
    intrinsics: NDArray[np.float64]

    def seeing(self, least: int) -> "Frames":
        """Keep the frames that see at least so many points; log how many are left out."""
        enough = np.count_nonzero(self.depths > 0, (1, 2)) >= least
        if not enough.all():
            log.warning("left out %d frames that see fewer than %d points", (~enough).sum(), least)
        kept = (array[enough] for array in (self.colors, self.depths, self.poses))
        return Frames(*kept, self.intrinsics)


def read(
    scenes: Iterable[tuple[str, Frames]],
    num_points: int,
    size: int,
    metric: bool = False,
    source: str = "the scenes",
) -> tuple[tuple, tuple]:
    """Make all pairs of frames of scenes, such as those `in_folder`.

    Returns:
        points (n, num_points, 3 or 6), images (n, 2, size, size, 3), n arrays of pairs (P, 4) and
        labels (n,), all 0, as in `pixel_pairs.Objects`, and then the names of the class and of the
        pairs. For `metric` see `pair`; errors name the `source`.

    Raises:
        InputError: no frame of `num_points`, no pair of frames, or a missing or damaged file.
    """
    made, ids, most = [], [], 0
    for name, frames in tqdm(scenes, "pairs of frames", unit="scene", disable=None):
        most = max(most, np.count_nonzero(frames.depths > 0, (1, 2)).max())
        frames = frames.seeing(num_points)
        for i, j in overlapping(frames):
            made.append(pair(frames, i, j, num_points, size, metric))
            ids.append(f"{name}/{i}-{j}")
    if most < num_points:
        raise InputError(
            f"no frame of {source} sees --num-points {num_points} points, the most is {most}: ask "
            "for fewer"
        )
    if not made:
        raise InputError(
            f"no two frames of {source} share {LEAST_OVERLAP:.0%} of their points: give others"
        )
    points, images, pairs = zip(*made, strict=True)
    arrays = np.stack(points), np.stack(images), list(pairs), np.zeros(len(ids), np.int64)
    return arrays, (("scene",), ids)


def in_folder(root: Path) -> Iterator[tuple[str, Frames]]:
    """Yield names and frames of all scenes in a folder; InputError if there is none."""
    scenes = sorted(path.parent for path in root.glob("*/pose"))
    if not scenes:
        raise InputError(f"{root} holds no scene, a folder with color, depth, pose and intrinsic")
    for scene in scenes:
        yield scene.name, read_scene(scene)


def read_scene(folder: Path, every: int = EVERY) -> Frames:
    """Read one of `every` frames of a scene, by number, but those without a valid pose."""
    stems = (path.stem for path in (folder / "pose").glob("*.txt"))
    numbers = sorted(int(stem) for stem in stems if stem.isdecimal())
    colors, depths, poses = [], [], []
    for number in numbers[::every]:
        pose = _matrix(folder / "pose" / f"{number}.txt")
        if not np.isfinite(pose).all():  # ScanNet writes -inf where tracking failed
            continue
        depths.append(_picture(folder / "depth" / f"{number}.png"))
        right = depths[-1].ndim == 2 and depths[-1].dtype != np.uint8
        if not right or depths[-1].shape != depths[0].shape:
            raise InputError(
                f"{folder}/depth/{number}.png must be grey, of 16 bits and the others' size"
            )
        color = folder / "color" / f"{number}.jpg"
        color = color if color.is_file() else color.with_suffix(".png")
        colors.append(_picture(color, size=depths[-1].shape[::-1]))
        poses.append(pose)
    if not poses:
        raise InputError(f"{folder} holds no frame with a valid pose")
    K = _matrix(folder / "intrinsic" / "intrinsic_depth.txt")
    metres = np.stack(depths).astype(np.float32) / 1000
    intrinsics = np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2]])
    return Frames(np.stack(colors), metres, np.stack(poses), intrinsics)


def _matrix(path: Path) -> NDArray[np.float64]:
    try:
        return np.loadtxt(path).reshape(4, 4)
    except UNREADABLE as error:
        raise InputError(f"{path} must hold 4 x 4 numbers: {error}") from error


def _picture(path: Path, size: tuple[int, int] | None = None) -> NDArray:
    """Read a picture; with a `size`, width and height, in colour and resized."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB").resize(size) if size else image)
    except UNREADABLE as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def overlapping(frames: Frames) -> Iterator[tuple[int, int]]:
    """Yield the pairs (i, j), i < j, of which each sees LEAST_OVERLAP of the other's points."""
    clouds = [_world(frames, i, 1024)[0] for i in range(len(frames.poses))]
    for i, j in itertools.combinations(range(len(clouds)), 2):
        shares = (sees(frames, j, clouds[i])[0].mean(), sees(frames, i, clouds[j])[0].mean())
        if min(shares) >= LEAST_OVERLAP:
            yield i, j


def _world(frames: Frames, i: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Draw points (n, 3) evenly from what a frame sees, all if too few, and their colours (n, 3).

    The points are in the world's frame.
    """
    seeing = np.count_nonzero(frames.depths[i] > 0)
    seen = depth.sample(frames.depths[i], frames.intrinsics, min(count, seeing))
    points = seen.points @ frames.poses[i, :3, :3].T + frames.poses[i, :3, 3]
    return points, frames.colors[i][seen.rows, seen.columns]


def sees(frames: Frames, i: int, points: NDArray) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return whether a frame sees points (n, 3) of the world, and their row and column (n, 2)."""
    fx, fy, cx, cy = frames.intrinsics
    x, y, z = ((points - frames.poses[i, :3, 3]) @ frames.poses[i, :3, :3]).T
    ahead = np.maximum(z, 1e-6)
    pixels = np.stack([np.round(fy * y / ahead + cy), np.round(fx * x / ahead + cx)], 1)
    shape = np.array(frames.depths.shape[1:])
    inside = (z > 0) & ((pixels >= 0) & (pixels < shape)).all(1)
    pixels = np.where(inside[:, None], pixels, 0).astype(np.int64)
    return inside & (np.abs(frames.depths[i][*pixels.T] - z) < MARGIN), pixels


def pair(
    frames: Frames, i: int, j: int, num_points: int, size: int, metric: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.int32]]:
    """Make the cloud, the two pictures and the pixel-point pairs of two frames.

    The pictures are the square middle of the frames. The first must see `num_points`, as those of
    `Frames.seeing` do.

    Args:
        metric: points in metres, z up, with mean 0, and with their colours less 0.5.

    Returns:
        points (num_points, 3), y up, with mean 0 and largest norm 1, or if metric (num_points, 6);
        images (2, size, size, 3); pairs (P, 4) of view, row, column and point.
    """
    world, colors = _world(frames, i, num_points)
    height, width = frames.depths.shape[1:]
    side = min(height, width)
    first = np.array([height - side, width - side]) // 2
    images, pairs = [], []
    for view, frame in enumerate((i, j)):
        square = frames.colors[frame][first[0] : first[0] + side, first[1] : first[1] + side]
        images.append(np.asarray(Image.fromarray(square).resize((size, size))))
        seen, pixels = sees(frames, frame, world)
        pixels = (pixels - first) * size // side
        own = np.flatnonzero(seen & ((pixels >= 0) & (pixels < size)).all(1))
        pairs.append(np.column_stack([np.full(len(own), view), pixels[own], own]))
    if metric:
        points = np.concatenate([world - world.mean(0), colors / 255 - 0.5], 1)
    else:
        points = normalisation.unit_sphere(world @ cameras.TO_BLENDER)  # z up to y up
    return points.astype(np.float32), np.stack(images), np.concatenate(pairs).astype(np.int32)
