"""Lamp and monitor; the screen faces +z."""

from collections.abc import Iterator

import numpy as np

from .mesh import Mesh, Named, both_sides, box, disc, loft, move, of_parts, revolve, rod, tube, turn


@of_parts
def lamp(rng: np.random.Generator) -> Iterator[Named]:
    u = rng.uniform
    foot, r = u(0.16, 0.36), u(0.015, 0.035)
    kind = rng.choice(["standing", "body", "arm"], p=[0.45, 0.3, 0.25])
    base = disc((0, 0, 0), foot, foot, u(0.02, 0.08), u(0.5, 1))
    wide, high = u(0.22, 0.5), u(0.2, 0.55)
    narrow = wide * u(0.4, 1.0)
    if kind == "arm":
        yield from _folding_arm(rng, base, r)
        return
    yield "base", base
    if kind == "body":
        tall, belly = u(0.5, 1.0), u(0.14, 0.3)
        outline = [(0.08, 0.03), (belly, tall * 0.35), (belly * 0.8, tall * 0.7), (0.05, tall)]
        yield "pole", revolve([*outline, (0, tall)])
    else:
        tall = u(0.7, 2.4)
        yield "pole", rod((0, 0, 0), (0, tall, 0), r)
        if rng.random() < 0.15:  # bow lamp
            angles, rim = np.linspace(0, 2.6, 10), wide * 0.6
            arc = [(0.35 - 0.35 * np.cos(a), tall + 0.35 * np.sin(a), 0) for a in angles]
            yield "pole", tube(arc, r)
            shade = revolve(
                [(0.03, 0), (rim, -high * 0.6), (rim - 0.02, -high * 0.6), (0.02, -0.02)]
            )
            yield "shade", move(shade, arc[-1])
            return
    yield "pole", rod((0, tall, 0), (0, tall + high * 0.6, 0), r)
    low = tall + high * u(-0.2, 0.2)
    top = low + high
    yield "shade", revolve([(wide, low), (narrow, top), (narrow - 0.015, top), (wide - 0.015, low)])


def _folding_arm(rng: np.random.Generator, base: Mesh, r: float) -> Iterator[Named]:
    """Put two rods with a knee between them, and a conical head, on `base`."""
    u = rng.uniform
    first, second = u(0.5, 0.9), u(0.4, 0.8)
    knee = np.array([-first * u(0, 0.5), first, 0])
    head = knee + np.array([second * u(0.5, 0.9), second * u(0.1, 0.6), 0])
    wide = u(0.14, 0.26)
    shade = revolve([(0.04, 0), (wide, -0.25), (wide - 0.015, -0.25), (0.03, -0.01)])
    shade, angle = move(turn(shade, u(0, 0.8), 2), head), u(-0.5, 0.5)
    yield "base", turn(base, angle)
    for start, end in (((0, 0.02, 0), knee), (knee, head)):
        yield "pole", turn(rod(start, end, r), angle)
    yield "shade", turn(shade, angle)


@of_parts
def monitor(rng: np.random.Generator) -> Iterator[Named]:
    u = rng.uniform
    x, high, thick = 0.5 * u(1.1, 2.1), u(0.65, 1.1), u(0.03, 0.12)
    lift, rim = u(0.06, 0.4), u(0.02, 0.06)
    yield "screen", box((-x, lift, -thick), (x, lift + high, 0))
    yield "frame", both_sides(box((x - rim, lift, 0), (x, lift + high, 0.025)))
    yield "frame", box((-x, lift + high - rim, 0), (x, lift + high, 0.025))
    yield "frame", box((-x, lift, 0), (x, lift + rim, 0.025))
    if rng.random() < 0.2:  # tube monitor: the case narrows to the rear
        deep, k = u(0.4, 0.8), u(0.4, 0.7)
        y = high / 2
        outline = np.array([(-x, -y, 0), (x, -y, 0), (x, y, 0), (-x, y, 0)])
        front, rear = (0, lift + y, -thick), (0, lift + y, -thick - deep)
        yield "case", loft([outline * 0.98 + front, outline * k + rear])
    kind = rng.choice(["plate", "disc", "feet", "bow"])
    middle, half = -thick / 2, x * u(0.25, 0.55)
    if kind == "feet":
        top = (half, lift + 0.05, middle)
        feet = [rod(top, (half + 0.05, 0.01, z), 0.02) for z in (0.22, -0.26)]
        yield "stand", both_sides(np.concatenate(feet))
        return
    if kind == "bow":
        left, right = (
            [(-half, 0.02, 0.25), (-half, 0.02, -0.2)],
            [(half, 0.02, -0.2), (half, 0.02, 0.25)],
        )
        yield "stand", tube([*left, (0, lift + 0.2, middle - 0.05), *right], 0.025)
        return
    if kind == "plate":
        yield "stand", box((-half, 0, -0.22), (half, 0.03, 0.2))
    else:
        yield "stand", disc((0, 0, 0), half, u(0.18, 0.28), 0.03)
    neck = u(0.04, 0.1)
    yield "stand", box((-neck, 0, middle - 0.06), (neck, lift + 0.25, middle - 0.01))
