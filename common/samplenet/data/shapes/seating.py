"""Seats on legs: chair, stool, bench. Front is +z, the backrest is at -z."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from .mesh import (
    Mesh,
    Named,
    bar,
    both_sides,
    box,
    disc,
    four_legs,
    joined,
    of_parts,
    panel,
    rod,
    tube,
)


@joined
def _base(rng: np.random.Generator, width: float, depth: float, height: float) -> Iterator[Mesh]:
    """Build a seat's support up to `height`; chair and stool share it, so it decides nothing."""
    u = rng.uniform
    kinds = ["legs", "round_legs", "pedestal", "sled", "slabs"]
    kind = rng.choice(kinds, p=[0.35, 0.25, 0.18, 0.12, 0.10])
    thick, x, z, splay = u(0.05, 0.12), width / 2 - 0.07, depth / 2 - 0.07, u(0, 0.1)
    if kind == "legs":
        yield four_legs(lambda foot, top: bar(foot, top, thick, thick), x, z, height, splay)
    elif kind == "round_legs":
        yield four_legs(lambda foot, top: rod(foot, top, thick / 3, thick / 2), x, z, height, splay)
    elif kind == "pedestal":
        foot = u(0.3, 0.45) * width + 0.08
        yield rod((0, 0.05, 0), (0, height, 0), u(0.04, 0.09))
        if rng.random() < 0.5:
            yield disc((0, 0, 0), foot, foot, 0.06, u(0.4, 0.95))
        else:
            for a in np.arange(5) * 2 * np.pi / 5:
                yield rod((foot * np.cos(a), 0.03, foot * np.sin(a)), (0, 0.1, 0), 0.035)
    elif kind == "sled":
        r = thick / 2.5
        yield both_sides(tube([(x, height, z), (x, r, z), (x, r, -z), (x, height, -z)], r))
    else:
        yield both_sides(box((x - thick, 0, -z), (x, height, z)))
    if kind in ("legs", "round_legs") and rng.random() < 0.6:
        y, r = height * u(0.15, 0.5), thick / 3.5
        if rng.random() < 0.5:  # foot ring
            ring = [(x, y, z), (x, y, -z), (-x, y, -z), (-x, y, z), (x, y, z)]
            yield from (rod(a, b, r) for a, b in pairwise(ring))
        else:  # stretchers
            yield both_sides(rod((x, y, -z), (x, y, z), r))
            yield rod((-x, y, 0), (x, y, 0), r)


def _seat(
    rng: np.random.Generator, depth: float, height: float
) -> tuple[Mesh, Mesh, float, float, float]:
    """Build a seat of width 1 on its base.

    A round seat has no corners, so its legs and the backrest move inwards.

    Returns:
        base, seat, y of its upper side, half the width and z of a backrest that fits.
    """
    thick = rng.uniform(0.04, 0.16)
    top = height + thick
    if rng.random() < 0.35:
        seat = disc((0, height, 0), 0.5, depth / 2, thick)
        base = _base(rng, 0.8, 0.8 * depth, height)
        return base, seat, top, 0.3, -0.4 * depth
    seat = box((-0.5, height, -depth / 2), (0.5, top, depth / 2))
    base = _base(rng, 1.0, depth, height)
    return base, seat, top, 0.5, 0.03 - depth / 2


@joined
def _backrest(
    rng: np.random.Generator, width: float, y: float, z: float, height: float
) -> Iterator[Mesh]:
    """Build a backrest that rises from (y, z) and leans a little."""
    u = rng.uniform
    kind = rng.choice(["panel", "slats", "spindles", "rail", "hoop"], p=[0.25, 0.2, 0.2, 0.2, 0.15])
    half, lean, r = width / 2 * u(0.75, 0.95), height * u(0, 0.25), u(0.02, 0.045)

    def at(x: float, t: float) -> tuple[float, float, float]:
        return (x, y + t * height, z - t * lean)

    def board(low: float, high: float) -> Mesh:
        outline = [at(-half, low), at(half, low), at(half, high), at(-half, high)]
        return panel(outline, (0, 0, 2 * r))

    if kind == "hoop":
        yield tube([at(half * np.cos(a), np.sin(a)) for a in np.linspace(0, np.pi, 13)], r)
        for x in np.linspace(-half, half, rng.integers(3, 7))[1:-1]:
            yield rod(at(x, 0), at(x, np.sqrt(max(0, 1 - (x / half) ** 2))), r * 0.6)
        return
    posts = both_sides(bar(at(half - r, -0.05), at(half - r, 1), 2 * r, 2 * r))
    if kind == "panel":
        start = u(0, 0.5)
        if start <= 0.1:  # down to the seat, without posts
            yield board(0, 1)
        else:
            yield board(start, 1)
            yield posts
        return
    yield posts
    if kind == "rail":  # one bar on two thin posts: the slimmest back of all
        yield board(1 - u(0.15, 0.35), 1)
    elif kind == "slats":
        yield from (board(t, t + 0.1) for t in np.linspace(0.25, 0.9, rng.integers(2, 5)))
    else:
        bars = np.linspace(-half, half, rng.integers(4, 8))[1:-1]
        yield board(0.87, 1)
        yield from (rod(at(x, 0), at(x, 0.9), r * 0.6) for x in bars)


@of_parts
def chair(rng: np.random.Generator) -> Iterator[Named]:
    u = rng.uniform
    depth = u(0.8, 1.15)
    base, seat, top, half, rear = _seat(rng, depth, u(0.55, 1.7))
    tall = u(0.3, 0.6) if rng.random() < 0.4 else u(0.6, 1.2)
    yield "leg", base
    yield "seat", seat
    yield "back", _backrest(rng, 2 * half, top - 0.02, rear, tall)
    if half == 0.5 and rng.random() < 0.45:  # arms; a round seat has nowhere to put them
        y, x, r = top + min(u(0.25, 0.4), tall * 0.8), half - 0.04, u(0.025, 0.05)
        front = depth / 2 * u(0.3, 0.9)
        yield "arm", both_sides(tube([(x, top - 0.02, front), (x, y, front), (x, y, rear)], r))


@of_parts
def stool(rng: np.random.Generator) -> Iterator[Named]:
    u = rng.uniform
    depth = u(0.75, 1.1)
    base, seat, top, half, rear = _seat(rng, depth, u(0.55, 2.2))
    yield "leg", base
    yield "seat", seat
    if rng.random() < 0.25:  # not a backrest yet
        y, high = top - 0.02, top + u(0.08, 0.16)
        if rng.random() < 0.5:  # a low rim at the rear
            yield "grip", box((-0.9 * half, y, rear), (0.9 * half, high, rear + 0.05))
        else:  # a pair of side grips
            x, z = half - 0.05, 0.3 * depth
            yield (
                "grip",
                both_sides(tube([(x, y, z), (x, high, z), (x, high, -z), (x, y, -z)], 0.03)),
            )


@of_parts
def bench(rng: np.random.Generator) -> Iterator[Named]:
    u = rng.uniform
    width, height = u(1.7, 3.6), u(0.65, 1.2)
    x, z, thick = width / 2 - u(0.05, 0.3), 0.4, u(0.06, 0.16)
    kind = rng.choice(["legs", "slabs", "frames"])
    if kind == "legs":
        yield "leg", four_legs(lambda foot, top: bar(foot, top, thick, thick), x, z, height)
        if rng.random() < 0.5:
            y = height * u(0.2, 0.5)
            yield "leg", rod((-x, y, 0), (x, y, 0), 0.03)
            yield "leg", both_sides(rod((x, y, -z), (x, y, z), 0.03))
    elif kind == "slabs":
        yield "leg", both_sides(box((x - thick, 0, -z), (x, height, z)))
    else:
        frame = [(x, height, z), (x, 0.04, z), (x, 0.04, -z), (x, height, -z)]
        yield "leg", both_sides(tube(frame, 0.04))
    if rng.random() < 0.55:  # planks with gaps
        for a, b in pairwise(np.linspace(-0.5, 0.5, rng.integers(3, 6) + 1)):
            yield "seat", box((-width / 2, height, a + 0.03), (width / 2, height + 0.07, b - 0.03))
    else:
        yield "seat", box((-width / 2, height, -0.5), (width / 2, height + u(0.07, 0.3), 0.5))
    if rng.random() < 0.45:
        yield "back", _backrest(rng, 2 * x, height, -0.47, u(0.4, 1.1))
        if rng.random() < 0.5:
            y = height + 0.35
            yield "arm", both_sides(tube([(x, height, 0.35), (x, y, 0.35), (x, y, -0.45)], 0.04))
