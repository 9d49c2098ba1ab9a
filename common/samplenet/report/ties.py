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
    means = _means(experiment, metric, line)
    top = max(means, key=means.get)
    # a tie: less apart than two standard errors of the difference of two independent means
    room = {key: 2 * np.hypot(errors[top], errors[key]) for key in means}
    return {key for key in means if key == top or means[top] - means[key] < room[key]}


def ranks(
    rows: list[dict], experiment: Experiment, metric: str, line: dict
) -> list[tuple[int, bool, object]]:
    """Rank the cells of a line: the best and what ties with it, then the best of the rest, ….

    Where a standard error is unknown, nothing ties.

    Args:
        as for `best`.

    Returns:
        Rank, whether it is shared, and the key of each cell with rows, from the best on. After a
        rank that k cells share, the next is k further.
    """
    means = _means(experiment, metric, {key: cell for key, cell in line.items() if cell})
    left = sorted(means, key=means.get, reverse=True)
    found = []
    while left:
        shared = best(rows, experiment, metric, {key: line[key] for key in left}) or left[:1]
        rank = len(found) + 1
        found += [(rank, len(shared) > 1, key) for key in left if key in shared]
        left = [key for key in left if key not in shared]
    return found


def _means(experiment: Experiment, metric: str, line: dict) -> dict:
    """Return the mean of each cell's values, with the sign that makes larger ones better."""
    sign = 1 if experiment.metrics[metric].better == "higher" else -1
    return {key: sign * np.mean([row["value"] for row in cell]) for key, cell in line.items()}


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
