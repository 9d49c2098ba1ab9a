"""Which samplers are the best at a sample size, as far as the number of test clouds and seeds can tell."""

import numpy as np

from samplenet.report.rows import select

# metric: that of its standard deviation over clouds, times what; an accuracy's follows from itself
SPREADS = {
    "nre": ("nre_std", 1),
    "rotation_error_deg": ("rotation_error_std_deg", 1),
    "rotation_error_paper_deg": ("rotation_error_std_deg", 2),
}
HIGHER_IS_BETTER = ("accuracy",)


def best(results: dict, metric: str, found: dict[str, list[dict]]) -> set[str]:
    """The sampler with the best mean, and those that tie with it; none where a standard error is unknown.

    Args:
        found: rows of one sample size by sampler, without rows where it was not scored.
    """
    errors = {name: standard_error(results, metric, rows) for name, rows in found.items() if rows}
    if len(errors) < 2 or None in errors.values():
        return set()
    sign = 1 if metric.startswith(HIGHER_IS_BETTER) else -1
    means = {name: sign * np.mean([r["value"] for r in found[name]]) for name in errors}
    top = max(means, key=means.get)
    room = {name: 2 * np.hypot(errors[top], errors[name]) for name in means}
    return {name for name, mean in means.items() if name == top or means[top] - mean < room[name]}


def standard_error(results: dict, metric: str, rows: list[dict]) -> float | None:
    """Of the mean of one cell's rows, over clouds and, where there are several, over seeds; None where unknown.

    Seeds are scored on the same clouds: more of them leave the part of the clouds as it is.
    """
    values = np.array([r["value"] for r in rows])
    if metric == "accuracy":
        over_clouds = [r["value"] * (1 - r["value"]) / r["n"] for r in rows]
    elif metric in SPREADS:
        name, factor = SPREADS[metric]
        keys = ("sampler", "m", "protocol", "seed")
        spreads = [select(results["rows"], metric=name, **{key: r[key] for key in keys}) for r in rows]
        over_clouds = [(factor * found[0]["value"]) ** 2 / found[0]["n"] for found in spreads if found]
    else:
        return None
    if len(over_clouds) < len(rows):
        return None
    over_seeds = values.var(ddof=1) / len(values) if len(values) > 1 else 0
    return float(np.mean(over_clouds) + over_seeds) ** 0.5
