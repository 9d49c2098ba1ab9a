"""Pick m points of one cloud of any size: by farthest points, a grid, chance or a network.

Functions take points (N, 3), all finite, and return distinct indices (m,) in the order they were
picked. Only `SampleNetPicker` needs a framework.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from samplenet import frozen, normalise, pretrained
from samplenet.errors import InputError
from samplenet.sampled import random_indices

BLOCK_POINTS = 256
MAX_WHOLE_CLOUD = 16384  # points; larger clouds are cut into patches
SMALL_CLOUD = 4096  # points; up to here farthest points are picked of several clouds at once
CLOUDS_AT_ONCE = 4  # what is computed of them fits into a processor's cache
MAX_CELLS = 1 << 19  # along an axis: the numbers of all cells have to fit into int64


def farthest_points(points: NDArray, m: int, chosen: NDArray | tuple = (0,)) -> NDArray[np.int64]:
    """Run farthest point sampling, with exactly the indices that `samplenet.ops` gives.

    In NumPy, as the command must work without a framework and its ops. Points are sorted into
    blocks of neighbours. Each block keeps its bounding box and its farthest point, and a newly
    picked point is compared only with the blocks that it may be nearer to than that. The distance
    to a box is rounded like the distance to a point, and rounding keeps order, so no block is
    missed.

    Args:
        chosen: indices to pick first, in this order; repeated ones count once.
    """
    n, kind = len(points), points.dtype.type
    blocks = -(-n // BLOCK_POINTS)
    order = np.full(blocks * BLOCK_POINTS, n)  # n: no point
    order[:n] = np.argsort(_morton(points), kind="stable")
    # sorted, so that the lowest index of equal distances comes first
    order = np.sort(order.reshape(blocks, BLOCK_POINTS), 1)
    position = np.empty(n + 1, np.int64)  # where each point is in `order`
    position[order] = np.arange(order.size).reshape(order.shape)
    xyz = np.moveaxis(points[np.minimum(order, n - 1)], 2, 0)  # (3, blocks, BLOCK_POINTS)
    xyz = np.ascontiguousarray(xyz)
    low, high = xyz.min(2), xyz.max(2)
    # squared distance to the nearest picked point; -1 once picked, -2 for no point
    nearest = np.where(order < n, kind(np.inf), kind(-2))
    reach, lead = nearest.max(1), order[:, 0].copy()  # a block's largest one, and whose it is
    first = list(dict.fromkeys(np.asarray(chosen).tolist()))[:m]
    picks = np.empty(m, np.int64)
    for i in range(m):
        pick = first[i] if i < len(first) else lead[reach == reach.max()].min()
        block, slot = divmod(int(position[pick]), BLOCK_POINTS)
        picks[i], nearest[block, slot] = pick, -1
        picked = xyz[:, block, slot, None]
        near = _square(np.maximum(np.maximum(low - picked, picked - high), 0)) < reach
        near[block] = True  # also if its reach was 0: its farthest point was just picked
        near = np.flatnonzero(near)
        closer = np.minimum(nearest[near], _square(xyz[:, near] - picked[..., None]))
        far = closer.argmax(1)
        nearest[near] = closer
        reach[near], lead[near] = closer[np.arange(len(near)), far], order[near, far]
    return picks


def farthest_of_each(clouds: NDArray, m: int) -> NDArray[np.int64]:
    """Run `farthest_points` on clouds (B, N, 3) of few points at once, a pick of each at a time.

    Blocks of neighbours, which spare comparisons in a large cloud, cost more than that here.

    Returns:
        (B, m), the indices of `farthest_points`.
    """
    batch, n, _ = clouds.shape
    xyz, rows = np.ascontiguousarray(np.moveaxis(clouds, 2, 0)), np.arange(batch)
    nearest = np.full((batch, n), np.inf, clouds.dtype)  # squared; -1 once picked
    picks = np.zeros((batch, m), np.int64)
    for i in range(1, m):
        last = picks[:, i - 1]
        np.minimum(nearest, _square(xyz - xyz[:, rows, last][..., None]), out=nearest)
        nearest[rows, last] = -1
        picks[:, i] = nearest.argmax(1)
    return picks


def _square(delta: NDArray) -> NDArray:
    """Compute ((dx*dx + dy*dy) + dz*dz) of (3, ...), rounded as in every backend."""
    delta *= delta
    return (delta[0] + delta[1]) + delta[2]


def _morton(points: NDArray) -> NDArray[np.int64]:
    """Number the points along a Z curve of 1024 cells a side: its neighbours are near in space."""
    low = points.min(0)
    side = (points.max(0) - low).max() or 1
    code = np.zeros(len(points), np.int64)
    for axis in range(3):
        bits = ((points[:, axis] - low[axis]) / side * 1023).astype(np.int64)
        for shift, mask in ((16, 0x030000FF), (8, 0x0300F00F), (4, 0x030C30C3), (2, 0x09249249)):
            bits = (bits | bits << shift) & mask  # two zeros after each bit
        code |= bits << axis
    return code


def grid(points: NDArray, m: int | None = None, cell: float | None = None) -> NDArray[np.int64]:
    """Pick from each occupied cell of a grid the point nearest to the mean of the cell's points.

    Args:
        m: number of points, without `cell`. The cells are as large as they can be while at least m
            are occupied; farthest point sampling picks m of their points. Where so many points
            coincide that fewer than m cells are occupied, it adds the rest.
        cell: side of a cell; the number of points follows from it.
    """
    if cell is not None:
        numbers = cells(points, cell, points.min(0))
        return one_per_cell(points, numbers, points[0])
    numbers = cells(points, _cell_size(points, m), points.min(0))
    picked = one_per_cell(points, numbers, points[0])
    if len(picked) < m:
        return farthest_points(points, m, picked)
    return picked[farthest_points(points[picked], m)]


def _cell_size(points: NDArray, m: int) -> float:
    """Search for the largest side at which m or more cells are occupied, if there is any."""
    low = points.min(0)
    span = float(np.ptp(points, axis=0).max()) or 1.0  # 0 if all points coincide
    size = span
    while size > span / MAX_CELLS and len(np.unique(cells(points, size, low))) < m:
        size /= 2
    small, large = size, 2 * size
    for _ in range(8):
        size = (small * large) ** 0.5
        if len(np.unique(cells(points, size, low))) >= m:
            small = size
        else:
            large = size
    return small


def cells(points: NDArray, size: float, origin: NDArray) -> NDArray[np.int64]:
    """Return the number of each point's cell, (N,), of a grid whose corner is `origin`."""
    steps = (points - origin) / size
    if not steps.max() <= 2 * MAX_CELLS:
        fault = f"more than {2 * MAX_CELLS} would lie along the cloud"
        raise InputError(f"cells of {size} are too small: {fault}")
    x, y, z = steps.astype(np.int64).T
    return (x * (y.max() + 1) + y) * (z.max() + 1) + z


def one_per_cell(points: NDArray, cells: NDArray[np.int64], near: NDArray) -> NDArray[np.int64]:
    """Return of each cell the point nearest to the mean of the cell's points.

    Args:
        near: a point (3,) of the cloud. Means are computed relative to it, as sums of large
            coordinates would round away the differences.
    """
    _, cells, counts = np.unique(cells, return_inverse=True, return_counts=True)
    sums = [np.bincount(cells, column) for column in (points - near).T]
    means = np.stack(sums, 1) / counts[:, None] + near
    dist2 = ((points - means[cells]) ** 2).sum(1)
    order = np.lexsort((dist2, cells))  # stable: the lowest index of equal distances
    return order[np.cumsum(counts) - counts]


class Picker:
    """Pick points of clouds whose coordinates are finite."""

    def __call__(self, points: NDArray, number: int = 0, up: str = "y") -> NDArray[np.int64]:
        """Pick some of the points (N, 3).

        Args:
            number: the cloud's number, among several.
            up: "y" or "z", the axis that points up in the cloud.
        """
        raise NotImplementedError

    def many(self, clouds: NDArray, numbers: Sequence[int], up: str) -> list[NDArray[np.int64]]:
        """Pick points of clouds (B, N, 3) of these numbers."""
        pairs = zip(clouds, numbers, strict=True)
        return [self(points, number, up) for points, number in pairs]

    def nested(self, n: int) -> bool:
        """Return whether the first of the points picked of n are what a smaller m gives."""
        return True


class FarthestPicker(Picker):
    """Pick m farthest points, starting from the first."""

    def __init__(self, m: int):
        self.m = m

    def __call__(self, points, number=0, up="y"):
        return farthest_points(points, self.m)

    def many(self, clouds, numbers, up):
        if clouds.shape[1] > SMALL_CLOUD:
            return super().many(clouds, numbers, up)
        parts = np.split(clouds, range(CLOUDS_AT_ONCE, len(clouds), CLOUDS_AT_ONCE))
        return [idx for part in parts for idx in farthest_of_each(part, self.m)]


class GridPicker(Picker):
    """Pick by a `grid`."""

    def __init__(self, m: int | None, cell: float | None):
        self.m, self.cell = m, cell

    def __call__(self, points, number=0, up="y"):
        return grid(points, self.m, self.cell)

    def nested(self, n):
        return False


class RandomPicker(Picker):
    """Draw m points at random; only the seed and the cloud's number decide which."""

    def __init__(self, m: int, seed: int):
        self.m, self.seed = m, seed

    def __call__(self, points, number=0, up="y"):
        return self.draw(len(points), number)

    def draw(self, n: int, number: int) -> NDArray[np.int64]:
        """Draw m of n indices."""
        return random_indices(n, self.m, self.seed, np.array([number]))[0].astype(np.int64)


class SampleNetPicker(Picker):
    """Pick points by a trained SampleNet.

    Clouds of up to 16384 points are sampled whole. Larger clouds are cut into m / sampler.m patches
    (at least one): each is the points nearest to one of as many farthest points. The network gets
    at most 16384 points of a patch, drawn at random and normalised. If it returns fewer than m
    points in all, farthest point sampling adds the rest. The bundled networks were trained on whole
    shapes; expect worse samples of patches that look different.

    Args:
        weights: name or file, see `samplenet.load_pretrained`. A progressive sampler serves every
            m. A sampler of a single size serves that size, and any larger one for clouds that are
            cut into patches.
        seed: of the random points within patches.
    """

    def __init__(self, weights, m: int, framework: str | None = None, seed: int = 0):
        path = pretrained.weights_file(weights)  # once: a hub's may change in between
        card = pretrained.card(path)
        self.weights, self.m, self.seed = pretrained.called(path), m, seed
        self.largest_m, self.normalisation = card["m"], card["normalisation"]
        self.fixed_size = len(card["sizes"]) == 1
        framework = pretrained.choose_framework(framework)
        self.in_torch = framework == "torch"
        if not self.in_torch:
            import samplenet.quiet_tensorflow  # noqa: F401
        # an m below the fixed size is passed on for the error that load_pretrained raises
        size = m if self.fixed_size and m < self.largest_m else None
        self.sampler = pretrained.load_pretrained(path, size, framework)

    def nested(self, n: int) -> bool:
        """Return whether the first of the points picked of n are what a smaller m gives."""
        one_patch = n <= MAX_WHOLE_CLOUD or self.m < 2 * self.largest_m
        return not self.fixed_size and one_patch and n > min(self.m, self.largest_m)

    def __call__(self, points, number=0, up="y"):
        if self.fixed_size and self.m != self.largest_m and len(points) <= MAX_WHOLE_CLOUD:
            raise InputError(
                f"weights {self.weights} sample {self.largest_m} points of a cloud of "
                f"{len(points)}, not {self.m}; take a progressive sampler (these weights sample "
                f"more points only of clouds of over {MAX_WHOLE_CLOUD})"
            )
        share = min(self.m, self.largest_m)
        rng = np.random.default_rng((self.seed, number))
        picked = []
        for patch in self._patches(points, share):
            if len(patch) > MAX_WHOLE_CLOUD:
                patch = np.sort(rng.permutation(patch)[:MAX_WHOLE_CLOUD])
            if len(patch) > share:
                patch = patch[self._match(points[patch][None], share, up)[0]]
            picked.append(patch)
        return _completed(points, self.m, np.concatenate(picked))

    def many(self, clouds, numbers, up):
        if clouds.shape[1] > MAX_WHOLE_CLOUD or self.m > self.largest_m:
            return super().many(clouds, numbers, up)
        parts = np.split(clouds, range(CLOUDS_AT_ONCE, len(clouds), CLOUDS_AT_ONCE))
        return [idx for part in parts for idx in self._match(part, self.m, up)]

    def _patches(self, points: NDArray, share: int) -> list[NDArray[np.int64]]:
        """Cut a cloud into patches, each an array of indices."""
        count = 1 if len(points) <= MAX_WHOLE_CLOUD else self.m // share
        if count == 1:
            return [np.arange(len(points))]
        centres = points[farthest_points(points, count)]
        if self.in_torch:
            from samplenet.ops import torch as ops
        else:
            from samplenet.ops import tf as ops
        nearest = np.asarray(ops.knn(points[None], centres[None], 1)[1])[0, :, 0]
        sizes = np.bincount(nearest, minlength=count)
        return np.split(np.argsort(nearest, kind="stable"), np.cumsum(sizes)[:-1])

    def _match(self, points: NDArray, share: int, up: str) -> NDArray[np.int64]:
        """Sample `share` points of each patch (B, n, 3); return their indices (B, share) in it."""
        clouds = _as_trained(points, up, self.normalisation)
        if not self.in_torch:
            return np.asarray(self.sampler.match(clouds, self.sampler.simplify(clouds), share))
        import torch

        with torch.inference_mode():
            clouds = torch.from_numpy(clouds)
            return self.sampler.match(clouds, self.sampler.simplify(clouds), share).numpy()


class GreedyPicker(Picker):
    """Pick points by what the library's frozen task network makes of them (`frozen.choose`).

    The network takes as many points as it was trained on: of a larger cloud as many farthest points
    are the pool among which it chooses. If m is larger, farthest point sampling adds the rest.

    Args:
        name: one of `pretrained.list_tasks()`.
    """

    def __init__(self, name: str, m: int):
        if name not in pretrained.list_tasks():
            known = ", ".join(pretrained.list_tasks())
            raise InputError(
                f"--sampler greedy chooses by a task network of the library ({known}), not by "
                f"--weights {name}"
            )
        card = pretrained.task_card(name)
        self.m, self.largest_pool = m, card["num_points"]
        self.normalisation, self.network = card["normalisation"], frozen.load(name)

    def __call__(self, points, number=0, up="y"):
        pool = np.arange(len(points))
        if len(points) > self.largest_pool:
            pool = farthest_points(points, self.largest_pool)
        cloud = _as_trained(points[pool][None], up, self.normalisation)[0]
        picked = pool[frozen.choose(self.network, cloud, min(self.m, len(pool)))]
        return _completed(points, self.m, picked)


def _completed(points: NDArray, m: int, picked: NDArray[np.int64]) -> NDArray[np.int64]:
    """Add farthest points until there are m."""
    return picked if len(picked) == m else farthest_points(points, m, picked)


def _as_trained(clouds: NDArray, up: str, normalisation: str) -> NDArray[np.float32]:
    """Turn clouds (B, N, 3) to have y up, and normalise them."""
    x, y, z = np.moveaxis(clouds, 2, 0)
    turned = np.stack((x, z, -y) if up == "z" else (x, y, z), 2)
    return normalise(turned, normalisation)
