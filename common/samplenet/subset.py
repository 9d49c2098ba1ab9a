"""Which m points of one cloud of any size: farthest points, one a grid cell, at random, or by a trained SampleNet.

Functions take points (N, 3), finite, and return indices (m,), distinct, in the order picked. All but `learned` need no
framework.
"""

import numpy as np
from numpy.typing import NDArray

from samplenet import normalise, pretrained
from samplenet.errors import InputError
from samplenet.sampled import random_indices

BLOCK = 256  # points that are looked at together
WHOLE = 16384  # points that a SampleNet gets at once
CELLS = 1 << 19  # along an axis, or numbers of cells would not fit int64


def farthest_points(points: NDArray, m: int, chosen: NDArray | tuple = (0,)) -> NDArray[np.int64]:
    """Farthest point sampling; the indices of `samplenet.ops`, exactly, in NumPy.

    Blocks of neighbouring points remember their box and their farthest point; a new point is compared only with the
    blocks whose box it may be nearer to than that. A box distance is rounded as a point distance is, and rounding
    keeps order, so nothing is missed.

    Args:
        chosen: indices to keep first, in order, repeats dropped.
    """
    n, kind = len(points), points.dtype.type
    blocks = -(-n // BLOCK)
    order = np.full(blocks * BLOCK, n)  # n: no point
    order[:n] = np.argsort(_morton(points), kind="stable")
    order = np.sort(order.reshape(blocks, BLOCK), 1)  # so that of equal distances the lowest index comes first
    place = np.empty(n + 1, np.int64)
    place[order] = np.arange(order.size).reshape(order.shape)
    xyz = np.ascontiguousarray(points[np.minimum(order, n - 1)].transpose(2, 0, 1))  # (3, blocks, BLOCK)
    low, high = xyz.min(2), xyz.max(2)
    nearest = np.where(order < n, kind(np.inf), kind(-2))  # squared distance to those picked; -1 once picked
    reach, lead = nearest.max(1), order[:, 0].copy()  # the largest of a block, and whose it is
    given = list(dict.fromkeys(np.asarray(chosen).tolist()))[:m]
    picks = np.empty(m, np.int64)
    for i in range(m):
        pick = given[i] if i < len(given) else lead[reach == reach.max()].min()
        block, slot = divmod(int(place[pick]), BLOCK)
        picks[i], nearest[block, slot] = pick, -1
        at = xyz[:, block, slot, None]
        near = _square(np.maximum(np.maximum(low - at, at - high), 0)) < reach
        near[block] = True
        near = np.flatnonzero(near)
        closer = np.minimum(nearest[near], _square(xyz[:, near] - at[..., None]))
        far = closer.argmax(1)
        nearest[near] = closer
        reach[near], lead[near] = closer[np.arange(len(near)), far], order[near, far]
    return picks


def _square(delta: NDArray) -> NDArray:
    """(3, ...) -> ((dx*dx + dy*dy) + dz*dz), as every backend rounds it."""
    delta *= delta
    return (delta[0] + delta[1]) + delta[2]


def _morton(points: NDArray) -> NDArray[np.int64]:
    """Where each point lies on a Z curve of 1024 cells a side: neighbours on it are neighbours in space."""
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
    """One point of each occupied cell of a grid: that nearest to the mean of the cell's points.

    Args:
        cell: length of a cell's sides; gives however many points that makes.
        m: without `cell`, exactly so many: the m farthest points of those of the largest cells that m or more are
            occupied of; where points coincide, so that there are not so many, farthest points complete them.
    """
    if cell is not None:
        return _one_a_cell(points, _cells(points, cell))
    found = _one_a_cell(points, _cells(points, _cell_size(points, m)))
    if len(found) < m:
        return farthest_points(points, m, found)
    return found[farthest_points(points[found], m)]


def _cell_size(points: NDArray, m: int) -> float:
    span = float(np.ptp(points, axis=0).max()) or 1.0  # all points coincide
    size = span
    while size > span / CELLS and len(np.unique(_cells(points, size))) < m:
        size /= 2
    small, large = size, 2 * size
    for _ in range(8):
        size = (small * large) ** 0.5
        small, large = (size, large) if len(np.unique(_cells(points, size))) >= m else (small, size)
    return small


def _cells(points: NDArray, size: float) -> NDArray[np.int64]:
    """The number of each point's cell."""
    steps = (points - points.min(0)) / size
    if not steps.max() <= 2 * CELLS:
        raise InputError(f"cells of {size} are too small: the cloud is more than {2 * CELLS} of them long")
    x, y, z = steps.astype(np.int64).T
    return (x * (y.max() + 1) + y) * (z.max() + 1) + z


def _one_a_cell(points: NDArray, cells: NDArray[np.int64]) -> NDArray[np.int64]:
    _, cells, counts = np.unique(cells, return_inverse=True, return_counts=True)
    sums = [np.bincount(cells, column) for column in (points - points[0]).T]
    means = np.stack(sums, 1) / counts[:, None] + points[0]
    dist2 = ((points - means[cells]) ** 2).sum(1)
    order = np.lexsort((dist2, cells))  # stable: of equal distances the lowest index
    return order[np.cumsum(counts) - counts]


def at_random(points: NDArray, m: int, seed: int, number: int) -> NDArray[np.int64]:
    """m points drawn by (seed, the cloud's number) alone."""
    return random_indices(len(points), m, seed, np.array([number]))[0].astype(np.int64)


class Learned:
    """The points that a trained SampleNet picks.

    Clouds of up to 16384 points are sampled whole; what a progressive sampler lacks to m is completed by farthest
    points. A larger one is cut in patches, one for every so many points as the sampler gives (all of it one patch if m
    is less): the points nearest to each of that many farthest points. Of each patch the network gets at most 16384
    points, drawn at random, normalised for themselves; the samples of all are put together and completed by
    farthest points to m. The network was trained on whole shapes: on patches it is no better than its likeness of them.

    Args:
        weights: name or file, see `samplenet.load_pretrained`. A progressive one serves every m; one of a single size
            serves that, and of clouds that are cut in patches any larger one.
        up: "y" or "z", the axis that is up in the clouds; the samplers that come with the library know y.
        seed: of the draw within patches.
    """

    def __init__(self, weights, m: int, up: str = "y", framework: str | None = None, seed: int = 0):
        card = pretrained.card(weights)
        self.weights, self.m, self.up, self.seed = weights, m, up, seed
        self.most, self.how = card["m"], card.get("normalisation", "unit_sphere")
        self.one_size = len(card["sizes"]) == 1
        self.sampler = pretrained.load_pretrained(weights, m if self.one_size and m < self.most else None, framework)
        self.in_torch = type(self.sampler).__module__.startswith("samplenet.torch")

    def __call__(self, points: NDArray, number: int = 0) -> NDArray[np.int64]:
        """points (N, 3), m <= N; `number` is the cloud's among several."""
        if self.one_size and self.m != self.most and len(points) <= WHOLE:
            raise InputError(
                f"weights {self.weights} sample {self.most} points of a cloud of {len(points)}, not {self.m}; take "
                f"a progressive sampler (more than {self.most} these sample of clouds of more than {WHOLE} points)"
            )
        share = min(self.m, self.most)
        rng = np.random.default_rng((self.seed, number))
        picked = []
        for patch in self._patches(points, share):
            some = patch if len(patch) <= WHOLE else np.sort(rng.permutation(patch)[:WHOLE])
            picked.append(some[self._match(points[some], share)] if len(some) > share else some)
        return farthest_points(points, self.m, np.concatenate(picked))

    def _patches(self, points: NDArray, share: int) -> list[NDArray[np.int64]]:
        """Indices of the points of each patch; every point is in one."""
        count = 1 if len(points) <= WHOLE else self.m // share
        if count == 1:
            return [np.arange(len(points))]
        centres = points[farthest_points(points, count)]
        if self.in_torch:
            from samplenet.ops import torch as ops
        else:
            from samplenet.ops import tf as ops
        nearest = np.asarray(ops.knn(points[None], centres[None], 1)[1])[0, :, 0]
        return np.split(np.argsort(nearest, kind="stable"), np.cumsum(np.bincount(nearest, minlength=count))[:-1])

    def _match(self, points: NDArray, share: int) -> NDArray[np.int64]:
        x, y, z = points.T
        turned = np.stack((x, z, -y) if self.up == "z" else (x, y, z), 1)[None]
        cloud = normalise(turned, self.how)
        if not self.in_torch:
            return np.asarray(self.sampler.match(cloud, self.sampler.simplify(cloud), share))[0]
        import torch

        with torch.inference_mode():
            cloud = torch.from_numpy(cloud)
            return self.sampler.match(cloud, self.sampler.simplify(cloud), share)[0].numpy()
