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
PALETTE = (  # of the generated rooms' classes in their order, then of the further ones of data sets
    *("#b0b0b0", "#c7a97b", "#dcdcdc", "#d62728", "#8c564b", "#1f77b4", "#ff7f0e", "#2ca02c"),
    *("#9467bd", "#e377c2", "#17becf", "#bcbd22", "#7f7f7f", "#aec7e8", "#ffbb78", "#98df8a"),
    *("#ff9896", "#c5b0d5", "#f7b6d2", "#9edae5"),
)


def detected(results, gallery):
    """Show test rooms to turn, with the true boxes and those that each detector is sure of."""

    def view(run, points, true, found):
        layers = [
            Layer("points", _y_up(points[_low(points)]), GREY, 1.5),
            Layer("true boxes", _y_up(_edges(true)), "#2f7fc1", 1.5),
            Layer("found boxes", _y_up(_edges(found)), "#c1272d", 1.5),
        ]
        return View(_name(run), f"{len(found)} found", layers)

    clouds = _rooms("detection", gallery, view)
    return Scene("Boxes in test rooms", clouds) if clouds else None


def classified(results, gallery):
    """Show test rooms to turn, in the colours of their true classes and of the predicted ones."""

    def layers(run, points, labels):
        return [  # of every class: all rooms of a view have the same layers
            Layer(str(name), _y_up(points[labels == label]), PALETTE[label])
            for label, name in enumerate(gallery[f"{run}|classes"])
        ]

    def true_view(run, points, true, found):
        low = _low(points)
        return View("true classes", "", layers(run, points[low], true[low]))

    def found_view(run, points, true, found):
        low, wrong = _low(points), (found != true) & (true >= 0)
        shown = layers(run, points[low], found[low])
        shown.append(Layer("wrong", _y_up(points[low & wrong]), "#000000", 1))
        share = wrong.sum() / max(1, (true >= 0).sum())
        return View(_name(run), f"{share:.0%} of all points are wrong", shown)

    clouds = _rooms("scenes", gallery, found_view)
    for cloud, true in zip(clouds, _rooms("scenes", gallery, true_view), strict=True):
        cloud.views.insert(0, true.views[0])
    return Scene("Classes in test rooms", clouds) if clouds else None


def _rooms(task, gallery, view):
    """Return the test rooms that all runs of a task show as clouds, with a view of each run."""
    runs = sorted({key.partition("|")[0] for key in gallery if key.startswith(f"{task}, ")})
    clouds = []
    while runs and all(f"{run}|points_{len(clouds)}" in gallery for run in runs):
        kinds = [f"{name}_{len(clouds)}" for name in ("points", "true", "found")]
        views = [view(run, *(gallery[f"{run}|{kind}"] for kind in kinds)) for run in runs]
        clouds.append(Cloud(f"room {len(clouds) + 1}", views))
    return clouds


def _name(run):
    """Return the network and start of a run, without its task."""
    return run.partition(", ")[2]


def _low(points):
    """Return which points are below the ceiling's height: higher ones would hide the room."""
    return points[:, 2] < SHOWN_HEIGHT * points[:, 2].max()


def _edges(corners, count=40):
    """Return points (n, 3) along the edges of boxes with these corners (K, 8, 3)."""
    first, last = np.moveaxis(corners[:, EDGES], 2, 0)[..., None, :]  # (K, 12, 1, 3) each
    along = np.linspace(0, 1, count)[:, None]
    return (first + along * (last - first)).reshape(-1, 3)


def _y_up(points):
    return points[:, [0, 2, 1]] * (1, 1, -1)
