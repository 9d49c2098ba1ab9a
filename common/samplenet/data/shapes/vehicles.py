"""Airplane and car; nose and bonnet point to +z."""

from collections.abc import Iterator

import numpy as np

from .mesh import Mesh, Named, both_sides, box, ellipse, loft, move, of_parts, rod, turn

# Corners of a car's cabin along z as shares of the half length: windscreen foot, its top, rear top,
# rear foot; with the share of such cars.
CABINS = {
    "sedan": ((0.38, 0.1, -0.35, -0.62), 0.3),
    "hatch": ((0.4, 0.1, -0.75, -0.95), 0.25),
    "pickup": ((0.4, 0.2, -0.12, -0.18), 0.15),
    "van": ((0.8, 0.5, -0.93, -0.97), 0.15),
    "coupe": ((0.25, 0.0, -0.3, -0.85), 0.15),
}


def _section(x: float, low: float, high: float, z: float) -> list[tuple[float, float, float]]:
    """Return a car body's cross-section at z: a rectangle with cut upper corners."""
    cut = 0.25 * (high - low)
    right = [(x, low, z), (x, high - cut, z), (x * 0.9, high, z)]
    left = [(-x * 0.9, high, z), (-x, high - cut, z)]
    return [(-x, low, z), *right, *left]


def _wing(
    root: float, chord: float, span: float, sweep: float, taper: float, rise: float = 0.0
) -> Mesh:
    """Return the wing of one side: leading edge at z = root, out along +x, back along -z."""

    def profile(x: float, y: float, lead: float, length: float) -> list[tuple[float, float, float]]:
        half, crest = 0.05 * length, lead - 0.3 * length
        return [(x, y, lead), (x, y + half, crest), (x, y, lead - length), (x, y - half, crest)]

    return loft([profile(0, 0, root, chord), profile(span, rise, root - sweep, chord * taper)])


@of_parts
def airplane(rng: np.random.Generator) -> Iterator[Named]:
    u = rng.uniform
    length, radius = 2.0, u(0.07, 0.16)
    stations = [(1, 0.05), (0.93, 0.5), (0.75, 0.95), (0.2, 1), (-0.4, 1), (-0.8, u(0.4, 0.7))]
    flat = u(0.85, 1.2)
    rings = []
    for z, k in [*stations, (-1, 0.12)]:
        rise = (1 - k) * radius * 0.5 * (z < 0)  # the tail points up a little
        section = ellipse((0, 0, 0), radius * k, radius * k, 14)
        rings.append([(x, y * flat + rise, z * length / 2) for x, _, y in section])
    yield "body", loft(rings)
    kind = rng.choice(["straight", "swept", "delta"], p=[0.35, 0.45, 0.2])
    span = u(0.7, 1.2) if kind != "delta" else u(0.45, 0.7)
    # All three kinds are drawn and one is taken: drawing only that one would change every airplane.
    chord = {"straight": u(0.25, 0.4), "swept": u(0.35, 0.55), "delta": u(0.9, 1.2)}[kind]
    sweep = {"straight": u(0, 0.1), "swept": u(0.3, 0.6), "delta": chord * u(0.65, 0.85)}[kind]
    taper = {"straight": u(0.6, 1), "swept": u(0.25, 0.5), "delta": u(0.08, 0.25)}[kind]
    y = radius * flat * u(-0.8, 0.9)
    root = u(0.15, 0.35) if kind != "delta" else 0.3
    wing = _wing(root, chord, span, sweep, taper, span * u(-0.03, 0.12))
    yield "wing", both_sides(move(wing, (0, y, 0)))
    if rng.random() < 0.12:  # biplane
        x, z = 0.6 * span, root - 0.1
        yield (
            "wing",
            both_sides(move(_wing(root, chord, span, sweep, taper, 0.03), (0, y + 0.3, 0))),
        )
        yield "wing", both_sides(rod((x, y, z), (x, y + 0.32, z), 0.012))
    height, back = u(0.25, 0.45), -0.95
    fin = _wing(back + u(0.3, 0.4), u(0.3, 0.4), height, u(0.1, 0.3), u(0.4, 0.7))
    yield "tail", move(turn(fin, np.pi / 2, 2), (0, radius * 0.4, 0))
    tails = [radius * 0.5, height * 0.5, height + radius * 0.35]  # low, cross, T
    tail = rng.choice(tails, p=[0.6, 0.1, 0.3])
    if kind != "delta" or rng.random() < 0.3:
        plane = _wing(back + 0.22, 0.25, u(0.25, 0.42), u(0.05, 0.2), 0.6)
        yield "tail", both_sides(move(plane, (0, tail, 0)))
    engine = rng.choice(["wing", "rear", "nose", "none"], p=[0.4, 0.2, 0.25, 0.15])
    if engine == "wing":
        for out in np.linspace(0.3, 0.65, rng.integers(1, 3) + 1)[: rng.integers(1, 3)]:
            x, z, r = out * span, root - sweep * out, u(0.04, 0.07)
            yield "engine", both_sides(rod((x, y - r, z + 0.08), (x, y - r, z - 0.17), r))
    elif engine == "rear":
        x = radius + 0.05
        yield "engine", both_sides(rod((x, 0.05, -0.4), (x, 0.05, -0.7), 0.06, 0.045))
    elif engine == "nose":
        blade = u(0.15, 0.28)
        yield "engine", box((-blade, -0.02, 0.97), (blade, 0.02, 0.99))
        yield "engine", box((-0.02, -blade, 0.97), (0.02, blade, 0.99))


def _is_upper_front(body: Mesh, z: float) -> np.ndarray:
    """Return which triangles (F,) lie before z and are level, more or less, and not the floor."""
    normal = np.cross(body[:, 1] - body[:, 0], body[:, 2] - body[:, 0])
    is_level = abs(normal[:, 1]) > 0.5 * np.linalg.norm(normal, axis=1)
    low = body[..., 1].min()
    return is_level & (body[..., 1].min(1) > low) & (body[..., 2].min(1) > z - 1e-9)


@of_parts
def car(rng: np.random.Generator) -> Iterator[Named]:
    u = rng.uniform
    x, z, low, waist = u(0.38, 0.5), u(0.9, 1.2), u(0.1, 0.18), u(0.38, 0.5)
    nose, rear = waist * u(0.75, 0.95), waist * u(0.85, 1.05)
    front = [_section(x * 0.9, low, nose * 0.85, z), _section(x, low, nose, z * 0.9)]
    middle = [_section(x, low, waist, z * 0.3), _section(x, low, waist, -z * 0.5)]
    back = [_section(x, low, rear, -z * 0.9), _section(x * 0.92, low, rear * 0.9, -z)]
    body = loft([*front, *middle, *back])
    yield np.where(_is_upper_front(body, z * 0.3), "hood", "body"), body
    roof = waist + u(0.22, 0.42)
    kind = rng.choice([*CABINS], p=[share for _, share in CABINS.values()])
    f0, f1, r1, r0 = z * (np.array(CABINS[kind][0]) + u(-0.04, 0.04))
    top, wide, y = x * u(0.72, 0.88), x * 0.93, waist - 0.03
    sill = [(-wide, y, f0), (wide, y, f0), (wide, y, r0), (-wide, y, r0)]
    yield (
        "roof",
        loft([sill, [(-top, roof, f1), (top, roof, f1), (top, roof, r1), (-top, roof, r1)]]),
    )
    wheel, thick = u(0.14, 0.2), u(0.08, 0.13)
    for axle in (z * u(0.55, 0.68), -z * u(0.5, 0.65)):
        yield "wheel", both_sides(rod((x - thick, wheel, axle), (x + 0.02, wheel, axle), wheel))
    if rng.random() < 0.5:  # mirrors
        yield "body", both_sides(box((x, waist, f0 - 0.12), (x + 0.08, waist + 0.07, f0 - 0.06)))
    if rng.random() < 0.2:  # spoiler
        yield "body", box((-x * 0.9, rear + 0.12, -z), (x * 0.9, rear + 0.15, -z + 0.12))
        out, end = x * 0.6, -z + 0.07
        yield "body", both_sides(rod((out, rear - 0.1, end), (out, rear + 0.12, end), 0.02))
