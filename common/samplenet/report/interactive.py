"""Figures for a browser, by plotly: data and layout for the page of results, or an HTML file."""

import base64
import contextlib
import html
import io
import textwrap

import numpy as np

from samplenet.errors import InputError, needs_extra
from samplenet.report.figures import Axis, Lines, Pictures, Scene

CONFIG = {"displaylogo": False, "responsive": True}
# a menu above the figure, and the legend of clouds below it
MENU = dict(type="dropdown", y=1, xanchor="left", yanchor="bottom", showactive=True, pad={"b": 6})
LEGEND = {"orientation": "h", "x": 0.5, "xanchor": "center", "y": 0, "yanchor": "top"}
# the width of a narrow screen cuts the cloud off where the height does not: start farther away
STEP_BACK = """
const figure = document.getElementById("{plot_id}");
const { width, height } = figure.getBoundingClientRect();
if (height > width) {
  const { x, y, z } = figure.layout.scene.camera.eye;
  const far = height / width;
  Plotly.relayout(figure, "scene.camera.eye", { x: x * far, y: y * far, z: z * far });
}
"""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ margin: 0; font: 16px "Open Sans", verdana, arial, sans-serif; color: #2a3f5f; }}
label {{ display: flex; gap: 1rem; align-items: center; height: 4rem; padding: 0 1.5rem; }}
label span {{ min-width: 6rem; }}
label input {{ flex: 1; max-width: 60rem; accent-color: #b8430b; }}
</style>
</head>
<body>
{figure}
</body>
</html>
"""


@contextlib.contextmanager
def _needs_plotly():
    try:
        yield
    except ImportError as error:
        raise InputError(
            "plotly is not installed; pip install plotly, then give the same command again"
        ) from error


def library() -> str:
    """Read the source of plotly.js."""
    with _needs_plotly():
        from plotly.offline import get_plotlyjs
    return get_plotlyjs()


def plain(text: str) -> str:
    """Escape a name that comes from a file: plotly reads a little HTML."""
    return html.escape(str(text), quote=False)


def draw(figure: Lines | Scene | Pictures) -> dict:
    """Return data and layout for plotly.js."""
    return {Lines: _curves, Scene: _clouds, Pictures: _pictures}[type(figure)](figure)


def page(figure: Lines | Scene | Pictures, title: str, script: str = "") -> bytes:
    """Draw one figure as an HTML file that works offline.

    Args:
        script: JavaScript that runs once the figure is drawn; in it {plot_id} is the figure's id.
            Room for a <label> is left below the figure.
    """
    with _needs_plotly():
        from plotly import graph_objects
    drawn = graph_objects.Figure(draw(figure))
    drawn.update_layout(title={"text": plain(title), "x": 0.5}, margin={"t": 100})
    scripts = [STEP_BACK] if isinstance(figure, Scene) else []
    figure = drawn.to_html(
        include_plotlyjs=True,
        full_html=False,
        div_id="figure",
        default_height="calc(100vh - 4.5rem)" if script else "96vh",
        config=CONFIG,
        post_script=[*scripts, script] if script else scripts,
    )
    return PAGE.format(title=plain(title), figure=figure).encode()


def _menu(names: list[str], changes: list[list[dict]], x: float = 0, active: int = 0) -> dict:
    """Return a menu whose choices update data and layout by `changes`."""
    buttons = []
    for name, change in zip(names, changes, strict=True):
        # a menu is as wide as its longest label
        label = textwrap.shorten(plain(name), 60, placeholder=" …")
        buttons.append({"label": label, "method": "update", "args": change})
    return {**MENU, "x": x, "active": active, "buttons": buttons}


def _curves(figure: Lines) -> dict:
    """Draw a trace for each line of each variant; a menu shows the traces of one variant."""
    data, owners = [], []
    root = figure.x.kind == "root"
    for i, variant in enumerate(figure.variants):
        named = set()
        for line in variant.lines:
            x = [round(v**0.5 if root else v * line.shift, 6) for v in line.x]
            name = plain(line.name)
            trace = {
                "type": "scatter",
                "x": x,
                "y": [round(v, 8) for v in line.y],
                "customdata": [round(v, 4) for v in line.x],
                "name": name,
                "legendgroup": name,
                "showlegend": name not in named,
                "mode": "lines+markers" if line.markers or len(x) == 1 else "lines",
                "line": {"color": line.color, "dash": line.dash, "width": 2},
                "marker": {"size": 6, "color": line.color},
                "hovertemplate": f"{name}<br>%{{y:.4~g}} at %{{customdata:.4~g}}<extra></extra>",
                "visible": line.shown or "legendonly",
            }
            data.append(trace)
            owners.append(i)
            named.add(name)
    changes = []
    for i, variant in enumerate(figure.variants):
        pairs = zip(owners, data, strict=True)
        visible = [owner == i and trace["visible"] for owner, trace in pairs]
        axis = {f"yaxis.{key}": value for key, value in _axis(variant.y).items()}
        changes.append([{"visible": visible}, axis])
    first = figure.variants[0]
    for trace, visible in zip(data, changes[0][0]["visible"], strict=True):
        trace["visible"] = visible
    title = {"text": plain(figure.x.title), "standoff": 8}
    layout = {
        "xaxis": {**_axis(figure.x), "title": title, "automargin": True},
        "yaxis": {**_axis(first.y), "automargin": True},
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"},
        "margin": {"l": 44, "r": 12, "t": 44, "b": 44},
        "hovermode": "closest",
        "showlegend": True,
        "updatemenus": [],
    }
    if len(changes) > 1:
        names = [variant.label for variant in figure.variants]
        layout["updatemenus"] = [_menu(names, changes)]
    else:  # the label of a menu also names its y axis
        layout["yaxis"]["title"] = {"text": plain(first.y.title), "standoff": 4}
    return {"data": data, "layout": layout}


def _axis(axis: Axis) -> dict:
    """Return scale, ends and ticks."""
    if axis.kind == "root":  # plotly has no such scale: the data are square roots
        drawn = {"type": "linear", "range": [v**0.5 for v in axis.span]}
        position = [v**0.5 for v in axis.ticks]
    else:
        drawn, position = {"type": axis.kind, "autorange": axis.span is None}, axis.ticks
        if axis.span:
            # plotly's range of a log axis is in powers of ten
            ends = np.log10(axis.span).tolist() if axis.kind == "log" else axis.span
            drawn["range"] = list(ends)
    if axis.ticks:
        drawn |= {"tickvals": position, "ticktext": [f"{v:g}" for v in axis.ticks]}
    return drawn


def _clouds(scene: Scene) -> dict:
    """Draw a trace for each layer, once if several views share it; menus choose cloud and view."""
    placed, half_sides = scene.place()
    views, keys, traces = scene.clouds[0].views, {}, []
    for v, view in enumerate(views):
        for k, layer in enumerate(view.layers):
            layers = [cloud.views[v].layers[k] for cloud in scene.clouds]
            key = (layer.name, *((str(other.color), other.points.tobytes()) for other in layers))
            if key not in keys:
                keys[key] = shown = []
                traces.append((v, layers, shown))
            keys[key].append(v)

    def draw_cloud(c: int) -> list[dict]:
        return [_trace(scene, placed, c, *trace) for trace in traces]

    by_view, by_cloud = [], []
    for v in range(len(views)):
        by_view.append([{"visible": [v in shown for _, _, shown in traces]}])
    for c in range(len(scene.clouds)):
        drawn = draw_cloud(c)
        changed = {key: [trace[key] for trace in drawn] for key in ("x", "y", "z", "name")}
        if any(isinstance(layer.color, list) for cloud in scene.clouds for layer in cloud.layers):
            changed["marker.color"] = [trace["marker"]["color"] for trace in drawn]
        by_cloud.append([changed])
    far = half_sides.max()
    eye = {"y": (0.86, 0.57, 1.15), "z": (0.86, -1.15, 0.57)}[scene.up]
    eye = eye if far == 1 else (0.3, 0.35, 1.35)
    axes = {}
    for axis, half in zip("xyz", half_sides.tolist(), strict=True):
        axes[f"{axis}axis"] = {"visible": False, "range": [-half, half]}
    up = {axis: int(axis == scene.up) for axis in "xyz"}
    layout = {
        "scene": {
            **axes,
            "aspectmode": "manual",
            "aspectratio": _xyz(half_sides / far),
            "camera": {"up": up, "eye": _xyz(eye)},
            "uirevision": "kept",
        },
        "margin": {"l": 0, "r": 0, "t": 44, "b": 0},
        "legend": {**LEGEND, "itemsizing": "constant"},
        "showlegend": True,
        "updatemenus": [],
    }
    menus = layout["updatemenus"]
    if len(by_cloud) > 1:
        menus.append(_menu([cloud.name for cloud in scene.clouds], by_cloud))
    if len(views) > 1:
        names = [view.name for view in views]
        menus.append(_menu(names, by_view, 0.3 if menus else 0, scene.first))
    return {"data": draw_cloud(0), "layout": layout}


def _pictures(figure: Pictures) -> dict:
    """Draw images as squares of side 1 minus a gap, with the names of their rows and columns."""
    rows, columns = len(figure.rows), len(figure.columns)
    side, images, names = 0.96, [], []
    for r, c, image in figure.placed():
        place = {"xref": "x", "yref": "y", "x": c, "y": -r, "sizex": side, "sizey": side}
        images.append({**place, "source": _data_url(image)})
    words = {"showarrow": False, "xref": "x", "yref": "y", "font": {"size": 11}}
    for c, name in enumerate(figure.columns):
        text = "<br>".join(textwrap.wrap(plain(name), 12))
        names.append({**words, "text": text, "x": c + side / 2, "y": 0, "yanchor": "bottom"})
    for r, name in enumerate(figure.rows):
        turned = {"x": 0, "y": -r - side / 2, "xanchor": "right", "textangle": -90}
        names.append({**words, **turned, "text": plain(name)})
    axis = {"visible": False, "fixedrange": True}
    layout = {
        "xaxis": {**axis, "range": [-0.3, columns]},
        "yaxis": {**axis, "range": [-rows, 0.4], "scaleanchor": "x"},
        "images": images,
        "annotations": names,
        "margin": {"l": 0, "r": 0, "t": 8, "b": 0},
        "plot_bgcolor": "rgba(0,0,0,0)",
        "updatemenus": [],
    }
    return {"data": [], "layout": layout}


def _data_url(image: np.ndarray) -> str:
    """Return RGB bytes (H, W, 3) as the address of a PNG picture."""
    with needs_extra("viz"):
        from PIL import Image
    content = io.BytesIO()
    Image.fromarray(image).save(content, "png")
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def _xyz(values) -> dict:
    return dict(zip("xyz", np.asarray(values).tolist(), strict=True))


def _trace(scene: Scene, placed: list, c: int, v: int, layers: list, shown: list[int]) -> dict:
    """Draw a layer of view v in cloud c; the name of a view's last layer also has its note."""
    layer, view = layers[c], scene.clouds[c].views[v]
    note = f": {view.note}" if view.note and layer is view.layers[-1] else ""
    return {
        "type": "scatter3d",
        "mode": "markers",
        "hoverinfo": "skip",
        "name": plain(layer.name + note),
        **_xyz(np.round(placed[c][id(layer)], 3).T),
        "visible": scene.first in shown,
        "marker": {
            "size": layer.size,
            "color": layer.color,
            "symbol": "circle-open" if layer.ring else "circle",
            "line": {"width": 0},
        },
    }
