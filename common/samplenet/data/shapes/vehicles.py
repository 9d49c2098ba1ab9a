"""Airplane and car; nose and bonnet point to +z."""

import numpy as np

from .mesh import Mesh, both_sides, box, ellipse, join, loft, move, rod, turn


def _rounded(x: float, low: float, high: float, z: float) -> list[tuple[float, float, float]]:
    """Cross-section of a car body at z: a rectangle with cut upper corners."""
    cut = 0.25 * (high - low)
    corners = [
        (-x, low),
        (x, low),
        (x, high - cut),
        (x * 0.9, high),
        (-x * 0.9, high),
        (-x, high - cut),
    ]
    return [(x, y, z) for x, y in corners]


def _wing(
    root: float, chord: float, span: float, sweep: float, taper: float, rise: float = 0.0
) -> Mesh:
    """Wing on one side: leading edge at z = root, going out along +x and back along -z."""

    def section(x: float, y: float, lead: float, length: float) -> list[tuple[float, float, float]]:
        half, crest = 0.05 * length, lead - 0.3 * length
        return [(x, y, lead), (x, y + half, crest), (x, y, lead - length), (x, y - half, crest)]

    return loft([section(0, 0, root, chord), section(span, rise, root - sweep, chord * taper)])


def airplane(rng: np.random.Generator) -> Mesh:
    u = rng.uniform
    length, radius = 2.0, u(0.07, 0.16)
    stations = [
        (1, 0.05),
        (0.93, 0.5),
        (0.75, 0.95),
        (0.2, 1),
        (-0.4, 1),
        (-0.8, u(0.4, 0.7)),
        (-1, 0.12),
    ]
    flat = u(0.85, 1.2)
    rings = []
    for z, k in stations:
        rise = (1 - k) * radius * 0.5 * (z < 0)
        section = ellipse((0, 0, 0), radius * k, radius * k, 14)
        rings.append([(x, y * flat + rise, z * length / 2) for x, _, y in section])
    parts = [loft(rings)]
    kind = rng.choice(["straight", "swept", "delta"], p=[0.35, 0.45, 0.2])
    span = u(0.7, 1.2) if kind != "delta" else u(0.45, 0.7)
    chord = {"straight": u(0.25, 0.4), "swept": u(0.35, 0.55), "delta": u(0.9, 1.2)}[kind]
    sweep = {"straight": u(0, 0.1), "swept": u(0.3, 0.6), "delta": chord * u(0.65, 0.85)}[kind]
    taper = {"straight": u(0.6, 1), "swept": u(0.25, 0.5), "delta": u(0.08, 0.25)}[kind]
    y = radius * flat * u(-0.8, 0.9)
    root = u(0.15, 0.35) if kind != "delta" else 0.3
    parts.append(
        both_sides(move(_wing(root, chord, span, sweep, taper, span * u(-0.03, 0.12)), (0, y, 0)))
    )
    if rng.random() < 0.12:  # biplane
        parts.append(
            both_sides(move(_wing(root, chord, span, sweep, taper, 0.03), (0, y + 0.3, 0)))
        )
        parts += [
            both_sides(rod((0.6 * span, y, root - 0.1), (0.6 * span, y + 0.32, root - 0.1), 0.012))
        ]
    fin, back = u(0.25, 0.45), -0.95
    upright = turn(
        _wing(back + u(0.3, 0.4), u(0.3, 0.4), fin, u(0.1, 0.3), u(0.4, 0.7)), np.pi / 2, 2
    )
    parts.append(move(upright, (0, radius * 0.4, 0)))
    tail = rng.choice(
        [radius * 0.5, fin * 0.5, fin + radius * 0.35], p=[0.6, 0.1, 0.3]
    )  # low, cross, T
    if kind != "delta" or rng.random() < 0.3:
        plane = _wing(back + 0.22, 0.25, u(0.25, 0.42), u(0.05, 0.2), 0.6)
        parts.append(both_sides(move(plane, (0, tail, 0))))
    engine = rng.choice(["wing", "rear", "nose", "none"], p=[0.4, 0.2, 0.25, 0.15])
    if engine == "wing":
        for out in np.linspace(0.3, 0.65, rng.integers(1, 3) + 1)[: rng.integers(1, 3)]:
            z, r = root - sweep * out, u(0.04, 0.07)
            parts.append(
                both_sides(rod((out * span, y - r, z + 0.08), (out * span, y - r, z - 0.17), r))
            )
    elif engine == "rear":
        parts.append(
            both_sides(rod((radius + 0.05, 0.05, -0.4), (radius + 0.05, 0.05, -0.7), 0.06, 0.045))
        )
    elif engine == "nose":
        blade = u(0.15, 0.28)
        parts += [
            box((-blade, -0.02, 0.97), (blade, 0.02, 0.99)),
            box((-0.02, -blade, 0.97), (0.02, blade, 0.99)),
        ]
    return join(*parts)


def car(rng: np.random.Generator) -> Mesh:
    u = rng.uniform
    x, z, low, waist = u(0.38, 0.5), u(0.9, 1.2), u(0.1, 0.18), u(0.38, 0.5)
    nose, rear = waist * u(0.75, 0.95), waist * u(0.85, 1.05)
    body = loft(
        [
            _rounded(x * 0.9, low, nose * 0.85, z),
            _rounded(x, low, nose, z * 0.9),
            _rounded(x, low, waist, z * 0.3),
            _rounded(x, low, waist, -z * 0.5),
            _rounded(x, low, rear, -z * 0.9),
            _rounded(x * 0.92, low, rear * 0.9, -z),
        ]
    )
    roof = waist + u(0.22, 0.42)
    # Cabin corners along z as shares of the half length: windscreen foot, its top, rear top, rear foot.
    cabin = {
        "sedan": (0.38, 0.1, -0.35, -0.62),
        "hatch": (0.4, 0.1, -0.75, -0.95),
        "pickup": (0.4, 0.2, -0.12, -0.18),
        "van": (0.8, 0.5, -0.93, -0.97),
        "coupe": (0.25, 0.0, -0.3, -0.85),
    }
    shares = np.array(
        cabin[
            rng.choice(
                ["sedan", "hatch", "pickup", "van", "coupe"], p=[0.3, 0.25, 0.15, 0.15, 0.15]
            )
        ]
    )
    f0, f1, r1, r0 = z * (shares + u(-0.04, 0.04))
    top, wide, y = x * u(0.72, 0.88), x * 0.93, waist - 0.03
    sill = [(-wide, y, f0), (wide, y, f0), (wide, y, r0), (-wide, y, r0)]
    parts = [
        body,
        loft([sill, [(-top, roof, f1), (top, roof, f1), (top, roof, r1), (-top, roof, r1)]]),
    ]
    wheel, thick = u(0.14, 0.2), u(0.08, 0.13)
    for axle in (z * u(0.55, 0.68), -z * u(0.5, 0.65)):
        parts.append(both_sides(rod((x - thick, wheel, axle), (x + 0.02, wheel, axle), wheel)))
    if rng.random() < 0.5:
        parts.append(both_sides(box((x, waist, f0 - 0.12), (x + 0.08, waist + 0.07, f0 - 0.06))))
    if rng.random() < 0.2:  # spoiler
        parts += [
            box((-x * 0.9, rear + 0.12, -z), (x * 0.9, rear + 0.15, -z + 0.12)),
            both_sides(
                rod((x * 0.6, rear - 0.1, -z + 0.07), (x * 0.6, rear + 0.12, -z + 0.07), 0.02)
            ),
        ]
    return join(*parts)
