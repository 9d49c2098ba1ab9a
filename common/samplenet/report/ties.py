"""Which methods are the best of a line, within the error that items and seeds leave."""

import numpy as np

from samplenet.report.rows import select
from samplenet.runs.experiments import Experiment


def best(rows: list[dict], experiment: Experiment, metric: str, line: dict) -> set:
    """Return the keys of the cell with the best mean and of those that tie with it.

    Args:
        rows: all rows of the results.
        line: the rows of each cell, by any key; cells without rows are ignored. If the standard
            error of a cell is unknown, no key is returned.
    """
    line = {key: cell for key, cell in line.items() if cell}
    errors = {key: standard_error(rows, experiment, metric, cell) for key, cell in line.items()}
    if len(errors) < 2 or None in errors.values():
        return set()
    sign = 1 if experiment.metrics[metric].better == "higher" else -1
    means = {key: sign * np.mean([row["value"] for row in cell]) for key, cell in line.items()}
    top = max(means, key=means.get)
    # a tie: less apart than two standard errors of the difference of two independent means
    room = {key: 2 * np.hypot(errors[top], errors[key]) for key in means}
    return {key for key in means if key == top or means[top] - means[key] < room[key]}


def standard_error(
    rows: list[dict], experiment: Experiment, metric: str, cell: list[dict]
) -> float | None:
    """Return the standard error of a cell's mean, over test items and seeds; None if unknown."""
    known = experiment.metrics.get(metric)
    if not (known and known.spread and known.better):
        return None
    over_items = []
    for row in cell:
        if known.spread == "share":  # the variance of a share p of n items is p (1 - p) / n
            over_items.append(row["value"] * (1 - row["value"]) / row["n"])
            continue
        keys = (*row.get("method", ("sampler", "m")), "protocol", "seed", "class")
        same = {key: row.get(key) for key in keys}
        for spread in select(rows, metric=known.spread, **same):
            over_items.append((known.spread_factor * spread["value"]) ** 2 / spread["n"])
    if len(over_items) < len(cell):
        return None
    values = [row["value"] for row in cell]
    over_seeds = np.var(values, ddof=1) / len(values) if len(values) > 1 else 0
    # All seeds are scored on the same items, so the part of the items is averaged and not
    # divided by the number of seeds.
    return float(np.mean(over_items) + over_seeds) ** 0.5
