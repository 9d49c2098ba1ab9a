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
SHOWN_HEIGHT = 0.8  # of a room
# of classes, by their number
PALETTE = (
    *("#b0b0b0", "#c7a97b", "#dcdcdc", "#d62728", "#8c564b", "#1f77b4", "#ff7f0e", "#2ca02c"),
    *("#9467bd", "#e377c2", "#17becf", "#bcbd22", "#7f7f7f"),
)


def detected(results, gallery):
    """Show test rooms to turn, with the true boxes and those that each detector is sure of."""

    def view(name, points, true, found):
        layers = [
            Layer("points", _y_up(points[_low(points)]), GREY, 1.5),
            Layer("true boxes", _y_up(_edges(true)), "#2f7fc1", 1.5),
            Layer("found boxes", _y_up(_edges(found)), "#c1272d", 1.5),
        ]
        return View(name, f"{len(found)} found", layers)

    clouds = _rooms("detection", gallery, view)
    return Scene("Boxes in test rooms", clouds) if clouds else None


def classified(results, gallery):
    """Show test rooms to turn, in the colours of their true classes and of the predicted ones."""

    def view(name, points, labels, note):
        chosen = _low(points) & (labels >= 0)
        points, labels = _y_up(points[chosen]), labels[chosen]
        layers = [  # of every class: all rooms of a scene have the same layers
            Layer(str(name), points[labels == label], PALETTE[label % len(PALETTE)])
            for label, name in enumerate(names)
        ]
        return View(name, note, layers)

    def found_view(name, points, true, found):
        right = (found == true)[true >= 0].mean()
        return view(name, points, found, f"{right:.0%} of the points are right")

    def true_view(_, points, true, found):
        return view("true classes", points, true, "")

    names = next((gallery[key] for key in gallery if key.endswith("|classes")), ())
    clouds = _rooms("scenes", gallery, found_view)
    for cloud, true in zip(clouds, _rooms("scenes", gallery, true_view), strict=True):
        cloud.views.insert(0, true.views[0])
    return Scene("Classes in test rooms", clouds) if clouds else None


def _rooms(task, gallery, view):
    """Return the test rooms of a task's runs as clouds, with a view of each run."""
    runs = sorted({key.partition("|")[0] for key in gallery if key.startswith(f"{task}, ")})
    clouds = []
    while runs and f"{runs[0]}|points_{len(clouds)}" in gallery:
        kinds = [f"{name}_{len(clouds)}" for name in ("points", "true", "found")]
        views = [
            view(run.removeprefix(f"{task}, "), *(gallery[f"{run}|{kind}"] for kind in kinds))
            for run in runs
        ]
        clouds.append(Cloud(f"room {len(clouds) + 1}", views))
    return clouds


def _low(points):
    """Return which points are no ceiling's: it would hide the room."""
    return points[:, 2] < SHOWN_HEIGHT * points[:, 2].max()


def _edges(corners, count=40):
    """Return points (n, 3) along the edges of boxes with these corners (K, 8, 3)."""
    first, last = np.moveaxis(corners[:, EDGES], 2, 0)[..., None, :]  # (K, 12, 1, 3) each
    along = np.linspace(0, 1, count)[:, None]
    return (first + along * (last - first)).reshape(-1, 3)


def _y_up(points):
    return points[:, [0, 2, 1]] * (1, 1, -1)
