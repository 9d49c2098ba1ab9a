"""Case furniture: night_stand, dresser, wardrobe, bookshelf. Bodies overlap; fronts tell them apart."""

from itertools import pairwise

import numpy as np

from .mesh import Mesh, at_corners, bar, both_sides, box, join, move, rod


def drawer_fronts(
    rng: np.random.Generator,
    xs: tuple[float, float],
    ys: tuple[float, float],
    z: float,
    rows: int,
    columns: int,
    doors: bool = False,
) -> Mesh:
    """Grid of raised fronts with grips on the plane z, filling xs by ys; grips of doors sit off centre."""
    u = rng.uniform
    size = min(xs[1] - xs[0], ys[1] - ys[0])
    gap, raised = 0.02 + 0.02 * size, u(0.015, 0.05)
    knob, grip, length, stub = rng.random() < 0.5, u(0.025, 0.04), u(0.15, 0.35), u(0.05, 0.08)
    side = rng.choice([-1, 1])
    x_edges, y_edges = np.linspace(*xs, columns + 1), np.linspace(*ys, rows + 1)
    parts = []
    for column in range(columns):
        for row in range(rows):
            x0, x1 = x_edges[column] + gap, x_edges[column + 1] - gap
            y0, y1 = y_edges[row] + gap, y_edges[row + 1] - gap
            parts.append(box((x0, y0, z), (x1, y1, z + raised)))
            x, y, front = (x0 + x1) / 2, (y0 + y1) / 2, z + raised
            if doors:
                inward = side if columns == 1 else (1 if column % 2 == 0 else -1)
                x = x + inward * 0.4 * (x1 - x0)
            if knob:
                parts.append(rod((x, y, front), (x, y, front + stub), grip))
            elif doors:
                reach = 0.7 * length * (y1 - y0)
                parts.append(
                    box((x - grip / 2, y - reach, front), (x + grip / 2, y + reach, front + 0.05))
                )
            else:
                reach = length * (x1 - x0)
                parts.append(
                    box((x - reach, y - grip / 2, front), (x + reach, y + grip / 2, front + 0.05))
                )
    return join(*parts)


def _stand(rng: np.random.Generator, x: float, z: float, height: float) -> list[Mesh]:
    """Make four feet, or a plinth, up to `height`."""
    if height < 0.03 or rng.random() < 0.2:
        return [box((-x * 0.95, 0, -z * 0.9), (x * 0.95, height, z * 0.9))]
    thick, x, z = rng.uniform(0.04, 0.09), x - 0.06, z - 0.06
    return at_corners(
        lambda sx, sz: bar(
            (sx * x, 0, sz * z), (sx * x, height, sz * z), thick * 0.7, thick * 0.7, 1.4
        )
    )


def _top(rng: np.random.Generator, x: float, y: float, z: float) -> Mesh:
    """Cover plate or cornice."""
    over, thick = rng.uniform(0, 0.06), rng.uniform(0.02, 0.06)
    return box((-x - over, y, -z), (x + over, y + thick, z + over))


def _open_case(x: float, y0: float, y1: float, z: float, t: float, back: bool) -> list[Mesh]:
    """Two sides, floor, ceiling, perhaps a rear wall."""
    parts = [
        both_sides(box((x - t, y0, -z), (x, y1, z))),
        box((-x, y0, -z), (x, y0 + t, z)),
        box((-x, y1 - t, -z), (x, y1, z)),
    ]
    return [*parts, box((-x, y0, -z), (x, y1, -z + 0.02))] if back else parts


def night_stand(rng: np.random.Generator) -> Mesh:
    u = rng.uniform
    x, z, body, foot = 0.5 * u(0.85, 1.35), 0.5 * u(0.6, 1.0), u(0.65, 1.2), u(0, 0.45)
    top, t = foot + body, 0.035
    parts = [*_stand(rng, x, z, foot), _top(rng, x, top, z)]
    kind = rng.choice(["drawers", "niche", "door"], p=[0.45, 0.4, 0.15])
    if kind == "drawers":
        parts += [
            box((-x, foot, -z), (x, top, z)),
            drawer_fronts(
                rng, (-x, x), (foot, top), z, rng.choice([1, 2, 3], p=[0.25, 0.65, 0.1]), 1
            ),
        ]
    elif kind == "niche":  # a drawer above or below an open compartment
        split, above = foot + body * u(0.35, 0.7), rng.random() < 0.75
        low, high = (split, top) if above else (foot, split)
        parts += _open_case(x, foot, top, z, t, rng.random() < 0.7)
        parts += [
            box((-x, low, -z), (x, high, z)),
            drawer_fronts(rng, (-x, x), (low, high), z, 1, 1),
        ]
    else:
        split = top - body * u(0.25, 0.35)
        parts += [
            box((-x, foot, -z), (x, top, z)),
            drawer_fronts(rng, (-x, x), (split, top), z, 1, 1),
            drawer_fronts(rng, (-x, x), (foot, split), z, 1, 1, doors=True),
        ]
    if rng.random() < 0.12:
        parts.append(box((-x, top, -z), (x, top + u(0.08, 0.2), -z + 0.03)))
    return join(*parts)


def dresser(rng: np.random.Generator) -> Mesh:
    u = rng.uniform
    x, z, foot = 0.5 * u(0.85, 2.0), 0.5 * u(0.45, 0.85), u(0, 0.3)
    body = u(0.75, 1.5)
    top = foot + body
    parts = [*_stand(rng, x, z, foot), _top(rng, x, top, z), box((-x, foot, -z), (x, top, z))]
    columns = 1 if x < 0.55 else int(rng.choice([1, 2, 3], p=[0.25, 0.5, 0.25]))
    rows = int(rng.integers(3, 6)) if columns < 3 else int(rng.integers(2, 4))
    if rng.random() < 0.3:  # a row of small drawers over the wide ones
        split = top - body / (rows + 1)
        parts += [
            drawer_fronts(rng, (-x, x), (foot, split), z, rows, columns),
            drawer_fronts(rng, (-x, x), (split, top), z, 1, columns + 1),
        ]
    else:
        parts.append(drawer_fronts(rng, (-x, x), (foot, top), z, rows, columns))
    if rng.random() < 0.12:  # mirror
        half, high = x * u(0.4, 0.9), u(0.4, 0.8)
        parts.append(box((-half, top, -z), (half, top + high, -z + 0.04)))
    return join(*parts)


def wardrobe(rng: np.random.Generator) -> Mesh:
    u = rng.uniform
    height, x, z, foot = 2.0, 0.5 * u(0.75, 2.0), 0.5 * u(0.45, 0.85), u(0, 0.2)
    parts = [*_stand(rng, x, z, foot), _top(rng, x, height, z)]
    doors = int(rng.integers(1, 3)) if x < 0.55 else int(rng.integers(2, 5))
    right = x
    if rng.random() < 0.2:  # an open column of shelves beside the doors
        right, t = x - 2 * x * u(0.25, 0.4), 0.03
        middle = (right + x) / 2
        column = join(*_open_case((x - right) / 2, foot, height, z, t, True))
        parts.append(move(column, (middle, 0, 0)))
        parts += [
            box((right, y, -z), (x, y + t, z - 0.02))
            for y in np.linspace(foot, height, rng.integers(4, 7))[1:-1]
        ]
    parts.append(box((-x, foot, -z), (right, height, z)))
    low = foot
    if rng.random() < 0.4:
        low = foot + u(0.2, 0.5)
        parts.append(
            drawer_fronts(rng, (-x, right), (foot, low), z, rng.integers(1, 3), rng.integers(1, 3))
        )
    parts.append(drawer_fronts(rng, (-x, right), (low, height), z, 1, doors, doors=True))
    return join(*parts)


def bookshelf(rng: np.random.Generator) -> Mesh:
    u = rng.uniform
    height, x, z, foot, t = 2.0, 0.5 * u(0.65, 2.0), 0.5 * u(0.35, 0.75), u(0, 0.2), u(0.025, 0.05)
    parts = [*_stand(rng, x, z, foot), *_open_case(x, foot, height, z, t, rng.random() < 0.65)]
    low = foot
    if rng.random() < 0.4:  # closed lower part
        low = foot + u(0.3, 1.1)
        parts += [
            box((-x, foot, -z), (x, low, z)),
            drawer_fronts(rng, (-x, x), (foot, low), z, 1, rng.integers(1, 4), doors=True),
        ]
    levels = np.linspace(low, height, max(2, round((height - low) / u(0.25, 0.5))) + 1)
    depth = z - u(0, 0.06)
    parts += [box((-x, y, -z), (x, y + t, depth)) for y in levels[1:-1]]
    columns = int(rng.integers(1, 3)) if x < 0.6 else int(rng.integers(1, 4))
    edges = np.linspace(-x, x, columns + 1)
    parts += [box((a - t / 2, low, -z), (a + t / 2, height, depth)) for a in edges[1:-1]]
    if rng.random() < 0.45:  # rows of books, here and there
        for y0, y1 in pairwise(levels):
            for a, b in pairwise(edges):
                if rng.random() < 0.45:
                    end = a + (b - a) * u(0.2, 1)
                    upper, spine = y0 + (y1 - y0) * u(0.6, 0.9), depth - u(0.02, 0.15)
                    parts.append(box((a + t, y0 + t, -z + 0.03), (end - t, upper, spine)))
    return join(*parts)
