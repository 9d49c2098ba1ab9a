"""Show a cloud with its sampled points: on a page where it can be turned, or in an Open3D window."""

import html
import os
import sys

import numpy as np

from samplenet.errors import InputError
from samplenet.scans import Scan

SHOWN = 50_000  # most points of the cloud on a page: browsers turn so many smoothly
PLAIN, PICKED = "#86b4de", "#b8430b"


def has_display() -> bool:
    """Return whether a window can open."""
    return not sys.platform.startswith("linux") or bool({"DISPLAY", "WAYLAND_DISPLAY"} & {*os.environ})


def require_display() -> None:
    """Raise InputError if no window can open."""
    if not has_display():
        raise InputError("--open3d needs a display, and there is none; without it a page is written")


def page(scan: Scan, sample: np.ndarray, title: str, up: str) -> bytes:
    """Draw an HTML page that works offline.

    Args:
        scan: all points finite; more than 50000 are thinned at random.
        sample: (m, 3), all shown.
        up: "y" or "z", the axis that points up.
    """
    try:
        from plotly import graph_objects
    except ImportError as error:
        raise InputError("the page needs plotly; pip install plotly") from error
    points, colors = _shown(scan, SHOWN)
    low, high = points.min(0), points.max(0)
    centre, half = (low + high) / 2, float((high - low).max()) / 2 or 1.0
    words = f"{len(scan.rows)} points" + (f", {len(points)} of them shown" if len(points) < len(scan.rows) else "")
    marker = {"size": 1.5, "color": PLAIN if colors is None else [f"rgb({r},{g},{b})" for r, g, b in colors.tolist()]}
    traces = [_trace(graph_objects, words, points - centre, marker)]
    if len(sample):
        marker = {"size": 5 if len(sample) <= 2048 else 3, "color": PICKED}
        traces.append(_trace(graph_objects, f"{len(sample)} sampled", sample - centre, marker))
    axes = {f"{axis}axis": {"visible": False, "range": [-half, half]} for axis in "xyz"}
    eye = {"y": {"x": 0.75, "y": 0.5, "z": 1.0}, "z": {"x": 0.75, "y": -1.0, "z": 0.5}}[up]
    camera = {"up": {axis: int(axis == up) for axis in "xyz"}, "eye": eye}
    figure = graph_objects.Figure(traces)
    figure.update_layout(
        title={"text": html.escape(title), "x": 0.5},
        scene={**axes, "aspectmode": "cube", "camera": camera},
        margin={"l": 0, "r": 0, "t": 50, "b": 0},
        legend={"orientation": "h", "x": 0.5, "xanchor": "center", "y": 0, "itemsizing": "constant"},
    )
    whole = {"include_plotlyjs": True, "default_height": "96vh", "config": {"displaylogo": False}}
    return figure.to_html(div_id="cloud", **whole).encode()


def window(scan: Scan, sample: np.ndarray, title: str, up: str) -> None:
    """Show all points, and sampled ones as balls, until the window is closed."""
    try:
        import open3d
    except ImportError as error:
        raise InputError("--open3d needs Open3D; pip install open3d") from error
    draw = open3d.visualization.draw_geometries
    front = {"y": [0.6, 0.4, 0.8], "z": [0.6, -0.8, 0.4]}[up]
    axis, centre = [float(axis == up) for axis in "xyz"], scan.points.mean(0, dtype=float)
    draw(geometries(open3d, scan, sample), window_name=title, lookat=centre, up=axis, front=front, zoom=0.7)


def geometries(open3d, scan: Scan, sample: np.ndarray) -> list:
    """Make the cloud, and a ball at each sampled point, for Open3D to draw."""
    points, colors = _shown(scan, len(scan.rows))
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points.astype(float)))
    if colors is None:
        cloud.paint_uniform_color(_rgb(PLAIN))
    else:
        cloud.colors = open3d.utility.Vector3dVector(colors / 255)
    ball = open3d.geometry.TriangleMesh.create_sphere(0.006 * float(np.linalg.norm(np.ptp(points, axis=0))) or 1.0, 6)
    at, corners = np.asarray(ball.vertices), np.asarray(ball.triangles)
    vertices = (sample[:, None] + at).reshape(-1, 3).astype(float)  # (m V, 3)
    triangles = (corners + len(at) * np.arange(len(sample))[:, None, None]).reshape(-1, 3)
    balls = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(vertices), open3d.utility.Vector3iVector(triangles.astype(np.int32))
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


def _trace(graph_objects, name: str, points: np.ndarray, marker: dict):
    x, y, z = points.astype(np.float32).T
    return graph_objects.Scatter3d(x=x, y=y, z=z, name=name, mode="markers", marker=marker, hoverinfo="skip")
