"""The figures that only this experiment has."""

import re
from collections import defaultdict

import numpy as np

from samplenet.report.figures import Axis, Line, Lines, Variant
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
