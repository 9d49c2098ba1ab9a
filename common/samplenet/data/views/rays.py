"""Pictures of a surface by ray casting (Embree), where each pixel knows the point that it shows.

A pixel's depth, normal, label, triangle and barycentric coordinates are those of the one point at
its centre, exactly. Its colour and its alpha are means over its square.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samplenet.data import cameras
from samplenet.data.views.meshes import Surface
from samplenet.errors import InputError, needs_extra

with needs_extra("render"):
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

FAR = 10.0  # depth of the background, as in the released renderings
LIGHT = np.array([0.36, 0.8, 0.48])  # from above, in the object frame
DARKEST = 0.4  # share of its colour that a triangle keeps which faces away from the light


@dataclass(frozen=True)
class Views:
    """V square pictures of one surface; S pixels a side.

    Attributes:
        rgb: (V, S, S, 3) float32, mean colour of the part of a pixel that is covered; else 0.
        alpha: (V, S, S) float32, share of a pixel that is covered.
        depth: (V, S, S) float32 along the optical axis, FAR where the centre sees nothing.
        normal: (V, S, S, 3) float32 of length 1 in the object frame, towards the camera; else 0.
        label: (V, S, S) uint8, 1 more than the part; 0 where the centre sees nothing.
        triangle: (V, S, S) int32, -1 where the centre sees nothing.
        barycentric: (V, S, S, 3) float32, shares of the triangle's corners in the point; else 0.
    """

    rgb: NDArray[np.float32]
    alpha: NDArray[np.float32]
    depth: NDArray[np.float32]
    normal: NDArray[np.float32]
    label: NDArray[np.uint8]
    triangle: NDArray[np.int32]
    barycentric: NDArray[np.float32]

    def points(self, surface: Surface) -> NDArray[np.float64]:
        """Return the points (V, S, S, 3) that the pixels' centres see; 0 where they see none."""
        corners = surface.triangles[self.triangle]
        return (self.barycentric[..., None] * corners).sum(-2)


def render(
    surface: Surface,
    extrinsics: NDArray[np.float64],
    size: int,
    samples: int = 4,
    lit: bool = True,
    focal: float = cameras.FOCAL,
) -> Views:
    """Draw a surface, from both of its sides, as the cameras (V, 4, 4) see it.

    Args:
        size: S, pixels a side.
        samples: rays a side for each pixel, 1 or even: they lie on a grid that has the pixels'
            centres and corners, and neighbours share those on their border.
        lit: whether triangles that turn away from the light are darker.
        focal: length of the lens in sides of the image, as of `cameras.intrinsics`.

    Raises:
        InputError: a bad size or number of samples.
    """
    if size < 1 or samples < 1 or samples > 1 and samples % 2:
        raise InputError(f"size must be at least 1 and samples 1 or even, got {size} and {samples}")
    scene = EmbreeScene(robust=True)  # no ray slips through between two triangles
    TriangleMesh(scene, np.ascontiguousarray(surface.triangles, np.float32))
    K = cameras.intrinsics(size, focal)
    pictures = [
        _picture(scene, surface, extrinsic, K, size, samples, lit) for extrinsic in extrinsics
    ]
    return Views(*(np.stack(channel) for channel in zip(*pictures, strict=True)))


def visible(
    surface: Surface,
    extrinsics: NDArray[np.float64],
    points: NDArray[np.float64],
    margin: float = 1e-3,
) -> NDArray[np.bool_]:
    """Return whether cameras (V, 4, 4) see points (N, 3) of the surface: (V, N).

    A point is hidden if the ray to it hits the surface more than `margin` before it, in the unit
    of the object frame. Whether the point lies within the image is not asked.
    """
    scene = EmbreeScene(robust=True)
    TriangleMesh(scene, np.ascontiguousarray(surface.triangles, np.float32))
    start = np.broadcast_to(cameras.centre(extrinsics)[:, None], (len(extrinsics), *points.shape))
    rays = points - start  # (V, N, 3), whose end is the point
    lengths = np.linalg.norm(rays, axis=-1)
    start, rays = (np.ascontiguousarray(a.reshape(-1, 3), np.float32) for a in (start, rays))
    hits = scene.run(start, rays, output=True)
    free = np.where(hits["primID"] < 0, 1, hits["tfar"]).reshape(lengths.shape)  # share of the ray
    return free * lengths >= lengths - margin


def _picture(
    scene, surface: Surface, extrinsic: NDArray, K: NDArray, size: int, samples: int, lit: bool
) -> tuple:
    """Return one view's attributes of `Views`, in their order."""
    ticks = np.arange(size) + 0.5 if samples == 1 else np.arange(samples * size + 1) / samples
    rows, columns = _window(surface, extrinsic, K, ticks)
    camera = cameras.centre(extrinsic)
    rays = np.ones((len(ticks[rows]), len(ticks[columns]), 3))  # (R, C, 3), 1 deep
    rays[..., 0] = (ticks[columns] - K[0, 2]) / K[0, 0]
    rays[..., 1] = (ticks[rows, None] - K[1, 2]) / K[1, 1]
    rays = (rays @ extrinsic[:3, :3]).reshape(-1, 3).astype(np.float32)
    start = np.broadcast_to(camera.astype(np.float32), rays.shape)
    hits = scene.run(np.ascontiguousarray(start), rays, output=True)

    normal = surface.normals
    away = ((surface.triangles[:, 0] - camera) * normal).sum(1) > 0
    normal = np.where(away[:, None], -normal, normal)  # (F, 3)
    bright = DARKEST + (1 - DARKEST) * (1 + normal @ LIGHT) / 2 if lit else np.ones(len(normal))
    # the last row is what rays see that hit nothing: index -1
    shown = np.zeros((len(normal) + 1, 4), np.float32)
    shown[:-1, :3], shown[:-1, 3] = surface.colors * bright[:, None], 1
    seen = np.zeros((len(ticks), len(ticks), 4), np.float32)
    seen[rows, columns] = shown[hits["primID"]].reshape(*seen[rows, columns].shape)
    rgba = _mean(_mean(seen, samples), samples)
    rgb, alpha = rgba[..., :3], rgba[..., 3]

    def at_centres(values: NDArray, nothing: float) -> NDArray:
        every = np.full((len(ticks), len(ticks)), nothing, values.dtype)
        every[rows, columns] = values.reshape(every[rows, columns].shape)
        return every[samples // 2 :: samples, samples // 2 :: samples]

    triangle = at_centres(hits["primID"], -1)
    u, v = at_centres(hits["u"], 0), at_centres(hits["v"], 0)
    sees = triangle >= 0
    label = np.append(surface.parts + 1, 0).astype(np.uint8)
    return (
        np.divide(rgb, alpha[..., None], where=alpha[..., None] > 0, out=np.zeros_like(rgb)),
        alpha,
        np.where(sees, at_centres(hits["tfar"], FAR), np.float32(FAR)),
        np.append(normal, np.zeros((1, 3)), 0).astype(np.float32)[triangle],
        label[triangle],
        triangle,
        np.stack([1 - u - v, u, v], -1) * sees[..., None],
    )


def _window(
    surface: Surface, extrinsic: NDArray, K: NDArray, ticks: NDArray
) -> tuple[slice, slice]:
    """Return the rows and columns of rays outside of which no ray can hit the surface."""
    pixels, depth = cameras.project(surface.triangles.reshape(-1, 3), extrinsic, K)
    if depth.min() <= 0:  # beside or behind the camera, where lines do not stay lines
        return slice(None), slice(None)
    low = np.searchsorted(ticks, pixels.min(0) - 1e-3)
    high = np.searchsorted(ticks, pixels.max(0) + 1e-3, side="right")
    return slice(low[1], high[1]), slice(low[0], high[0])


def _mean(values: NDArray[np.float32], samples: int) -> NDArray[np.float32]:
    """Average values on a grid (n, n, 4) over the pixels of its first axis; it becomes the second.

    The values at both ends of a pixel are shared with its neighbours, so they count half.
    """
    if samples > 1:
        count = len(values) // samples
        total = (values[:-1:samples] + values[samples::samples]) / 2
        for offset in range(1, samples):
            total += values[offset::samples][:count]
        values = total / samples
    return values.swapaxes(0, 1)
