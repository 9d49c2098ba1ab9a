"""Table, desk and tv_stand: a top at some height, told apart by what is below or above it."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from .cabinets import closed_unit
from .mesh import Mesh, Named, bar, both_sides, box, disc, four_legs, joined, move, of_parts, rod


@joined
def _legs(rng: np.random.Generator, x: float, z: float, height: float) -> Iterator[Mesh]:
    """Build legs near (+-x, +-z): square, tapered, round or joined in two frames."""
    u = rng.uniform
    thick, inset, slim = u(0.04, 0.1), u(0.03, 0.12), u(0.5, 1)
    x, z = x - inset, z - inset
    kind, splay = rng.choice(["square", "round", "frames"], p=[0.5, 0.3, 0.2]), u(0, 0.08)
    if kind == "round":
        yield four_legs(lambda foot, top: rod(foot, top, thick / 3, thick / 2), x, z, height, splay)
        return
    yield four_legs(lambda foot, top: bar(foot, top, thick * slim, thick, 1.2), x, z, height)
    if kind == "frames":
        yield both_sides(box((x - thick / 2, 0, -z), (x + thick / 2, thick, z)))


@joined
def _apron(rng: np.random.Generator, x: float, z: float, top: float) -> Iterator[Mesh]:
    """Build rails under the edge of a top."""
    low, t = top - rng.uniform(0.05, 0.12), 0.025
    x, z = x - 0.08, z - 0.08
    yield both_sides(box((x - t, low, -z), (x, top, z)))
    yield box((-x, low, z - t), (x, top, z))
    yield box((-x, low, -z), (x, top, -z + t))


@of_parts
def table(rng: np.random.Generator) -> Iterator[Named]:
    u = rng.uniform
    x, z, height, thick = 0.5 * u(0.9, 2.2), 0.5 * u(0.75, 1.1), u(0.35, 0.95), u(0.025, 0.08)
    kind = rng.choice(["legs", "pedestal", "trestle", "slabs"], p=[0.62, 0.14, 0.14, 0.1])
    is_round = rng.random() < (0.8 if kind == "pedestal" else 0.12)
    reach = 1.0
    if is_round:
        reach = 0.7  # of the legs, so that they are below the top
        yield "top", disc((0, height, 0), x, z, thick)
    else:
        yield "top", box((-x, height, -z), (x, height + thick, z))
    if kind == "legs":
        yield "leg", _legs(rng, x * reach, z * reach, height)
        if rng.random() < 0.45:
            yield "apron", _apron(rng, x * reach, z * reach, height)
        if rng.random() < 0.2:
            y, wide, deep = height * u(0.15, 0.4), 0.85 * reach * x, 0.85 * reach * z
            yield "shelf", box((-wide, y, -deep), (wide, y + 0.03, deep))
    elif kind == "pedestal":
        foot = min(x, z) * u(0.5, 0.9)
        yield "leg", rod((0, 0, 0), (0, height, 0), u(0.04, 0.1), u(0.04, 0.1))
        yield "leg", disc((0, 0, 0), foot, foot, 0.07, u(0.3, 0.9))
    elif kind == "trestle":
        out, spread = x * u(0.6, 0.85), z * 0.8
        for z_foot in (-spread, spread):
            yield "leg", both_sides(bar((out, 0, z_foot), (out, height, 0), 0.07, 0.07))
        yield "leg", rod((-out, height * 0.5, 0), (out, height * 0.5, 0), 0.03)
    else:
        out = x * u(0.75, 1)
        yield "leg", both_sides(box((out - 0.06, 0, -z * 0.95), (out, height, z * 0.95)))


@of_parts
def desk(rng: np.random.Generator) -> Iterator[Named]:
    u = rng.uniform
    x, z, height, thick = 0.5 * u(1.1, 2.2), 0.5 * u(0.75, 1.1), u(0.5, 0.95), u(0.025, 0.08)
    yield "top", box((-x, height, -z), (x, height + thick, z))
    kinds = ["double", "single", "slim", "tray", "panel"]
    kind = rng.choice(kinds, p=[0.14, 0.22, 0.32, 0.16, 0.16])
    width, front = min(u(0.22, 0.42), 0.75 * x), z - 0.05
    if kind in ("double", "single"):
        low = (x - width, u(0, 0.08), -front)
        unit = closed_unit(rng, low, (x, height, front), rng.integers(2, 5), 1)
        yield "drawer", unit
        if kind == "double":
            yield "drawer", move(unit, (width - 2 * x, 0, 0))
        elif rng.random() < 0.5:
            yield "leg", box((-x, 0, -front), (-x + 0.04, height, front))
        else:
            for s in (-front + 0.05, front - 0.05):
                yield "leg", bar((-x + 0.06, 0, s), (-x + 0.06, height, s), 0.06, 0.06)
    else:
        yield "leg", _legs(rng, x, z, height)
        y, rear = height - u(0.1, 0.2), -front * 0.8
        if kind == "slim":  # a shallow drawer, on the right; half of all shapes are mirrored later
            right = x - 0.1
            yield "drawer", closed_unit(rng, (right - width, y, rear), (right, height, front), 1, 1)
        elif kind == "tray":  # drawers over the whole width
            inner, columns = x - 0.12, rng.integers(1, 4)
            yield "drawer", closed_unit(rng, (-inner, y, rear), (inner, height, front), 1, columns)
    if kind == "panel" or rng.random() < 0.25:  # modesty panel between the rear legs
        yield (
            "panel",
            box((-x + 0.08, height * u(0.2, 0.6), -z + 0.06), (x - 0.08, height, -z + 0.09)),
        )
    if kind == "panel" or rng.random() < 0.2:  # privacy board or small hutch above the rear edge
        high, y = u(0.1, 0.4), height + thick
        yield "panel", box((-x, y, -z), (x, y + high, -z + 0.03))
        if rng.random() < 0.4:
            yield "panel", both_sides(box((x - 0.03, y, -z), (x, y + high, -z + 0.25)))
            yield "panel", box((-x, y + high, -z), (x, y + high + 0.03, -z + 0.25))


@of_parts
def tv_stand(rng: np.random.Generator) -> Iterator[Named]:
    u = rng.uniform
    x, z, t = 0.5 * u(1.3, 2.8), 0.5 * u(0.55, 1.0), u(0.025, 0.06)
    y, height = u(0.02, 0.25), u(0.35, 0.8)
    top = y + height
    yield "body", box((-x, top - t, -z), (x, top, z))
    yield "body", box((-x, y, -z), (x, y + t, z))
    is_rack = rng.random() < 0.25  # open, between posts that run from the floor to the top
    post = bar((x - 0.06, 0, 0), (x - 0.06, top if is_rack else y, 0), 0.06, 0.06)
    yield from (("leg", both_sides(move(post, (0, 0, end)))) for end in (0.06 - z, z - 0.06))
    if not is_rack:
        yield "body", both_sides(box((x - t, y, -z), (x, top, z)))
        if rng.random() < 0.7:
            yield "body", box((-x, y, -z), (x, top, -z + 0.02))
    columns = rng.integers(1, 4)
    for a, b in pairwise(np.linspace(-x, x, columns + 1)):
        if columns > 1 and rng.random() < 0.35:
            low, high = (a + t, y + t, -z), (b, top - t, z - 0.03)
            yield "drawer", closed_unit(rng, low, high, rng.integers(1, 3), 1)
        elif rng.random() < 0.6:
            shelf = y + height * u(0.35, 0.7)
            yield "shelf", box((a, shelf, -z), (b, shelf + t, z - u(0, 0.1)))
        if b < x - 1e-6:  # a wall between two columns
            yield "body", box((b - t / 2, y, -z), (b + t / 2, top, z - 0.01))
