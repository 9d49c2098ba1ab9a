"""Figures for a browser, by plotly: as its data and layout, or as a page of their own that works offline."""

import html
import textwrap

import numpy as np

from samplenet.errors import InputError
from samplenet.report.figures import Axis, Lines, Scene

CONFIG = {"displaylogo": False, "responsive": True}
MISSING = "plotly is not installed; pip install plotly, then give the same command again"
MENU = {
    "type": "dropdown",
    "y": 1,
    "xanchor": "left",
    "yanchor": "bottom",
    "showactive": True,
    "pad": {"b": 6},
}


class Unavailable(InputError):
    """A figure cannot be drawn here; the message says why and what to do."""


def library() -> str:
    """Read the source of plotly.js."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise Unavailable(MISSING) from error
    return get_plotlyjs()


def plain(text: str) -> str:
    """Keep plotly from reading its small HTML in a name that comes from a file."""
    return html.escape(str(text), quote=False)


def draw(figure: Lines | Scene) -> dict:
    """Return data and layout for plotly.js."""
    return _curves(figure) if isinstance(figure, Lines) else _clouds(figure)


def page(figure: Lines | Scene, title: str) -> bytes:
    """Draw one figure as an HTML file that needs nothing beside it."""
    try:
        from plotly import graph_objects
    except ImportError as error:
        raise Unavailable(MISSING) from error
    made = graph_objects.Figure(draw(figure))
    made.update_layout(title={"text": plain(title), "x": 0.5}, margin={"t": 100})
    return made.to_html(
        include_plotlyjs=True, div_id="figure", default_height="96vh", config=CONFIG
    ).encode()


def _menu(words: list[str], changes: list[list[dict]], x: float = 0, active: int = 0) -> dict:
    buttons = []
    for word, change in zip(words, changes, strict=True):
        label = textwrap.shorten(
            plain(word), 60, placeholder=" …"
        )  # a menu is as wide as its longest label
        buttons.append({"label": label, "method": "update", "args": change})
    return {**MENU, "x": x, "active": active, "buttons": buttons}


def _curves(figure: Lines) -> dict:
    traces, owners = [], []
    root = figure.x.kind == "root"
    for i, variant in enumerate(figure.variants):
        named = set()
        for line in variant.lines:
            x = [round(v**0.5 if root else v * line.shift, 6) for v in line.x]
            owners.append((i, True if line.shown else "legendonly"))
            name = plain(line.name)
            traces.append(
                {
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
                }
            )
            named.add(name)
    changes = []
    for i, variant in enumerate(figure.variants):
        visible = [shown if owner == i else False for owner, shown in owners]
        axis = {f"yaxis.{key}": value for key, value in _axis(variant.y).items()}
        changes.append([{"visible": visible}, axis])
    for trace, visible in zip(traces, changes[0][0]["visible"], strict=True):
        trace["visible"] = visible
    layout = {
        "xaxis": {
            **_axis(figure.x),
            "title": {"text": plain(figure.x.title), "standoff": 8},
            "automargin": True,
        },
        "yaxis": {**_axis(figure.variants[0].y), "automargin": True},
        "legend": {"orientation": "h", "y": -0.18, "yanchor": "top"},
        "margin": {"l": 44, "r": 12, "t": 44, "b": 44},
        "hovermode": "closest",
        "showlegend": True,
    }
    words = [variant.label for variant in figure.variants]
    if len(words) == 1:  # else the menu says what the axis is of
        layout["yaxis"]["title"] = {"text": plain(figure.variants[0].y.title), "standoff": 4}
    layout["updatemenus"] = [_menu(words, changes)] if len(words) > 1 else []
    return {"data": traces, "layout": layout}


def _axis(axis: Axis) -> dict:
    """Return scale, ends and ticks."""
    ends = axis.span
    if axis.kind == "root":
        shown = {
            "tickvals": [v**0.5 for v in axis.ticks],
            "ticktext": [f"{v:g}" for v in axis.ticks],
        }
        return {"type": "linear", "range": [v**0.5 for v in ends], **shown}
    made = {"type": axis.kind, "autorange": ends is None}
    if axis.kind == "log":
        made |= {"range": [float(np.log10(v)) for v in ends]} if ends else {}
    elif ends:
        made["range"] = list(ends)
    if axis.ticks:
        made |= {"tickvals": axis.ticks, "ticktext": [f"{v:g}" for v in axis.ticks]}
    return made


def _clouds(scene: Scene) -> dict:
    """Make a trace for each layer of each view, one for what views share; menus choose the cloud and the view."""
    placed, room = scene.place()
    views, traces, seen = scene.clouds[0].views, {}, []
    for v, view in enumerate(views):
        for k, layer in enumerate(view.layers):
            same = [cloud.views[v].layers[k] for cloud in scene.clouds]
            key = (layer.name, str(layer.color), *(one.points.tobytes() for one in same))
            if key not in traces:
                traces[key] = len(seen)
                seen.append(([], same, v))
            seen[traces[key]][0].append(v)
    data = [_trace(scene, placed, 0, shown, layers, v) for shown, layers, v in seen]
    by_view, by_cloud = [], []
    for v in range(len(views)):
        by_view.append([{"visible": [v in shown for shown, _, _ in seen]}])
    for c in range(len(scene.clouds)):
        other = [_trace(scene, placed, c, shown, layers, v) for shown, layers, v in seen]
        by_cloud.append([{key: [trace[key] for trace in other] for key in ("x", "y", "z", "name")}])
    far = room.max()
    eye = (
        {"y": (0.75, 0.5, 1.0), "z": (0.75, -1.0, 0.5)}[scene.up] if far == 1 else (0.3, 0.35, 1.35)
    )
    eye = dict(zip("xyz", eye, strict=True))
    axes = {}
    for axis, half in zip("xyz", room.tolist(), strict=True):
        axes[f"{axis}axis"] = {"visible": False, "range": [-half, half]}
    layout = {
        "scene": {
            **axes,
            "aspectmode": "manual",
            "aspectratio": dict(zip("xyz", (room / far).tolist(), strict=True)),
            "camera": {"up": {axis: int(axis == scene.up) for axis in "xyz"}, "eye": eye},
            "uirevision": "kept",
        },
        "margin": {"l": 0, "r": 0, "t": 44, "b": 0},
        "legend": dict(
            orientation="h", x=0.5, xanchor="center", y=0, yanchor="top", itemsizing="constant"
        ),
        "showlegend": True,
    }
    menus = [_menu([cloud.name for cloud in scene.clouds], by_cloud)] if len(by_cloud) > 1 else []
    if len(views) > 1:
        menus.append(
            _menu([view.name for view in views], by_view, 0.3 if menus else 0, scene.first)
        )
    layout["updatemenus"] = menus
    return {"data": data, "layout": layout}


def _trace(scene: Scene, placed: list, c: int, shown: list[int], layers: list, v: int) -> dict:
    """Make the trace of a layer in cloud c; what the view led to stands with the name of its last layer."""
    layer, view = layers[c], scene.clouds[c].views[v]
    note = f": {view.note}" if view.note and layer is view.layers[-1] else ""
    points = np.round(placed[c][id(layer)], 3).T.tolist()
    symbol = "circle-open" if layer.ring else "circle"
    return {
        "type": "scatter3d",
        "mode": "markers",
        "hoverinfo": "skip",
        "name": plain(layer.name + note),
        **dict(zip("xyz", points, strict=True)),
        "visible": scene.first in shown,
        "marker": {
            "size": layer.size,
            "color": layer.color,
            "symbol": symbol,
            "line": {"width": 0},
        },
    }
