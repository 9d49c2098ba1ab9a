"""Seats on legs: chair, stool, bench. Front is +z, the backrest is at -z."""

from itertools import pairwise

import numpy as np

from .mesh import Mesh, at_corners, bar, both_sides, box, disc, join, panel, rod, tube


def _base(rng: np.random.Generator, width: float, depth: float, height: float) -> Mesh:
    """Support of a seat from the floor up to `height`; chair and stool share it, so it tells nothing."""
    u = rng.uniform
    kind = rng.choice(
        ["legs", "round_legs", "pedestal", "sled", "slabs"], p=[0.35, 0.25, 0.18, 0.12, 0.10]
    )
    thick, x, z, splay = u(0.05, 0.12), width / 2 - 0.07, depth / 2 - 0.07, u(0, 0.1)
    x_foot, z_foot = x + splay, z + splay
    if kind == "legs":
        parts = at_corners(
            lambda sx, sz: bar(
                (sx * x_foot, 0, sz * z_foot), (sx * x, height, sz * z), thick, thick
            )
        )
    elif kind == "round_legs":
        parts = at_corners(
            lambda sx, sz: rod(
                (sx * x_foot, 0, sz * z_foot), (sx * x, height, sz * z), thick / 3, thick / 2
            )
        )
    elif kind == "pedestal":
        foot = u(0.3, 0.45) * width + 0.08
        parts = [rod((0, 0.05, 0), (0, height, 0), u(0.04, 0.09))]
        if rng.random() < 0.5:
            parts.append(disc((0, 0, 0), foot, foot, 0.06, u(0.4, 0.95)))
        else:
            for a in np.arange(5) * 2 * np.pi / 5:
                parts.append(rod((foot * np.cos(a), 0.03, foot * np.sin(a)), (0, 0.1, 0), 0.035))
    elif kind == "sled":
        r = thick / 2.5
        parts = [both_sides(tube([(x, height, z), (x, r, z), (x, r, -z), (x, height, -z)], r))]
    else:
        parts = [both_sides(box((x - thick, 0, -z), (x, height, z)))]
    if kind in ("legs", "round_legs") and rng.random() < 0.6:  # stretchers, or a foot ring
        y, r = height * u(0.15, 0.5), thick / 3.5
        if rng.random() < 0.5:
            ring = [(x, y, z), (x, y, -z), (-x, y, -z), (-x, y, z), (x, y, z)]
            parts += [rod(a, b, r) for a, b in pairwise(ring)]
        else:
            parts += [both_sides(rod((x, y, -z), (x, y, z), r)), rod((-x, y, 0), (x, y, 0), r)]
    return join(*parts)


def _seat(
    rng: np.random.Generator, depth: float, height: float
) -> tuple[Mesh, float, float, float]:
    """Seat of width 1 on its base -> (mesh, y of its upper side, half width and z of a backrest it can bear).

    A round seat has no corners, so its legs and the backrest move inwards.
    """
    thick = rng.uniform(0.04, 0.16)
    if rng.random() < 0.35:
        seat, base = (
            disc((0, height, 0), 0.5, depth / 2, thick),
            _base(rng, 0.8, 0.8 * depth, height),
        )
        return join(base, seat), height + thick, 0.3, -0.4 * depth
    seat = box((-0.5, height, -depth / 2), (0.5, height + thick, depth / 2))
    return join(_base(rng, 1.0, depth, height), seat), height + thick, 0.5, 0.03 - depth / 2


def _backrest(rng: np.random.Generator, width: float, y: float, z: float, height: float) -> Mesh:
    """Backrest rising from (y, z); posts, slats or a panel, leaning a little."""
    u = rng.uniform
    kind = rng.choice(["panel", "slats", "spindles", "rail", "hoop"], p=[0.25, 0.2, 0.2, 0.2, 0.15])
    half, lean, r = width / 2 * u(0.75, 0.95), height * u(0, 0.25), u(0.02, 0.045)

    def at(x: float, t: float) -> tuple[float, float, float]:
        return (x, y + t * height, z - t * lean)

    def board(low: float, high: float, x: float = half) -> Mesh:
        return panel([at(-x, low), at(x, low), at(x, high), at(-x, high)], (0, 0, 2 * r))

    if kind == "hoop":
        t = np.linspace(0, np.pi, 13)
        arch = tube([at(half * np.cos(a), np.sin(a)) for a in t], r)
        inner = [
            rod(at(x, 0), at(x, np.sqrt(max(0, 1 - (x / half) ** 2))), r * 0.6)
            for x in np.linspace(-half, half, rng.integers(3, 7))[1:-1]
        ]
        return join(arch, *inner)
    posts = both_sides(bar(at(half - r, -0.05), at(half - r, 1), 2 * r, 2 * r))
    if kind == "panel":
        start = u(0, 0.5)
        return join(board(start, 1), posts) if start > 0.1 else board(0, 1)
    if kind == "rail":  # one bar on two thin posts: the slimmest back of all
        return join(posts, board(1 - u(0.15, 0.35), 1))
    if kind == "slats":
        levels = np.linspace(0.25, 0.9, rng.integers(2, 5))
        return join(posts, *[board(t, t + 0.1) for t in levels])
    bars = np.linspace(-half, half, rng.integers(4, 8))[1:-1]
    return join(posts, board(0.87, 1), *[rod(at(x, 0), at(x, 0.9), r * 0.6) for x in bars])


def chair(rng: np.random.Generator) -> Mesh:
    u = rng.uniform
    depth = u(0.8, 1.15)
    seat, top, half, rear = _seat(rng, depth, u(0.55, 1.7))
    tall = u(0.3, 0.6) if rng.random() < 0.4 else u(0.6, 1.2)
    parts = [seat, _backrest(rng, 2 * half, top - 0.02, rear, tall)]
    if half == 0.5 and rng.random() < 0.45:  # arms; a round seat has nowhere to put them
        y, x, r = top + min(u(0.25, 0.4), tall * 0.8), half - 0.04, u(0.025, 0.05)
        front = depth / 2 * u(0.3, 0.9)
        parts.append(both_sides(tube([(x, top - 0.02, front), (x, y, front), (x, y, rear)], r)))
    return join(*parts)


def stool(rng: np.random.Generator) -> Mesh:
    u = rng.uniform
    depth = u(0.75, 1.1)
    seat, top, half, rear = _seat(rng, depth, u(0.55, 2.2))
    parts = [seat]
    if (
        rng.random() < 0.25
    ):  # a low lip around the rear, or a pair of side grips: not a backrest yet
        y, high = top - 0.02, top + u(0.08, 0.16)
        if rng.random() < 0.5:
            parts.append(box((-0.9 * half, y, rear), (0.9 * half, high, rear + 0.05)))
        else:
            x, z = half - 0.05, 0.3 * depth
            parts.append(
                both_sides(tube([(x, y, z), (x, high, z), (x, high, -z), (x, y, -z)], 0.03))
            )
    return join(*parts)


def bench(rng: np.random.Generator) -> Mesh:
    u = rng.uniform
    width, height = u(1.7, 3.6), u(0.65, 1.2)
    x, z, thick = width / 2 - u(0.05, 0.3), 0.4, u(0.06, 0.16)
    kind = rng.choice(["legs", "slabs", "frames"])
    if kind == "legs":
        parts = at_corners(
            lambda sx, sz: bar((sx * x, 0, sz * z), (sx * x, height, sz * z), thick, thick)
        )
        if rng.random() < 0.5:
            y = height * u(0.2, 0.5)
            parts += [
                rod((-x, y, 0), (x, y, 0), 0.03),
                both_sides(rod((x, y, -z), (x, y, z), 0.03)),
            ]
    elif kind == "slabs":
        parts = [both_sides(box((x - thick, 0, -z), (x, height, z)))]
    else:
        parts = [
            both_sides(tube([(x, height, z), (x, 0.04, z), (x, 0.04, -z), (x, height, -z)], 0.04))
        ]
    if rng.random() < 0.55:  # planks with gaps
        edges = np.linspace(-0.5, 0.5, rng.integers(3, 6) + 1)
        parts += [
            box((-width / 2, height, a + 0.03), (width / 2, height + 0.07, b - 0.03))
            for a, b in pairwise(edges)
        ]
    else:
        parts.append(box((-width / 2, height, -0.5), (width / 2, height + u(0.07, 0.3), 0.5)))
    if rng.random() < 0.45:
        tall = u(0.4, 1.1)
        parts.append(_backrest(rng, 2 * x, height, -0.47, tall))
        if rng.random() < 0.5:
            y = height + 0.35
            parts.append(both_sides(tube([(x, height, 0.35), (x, y, 0.35), (x, y, -0.45)], 0.04)))
    return join(*parts)
