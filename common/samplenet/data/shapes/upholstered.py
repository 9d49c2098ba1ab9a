"""Soft furniture on a broad base: sofa and bed. Front is +z; backrest and headboard are at -z."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from .mesh import Named, bar, both_sides, box, ellipse, four_legs, loft, of_parts, panel, rod


@of_parts
def sofa(rng: np.random.Generator) -> Iterator[Named]:
    u = rng.uniform
    width, depth, floor, seat = u(1.5, 3.3), u(0.9, 1.2), u(0.05, 0.25), u(0.2, 0.4)
    x, z, y = width / 2, depth / 2, floor + seat
    yield "seat", box((-x, floor, -z), (x, y, z))
    yield "leg", four_legs(lambda foot, top: rod(foot, top, 0.04), x - 0.1, z - 0.1, floor)
    arm, back = u(0.1, 0.28), u(0.15, 0.3)
    inner = x
    if rng.random() < 0.8:
        inner, high = x - arm, y + u(0.2, 0.5)
        yield "arm", both_sides(box((inner, floor, -z), (x, high, z - u(0, 0.2))))
        if rng.random() < 0.4:  # rolled arm
            middle = x - arm / 2
            yield "arm", both_sides(rod((middle, high, -z), (middle, high, z - 0.2), arm * 0.6))
    tall, lean = u(0.4, 0.8), u(0, 0.15)
    top, rear = y + tall, -z - lean
    outline = [(-inner, y, -z), (inner, y, -z), (inner, top, rear), (-inner, top, rear)]
    yield "back", panel(outline, (0, 0, back))
    edges, cushion = np.linspace(-inner, inner, rng.integers(1, 4) + 1), y + u(0.08, 0.22)
    for a, b in pairwise(edges):
        yield "seat", box((a + 0.02, y, -z + back), (b - 0.02, cushion, z + 0.03))
        if tall > 0.55:
            wall = -z + back
            yield "back", box((a + 0.04, cushion, wall), (b - 0.04, y + tall * 0.9, wall + 0.12))
    if rng.random() < 0.15:  # chaise on one side
        yield "seat", box((0.3 * x, floor, z), (x, cushion, z + u(0.4, 0.9)))


@of_parts
def bed(rng: np.random.Generator) -> Iterator[Named]:
    u = rng.uniform
    width, length, floor = u(1.0, 2.1), 2.0, u(0.1, 0.35)
    x, z, side, mattress = width / 2, length / 2, u(0.1, 0.25), u(0.12, 0.3)
    y, post = floor + side, u(0.04, 0.08)
    top = y + mattress
    yield "frame", box((-x, floor, -z), (x, y, z))
    yield "mattress", box((-x + 0.03, y, -z + 0.03), (x - 0.03, top, z - 0.03))
    head, foot = top + u(0.15, 0.7), y + u(0, 0.35)
    if rng.random() < 0.12:  # four-poster
        head = foot = top + u(0.8, 1.2)
    for high, end in ((head, -z), (foot, z)):
        yield (
            "frame",
            both_sides(bar((x - post, 0, end), (x - post, high, end), 2 * post, 2 * post)),
        )
    head = min(head, top + 0.7)
    if rng.random() < 0.6:
        yield "board", box((-x, floor, -z - 0.06), (x, head, -z))
    else:
        yield "board", box((-x, head - 0.1, -z - 0.04), (x, head, -z))
        for s in np.linspace(-x, x, rng.integers(5, 10)):
            yield "board", rod((s, y, -z), (s, head, -z), 0.025)
    if rng.random() < 0.35:
        yield "board", box((-x, floor, z), (x, y + u(0.1, 0.4), z + 0.06))
    is_double = width >= 1.35
    half = x * 0.4 if is_double else min(x * 0.8, 0.42)
    for s in (-x / 2, x / 2) if is_double else (0.0,):  # pillows
        levels = ((0, 0.9), (0.07, 1), (0.14, 0.7))
        yield (
            "pillow",
            loft([ellipse((s, top + h, -z + 0.35), half * k, 0.2 * k) for h, k in levels]),
        )
    if rng.random() < 0.15:  # day bed: one long side has a rail
        yield "board", box((-x, y, -z), (-x + 0.06, top + u(0.2, 0.5), z))
