"""Show a cloud with its sampled points: on a page where it can be turned, or in a window."""

import os
import sys
import webbrowser
from pathlib import Path

import numpy as np

from samplenet import pretrained, scans
from samplenet.console import flags, reading
from samplenet.console.farthest import farthest_points
from samplenet.errors import InputError
from samplenet.report import interactive
from samplenet.report.figures import Cloud, Layer, Scene, View
from samplenet.scans import Scan

MAX_SHOWN = 50_000  # points of the cloud on a page: browsers turn that many smoothly
PLAIN, PICKED, FARTHEST = "#86b4de", "#b8430b", "#1d3557"
SLIDER = Path(__file__).with_name("slider.js")


def has_display() -> bool:
    """Return whether a window can open."""
    variables = {"DISPLAY", "WAYLAND_DISPLAY"}
    return not sys.platform.startswith("linux") or not variables.isdisjoint(os.environ)


def run(args) -> int:
    """Show what the flags name; return the exit status."""
    given = (args.m, args.cell, args.sampler, args.weights)
    samples = any(value is not None for value in given)
    args.sampler = args.sampler or flags.default_sampler(args)
    if args.sample and samples:
        raise InputError("give either --sample, or -m, --cell, --sampler or --weights")
    if args.open3d and not has_display():
        raise InputError("--open3d needs a display, and there is none; leave it out for a page")
    target = args.output or Path(args.input.stem + ".html")
    if target.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"-o {target} must end in .html")
    if args.input.is_dir():
        raise InputError(f"{args.input} is a folder; view shows one file")
    notes, by = reading.Notes(), args.sampler
    scan = reading.read(args.input, notes)
    n = int(scan.finite.sum())
    if args.sampler == "samplenet":
        name = str(flags.weights(args))
        by = name if name.startswith(pretrained.hub.PREFIX) else Path(name).name
        args.weights = pretrained.weights_file(name)  # once: a hub's may change in between
        if args.m is None:
            card = pretrained.card(args.weights)
            args.m = card["m"] if len(card["sizes"]) == 1 else max(1, min(card["m"], n))
    picker = flags.picker(args) if samples else None
    up = reading.axis_up(args.up, args.input, notes)
    sample, farthest, nested = scan.points[:0], None, False
    if picker:
        points = reading.finite_points(args.input, scan, args.m)
        try:
            sample = points[picker(points, 0, up)]
        except InputError as error:
            raise reading.named(args.input, error) from error
        nested = args.m is not None and args.m > 1 and picker.nested(n)
        if nested and args.sampler in flags.BY_NETWORK:
            farthest = points[farthest_points(points, args.m)]
    elif args.sample:
        sampled = reading.read(args.sample, notes)
        sample = sampled.points[sampled.finite]
    notes.print()
    scan = scan.take(np.flatnonzero(scan.finite))
    if args.open3d:
        window(scan, sample, args.input.name, up)
        return 0
    kind = f"by {by}" if picker else "sampled"
    scans.put(target, page(scan, sample, args.input.name, up, nested, farthest, kind))
    print(target)
    if not args.no_open and has_display():
        webbrowser.open(target.resolve().as_uri())
    return 0


def page(
    scan: Scan,
    sample: np.ndarray,
    title: str,
    up: str,
    nested: bool = False,
    farthest: np.ndarray | None = None,
    kind: str = "sampled",
) -> bytes:
    """Return an HTML page that works offline.

    Args:
        scan: all points finite; more than 50000 are thinned at random.
        sample: (m, 3), all shown.
        up: "y" or "z", the axis that points up.
        nested: whether the first points of a sample are the sample of fewer points: the page then
            has a slider over m.
        farthest: farthest points (m, 3) to compare with, as rings.
        kind: what the legend says of the sample after its m, such as "by fps".
    """
    points, colors = _shown(scan, MAX_SHOWN)
    legend = f"{len(scan.rows)} points"
    if len(points) < len(scan.rows):
        legend += f", {len(points)} of them shown"
    shade = PLAIN
    if colors is not None:
        shade = [f"rgb({r},{g},{b})" for r, g, b in colors.tolist()]
    layers = [Layer(legend, points, shade, 1.5)]
    if len(sample):
        size = 5 if len(sample) <= 2048 else 3
        layers.append(Layer(f"{len(sample)} {kind}", sample, PICKED, size))
    if farthest is not None:
        name = f"{len(farthest)} farthest points (FPS)"
        layers.append(Layer(name, farthest, FARTHEST, 8, ring=True))
    scene = Scene(title, [Cloud(title, [View("", "", layers)])], up)
    return interactive.page(scene, title, SLIDER.read_text() if nested else "")


def window(scan: Scan, sample: np.ndarray, title: str, up: str) -> None:
    """Show all points, and the sampled ones as balls, until the window is closed."""
    try:
        import open3d
    except ImportError as error:
        raise InputError("--open3d needs Open3D; pip install open3d") from error
    front = {"y": [0.6, 0.4, 0.8], "z": [0.6, -0.8, 0.4]}[up]
    open3d.visualization.draw_geometries(
        geometries(open3d, scan, sample),
        window_name=title,
        lookat=scan.points.mean(0, dtype=float),
        up=[float(axis == up) for axis in "xyz"],
        front=front,
        zoom=0.7,
    )


def geometries(open3d, scan: Scan, sample: np.ndarray) -> list:
    """Return the cloud, and a ball at each sampled point, for Open3D to draw."""
    points, colors = _shown(scan, len(scan.rows))
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points.astype(float)))
    if colors is None:
        cloud.paint_uniform_color(_rgb(PLAIN))
    else:
        cloud.colors = open3d.utility.Vector3dVector(colors / 255)
    diagonal = float(np.linalg.norm(np.ptp(points, axis=0)))
    ball = open3d.geometry.TriangleMesh.create_sphere(0.006 * diagonal or 1.0, 6)
    # all balls in one mesh: Open3D is slow with a thousand geometries
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
    """Return points (n, 3), thinned at random to `most`, and their colours (n, 3) or None."""
    n = len(scan.rows)
    if n <= most:
        return scan.points, scan.colors
    some = np.sort(np.random.default_rng(0).choice(n, most, replace=False))
    return scan.points[some], None if scan.colors is None else scan.colors[some]
