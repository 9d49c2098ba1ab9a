"""Farthest point sampling of clouds of any size, in NumPy.

Without a framework and its ops, but with exactly the indices that `samplenet.ops` gives: distinct
ones, in the order picked, of points that are all finite.
"""

import numpy as np
from numpy.typing import NDArray

BLOCK_POINTS = 256


def farthest_points(points: NDArray, m: int, chosen: NDArray | tuple = (0,)) -> NDArray[np.int64]:
    """Pick m of the points (N, 3).

    Points are sorted into blocks of neighbours. Each block keeps its bounding box and its farthest
    point, and a newly picked point is compared only with the blocks that it may be nearer to than
    that. The distance to a box is rounded like the distance to a point, and rounding keeps order,
    so no block is missed.

    Args:
        chosen: indices to pick first, in this order; repeated ones count once.

    Returns:
        (m,), indices.
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
