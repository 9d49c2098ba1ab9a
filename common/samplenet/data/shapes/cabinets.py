"""Case furniture: night_stand, dresser, wardrobe, bookshelf.

Their proportions overlap; the fronts tell them apart.
"""

from collections.abc import Iterator
from itertools import pairwise, product

import numpy as np

from .mesh import Mesh, Named, bar, both_sides, box, four_legs, joined, move, of_parts, rod


@joined
def drawer_fronts(
    rng: np.random.Generator,
    xs: tuple[float, float],
    ys: tuple[float, float],
    z: float,
    rows: int,
    columns: int,
    doors: bool = False,
) -> Iterator[Mesh]:
    """Fill xs by ys on the plane z with raised fronts and their grips, off centre on doors."""
    u = rng.uniform
    size = min(xs[1] - xs[0], ys[1] - ys[0])
    gap, raised = 0.02 + 0.02 * size, u(0.015, 0.05)
    has_knobs, grip, length, stub = rng.random() < 0.5, u(0.025, 0.04), u(0.15, 0.35), u(0.05, 0.08)
    side = rng.choice([-1, 1])
    front = z + raised
    for column, x_edges in enumerate(pairwise(np.linspace(*xs, columns + 1))):
        for y_edges in pairwise(np.linspace(*ys, rows + 1)):
            (x0, x1), (y0, y1) = x_edges, y_edges
            x0, x1, y0, y1 = x0 + gap, x1 - gap, y0 + gap, y1 - gap
            yield box((x0, y0, z), (x1, y1, front))
            x, y = (x0 + x1) / 2, (y0 + y1) / 2
            if doors:  # of two doors side by side, both grips are where they meet
                inward = side if columns == 1 else (-1) ** column
                x = x + inward * 0.4 * (x1 - x0)
            if has_knobs:
                yield rod((x, y, front), (x, y, front + stub), grip)
                continue
            across, up = length * (x1 - x0), grip / 2
            if doors:
                across, up = grip / 2, 0.7 * length * (y1 - y0)
            yield box((x - across, y - up, front), (x + across, y + up, front + 0.05))


@joined
def closed_unit(
    rng: np.random.Generator,
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    rows: int,
    columns: int,
    doors: bool = False,
) -> Iterator[Mesh]:
    """Build a box between two corners, with its front full of drawers or doors."""
    (x0, y0, _), (x1, y1, front) = low, high
    yield box(low, high)
    yield drawer_fronts(rng, (x0, x1), (y0, y1), front, rows, columns, doors)


def _stand(rng: np.random.Generator, x: float, z: float, height: float) -> Mesh:
    """Build four feet, or a plinth, up to `height`."""
    if height < 0.03 or rng.random() < 0.2:
        return box((-x * 0.95, 0, -z * 0.9), (x * 0.95, height, z * 0.9))
    thick = rng.uniform(0.04, 0.09) * 0.7
    return four_legs(
        lambda foot, top: bar(foot, top, thick, thick, 1.4), x - 0.06, z - 0.06, height
    )


def _top(rng: np.random.Generator, x: float, y: float, z: float) -> Mesh:
    """Build a cover plate or cornice on top of a body."""
    over, thick = rng.uniform(0, 0.06), rng.uniform(0.02, 0.06)
    return box((-x - over, y, -z), (x + over, y + thick, z + over))


@joined
def _open_case(x: float, y0: float, y1: float, z: float, t: float, back: bool) -> Iterator[Mesh]:
    """Build two sides, floor, ceiling, and a rear wall if `back`."""
    yield both_sides(box((x - t, y0, -z), (x, y1, z)))
    yield box((-x, y0, -z), (x, y0 + t, z))
    yield box((-x, y1 - t, -z), (x, y1, z))
    if back:
        yield box((-x, y0, -z), (x, y1, -z + 0.02))


@of_parts
def night_stand(rng: np.random.Generator) -> Iterator[Named]:
    u = rng.uniform
    x, z, body, foot = 0.5 * u(0.85, 1.35), 0.5 * u(0.6, 1.0), u(0.65, 1.2), u(0, 0.45)
    top = foot + body
    yield "foot", _stand(rng, x, z, foot)
    yield "top", _top(rng, x, top, z)
    kind = rng.choice(["drawers", "niche", "door"], p=[0.45, 0.4, 0.15])
    if kind == "drawers":
        rows = rng.choice([1, 2, 3], p=[0.25, 0.65, 0.1])
        yield "drawer", closed_unit(rng, (-x, foot, -z), (x, top, z), rows, 1)
    elif kind == "niche":  # a drawer above or below an open compartment
        split, above = foot + body * u(0.35, 0.7), rng.random() < 0.75
        low, high = (split, top) if above else (foot, split)
        yield "body", _open_case(x, foot, top, z, 0.035, rng.random() < 0.7)
        yield "drawer", closed_unit(rng, (-x, low, -z), (x, high, z), 1, 1)
    else:
        split = top - body * u(0.25, 0.35)
        yield "body", box((-x, foot, -z), (x, top, z))
        yield "drawer", drawer_fronts(rng, (-x, x), (split, top), z, 1, 1)
        yield "drawer", drawer_fronts(rng, (-x, x), (foot, split), z, 1, 1, doors=True)
    if rng.random() < 0.12:
        yield "body", box((-x, top, -z), (x, top + u(0.08, 0.2), -z + 0.03))


@of_parts
def dresser(rng: np.random.Generator) -> Iterator[Named]:
    u = rng.uniform
    x, z, foot = 0.5 * u(0.85, 2.0), 0.5 * u(0.45, 0.85), u(0, 0.3)
    body = u(0.75, 1.5)
    top = foot + body
    yield "foot", _stand(rng, x, z, foot)
    yield "top", _top(rng, x, top, z)
    yield "body", box((-x, foot, -z), (x, top, z))
    columns = 1 if x < 0.55 else int(rng.choice([1, 2, 3], p=[0.25, 0.5, 0.25]))
    rows = rng.integers(3, 6) if columns < 3 else rng.integers(2, 4)
    split = top
    if rng.random() < 0.3:  # a row of small drawers over the wide ones
        split = top - body / (rows + 1)
    yield "drawer", drawer_fronts(rng, (-x, x), (foot, split), z, rows, columns)
    if split < top:
        yield "drawer", drawer_fronts(rng, (-x, x), (split, top), z, 1, columns + 1)
    if rng.random() < 0.12:  # mirror
        half, high = x * u(0.4, 0.9), u(0.4, 0.8)
        yield "mirror", box((-half, top, -z), (half, top + high, -z + 0.04))


@of_parts
def wardrobe(rng: np.random.Generator) -> Iterator[Named]:
    u = rng.uniform
    height, x, z, foot = 2.0, 0.5 * u(0.75, 2.0), 0.5 * u(0.45, 0.85), u(0, 0.2)
    yield "foot", _stand(rng, x, z, foot)
    yield "top", _top(rng, x, height, z)
    doors = rng.integers(1, 3) if x < 0.55 else rng.integers(2, 5)
    right = x
    if rng.random() < 0.2:  # an open column of shelves beside the doors
        right, t = x - 2 * x * u(0.25, 0.4), 0.03
        column = _open_case((x - right) / 2, foot, height, z, t, True)
        yield "body", move(column, ((right + x) / 2, 0, 0))
        for y in np.linspace(foot, height, rng.integers(4, 7))[1:-1]:
            yield "shelf", box((right, y, -z), (x, y + t, z - 0.02))
    yield "body", box((-x, foot, -z), (right, height, z))
    low = foot
    if rng.random() < 0.4:  # drawers under the doors
        low, rows, columns = foot + u(0.2, 0.5), rng.integers(1, 3), rng.integers(1, 3)
        yield "drawer", drawer_fronts(rng, (-x, right), (foot, low), z, rows, columns)
    yield "door", drawer_fronts(rng, (-x, right), (low, height), z, 1, doors, doors=True)


@of_parts
def bookshelf(rng: np.random.Generator) -> Iterator[Named]:
    u = rng.uniform
    height, x, z, foot, t = 2.0, 0.5 * u(0.65, 2.0), 0.5 * u(0.35, 0.75), u(0, 0.2), u(0.025, 0.05)
    yield "foot", _stand(rng, x, z, foot)
    yield "body", _open_case(x, foot, height, z, t, rng.random() < 0.65)
    low = foot
    if rng.random() < 0.4:  # closed lower part
        low = foot + u(0.3, 1.1)
        yield (
            "door",
            closed_unit(rng, (-x, foot, -z), (x, low, z), 1, rng.integers(1, 4), doors=True),
        )
    levels = np.linspace(low, height, max(2, round((height - low) / u(0.25, 0.5))) + 1)
    depth = z - u(0, 0.06)
    yield from (("shelf", box((-x, y, -z), (x, y + t, depth))) for y in levels[1:-1])
    columns = rng.integers(1, 3) if x < 0.6 else rng.integers(1, 4)
    edges = np.linspace(-x, x, columns + 1)
    walls = (box((a - t / 2, low, -z), (a + t / 2, height, depth)) for a in edges[1:-1])
    yield from (("body", wall) for wall in walls)
    if rng.random() < 0.45:  # rows of books in some compartments
        for (y0, y1), (a, b) in product(pairwise(levels), pairwise(edges)):
            if rng.random() < 0.45:
                end = a + (b - a) * u(0.2, 1)
                upper, spine = y0 + (y1 - y0) * u(0.6, 0.9), depth - u(0.02, 0.15)
                yield "book", box((a + t, y0 + t, -z + 0.03), (end - t, upper, spine))
