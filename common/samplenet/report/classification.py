"""Accuracy of a frozen classifier on sampled clouds."""

from samplenet.report import rows as tables
from samplenet.report.pictures import dots, png, pyplot, ratio_curves, row_title, stage
from samplenet.report.rows import SAMPLERS, select

HEADLINE = "accuracy"
METRICS = {"accuracy": "accuracy", "accuracy_class_mean": "mean of the classes' accuracies"}


def text(results: dict) -> str:
    """The whole Markdown report of one results.json."""
    accuracy = select(results["rows"], metric="accuracy")
    full = select(accuracy, sampler="none")[0]
    error = 100 * (0.25 / full["n"]) ** 0.5  # of one accuracy, at most; of a difference, root 2 times that
    parts = [
        f"Data: {results['data']}, {full['n']} test clouds of {full['m']} points. All of them: "
        f"{100 * full['value']:.1f} % right. Columns without a word are *matched*: a subset of the input. A value's "
        f"standard error over clouds is at most {error:.1f}; differences under {2 * 2**0.5 * error:.1f} (two standard "
        f"errors of a difference) are ties. Seeds: {tables.seeds(accuracy)}.",
        f"    {results['command']}",
    ]
    for metric, name in METRICS.items():
        rows = select(results["rows"], metric=metric)
        parts += [f"**{name.capitalize()}, %**", tables.table(rows, full["m"], scale=100)]
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
        label, color = SAMPLERS[sampler]
        for c, cloud in enumerate(clouds):
            axes = figure.add_subplot(rows, columns, r * columns + c + 1, projection="3d")
            dots(axes, cloud, s=1.5, color="#c8ccd0", alpha=0.6, linewidths=0)
            picked = gallery[f"idx_{sampler}"][c]
            dots(axes, cloud[picked], s=26, color=color, edgecolors="white", linewidths=0.5)
            guess = gallery[f"predicted_{sampler}"][c]
            right = guess == names[c]
            axes.set_title(f"{guess}" if right else f"{guess} (wrong)", fontsize=9, y=-0.06,
                           color="#1a7f37" if right else "#b3261e")  # fmt: skip
            stage(axes, cloud)
            if c == 0:
                row_title(axes, f"{label}, m = {len(picked)}")
            if r == 0:
                axes.text2D(0.5, 1.0, names[c], transform=axes.transAxes, ha="center", fontsize=11, weight="bold")
    return png(figure)


PICTURES = {"accuracy.png": draw_curves, "gallery.png": draw_gallery}
