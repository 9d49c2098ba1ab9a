"""Table, desk and tv_stand: a top at some height, told apart by what hangs below or stands above."""

from itertools import pairwise

import numpy as np

from .cabinets import drawer_fronts
from .mesh import Mesh, bar, both_sides, box, disc, join, move, rod


def _four_legs(rng: np.random.Generator, x: float, z: float, height: float) -> list[Mesh]:
    """Legs at (+-x, +-z): square, tapered, round or joined in two frames."""
    u = rng.uniform
    thick, inset, slim = u(0.04, 0.1), u(0.03, 0.12), u(0.5, 1)
    x, z = x - inset, z - inset
    kind, splay = rng.choice(["square", "round", "frames"], p=[0.5, 0.3, 0.2]), u(0, 0.08)
    corners = [(sx, sz) for sx in (-1, 1) for sz in (-1, 1)]
    if kind == "round":
        return [
            rod(
                (sx * (x + splay), 0, sz * (z + splay)),
                (sx * x, height, sz * z),
                thick / 3,
                thick / 2,
            )
            for sx, sz in corners
        ]
    legs = [
        bar((sx * x, 0, sz * z), (sx * x, height, sz * z), thick * slim, thick, 1.2)
        for sx, sz in corners
    ]
    if kind == "frames":
        legs.append(both_sides(box((x - thick / 2, 0, -z), (x + thick / 2, thick, z))))
    return legs


def _apron(rng: np.random.Generator, x: float, z: float, top: float) -> list[Mesh]:
    """Rails under the edge of the top."""
    drop, t = rng.uniform(0.05, 0.12), 0.025
    x, z = x - 0.08, z - 0.08
    sides = both_sides(box((x - t, top - drop, -z), (x, top, z)))
    return [
        sides,
        box((-x, top - drop, z - t), (x, top, z)),
        box((-x, top - drop, -z), (x, top, -z + t)),
    ]


def table(rng: np.random.Generator) -> Mesh:
    u = rng.uniform
    x, z, height, thick = 0.5 * u(0.9, 2.2), 0.5 * u(0.75, 1.1), u(0.35, 0.95), u(0.025, 0.08)
    kind = rng.choice(["legs", "pedestal", "trestle", "slabs"], p=[0.62, 0.14, 0.14, 0.1])
    is_round = rng.random() < (0.8 if kind == "pedestal" else 0.12)
    top = (
        disc((0, height, 0), x, z, thick)
        if is_round
        else box((-x, height, -z), (x, height + thick, z))
    )
    parts = [top]
    if kind == "legs":
        reach = 0.7 if is_round else 1.0
        parts += _four_legs(rng, x * reach, z * reach, height)
        if rng.random() < 0.45:
            parts += _apron(rng, x * reach, z * reach, height)
        if rng.random() < 0.2:
            y, wide, deep = height * u(0.15, 0.4), 0.85 * reach * x, 0.85 * reach * z
            parts.append(box((-wide, y, -deep), (wide, y + 0.03, deep)))
    elif kind == "pedestal":
        foot = min(x, z) * u(0.5, 0.9)
        parts += [
            rod((0, 0, 0), (0, height, 0), u(0.04, 0.1), u(0.04, 0.1)),
            disc((0, 0, 0), foot, foot, 0.07, u(0.3, 0.9)),
        ]
    elif kind == "trestle":
        out, spread = x * u(0.6, 0.85), z * 0.8
        for z_foot in (-spread, spread):
            parts.append(both_sides(bar((out, 0, z_foot), (out, height, 0), 0.07, 0.07)))
        parts.append(rod((-out, height * 0.5, 0), (out, height * 0.5, 0), 0.03))
    else:
        out = x * u(0.75, 1)
        parts.append(both_sides(box((out - 0.06, 0, -z * 0.95), (out, height, z * 0.95))))
    return join(*parts)


def desk(rng: np.random.Generator) -> Mesh:
    u = rng.uniform
    x, z, height, thick = 0.5 * u(1.1, 2.2), 0.5 * u(0.75, 1.1), u(0.5, 0.95), u(0.025, 0.08)
    parts = [box((-x, height, -z), (x, height + thick, z))]
    kind = rng.choice(
        ["double", "single", "slim", "tray", "panel"], p=[0.14, 0.22, 0.32, 0.16, 0.16]
    )
    width, front = min(u(0.22, 0.42), 0.75 * x), z - 0.05
    if kind in ("double", "single"):
        foot = u(0, 0.08)
        unit = join(
            box((x - width, foot, -front), (x, height, front)),
            drawer_fronts(rng, (x - width, x), (foot, height), front, rng.integers(2, 5), 1),
        )
        parts.append(unit)
        if kind == "double":
            parts.append(move(unit, (width - 2 * x, 0, 0)))
        elif rng.random() < 0.5:
            parts.append(box((-x, 0, -front), (-x + 0.04, height, front)))
        else:
            parts += [
                bar((-x + 0.06, 0, s), (-x + 0.06, height, s), 0.06, 0.06)
                for s in (-front + 0.05, front - 0.05)
            ]
    else:
        parts += _four_legs(rng, x, z, height)
        drop = u(0.1, 0.2)
        if (
            kind == "slim"
        ):  # one shallow drawer unit under the top; the caller mirrors, so left or right
            parts += [
                box((x - 0.1 - width, height - drop, -front * 0.8), (x - 0.1, height, front)),
                drawer_fronts(
                    rng, (x - 0.1 - width, x - 0.1), (height - drop, height), front, 1, 1
                ),
            ]
        elif kind == "tray":  # drawers over the whole width
            inner = x - 0.12
            parts += [
                box((-inner, height - drop, -front * 0.8), (inner, height, front)),
                drawer_fronts(
                    rng, (-inner, inner), (height - drop, height), front, 1, rng.integers(1, 4)
                ),
            ]
    if kind == "panel" or rng.random() < 0.25:  # modesty panel between the rear legs
        parts.append(
            box((-x + 0.08, height * u(0.2, 0.6), -z + 0.06), (x - 0.08, height, -z + 0.09))
        )
    if kind == "panel" or rng.random() < 0.2:  # privacy board or small hutch above the rear edge
        high, y = u(0.1, 0.4), height + thick
        parts.append(box((-x, y, -z), (x, y + high, -z + 0.03)))
        if rng.random() < 0.4:
            parts += [
                both_sides(box((x - 0.03, y, -z), (x, y + high, -z + 0.25))),
                box((-x, y + high, -z), (x, y + high + 0.03, -z + 0.25)),
            ]
    return join(*parts)


def tv_stand(rng: np.random.Generator) -> Mesh:
    u = rng.uniform
    x, z, t = 0.5 * u(1.3, 2.8), 0.5 * u(0.55, 1.0), u(0.025, 0.06)
    foot, height = u(0.02, 0.25), u(0.35, 0.8)
    y, top = foot, foot + height
    parts = [box((-x, top - t, -z), (x, top, z)), box((-x, y, -z), (x, y + t, z))]
    is_rack = rng.random() < 0.25  # open, between posts that run from the floor to the top
    post = bar((x - 0.06, 0, 0), (x - 0.06, top if is_rack else y, 0), 0.06, 0.06)
    parts += [both_sides(move(post, (0, 0, end))) for end in (0.06 - z, z - 0.06)]
    if not is_rack:
        parts.append(both_sides(box((x - t, y, -z), (x, top, z))))
        if rng.random() < 0.7:
            parts.append(box((-x, y, -z), (x, top, -z + 0.02)))
    columns = rng.integers(1, 4)
    edges = np.linspace(-x, x, columns + 1)
    for a, b in pairwise(edges):
        closed = columns > 1 and rng.random() < 0.35
        if closed:
            parts += [
                box((a + t, y + t, -z), (b, top - t, z - 0.03)),
                drawer_fronts(rng, (a + t, b), (y + t, top - t), z - 0.03, rng.integers(1, 3), 1),
            ]
        elif rng.random() < 0.6:
            shelf = y + height * u(0.35, 0.7)
            parts.append(box((a, shelf, -z), (b, shelf + t, z - u(0, 0.1))))
        if b < x - 1e-6:
            parts.append(box((b - t / 2, y, -z), (b + t / 2, top, z - 0.01)))
    return join(*parts)
