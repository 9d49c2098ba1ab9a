"""The figures that only this experiment has."""

import re
from collections import defaultdict

import numpy as np

from samplenet.report.figures import GREY, Axis, Cloud, Layer, Line, Lines, Scene, Variant, View
from samplenet.report.rows import select

COLORS = {
    "random": "#9a9a9a",
    "point loss": "#2f7fc1",
    "global loss": "#3fa36b",
    "both losses": "#c1272d",
    "supervised": "#7a5195",
}


def by_labels(results, gallery):
    """Draw the accuracy of classifiers against the labels they learned from; a variant a network.

    Args:
        gallery: not used.
    """
    curves = defaultdict(lambda: defaultdict(dict))  # network, start, labels a class: accuracies
    for row in select(results.rows, metric="accuracy"):
        if found := re.fullmatch(r"classification, (\d+) a class, (.+)", row["task"]):
            values = curves[found[2]][row["start"]].setdefault(int(found[1]), [])
            values.append(100 * row["value"])
    variants, ticks = [], set()
    for network, starts in curves.items():
        lines = []
        for start in sorted(starts, key=[*COLORS, *starts].index):
            counts = sorted(starts[start])
            ticks |= {*counts}
            means = [float(np.mean(starts[start][count])) for count in counts]
            lines.append(Line(start, COLORS.get(start, "#444444"), counts, means, markers=True))
        variants.append(Variant(network, Axis("Accuracy, %", span=(0, 103)), lines))
    if len(ticks) < 2:
        return None
    axis = Axis("labels a class", "log", sorted(ticks))
    return Lines("Few labels", axis, variants)


# pairs of corners: along the lower sides, along the upper ones, and upright
EDGES = [(i, (i + 1) % 4) for i in range(4)]
EDGES += [(4 + a, 4 + b) for a, b in EDGES] + [(i, i + 4) for i in range(4)]
SHOWN_HEIGHT = 0.8  # of a room: the ceiling would hide it


def detected(results, gallery):
    """Show test rooms to turn, with the true boxes and those that each detector is sure of."""
    runs = sorted({key.partition("|")[0] for key in gallery if key.endswith("|points_0")})
    clouds = []
    while runs and f"{runs[0]}|points_{len(clouds)}" in gallery:
        number, views = len(clouds), []
        for run in runs:
            points, true, found = (
                gallery[f"{run}|{name}_{number}"] for name in ("points", "true", "found")
            )
            points = points[points[:, 2] < SHOWN_HEIGHT * points[:, 2].max()]
            layers = [
                Layer("points", _y_up(points), GREY, 1.5),
                Layer("true boxes", _y_up(_edges(true)), "#2f7fc1", 1.5),
                Layer("found boxes", _y_up(_edges(found)), "#c1272d", 1.5),
            ]
            views.append(View(run.removeprefix("detection, "), f"{len(found)} found", layers))
        clouds.append(Cloud(f"room {number + 1}", views))
    return Scene("Boxes in test rooms", clouds) if clouds else None


def _edges(corners, count=40):
    """Return points (n, 3) along the edges of boxes with these corners (K, 8, 3)."""
    first, last = np.moveaxis(corners[:, EDGES], 2, 0)[..., None, :]  # (K, 12, 1, 3) each
    along = np.linspace(0, 1, count)[:, None]
    return (first + along * (last - first)).reshape(-1, 3)


def _y_up(points):
    return points[:, [0, 2, 1]] * (1, 1, -1)
