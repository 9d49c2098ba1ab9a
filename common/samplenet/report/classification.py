"""Accuracy of a frozen classifier, and retrieval by its descriptors, on sampled clouds."""

import numpy as np

from samplenet.report import rows as tables
from samplenet.report.pictures import dots, png, pyplot, ratio_curves, row_title, stage, tidy
from samplenet.report.rows import FULL_CLOUD, SAMPLERS, color, label, mean_curves, select

HEADLINE = "accuracy"
CURVE = {"recall", "precision"}
# metric: title, in the order of the tables
METRICS = {
    "accuracy": "Accuracy, %",
    "accuracy_class_mean": "Mean of the classes' accuracies, %",
    "map_macro": "Retrieval: mAP, mean over classes, %",
    "map_micro": "Retrieval: mAP, mean over queries, %",
    "map_paper": "Retrieval: mAP as the predecessor counts it, the query in its own gallery at rank 1, mean over "
    "queries, %",
}


def text(results: dict) -> str:
    """The whole Markdown report of one results.json."""
    accuracy = select(results["rows"], metric="accuracy")
    full = select(accuracy, sampler="none")[0]
    error = 100 * (0.25 / full["n"]) ** 0.5  # of one accuracy, at most; of a difference, root 2 times that
    several = len({r["seed"] for r in accuracy}) > 1
    parts = [
        f"Data: {results['data']}, {full['n']} test clouds of {full['m']} points. All of them: "
        f"{100 * full['value']:.1f} % right. Columns without a word are *matched*: a subset of the input. A value's "
        f"standard error over clouds is at most {error:.1f}; differences under {2 * 2**0.5 * error:.1f} (two standard "
        f"errors of a difference) are ties{'; what seeds differ by comes on top' if several else ''}. "
        f"Seeds: {tables.seeds(accuracy)}.",
        f"    {results['command']}",
    ]
    for metric, title in METRICS.items():
        if rows := select(results["rows"], metric=metric):
            level = tables.cell(select(rows, sampler="none"), scale=100)
            levels = f" (full cloud {level})" if level else ""
            parts += [f"**{title}**{levels}", tables.table(rows, full["m"], scale=100)]
    return "\n\n".join(parts) + "\n"


def draw_curves(results: dict, gallery: dict) -> bytes:
    """Accuracy against sampling ratio."""
    rows = select(results["rows"], metric="accuracy")
    return ratio_curves(rows, "accuracy, %", unit=" %", scale=100, ylim=(0, 100))


def draw_gallery(results: dict, gallery: dict) -> bytes | None:
    """A few test clouds with the points each sampler picked, and what the classifier made of them.

    Args:
        gallery: `points` (G, N, 3), `names` (G,), and of each sampler s `idx_s` (G, m) and `predicted_s` (G,).
    """
    samplers = [s for s in SAMPLERS if f"idx_{s}" in gallery]
    if not samplers:
        return None
    names, clouds = gallery["names"], gallery["points"]
    rows, columns = len(samplers), len(clouds)
    figure = pyplot().figure(figsize=(2.3 * columns, 2.5 * rows), layout="constrained")
    for r, sampler in enumerate(samplers):
        for c, cloud in enumerate(clouds):
            axes = figure.add_subplot(rows, columns, r * columns + c + 1, projection="3d")
            dots(axes, cloud, s=1.5, color="#c8ccd0", alpha=0.6, linewidths=0)
            picked = gallery[f"idx_{sampler}"][c]
            dots(axes, cloud[picked], s=26, color=color(sampler), edgecolors="white", linewidths=0.5)
            guess = gallery[f"predicted_{sampler}"][c]
            right = guess == names[c]
            axes.set_title(f"{guess}" if right else f"{guess} (wrong)", fontsize=9, y=-0.06,
                           color="#1a7f37" if right else "#b3261e")  # fmt: skip
            stage(axes, cloud)
            if c == 0:
                row_title(axes, f"{label(sampler)}, m = {len(picked)}")
            if r == 0:
                axes.text2D(0.5, 1.0, names[c], transform=axes.transAxes, ha="center", fontsize=11, weight="bold")
    return png(figure)


def draw_retrieval(results: dict, gallery: dict) -> bytes | None:
    """Precision against recall of retrieval: full clouds, and every sampler's matched points at the gallery's size."""
    curves = select(results.get("curves", []), protocol="matched")
    sizes = [gallery[f"idx_{s}"].shape[1] for s in SAMPLERS if f"idx_{s}" in gallery]
    if not curves or not sizes:
        return None
    figure, axes = pyplot().subplots(figsize=(7, 4.3), layout="constrained")
    for sampler, curve, precision in mean_curves(curves, sizes[0]):
        look = {"color": color(sampler), "ls": ":" if sampler in FULL_CLOUD else "-", "label": label(sampler)}
        axes.plot(100 * np.array(curve["recall"]), precision, **look)
    axes.set(xlabel="recall, %", ylabel="precision, %", xlim=(0, 100), ylim=(0, 102))
    axes.set_title(f"retrieval, m = {sizes[0]}, matched points", fontsize=11)
    tidy(axes)
    return png(figure)


PICTURES = {"accuracy.png": draw_curves, "gallery.png": draw_gallery, "retrieval.png": draw_retrieval}
