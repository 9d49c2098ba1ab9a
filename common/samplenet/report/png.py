"""Figures as PNG, by matplotlib."""

import io
import textwrap

import numpy as np

from samplenet.errors import needs_extra
from samplenet.report.figures import Axis, Layer, Lines, Pictures, Scene

DASHES = {"solid": "-", "dash": "--", "dot": ":"}
TICKS = (1, 1.5, 2, 3, 5, 7)  # of a decade


def draw(figure: Lines | Scene | Pictures) -> bytes:
    """Draw the first variant of curves, or clouds or images as a grid.

    Raises:
        InputError: matplotlib is not installed.
    """
    with needs_extra("viz"):
        import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    kinds = {Lines: _curves, Scene: _grid, Pictures: _pictures}
    drawn = kinds[type(figure)](plt, figure)
    content = io.BytesIO()
    drawn.savefig(content, dpi=140, format="png")
    plt.close(drawn)
    return content.getvalue()


def _curves(plt, figure: Lines):
    variant = figure.variants[0]
    drawn, axes = plt.subplots(figsize=(7, 4.3), layout="constrained")
    for line in variant.lines:
        look = {"lw": 1.5} if line.shown else {"lw": 1, "alpha": 0.7}
        if line.markers:
            look |= {"marker": "o", "ms": 6}
            if not line.shown:
                look |= {"marker": "s", "ms": 4, "mfc": "white"}
        look |= {"ls": DASHES[line.dash], "color": line.color, "label": line.name}
        axes.plot(line.shift * np.array(line.x), line.y, **look)
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
    """Set the scale, the ends and the ticks of the x or y axis."""
    set_scale, set_ticks = getattr(axes, f"set_{side}scale"), getattr(axes, f"set_{side}ticks")
    if axis.kind == "root":
        set_scale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))
    elif axis.kind == "log":
        set_scale("log")
    if axis.span:
        axes.set(**{f"{side}lim": axis.span})
    ticks = axis.ticks
    if ticks is None and axis.kind == "log":
        # matplotlib labels powers of ten alone, of which there may be none
        low, high = getattr(axes, f"get_{side}lim")()
        grid = 10.0 ** np.arange(-9, 10)[:, None] * TICKS
        ticks = grid[(low < grid) & (grid < high)]
        if len(ticks) > 12:
            ticks = [t for t in ticks if f"{t:e}".startswith("1.000")]
    if ticks is not None:
        set_ticks(ticks, [f"{tick:g}" for tick in ticks])


def _grid(plt, scene: Scene):
    """Draw a column for each cloud and a row for each view, with the view's note below it."""
    placed, (half, _, _) = scene.place()
    rows, columns = len(scene.clouds[0].views), len(scene.clouds)
    size = ((0.8 + 1.5 * half) * columns, 2.4 * rows + 0.4)
    drawn, handles, colors = plt.figure(figsize=size, layout="constrained"), {}, set()
    for c, cloud in enumerate(scene.clouds):
        for r, view in enumerate(cloud.views):
            place = (rows, columns, r * columns + c + 1)
            # layers are drawn in their order, not by depth: a sample is never covered
            axes = drawn.add_subplot(*place, projection="3d", computed_zorder=False)
            for layer in view.layers:
                drawn_layer = _dots(axes, placed[c][id(layer)], layer)
                if len(layer.points):
                    handles[layer.name] = drawn_layer
                    colors.add((layer.name, str(layer.color)))
            axes.set_title(view.note, fontsize=9, y=-0.08)
            axes.set_axis_off()
            axes.view_init(elev=18, azim=-58 if half == 1 else -75)
            axes.set(xlim=(-half, half), ylim=(-1, 1), zlim=(-1, 1))
            axes.set_box_aspect((half, 1, 1), zoom=1.4)
            centred = {"transform": axes.transAxes, "ha": "center", "va": "center", "fontsize": 11}
            if c == 0:
                axes.text2D(-0.04, 0.5, view.name, rotation=90, **centred)
            if r == 0:
                axes.text2D(0.5, 1.0, cloud.name, weight="bold", **centred)
    if len(colors) == len(handles):  # else a name's colour depends on the sampler
        look = {"ncols": 2, "frameon": False, "markerscale": 2, "fontsize": 10}
        drawn.legend(handles.values(), handles, loc="outside upper center", **look)
    return drawn


def _pictures(plt, figure: Pictures):
    """Draw images with the names of their rows and columns."""
    rows, columns = len(figure.rows), len(figure.columns)
    size = (1.2 * columns + 0.4, 1.2 * rows + 0.4)
    drawn, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for axes, name in zip(grid[0], figure.columns, strict=True):
        axes.set_title("\n".join(textwrap.wrap(name, 14)), fontsize=9)
    for axes, name in zip(grid[:, 0], figure.rows, strict=True):
        axes.set_ylabel(name, fontsize=9)
    for r, c, image in figure.placed():
        grid[r, c].imshow(image)
    return drawn


def _dots(axes, points: np.ndarray, layer: Layer):
    x, z, y = points.T  # y is up in the data, z in the plot
    look = {"linewidths": 0.0, "color": layer.color}
    if layer.ring:
        look = {"linewidths": 1.0, "facecolors": "none", "edgecolors": layer.color}
    return axes.scatter(x, -y, z, s=0.6 * layer.size**2, depthshade=False, **look)
