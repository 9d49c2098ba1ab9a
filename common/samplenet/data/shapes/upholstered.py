"""Soft furniture on a broad base: sofa and bed. Front is +z; backrest and headboard are at -z."""

from itertools import pairwise

import numpy as np

from .mesh import Mesh, at_corners, bar, both_sides, box, ellipse, join, loft, panel, rod


def sofa(rng: np.random.Generator) -> Mesh:
    u = rng.uniform
    width, depth, floor, seat = u(1.5, 3.3), u(0.9, 1.2), u(0.05, 0.25), u(0.2, 0.4)
    x, z, y = width / 2, depth / 2, floor + seat
    parts = [box((-x, floor, -z), (x, y, z))]
    out, front = x - 0.1, z - 0.1
    parts += at_corners(
        lambda sx, sz: rod((sx * out, 0, sz * front), (sx * out, floor, sz * front), 0.04)
    )
    arm, back = u(0.1, 0.28), u(0.15, 0.3)
    has_arms = rng.random() < 0.8
    inner = x - arm if has_arms else x
    if has_arms:
        high = y + u(0.2, 0.5)
        parts.append(both_sides(box((inner, floor, -z), (x, high, z - u(0, 0.2)))))
        if rng.random() < 0.4:  # rolled arm
            parts.append(
                both_sides(rod((x - arm / 2, high, -z), (x - arm / 2, high, z - 0.2), arm * 0.6))
            )
    tall, lean = u(0.4, 0.8), u(0, 0.15)
    rear = [
        (-inner, y, -z),
        (inner, y, -z),
        (inner, y + tall, -z - lean),
        (-inner, y + tall, -z - lean),
    ]
    parts.append(panel(rear, (0, 0, back)))
    edges, cushion = np.linspace(-inner, inner, rng.integers(1, 4) + 1), u(0.08, 0.22)
    for a, b in pairwise(edges):
        parts.append(box((a + 0.02, y, -z + back), (b - 0.02, y + cushion, z + 0.03)))
        if tall > 0.55:
            parts.append(
                box(
                    (a + 0.04, y + cushion, -z + back), (b - 0.04, y + tall * 0.9, -z + back + 0.12)
                )
            )
    if rng.random() < 0.15:  # chaise on one side
        parts.append(box((0.3 * x, floor, z), (x, y + cushion, z + u(0.4, 0.9))))
    return join(*parts)


def bed(rng: np.random.Generator) -> Mesh:
    u = rng.uniform
    width, length, floor = u(1.0, 2.1), 2.0, u(0.1, 0.35)
    x, z, side, mattress = width / 2, length / 2, u(0.1, 0.25), u(0.12, 0.3)
    y, post = floor + side, u(0.04, 0.08)
    top = y + mattress
    parts = [
        box((-x, floor, -z), (x, y, z)),
        box((-x + 0.03, y, -z + 0.03), (x - 0.03, top, z - 0.03)),
    ]
    head, foot = top + u(0.15, 0.7), y + u(0, 0.35)
    if rng.random() < 0.12:
        head = foot = top + u(0.8, 1.2)  # four-poster
    for high, end in ((head, -z), (foot, z)):
        parts.append(both_sides(bar((x - post, 0, end), (x - post, high, end), 2 * post, 2 * post)))
    head = min(head, top + 0.7)
    if rng.random() < 0.6:
        parts.append(box((-x, floor, -z - 0.06), (x, head, -z)))
    else:
        parts.append(box((-x, head - 0.1, -z - 0.04), (x, head, -z)))
        parts += [
            rod((s, y, -z), (s, head, -z), 0.025) for s in np.linspace(-x, x, rng.integers(5, 10))
        ]
    if rng.random() < 0.35:
        parts.append(box((-x, floor, z), (x, y + u(0.1, 0.4), z + 0.06)))
    for s in [0.0] if width < 1.35 else [-x / 2, x / 2]:
        half = min(x * 0.8, 0.42) if width < 1.35 else x * 0.4
        levels = ((0, 0.9), (0.07, 1), (0.14, 0.7))
        parts.append(loft([ellipse((s, top + h, -z + 0.35), half * k, 0.2 * k) for h, k in levels]))
    if rng.random() < 0.15:  # day bed: one long side has a rail
        parts.append(box((-x, y, -z), (-x + 0.06, top + u(0.2, 0.5), z)))
    return join(*parts)
