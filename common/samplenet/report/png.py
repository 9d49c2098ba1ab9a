"""Figures as PNG, by matplotlib."""

import io

import numpy as np

from samplenet.errors import InputError
from samplenet.report.figures import Axis, Layer, Lines, Scene

DASHES = {"solid": "-", "dash": "--", "dot": ":"}
STEPS = (1, 1.5, 2, 3, 5, 7)  # ticks of a decade


def draw(figure: Lines | Scene) -> bytes:
    """Draw curves, the first variant of them, or clouds as a grid of pictures.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise InputError(
            "figures need matplotlib; install the library with its viz extra"
        ) from error
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    drawn = _curves(plt, figure) if isinstance(figure, Lines) else _grid(plt, figure)
    content = io.BytesIO()
    drawn.savefig(content, dpi=140, format="png")
    plt.close(drawn)
    return content.getvalue()


def _curves(plt, figure: Lines):
    variant = figure.variants[0]
    drawn, axes = plt.subplots(figsize=(7, 4.3), layout="constrained")
    for line in variant.lines:
        main = line.shown
        look = {
            "ls": DASHES[line.dash],
            "color": line.color,
            "lw": 1.5 if main else 1,
            "alpha": 1 if main else 0.7,
        }
        if line.markers:
            look |= {
                "marker": "o" if main else "s",
                "ms": 6 if main else 4,
                "mfc": line.color if main else "white",
            }
        axes.plot(line.shift * np.array(line.x), line.y, label=line.name, **look)
    _scale(axes, "x", figure.x)
    _scale(axes, "y", variant.y)
    axes.set(xlabel=figure.x.title, ylabel=variant.y.title or figure.title)
    axes.set_title("" if variant.label == variant.y.title else variant.label, fontsize=11)
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="best")
    return drawn


def _scale(axes, side: str, axis: Axis) -> None:
    scale, limit, ticks = (getattr(axes, f"set_{side}{part}") for part in ("scale", "lim", "ticks"))
    if axis.kind == "root":
        scale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))
    elif axis.kind == "log":
        scale("log")
    if axis.span:
        limit(*axis.span)
    shown = axis.ticks
    if shown is None and axis.kind == "log":
        low, high = getattr(axes, f"get_{side}lim")()
        shown = [
            t for power in range(-9, 10) for t in np.array(STEPS) * 10.0**power if low < t < high
        ]
        shown = shown if len(shown) < 13 else [t for t in shown if f"{t:e}".startswith("1.000")]
    if shown is not None:
        ticks(shown, [f"{tick:g}" for tick in shown])


def _grid(plt, scene: Scene):
    """Draw a column a cloud, a row a view; what a cloud's view led to stands below it."""
    placed, room = scene.place()
    rows, columns = len(scene.clouds[0].views), len(scene.clouds)
    drawn = plt.figure(
        figsize=((0.8 + 1.5 * room[0]) * columns, 2.4 * rows + 0.4), layout="constrained"
    )
    handles = {}
    for c, cloud in enumerate(scene.clouds):
        for r, view in enumerate(cloud.views):
            # layers are drawn in their order, not by depth: a sample is never covered
            axes = drawn.add_subplot(
                rows, columns, r * columns + c + 1, projection="3d", computed_zorder=False
            )
            for layer in view.layers:
                handles[layer.name] = _dots(axes, placed[c][id(layer)], layer)
            axes.set_title(view.note, fontsize=9, y=-0.08)
            axes.set_axis_off()
            axes.view_init(elev=18, azim=-58 if room[0] == 1 else -75)
            axes.set(xlim=(-room[0], room[0]), ylim=(-1, 1), zlim=(-1, 1))
            axes.set_box_aspect((room[0], 1, 1), zoom=1.4)
            place = {"transform": axes.transAxes, "ha": "center", "va": "center", "fontsize": 11}
            if c == 0:
                axes.text2D(-0.04, 0.5, view.name, rotation=90, **place)
            if r == 0:
                axes.text2D(0.5, 1.0, cloud.name, weight="bold", **place)
    colors = {(layer.name, layer.color) for layer in scene.layers}
    if len(colors) == len(handles):  # else a name has a colour of each sampler
        look = {"ncols": 2, "frameon": False, "markerscale": 2, "fontsize": 10}
        drawn.legend(handles.values(), handles, loc="outside upper center", **look)
    return drawn


def _dots(axes, points: np.ndarray, layer: Layer):
    x, z, y = points.T  # y is up in the data, z in the plot
    face = (
        {"facecolors": "none", "edgecolors": layer.color} if layer.ring else {"color": layer.color}
    )
    return axes.scatter(
        x, -y, z, s=0.6 * layer.size**2, linewidths=layer.ring * 1.0, depthshade=False, **face
    )
