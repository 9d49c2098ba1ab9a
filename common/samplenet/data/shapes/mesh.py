"""Meshes as loose triangles: primitives, moves, and points drawn uniformly from the surface.

A mesh is an array (F, 3, 3): F triangles, three corners, xyz, with y up. Triangles need no
orientation and no closed surface, as a mesh is for drawing points on it, and pictures of it from
both sides.
"""

import functools
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

Mesh = NDArray[np.float64]  # (F, 3, 3)
Named = tuple[ArrayLike, Mesh]  # a part's name, or a name for each triangle, and its mesh


def joined(build: Callable[..., Iterator[Mesh]]) -> Callable[..., Mesh]:
    """Decorate a function that yields the parts of a shape, so that it returns them as one mesh."""

    @functools.wraps(build)
    def build_joined(*args, **options) -> Mesh:
        return np.concatenate([*build(*args, **options)])

    return build_joined


def of_parts(build: Callable[..., Iterator[Named]]) -> Callable[..., tuple[NDArray, Mesh]]:
    """Decorate a function that yields named parts: it returns all names (F,) and their mesh."""

    @functools.wraps(build)
    def build_joined(*args, **options) -> tuple[NDArray, Mesh]:
        parts = [*build(*args, **options)]
        names = [np.broadcast_to(name, len(mesh)) for name, mesh in parts]
        return np.concatenate(names), np.concatenate([mesh for _, mesh in parts])

    return build_joined


def loft(rings: ArrayLike, caps: bool = True) -> Mesh:
    """Connect successive closed rings (R, S, 3), corner s of a ring to corner s of the next.

    Caps close both ends by triangles around the end ring's mean, from which all of the ring must be
    visible.
    """
    rings = np.asarray(rings, float)
    a, b = rings[:-1], rings[1:]
    a_next, b_next = np.roll(a, -1, axis=1), np.roll(b, -1, axis=1)
    # the two triangles of each quadrilateral: (R-1, S, 3, 3) each
    halves = np.stack([a, a_next, b_next], 2), np.stack([a, b_next, b], 2)
    parts = [half.reshape(-1, 3, 3) for half in halves]
    if caps:
        for ring in (rings[0], rings[-1]):
            centre = np.broadcast_to(ring.mean(0), ring.shape)
            parts.append(np.stack([centre, ring, np.roll(ring, -1, axis=0)], 1))  # (S, 3, 3)
    return np.concatenate(parts)


def box(low: ArrayLike, high: ArrayLike) -> Mesh:
    """Return an axis-parallel box between two opposite corners."""
    (x0, y0, z0), (x1, y1, z1) = low, high
    return loft([[(x0, y, z0), (x1, y, z0), (x1, y, z1), (x0, y, z1)] for y in (y0, y1)])


def ellipse(
    centre: ArrayLike, radius_x: float, radius_z: float, segments: int = 20
) -> NDArray[np.float64]:
    """Return a horizontal ring (segments, 3), for use in `loft`."""
    angle = np.arange(segments) * (2 * np.pi / segments)
    ring = np.stack([radius_x * np.cos(angle), np.zeros(segments), radius_z * np.sin(angle)], 1)
    return ring + np.asarray(centre, float)


def disc(
    centre: ArrayLike, radius_x: float, radius_z: float, thickness: float, taper: float = 1.0
) -> Mesh:
    """Return an upright elliptic cylinder on `centre`; `taper` scales its upper rim (0: a cone)."""
    x, y, z = centre
    upper = ellipse((x, y + thickness, z), radius_x * taper, radius_z * taper)
    return loft([ellipse((x, y, z), radius_x, radius_z), upper])


def revolve(profile: ArrayLike) -> Mesh:
    """Turn a profile of (radius, height) pairs (R, 2) about y; radius 0 at its end closes it."""
    return loft([ellipse((0, y, 0), r, r, 28) for r, y in profile], caps=False)


def tube(path: ArrayLike, radius: float | ArrayLike) -> Mesh:
    """Return an eight-sided pipe along a polyline (R, 3); `radius` is a number or one a corner."""
    path = np.asarray(path, float)
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    normal = np.eye(3)[np.argmin(np.abs(tangent[0]))]
    angle = np.arange(8) * (2 * np.pi / 8)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]  # (8, 1)
    rings = []
    for centre, t, r in zip(path, tangent, np.broadcast_to(radius, len(path)), strict=True):
        # Keeping the last normal, made perpendicular, avoids twists where the path leaves a plane.
        normal = normal - t * (t @ normal)
        normal = normal / np.linalg.norm(normal)
        rings.append(centre + r * (cos * normal + sin * np.cross(t, normal)))
    return loft(rings)


def rod(start: ArrayLike, end: ArrayLike, radius: float, end_radius: float | None = None) -> Mesh:
    """Return a straight round bar, tapered if `end_radius` is given."""
    return tube([start, end], [radius, radius if end_radius is None else end_radius])


def bar(
    start: ArrayLike, end: ArrayLike, width: float, depth: float, end_scale: float = 1.0
) -> Mesh:
    """Return a straight bar from a lower to an upper point, with horizontal rectangles as ends."""
    corner = np.array([(-1, 0, -1), (1, 0, -1), (1, 0, 1), (-1, 0, 1)]) * (width / 2, 0, depth / 2)
    return loft([np.asarray(start) + corner, np.asarray(end) + corner * end_scale])


def panel(corners: ArrayLike, thickness: ArrayLike) -> Mesh:
    """Return a slab: a planar outline (S, 3), and the same moved by the vector `thickness` (3,)."""
    corners = np.asarray(corners, float)
    return loft([corners, corners + np.asarray(thickness, float)])


def move(mesh: Mesh, offset: ArrayLike) -> Mesh:
    """Shift by (3,)."""
    return mesh + np.asarray(offset, float)


def stretch(mesh: Mesh, factors: ArrayLike) -> Mesh:
    """Scale each axis by (3,); a negative factor mirrors."""
    return mesh * np.asarray(factors, float)


def turn(mesh: Mesh, angle: float, axis: int = 1) -> Mesh:
    """Rotate by `angle` radians about coordinate axis 0, 1 or 2, right-handed."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    rotation = np.eye(3)
    rotation[[first, second], [first, second]] = np.cos(angle)
    rotation[second, first], rotation[first, second] = np.sin(angle), -np.sin(angle)
    return mesh @ rotation.T


def both_sides(mesh: Mesh) -> Mesh:
    """Join a mesh and its mirror image in x."""
    return np.concatenate([mesh, stretch(mesh, (-1, 1, 1))])


@joined
def four_legs(
    leg: Callable[[ArrayLike, ArrayLike], Mesh], x: float, z: float, height: float, splay: float = 0
) -> Iterator[Mesh]:
    """Place `leg`, a function of foot and top, below (+-x, height, +-z).

    Args:
        splay: distance by which the feet are further out, in x and in z.
    """
    for sx in (-1, 1):
        for sz in (-1, 1):
            yield leg((sx * (x + splay), 0, sz * (z + splay)), (sx * x, height, sz * z))


def sample_surface(triangles: Mesh, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw n independent points (n, 3), uniform over the area; so any prefix is uniform too."""
    return sample_faces(triangles, n, rng)[0]


def sample_faces(
    triangles: Mesh, n: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draw what `sample_surface` draws, and return the triangle (n,) of each point too."""
    edge1, edge2 = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    cumulative = np.cumsum(np.linalg.norm(np.cross(edge1, edge2), axis=1))
    face = np.searchsorted(cumulative, rng.random(n) * cumulative[-1], side="right")
    # Folding the unit square along its diagonal makes (a, b) uniform where a + b <= 1.
    weight = rng.random((n, 2))
    weight = np.where(weight.sum(1, keepdims=True) > 1, 1 - weight, weight)
    points = triangles[face, 0] + weight[:, :1] * edge1[face] + weight[:, 1:] * edge2[face]
    return points, face
