"""Lamp and monitor; the screen looks to +z."""

import numpy as np

from .mesh import Mesh, both_sides, box, disc, join, loft, move, revolve, rod, tube, turn


def lamp(rng: np.random.Generator) -> Mesh:
    u = rng.uniform
    foot, r = u(0.16, 0.36), u(0.015, 0.035)
    kind = rng.choice(["standing", "body", "arm"], p=[0.45, 0.3, 0.25])
    parts = [disc((0, 0, 0), foot, foot, u(0.02, 0.08), u(0.5, 1))]
    wide, high = u(0.22, 0.5), u(0.2, 0.55)
    narrow = wide * u(0.4, 1.0)
    if kind == "arm":  # folding arm with a conical head
        first, second = u(0.5, 0.9), u(0.4, 0.8)
        knee = np.array([-first * u(0, 0.5), first, 0])
        head = knee + np.array([second * u(0.5, 0.9), second * u(0.1, 0.6), 0])
        wide = u(0.14, 0.26)
        shade = revolve([(0.04, 0), (wide, -0.25), (wide - 0.015, -0.25), (0.03, -0.01)])
        mesh = join(
            *parts,
            rod((0, 0.02, 0), knee, r),
            rod(knee, head, r),
            move(turn(shade, u(0, 0.8), 2), head),
        )
        return turn(mesh, u(-0.5, 0.5))
    if kind == "body":
        tall, belly = u(0.5, 1.0), u(0.14, 0.3)
        parts.append(
            revolve(
                [
                    (0.08, 0.03),
                    (belly, tall * 0.35),
                    (belly * 0.8, tall * 0.7),
                    (0.05, tall),
                    (0, tall),
                ]
            )
        )
    else:
        tall = u(0.7, 2.4)
        parts.append(rod((0, 0, 0), (0, tall, 0), r))
        if rng.random() < 0.15:  # bow lamp
            arc = [
                (0.35 - 0.35 * np.cos(a), tall + 0.35 * np.sin(a), 0)
                for a in np.linspace(0, 2.6, 10)
            ]
            parts.append(tube(arc, r))
            shade = revolve(
                [
                    (0.03, 0),
                    (wide * 0.6, -high * 0.6),
                    (wide * 0.6 - 0.02, -high * 0.6),
                    (0.02, -0.02),
                ]
            )
            return join(*parts, move(shade, arc[-1]))
    parts.append(rod((0, tall, 0), (0, tall + high * 0.6, 0), r))
    start = tall + high * u(-0.2, 0.2)
    profile = [
        (wide, start),
        (narrow, start + high),
        (narrow - 0.015, start + high),
        (wide - 0.015, start),
    ]
    return join(*parts, revolve(profile))


def monitor(rng: np.random.Generator) -> Mesh:
    u = rng.uniform
    x, high, thick = 0.5 * u(1.1, 2.1), u(0.65, 1.1), u(0.03, 0.12)
    lift = u(0.06, 0.4)
    rim = u(0.02, 0.06)
    screen = [
        box((-x, lift, -thick), (x, lift + high, 0)),
        both_sides(box((x - rim, lift, 0), (x, lift + high, 0.025))),
        box((-x, lift + high - rim, 0), (x, lift + high, 0.025)),
        box((-x, lift, 0), (x, lift + rim, 0.025)),
    ]
    if rng.random() < 0.2:  # tube monitor: the case narrows to the rear
        deep, k = u(0.4, 0.8), u(0.4, 0.7)
        middle = lift + high / 2
        outline = np.array(
            [(-x, -high / 2, 0), (x, -high / 2, 0), (x, high / 2, 0), (-x, high / 2, 0)]
        )
        rings = [outline * s + (0, middle, z) for s, z in ((0.98, -thick), (k, -thick - deep))]
        screen.append(loft(rings))
    kind = rng.choice(["plate", "disc", "feet", "bow"])
    middle = -thick / 2
    half = x * u(0.25, 0.55)
    if kind == "feet":
        foot = join(
            rod((half, lift + 0.05, middle), (half + 0.05, 0.01, 0.22), 0.02),
            rod((half, lift + 0.05, middle), (half + 0.05, 0.01, -0.26), 0.02),
        )
        return join(*screen, both_sides(foot))
    if kind == "bow":
        peak = (0, lift + 0.2, middle - 0.05)
        left, right = (
            [(-half, 0.02, 0.25), (-half, 0.02, -0.2)],
            [(half, 0.02, -0.2), (half, 0.02, 0.25)],
        )
        return join(*screen, tube([*left, peak, *right], 0.025))
    foot = (
        box((-half, 0, -0.22), (half, 0.03, 0.2))
        if kind == "plate"
        else disc((0, 0, 0), half, u(0.18, 0.28), 0.03)
    )
    neck = u(0.04, 0.1)
    return join(*screen, foot, box((-neck, 0, middle - 0.06), (neck, lift + 0.25, middle - 0.01)))
