"""Vessels turned on a wheel: cup, vase, bowl, bottle, flower_pot.

Their bodies overlap; handle, neck and foot tell them apart.
"""

from collections.abc import Iterator

import numpy as np

from .mesh import Mesh, Named, both_sides, disc, move, of_parts, revolve, rod, stretch, tube


def _smooth(radii: list[float], heights: list[float], steps: int = 14) -> np.ndarray:
    """Return a profile (steps, 2) through these radii at these heights, without overshoot."""
    radii, heights = np.asarray(radii), np.asarray(heights)
    y = np.linspace(heights[0], heights[-1], steps)
    index = np.clip(np.searchsorted(heights, y, side="right") - 1, 0, len(heights) - 2)
    lower, upper = heights[index], heights[index + 1]
    t = (y - lower) / (upper - lower)
    t = t * t * (3 - 2 * t)
    return np.stack([radii[index] * (1 - t) + radii[index + 1] * t, y], 1)


def _shell(outer: np.ndarray, wall: float, floor: float = 0.05) -> Mesh:
    """Build an open vessel: outer wall, inner wall, rim and both sides of the bottom."""
    bottom = outer[0, 1]
    inner = outer[outer[:, 1] > bottom + floor] - (wall, 0)
    inner = np.maximum(inner, (0.01, -1))[::-1]
    inside = [(inner[-1, 0], bottom + floor), (0, bottom + floor)]
    return revolve(np.concatenate([[(0, bottom)], outer, inner, inside]))


def _handle(outer: np.ndarray, low: float, high: float, reach: float, radius: float) -> Mesh:
    """Build a bow on the +x side from height `low` to `high`, with its ends inside the wall."""
    y = np.linspace(low, high, 11)
    wall = np.interp(y, outer[:, 1], outer[:, 0])
    bow = np.sin(np.linspace(0, np.pi, 11)) ** 0.6
    base = wall[0] + (wall[-1] - wall[0]) * np.linspace(0, 1, 11)
    # A wall that bulges beyond the line between both ends must not swallow the bow.
    x = np.maximum(base + reach * bow, np.where((bow > 0.3), wall + 0.3 * reach, 0)) - 0.01
    return tube(np.stack([x, y, np.zeros(11)], 1), radius)


def _foot(rng: np.random.Generator, radius: float) -> Mesh:
    """Build a foot ring just below y = 0."""
    drop = rng.uniform(0.03, 0.1)
    radius = radius * rng.uniform(0.9, 1.2)
    return disc((0, -drop, 0), radius, radius, drop)


def _level(outer: np.ndarray, y: float) -> Mesh:
    """Build the surface of a vessel's content, soil or a drink, at height y."""
    radius = np.interp(y, outer[:, 1], outer[:, 0]) - 0.03
    return disc((0, y, 0), radius, radius, 0.005)


def _beaker(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Return a plain profile and its height; cup and flower pot share it, so it decides nothing."""
    u = rng.uniform
    height, top = u(0.5, 1.4), 0.5
    low = top * u(0.45, 1.0)
    middle = (low + top) / 2 * u(0.92, 1.15)
    return _smooth([low, middle, top], [0, height * u(0.35, 0.65), height]), height


@of_parts
def cup(rng: np.random.Generator) -> Iterator[Named]:
    u = rng.uniform
    outer, height = _beaker(rng)
    yield "body", _shell(outer, u(0.02, 0.05))
    low = u(0.12, 0.35)
    if rng.random() < 0.3:
        yield "content", _level(outer, height * u(0.6, 0.92))
    if rng.random() < 0.97:
        high, reach = height * u(low + 0.3, 0.92), u(0.12, 0.32)
        yield "handle", _handle(outer, height * low, high, reach, u(0.022, 0.05))
    if rng.random() < 0.25:
        yield "foot", _foot(rng, outer[0, 0])
    if rng.random() < 0.12:  # saucer
        wide = u(0.6, 0.85)
        yield (
            "saucer",
            revolve([(0, -0.03), (0.3, -0.03), (wide, 0.05), (wide, 0.07), (0.3, 0), (0, 0)]),
        )


@of_parts
def bowl(rng: np.random.Generator) -> Iterator[Named]:
    u = rng.uniform
    height, low = u(0.22, 0.75), u(0.12, 0.4)
    rise = np.linspace(0, 1, 12)
    outer = np.stack([low + (0.5 - low) * rise ** u(0.35, 1.0), height * rise], 1)
    if rng.random() < 0.25:  # turned-out lip
        outer[-1, 0] += u(0.02, 0.08)
    yield "body", _shell(outer, u(0.015, 0.04), 0.03)
    if rng.random() < 0.6:
        yield "foot", _foot(rng, low)
    if rng.random() < 0.08:  # two small lugs at the rim
        y = 0.93 * height
        lug = [(0.46, y, -0.1), (0.6, y, -0.07), (0.6, y, 0.07), (0.46, y, 0.1)]
        yield "handle", both_sides(tube(lug, 0.02))


@of_parts
def vase(rng: np.random.Generator) -> Iterator[Named]:
    u = rng.uniform
    kind = rng.choice(["belly", "slim", "plain"], p=[0.4, 0.3, 0.3])
    if kind == "plain":  # a cylinder with a slightly narrowed mouth or a flare below it
        height, low = u(0.9, 1.9), u(0.38, 0.5)
        radii = [low, u(0.42, 0.5), u(0.34, 0.42), u(0.42, 0.52)]
        heights = [0, height * 0.5, height * u(0.8, 0.9), height]
    elif kind == "belly":
        height, at = u(0.8, 1.8), u(0.3, 0.65)
        neck = u(0.14, 0.36)
        radii = [u(0.2, 0.38), 0.5, neck, neck + u(0.0, 0.2)]
        heights = [0, height * at, height * (at + 1) / 2, height]
    else:
        height, neck = u(1.3, 2.4), u(0.16, 0.32)
        radii = [u(0.22, 0.4), u(0.32, 0.45), neck, u(0.22, 0.45)]
        heights = [0, height * u(0.25, 0.5), height * u(0.65, 0.85), height]
    outer = _smooth(radii, heights)
    yield "body", _shell(outer, u(0.02, 0.04))
    if rng.random() < 0.2:  # amphora: always two handles, where a cup has one
        low = u(0.45, 0.6)
        high, reach = height * u(low + 0.2, 0.95), u(0.1, 0.25)
        yield "handle", both_sides(_handle(outer, height * low, high, reach, u(0.02, 0.04)))
    if rng.random() < 0.35:
        yield "foot", _foot(rng, outer[0, 0])


def bottle(rng: np.random.Generator) -> tuple[np.ndarray, Mesh]:
    parts, mesh = _round_bottle(rng)
    flat = rng.random() < 0.25
    return parts, stretch(mesh, (1, 1, rng.uniform(0.55, 1.0))) if flat else mesh


@of_parts
def _round_bottle(rng: np.random.Generator) -> Iterator[Named]:
    u = rng.uniform
    height, body = u(1.3, 2.9), u(0.45, 0.7)
    neck = u(0.13, 0.24)
    shoulder = height * min(body + u(0.08, 0.25), 0.88)
    radii = [u(0.36, 0.45), u(0.38, 0.45), neck, neck * u(0.9, 1.1)]
    yield "body", _shell(_smooth(radii, [0, height * body, shoulder, height], 18), 0.03)
    if rng.random() < 0.5:  # cap, cork or pump
        wide, high = neck * u(1.05, 1.4), u(0.08, 0.3)
        yield "cap", disc((0, height - 0.05, 0), wide, wide, high)
        if rng.random() < 0.25:
            y = height + high + 0.2
            yield "cap", tube([(0, height, 0), (0, y, 0), (0.3, y - 0.02, 0)], 0.04)


@of_parts
def flower_pot(rng: np.random.Generator) -> Iterator[Named]:
    u = rng.uniform
    outer, height = _beaker(rng)
    yield "body", _shell(outer, u(0.02, 0.05))
    soil = height * u(0.6, 0.92)
    yield "content", _level(outer, soil)
    if rng.random() < 0.55:  # collar
        low, wide = height - u(0.06, 0.2), 0.5 + u(0.02, 0.07)
        yield "body", revolve([(0.49, low), (wide, low), (wide, height), (0.49, height)])
    if rng.random() < 0.85:  # a few thin stems, some with leaves
        for _ in range(rng.integers(1, 6)):
            angle, lean, length = u(0, 2 * np.pi), u(0, 0.3), height - soil + u(0.08, 0.5)
            way = np.array([np.cos(angle), 0, np.sin(angle)])
            foot = way * u(0, 0.2) + (0, soil, 0)
            tip = foot + way * lean + (0, length, 0)
            yield "plant", rod(foot, tip, u(0.012, 0.03), 0.01)
            if rng.random() < 0.5:
                yield "plant", move(disc((0, 0, 0), u(0.06, 0.14), u(0.03, 0.07), 0.01), tip)
    if rng.random() < 0.25:  # saucer
        r = outer[0, 0] + u(0.08, 0.2)
        outside = [(0, -0.04), (r, -0.03), (r + 0.02, 0.06)]
        yield "saucer", revolve([*outside, (r, 0.06), (r, -0.01), (0, -0.01)])
