"""Show a cloud with its sampled points: on a page where it can be turned, or in an Open3D window."""

import os
import sys

import numpy as np

from samplenet.errors import InputError
from samplenet.report import interactive
from samplenet.report.figures import Cloud, Layer, Scene, View
from samplenet.scans import Scan

SHOWN = 50_000  # most points of the cloud on a page: browsers turn so many smoothly
PLAIN, PICKED = "#86b4de", "#b8430b"


def has_display() -> bool:
    """Return whether a window can open."""
    return not sys.platform.startswith("linux") or bool(
        {"DISPLAY", "WAYLAND_DISPLAY"} & {*os.environ}
    )


def require_display() -> None:
    """Raise InputError if no window can open."""
    if not has_display():
        raise InputError(
            "--open3d needs a display, and there is none; without it a page is written"
        )


def page(scan: Scan, sample: np.ndarray, title: str, up: str) -> bytes:
    """Draw an HTML page that works offline.

    Args:
        scan: all points finite; more than 50000 are thinned at random.
        sample: (m, 3), all shown.
        up: "y" or "z", the axis that points up.
    """
    points, colors = _shown(scan, SHOWN)
    words = f"{len(scan.rows)} points" + (
        f", {len(points)} of them shown" if len(points) < len(scan.rows) else ""
    )
    shade = PLAIN if colors is None else [f"rgb({r},{g},{b})" for r, g, b in colors.tolist()]
    layers = [Layer(words, points, shade, 1.5)]
    if len(sample):
        layers.append(
            Layer(f"{len(sample)} sampled", sample, PICKED, 5 if len(sample) <= 2048 else 3)
        )
    return interactive.page(Scene(title, [Cloud(title, [View("", "", layers)])], up), title)


def window(scan: Scan, sample: np.ndarray, title: str, up: str) -> None:
    """Show all points, and sampled ones as balls, until the window is closed."""
    try:
        import open3d
    except ImportError as error:
        raise InputError("--open3d needs Open3D; pip install open3d") from error
    draw = open3d.visualization.draw_geometries
    front = {"y": [0.6, 0.4, 0.8], "z": [0.6, -0.8, 0.4]}[up]
    axis, centre = [float(axis == up) for axis in "xyz"], scan.points.mean(0, dtype=float)
    draw(
        geometries(open3d, scan, sample),
        window_name=title,
        lookat=centre,
        up=axis,
        front=front,
        zoom=0.7,
    )


def geometries(open3d, scan: Scan, sample: np.ndarray) -> list:
    """Make the cloud, and a ball at each sampled point, for Open3D to draw."""
    points, colors = _shown(scan, len(scan.rows))
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points.astype(float)))
    if colors is None:
        cloud.paint_uniform_color(_rgb(PLAIN))
    else:
        cloud.colors = open3d.utility.Vector3dVector(colors / 255)
    ball = open3d.geometry.TriangleMesh.create_sphere(
        0.006 * float(np.linalg.norm(np.ptp(points, axis=0))) or 1.0, 6
    )
    at, corners = np.asarray(ball.vertices), np.asarray(ball.triangles)
    vertices = (sample[:, None] + at).reshape(-1, 3).astype(float)  # (m V, 3)
    triangles = (corners + len(at) * np.arange(len(sample))[:, None, None]).reshape(-1, 3)
    balls = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(vertices),
        open3d.utility.Vector3iVector(triangles.astype(np.int32)),
    )
    balls.paint_uniform_color(_rgb(PICKED))
    balls.compute_vertex_normals()
    return [cloud, balls] if len(sample) else [cloud]


def _rgb(color: str) -> list[float]:
    return [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def _shown(scan: Scan, most: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Draw at most so many points (n, 3), and their colours (n, 3) of 0 to 255 if the file has them."""
    n = len(scan.rows)
    if n <= most:
        return scan.points, scan.colors
    some = np.sort(np.random.default_rng(0).choice(n, most, replace=False))
    return scan.points[some], None if scan.colors is None else scan.colors[some]
