"""Pairs of clouds before and after alignment: a figure of several, a page to turn one about.

Their gallery: `template`, `source` (G, N, 3) and `error_before` (G,) in degrees; of each sampler s `error_s` (G,),
`moved_s` (G, N, 3), the whole template moved by the estimate, and, where it samples, `idx_template_s`, `idx_source_s`
(G, m).
"""

import html
from typing import NamedTuple

import numpy as np

from samplenet.report.pictures import LeftOut, dots, png, pyplot, row_title, stage
from samplenet.report.rows import SAMPLERS, label

TEMPLATE, SOURCE = ("#efab5a", "#b8430b"), ("#86b4de", "#123f73")  # colours of all points and of the sampled ones


class Alignment(NamedTuple):
    """One pair, before (`label` says so) or after a sampler's estimate."""

    label: str
    error: float  # degrees
    template: np.ndarray  # (N, 3), moved by the estimate
    source: np.ndarray  # (N, 3)
    template_sample: np.ndarray  # (m, 3), m = 0 on full clouds
    source_sample: np.ndarray  # (m, 3)


def alignments(gallery: dict, pair: int) -> list[Alignment]:
    """The pair before, then after each sampler of the gallery in display order."""
    source, nothing = gallery["source"][pair], np.zeros((0, 3), np.float32)
    before = gallery["error_before"][pair]
    found = [Alignment("before", before, gallery["template"][pair], source, nothing, nothing)]
    for sampler in (s for s in SAMPLERS if f"moved_{s}" in gallery):
        name, samples = label(sampler), (nothing, nothing)
        moved = gallery[f"moved_{sampler}"][pair]
        if f"idx_template_{sampler}" in gallery:
            samples = (moved[gallery[f"idx_template_{sampler}"][pair]], source[gallery[f"idx_source_{sampler}"][pair]])
            name += f", m = {len(samples[0])}"
        found.append(Alignment(name, gallery[f"error_{sampler}"][pair], moved, source, *samples))
    return found


def draw_pairs(results: dict, gallery: dict) -> bytes | None:
    """A column for each pair; a row before, then one for each sampler."""
    if "template" not in gallery:
        return None
    grid = [alignments(gallery, g) for g in range(len(gallery["template"]))]
    rows, columns = len(grid[0]), len(grid)
    figure = pyplot().figure(figsize=(2.3 * columns, 2.3 * rows + 0.4), layout="constrained")
    for c, column in enumerate(grid):
        room = np.concatenate([a.template for a in column] + [column[0].source])
        for r, shown in enumerate(column):
            place = r * columns + c + 1
            # drawn in this order, not by depth: samples are never covered
            axes = figure.add_subplot(rows, columns, place, projection="3d", computed_zorder=False)
            moved = "template, moved by the estimate"
            dots(axes, shown.source, s=3, color=SOURCE[0], linewidths=0, label="source")
            dots(axes, shown.template, s=3, color=TEMPLATE[0], linewidths=0, label=moved)
            dots(axes, shown.source_sample, s=13, color=SOURCE[1], linewidths=0, label="source: sampled")
            ring = {"facecolors": "none", "edgecolors": TEMPLATE[1], "linewidths": 1}
            dots(axes, shown.template_sample, s=28, label=f"{moved}: sampled", **ring)
            axes.set_title(f"{shown.error:.1f}°", fontsize=10, y=-0.08)
            stage(axes, room, zoom=1.45)
            if c == 0:
                row_title(axes, shown.label)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False, markerscale=2, fontsize=10)
    return png(figure)


def draw_page(results: dict, gallery: dict) -> bytes | None:
    """A page of the first pair that works offline: turn it, and switch between before and each sampler."""
    if "template" not in gallery:
        return None
    try:
        from plotly import graph_objects
    except ImportError as error:
        raise LeftOut(
            "it needs plotly, which is not installed; pip install plotly, then give "
            "`python -m samplenet.report` this folder"
        ) from error
    shown = alignments(gallery, 0)
    traces, buttons = [], []
    for i, state in enumerate(shown):
        title = f"{state.label}: rotation error {state.error:.1f}°<br><sub>{html.escape(str(results['data']))}</sub>"
        visible = [j == i for j in range(len(shown)) for _ in range(4)]
        change = [{"visible": visible}, {"title.text": title}]
        buttons.append({"label": state.label, "method": "update", "args": change})
        for name, points, size, symbol, color in (
            ("source", state.source, 2, "circle", SOURCE[0]),
            ("template" if i == 0 else "template, moved by the estimate", state.template, 2, "circle", TEMPLATE[0]),
            ("source: sampled", state.source_sample, 5, "circle", SOURCE[1]),
            ("template: sampled", state.template_sample, 8, "circle-open", TEMPLATE[1]),
        ):
            x, y, z = points.T
            look = {"mode": "markers", "marker": {"size": size, "symbol": symbol, "color": color}, "hoverinfo": "skip"}
            many = {"visible": i == 0, "showlegend": len(points) > 0}
            traces.append(graph_objects.Scatter3d(x=x, y=y, z=z, name=name, **look, **many))
    room = np.concatenate([a.template for a in shown] + [shown[0].source])
    centre, half = (room.min(0) + room.max(0)) / 2, (room.max(0) - room.min(0)).max() / 2
    limits = zip("xyz", centre.tolist(), strict=True)
    axes = {f"{a}axis": {"visible": False, "range": [c - half, c + half]} for a, c in limits}
    camera = {"up": {"x": 0, "y": 1, "z": 0}, "eye": {"x": 0.75, "y": 0.5, "z": 1.0}}
    figure = graph_objects.Figure(traces)
    figure.update_layout(
        title={"text": buttons[0]["args"][1]["title.text"], "x": 0.5},
        scene={**axes, "aspectmode": "cube", "camera": camera, "uirevision": "kept"},
        updatemenus=[{"type": "buttons", "buttons": buttons, "x": 0, "xanchor": "right", "y": 1, "yanchor": "top"}],
        margin={"l": 170, "r": 10, "t": 70, "b": 40},
        legend={"orientation": "h", "x": 0.5, "xanchor": "center", "y": 0, "yanchor": "top", "itemsizing": "constant"},
    )
    return figure.to_html(include_plotlyjs=True, div_id="pair", config={"displaylogo": False}).encode()
