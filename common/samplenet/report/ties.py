"""Which methods are the best of a line, as far as the number of test items and seeds can say."""

import numpy as np

from samplenet.report.rows import select
from samplenet.runs.experiments import Experiment


def best(rows: list[dict], experiment: Experiment, metric: str, line: dict) -> set:
    """The keys of `line` with the best mean, and those that tie with it; none where a standard error is unknown.

    Args:
        rows: all rows of the results.
        line: the rows of each cell, by any key; cells without rows are passed over.
    """
    errors = {
        key: standard_error(rows, experiment, metric, cell) for key, cell in line.items() if cell
    }
    if len(errors) < 2 or None in errors.values():
        return set()
    sign = 1 if experiment.metrics[metric].better == "higher" else -1
    means = {key: sign * np.mean([row["value"] for row in line[key]]) for key in errors}
    top = max(means, key=means.get)
    room = {key: 2 * np.hypot(errors[top], errors[key]) for key in means}
    return {key for key in means if key == top or means[top] - means[key] < room[key]}


def standard_error(
    rows: list[dict], experiment: Experiment, metric: str, cell: list[dict]
) -> float | None:
    """The standard error of the mean of one cell's rows, over test items and, where there are several, over seeds.

    None where it is unknown. All seeds are scored on the same items, so more of them leave the part of the items as it
    is.
    """
    known = experiment.metrics.get(metric)
    if not (known and known.spread and known.better):
        return None
    values = np.array([row["value"] for row in cell])
    if known.spread == "share":
        over_items = [row["value"] * (1 - row["value"]) / row["n"] for row in cell]
    else:
        over_items = []
        for row in cell:
            same = {
                key: row.get(key)
                for key in (*row.get("method", ("sampler", "m")), "protocol", "seed", "class")
            }
            for spread in select(rows, metric=known.spread, **same):
                over_items.append((known.spread_factor * spread["value"]) ** 2 / spread["n"])
    if len(over_items) < len(cell):
        return None
    over_seeds = values.var(ddof=1) / len(values) if len(values) > 1 else 0
    return float(np.mean(over_items) + over_seeds) ** 0.5
