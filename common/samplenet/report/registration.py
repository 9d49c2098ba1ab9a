"""Rotation error of a frozen registration network on sampled pairs of clouds."""

import numpy as np

from samplenet.report import rows as tables
from samplenet.report.pairs import draw_page, draw_pairs
from samplenet.report.pictures import png, pyplot, ratio_curves, tidy
from samplenet.report.rows import FULL_CLOUD, color, label, mean_curves, select

HEADLINE = "rotation_error_deg"
CURVE = {"step_deg", "precision"}
# metric: (title, scale, digits), in the order of the tables
METRICS = {
    "rotation_error_deg": ("Mean rotation error, degrees", 1, 2),
    "rotation_error_median_deg": ("Median rotation error, degrees", 1, 2),
    "rotation_error_std_deg": ("Standard deviation of the rotation error over pairs, degrees", 1, 2),
    "share_under_5_deg": ("Pairs with an error under 5 degrees, %", 100, 1),
    "share_under_10_deg": ("Pairs with an error under 10 degrees, %", 100, 1),
    "auc": ("Area under the precision curve (share of pairs under an error, 0 to 180 degrees), at best 1", 1, 3),
    "sampling_consistency": (
        "Sampling consistency, thousandths: squared Chamfer distance between the template's sample and the source's "
        "turned back; 0 is the same points",
        1000,
        2,
    ),
    "translation_error": ("Mean translation error, in lengths of the template's longest side", 1, 4),
    "rotation_error_paper_deg": (
        "Mean rotation error in the paper's convention, degrees: twice the geodesic angle. Only these and the next "
        "compare with published numbers",
        1,
        2,
    ),
    "auc_paper": ("Area under the precision curve of the doubled angle, the paper's convention", 1, 3),
}


def text(results: dict) -> str:
    """The whole Markdown report of one results.json."""
    rows = results["rows"]
    errors, spreads = select(rows, metric=HEADLINE), select(rows, metric="rotation_error_std_deg")
    full = select(errors, sampler="none")[0]
    parts = [
        f"Data: {results['data']}, {full['n']} pairs of clouds of {full['m']} points. Mean rotation error on all "
        f"points, in degrees: {_levels(errors, 1, 2)}. An error is the geodesic angle between the estimated and the "
        "true rotation. Columns without a word are *matched*: a subset of the input; *soft* are the softly projected "
        "points and *generated* the simplified points themselves, no subset. "
        f"{_uncertainty(spreads)}Seeds: {tables.seeds(errors)}.",
        f"    {results['command']}",
    ]
    for metric, (title, scale, digits) in METRICS.items():
        if found := select(rows, metric=metric):
            levels = _levels(found, scale, digits)
            parts += [
                f"**{title}**" + (f" ({levels})" if levels else ""),
                tables.table(found, full["m"], scale, digits),
            ]
    return "\n\n".join(parts) + "\n"


def _levels(rows: list[dict], scale: float, digits: int) -> str:
    """The values on full clouds, of the network and of ICP, as words."""
    found = [(s, select(rows, sampler=s)) for s in FULL_CLOUD]
    return "; ".join(f"{label(s)} {tables.cell(mine, scale, digits)}" for s, mine in found if mine)


def _uncertainty(spreads: list[dict]) -> str:
    """How far means may be trusted, from the rows of the standard deviation."""
    if not spreads:
        return ""
    most = max(r["value"] / r["n"] ** 0.5 for r in spreads)
    return (
        "A mean's standard error is its standard deviation over pairs (below) divided by the root of their number, "
        f"at most {most:.2f} here; a difference under twice √(a² + b²), of the two standard errors a and b, is a tie. "
        "That takes pairs as independent, which those of one shape are not: the true error may be larger. "
    )


def draw_errors(results: dict, gallery: dict) -> bytes:
    """Mean rotation error against sampling ratio."""
    return ratio_curves(select(results["rows"], metric=HEADLINE), "mean rotation error, degrees", unit="°")


def draw_precision(results: dict, gallery: dict) -> bytes | None:
    """Share of pairs under an error, matched points of every sampler at one size, and full clouds."""
    curves = select(results.get("curves", []), protocol="matched")
    sizes = {c["m"] for c in curves if c["sampler"] not in FULL_CLOUD}
    trained = {c["m"] for c in curves if c["sampler"] in ("snet", "samplenet")}
    if not curves:
        return None
    m = min(trained or sizes, default=None)
    figure, axes = pyplot().subplots(figsize=(7, 4.3), layout="constrained")
    for sampler, curve, share in mean_curves(curves, m):
        line = ":" if sampler in FULL_CLOUD else "-"
        axes.plot(curve["step_deg"] * np.arange(len(share)), share, color=color(sampler), ls=line, label=label(sampler))
    # most happens at small errors: the axis is linear in the angle's root
    axes.set_xscale("function", functions=(lambda a: np.sqrt(np.maximum(a, 0)), np.square))
    axes.set_xticks([0, 1, 5, 10, 20, 45, 90, 180])
    axes.set(xlabel="rotation error, degrees (root scale)", ylabel="pairs under this error, %", ylim=(0, 102))
    axes.set_xlim(0, 180)
    axes.set_title("" if m is None else f"m = {m}", fontsize=11)
    tidy(axes)
    return png(figure)


PICTURES = {
    "rotation_error.png": draw_errors,
    "precision.png": draw_precision,
    "pairs.png": draw_pairs,
    "pair.html": draw_page,
}
