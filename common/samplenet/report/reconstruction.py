"""Normalised reconstruction error (NRE) of a frozen autoencoder on sampled clouds."""

import numpy as np

from samplenet.report import rows as tables
from samplenet.report.pictures import dots, png, pyplot, ratio_curves, row_title, stage, tidy
from samplenet.report.rows import SAMPLERS, color, label, select

HEADLINE = "nre"
CURVE = set()  # it has none
# metric: (title, scale, digits), in the order of the tables; those of classes follow
METRICS = {
    "nre": ("Mean NRE", 1, 2),
    "nre_median": ("Median NRE", 1, 2),
    "nre_std": ("Standard deviation of NRE over shapes", 1, 2),
    "chamfer": ("Mean Chamfer distance, 1e-4", 1e4, 2),
    "chamfer_median": ("Median Chamfer distance, 1e-4", 1e4, 2),
    "nre_emd": ("Mean NRE by earth mover's distance", 1, 2),
    "nre_emd_median": ("Median NRE by earth mover's distance", 1, 2),
    "nre_emd_std": ("Standard deviation of NRE by earth mover's distance over shapes", 1, 2),
    "emd": ("Mean earth mover's distance, thousandths", 1e3, 2),
    "emd_median": ("Median earth mover's distance, thousandths", 1e3, 2),
}


def text(results: dict) -> str:
    """The whole Markdown report of one results.json."""
    rows = results["rows"]
    nre = select(rows, metric=HEADLINE)
    full = select(nre, sampler="none")[0]
    parts = [
        f"Data: {results['data']}, {full['n']} test clouds of {full['m']} points. NRE is the Chamfer distance of a "
        "cloud to what the autoencoder rebuilds from its sample, over that to what it rebuilds from the whole cloud: "
        "1 is as good as all points. Columns without a word are *matched*: a subset of the input; *soft* are the "
        "softly projected points and *generated* the simplified points themselves, no subset. "
        f"{_uncertainty(rows)}Seeds: {tables.seeds(nre)}.",
        f"    {results['command']}",
    ]
    classes = dict.fromkeys(r["metric"] for r in rows if r["metric"].startswith("nre_") and r["metric"] not in METRICS)
    by_class = {metric: (_title(metric.removeprefix("nre_")), 1, 2) for metric in classes}
    for metric, (title, scale, digits) in (METRICS | by_class).items():
        if found := select(rows, metric=metric):
            level = tables.cell(select(found, sampler="none"), scale, digits)
            levels = "" if metric.startswith("nre") else f" (full cloud {level})"
            parts += [f"**{title}**{levels}", tables.table(found, full["m"], scale, digits)]
    return "\n\n".join(parts) + "\n"


def _title(name: str) -> str:
    """Of a class, "chair", or by the other distance, "emd_chair"."""
    if name.startswith("emd_"):
        return f"Mean NRE by earth mover's distance, {name.removeprefix('emd_')}"
    return f"Mean NRE, {name}"


def _uncertainty(rows: list[dict]) -> str:
    """How far the means may be trusted."""
    errors = [r["value"] / r["n"] ** 0.5 for r in select(rows, metric="nre_std", protocol="matched")]
    if not errors:
        return ""
    return (
        "A mean's standard error is its standard deviation over shapes (below) divided by the root of their number, "
        f"at most {max(errors):.2f} in a matched column. "
    )


def draw_curves(results: dict, gallery: dict) -> bytes:
    """Mean NRE against sampling ratio."""
    return ratio_curves(select(results["rows"], metric=HEADLINE), "NRE", unit="")


def _shown(gallery: dict) -> list[str]:
    return [s for s in SAMPLERS if f"idx_{s}" in gallery]


def draw_gallery(results: dict, gallery: dict) -> bytes | None:
    """A shape of each class: the input and what is rebuilt from all of it; then each sampler's sample and what of that.

    Args:
        gallery: `points` (G, N, 3), `names` (G,), and of each sampler s, and of `none` without idx, `idx_s` (G, m),
            `reconstruction_s` (G, N, 3) and `shown_nre_s` (G,).
    """
    samplers = [s for s in _shown(gallery) if s != "random"] or _shown(gallery)
    if not samplers:
        return None
    clouds, names = gallery["points"], gallery["names"]
    rows, columns = 2 * (1 + len(samplers)), len(clouds)
    figure = pyplot().figure(figsize=(2.3 * columns, 2.1 * rows), layout="constrained")
    grey = {"s": 2, "color": "#7d8790", "linewidths": 0}
    for r, sampler in enumerate(["none", *samplers]):
        for c, cloud in enumerate(clouds):
            above, below = (
                figure.add_subplot(rows, columns, (2 * r + i) * columns + c + 1, projection="3d", computed_zorder=False)
                for i in range(2)
            )
            if sampler == "none":
                dots(above, cloud, **grey)
                above.text2D(0.5, 1.0, names[c], transform=above.transAxes, ha="center", fontsize=11, weight="bold")
                words = "input", "rebuilt from all"
            else:
                picked = gallery[f"idx_{sampler}"][c]
                dots(above, cloud, s=1.5, color="#c8ccd0", alpha=0.6, linewidths=0)
                dots(above, cloud[picked], s=26, color=color(sampler), edgecolors="white", linewidths=0.5)
                below.set_title(f"NRE {gallery[f'shown_nre_{sampler}'][c]:.2f}", fontsize=9, y=-0.06)
                words = f"{label(sampler)}, m = {len(picked)}", "rebuilt"
            dots(below, gallery[f"reconstruction_{sampler}"][c], **grey | {"color": color(sampler)})
            for axes, word in zip((above, below), words, strict=True):
                stage(axes, cloud)
                if c == 0:
                    row_title(axes, word)
    return png(figure)


def draw_histogram(results: dict, gallery: dict) -> bytes | None:
    """How NRE is spread over the test shapes, for every sampler at the gallery's size."""
    samplers = _shown(gallery)
    if not samplers:
        return None
    m = gallery[f"idx_{samplers[0]}"].shape[1]
    edges = np.geomspace(*_ends(np.concatenate([gallery[f"nre_{s}"] for s in samplers])), 40)
    figure, axes = pyplot().subplots(figsize=(7, 4.3), layout="constrained")
    for sampler in samplers:
        nre = gallery[f"nre_{sampler}"]
        look = {"histtype": "stepfilled", "alpha": 0.35, "color": color(sampler)}
        axes.hist(nre, edges, label=f"{label(sampler)}, median {np.median(nre):.2f}", **look)
        axes.axvline(np.median(nre), color=color(sampler), lw=1)
    axes.set_xscale("log")
    ticks = [t for t in (0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50, 100) if edges[0] < t < edges[-1]]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.set(xlabel="NRE of a shape", ylabel="test shapes", title=f"m = {m}, matched points")
    tidy(axes)
    return png(figure)


def _ends(values: np.ndarray) -> tuple[float, float]:
    return 0.95 * values.min(), 1.05 * values.max()


PICTURES = {"nre.png": draw_curves, "gallery.png": draw_gallery, "histogram.png": draw_histogram}
