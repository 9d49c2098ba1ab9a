"""Compare ways to sample 1024 points of a depth image: python benchmarks/depth.py [--noise].

Each gets depth images of rooms (rooms.py, 1280 x 720, millimetres) and returns points in metres:
the conversion is part of the time. The covering radius is the largest distance of any pixel's point
to the nearest sampled one, divided by that of farthest points of all pixels. Of three runs in
turns after a warm-up, the best and the median are taken, and of these the median over the rooms; on
a busy machine read the best. The extras `bench` and `icp` install fpsample and Open3D; missing ones
are reported.
"""

import importlib
import os
import statistics
import sys
from collections.abc import Callable
from functools import partial

import numpy as np

import rooms
from samplenet import depth
from samplenet.runs.parser import Parser
from samplenet.timing import in_turns

M, ROOMS = 1024, 10
CELL = 0.03  # metres
CAMERA = rooms.intrinsics()
EXACT = "farthest points of all pixels"
Ways = dict[str, Callable[[np.ndarray], np.ndarray]]


def farthest_points(points: np.ndarray) -> np.ndarray:
    """Return M of points (N, 3) by the native op."""
    import torch

    from samplenet.ops import torch as ops

    return points[ops.farthest_points(torch.from_numpy(points)[None], M)[0].numpy()]


def every(step: int, image: np.ndarray) -> np.ndarray:
    """Pick from every step-th pixel of every step-th row."""
    fx, fy, cx, cy = CAMERA
    camera = (fx / step, fy / step, cx / step, cy / step)
    return farthest_points(depth.cloud(image[::step, ::step], camera).points)


def extremes(side: int, image: np.ndarray) -> np.ndarray:
    """Pick from the nearest and the farthest pixels of square blocks."""
    height, width = (length // side for length in image.shape)
    blocks = image.reshape(height, side, width, side).swapaxes(1, 2).reshape(height, width, -1)
    kept, (rows, columns) = np.zeros_like(image), np.indices((height, width))
    for place in (blocks.argmax(2), np.where(blocks > 0, blocks, 65535).argmin(2)):
        at = rows * side + place // side, columns * side + place % side
        kept[at] = image[at]
    return farthest_points(depth.cloud(kept, CAMERA).points)


def cells(image: np.ndarray) -> np.ndarray:
    """Pick from the last pixels of the cells of a grid in space."""
    points = depth.cloud(image, CAMERA).points
    x, y, z = ((points - points.min(0)) / np.float32(CELL)).astype(np.int32).T
    number = (x * (y.max() + 1) + y) * (z.max() + 1) + z
    last = np.full(number.max() + 1, -1, np.int32)
    last[number] = np.arange(len(number))
    return farthest_points(points[last[last >= 0]])


def of_fpsample(fpsample, image: np.ndarray) -> np.ndarray:
    points = depth.cloud(image, CAMERA).points
    return points[fpsample.bucket_fps_kdline_sampling(points, M, h=7, start_idx=0)]


def of_open3d(open3d, thin: bool, image: np.ndarray) -> np.ndarray:
    height, width = image.shape
    camera = open3d.camera.PinholeCameraIntrinsic(width, height, *CAMERA)
    image = open3d.geometry.Image(image)
    points = open3d.geometry.PointCloud.create_from_depth_image(image, camera, depth_trunc=100)
    points = points.voxel_down_sample(CELL) if thin else points
    return np.asarray(points.farthest_point_down_sample(M).points, np.float32)


def peers() -> Ways:
    """Return the ways of the libraries that are installed."""
    found = {}
    for name in ("fpsample", "open3d"):
        try:
            library = importlib.import_module(name)
        except ImportError:
            print(f"left out, not installed: {name}", file=sys.stderr)
            continue
        if name == "fpsample":
            found["all pixels, fpsample kd-line h7"] = partial(of_fpsample, library)
        else:
            found["3 cm cells, Open3D"] = partial(of_open3d, library, True)
            found["all pixels, Open3D"] = partial(of_open3d, library, False)
    return found


def radius(points: np.ndarray, sampled: np.ndarray) -> float:
    """Return the largest distance of a point to the nearest sampled one, in metres."""
    import torch

    from samplenet.ops import torch as ops

    queries, sampled = (torch.from_numpy(array)[None] for array in (points, sampled))
    return float(ops.knn(queries, sampled, 1)[0].max().sqrt())


def main() -> None:
    """Run the command line."""
    parser = Parser(prog="depth.py", description=__doc__.splitlines()[0])
    parser.add_argument("--noise", action="store_true", help="depths as a camera measures them")
    cores = os.cpu_count()
    parser.add_argument("--threads", type=int, default=cores, help="(default: %(default)s)")
    flags = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(flags.threads)  # before any library is imported
    ways: Ways = {
        "samplenet.depth.sample": lambda image: depth.sample(image, CAMERA, M).points,
        EXACT: lambda image: farthest_points(depth.cloud(image, CAMERA).points),
        "every 2nd row and column": partial(every, 2),
        "every 4th row and column": partial(every, 4),
        "nearest and farthest of 4 x 4": partial(extremes, 4),
        "3 cm cells": cells,
    }
    ways |= peers()
    ratios, best, median = ({name: [] for name in ways} for _ in range(3))
    for seed in range(ROOMS):
        image = rooms.room(seed, noise=flags.noise)
        timed = in_turns({name: partial(way, image) for name, way in ways.items()}, 3)
        points = depth.cloud(image, CAMERA).points
        covered = {name: radius(points, way(image)) for name, way in ways.items()}
        for name, seconds in timed.items():
            ratios[name].append(covered[name] / covered[EXACT])
            best[name].append(1e3 * seconds.best)
            median[name].append(1e3 * seconds.median)
    print(f"machine load {os.getloadavg()[0]:.1f} on {cores} cores")
    print("| way | best ms | median ms | radius, mean | largest |\n| --- | --- | --- | --- | --- |")
    for name in ways:
        times = f"{statistics.median(best[name]):.0f} | {statistics.median(median[name]):.0f}"
        print(f"| {name} | {times} | {np.mean(ratios[name]):.2f} | {max(ratios[name]):.2f} |")


if __name__ == "__main__":
    main()
