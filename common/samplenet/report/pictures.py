"""What the pictures of the experiments share: curves against the sampling ratio, clouds, PNG."""

import io

import numpy as np

from samplenet.errors import InputError
from samplenet.report.rows import FULL_CLOUD, color, columns, label, select

LOOKS = {"matched": ("-", "o", None), "soft": ("--", "D", "white"), "generated": (":", "s", "white")}
STEPS = (1, 1.5, 2, 3, 5, 7)  # ticks of a decade
UNTRAINED = ("random", "fps", "fps_same_start")


class LeftOut(Exception):
    """A picture cannot be drawn here; the message says why and what to do."""


def pyplot():
    try:
        import matplotlib
    except ImportError as error:
        raise InputError("figures need matplotlib; install the library with its viz extra") from error
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def png(figure) -> bytes:
    """The figure as a PNG file; closes it."""
    content = io.BytesIO()
    figure.savefig(content, dpi=140, format="png")
    pyplot().close(figure)
    return content.getvalue()


def ratio_curves(rows: list[dict], ylabel: str, unit: str, scale: float = 1, ylim=None) -> bytes:
    """One metric times `scale` against the sampling ratio, every sampler, on a log axis; full clouds as levels.

    Args:
        rows: of this metric; one of them of sampler `none`, whose m is N.
        unit: what follows a number, as " %".
        ylim: ends of a linear axis; without them the axis is logarithmic.
    """
    n = select(rows, sampler="none")[0]["m"]
    figure, axes = pyplot().subplots(figsize=(7, 4.3), layout="constrained")
    levels = {s: scale * np.mean([r["value"] for r in found]) for s in FULL_CLOUD if (found := select(rows, sampler=s))}
    for sampler, level in levels.items():
        words = f"{label(sampler)}, {level:.1f}{unit}" if level >= 1 else f"{label(sampler)}, {level:.2g}{unit}"
        axes.axhline(level, color=color(sampler), lw=1, ls=":", label=words if len(levels) > 1 else None)
        if len(levels) == 1:
            axes.annotate(words, (1, level), xytext=(2, 4), textcoords="offset points", fontsize=9)
    learned = [c for c in columns(rows) if c[0] not in UNTRAINED]
    for sampler, protocol in columns(rows):
        mine = select(rows, sampler=sampler, protocol=protocol)
        sizes = sorted({r["m"] for r in mine}, reverse=True)
        means = [scale * np.mean([r["value"] for r in select(mine, m=m)]) for m in sizes]
        line, marker, face = LOOKS[protocol]
        words = label(sampler) + ("" if protocol == "matched" else f", {protocol} points")
        look = {"ls": line, "marker": marker, "mfc": face or color(sampler), "color": color(sampler), "ms": 6}
        if protocol != "matched":
            look |= {"ms": 4, "lw": 1, "alpha": 0.7}
        # equal values of learned samplers would hide each other: they stand a little apart along the axis
        place = learned.index((sampler, protocol)) - (len(learned) - 1) / 2 if (sampler, protocol) in learned else 0
        shift = 1.2 ** (place / max(len(learned), 4))
        axes.plot([shift * n / m for m in sizes], means, label=words, **look)
    axes.set_xscale("log", base=2)
    ticks = sorted({n / r["m"] for r in rows})
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.set(xlabel=f"sampling ratio N/m  (N = {n})", ylabel=ylabel)
    if ylim:
        axes.set_ylim(ylim)
    else:
        axes.set_yscale("log")
        shown = [scale * r["value"] for r in rows if r["sampler"] != "icp"]  # far below the rest, it may lie outside
        low, high = 0.8 * max(min(shown), 1e-6), 1.25 * max(shown)
        axes.set_ylim(low, high)
        ticks = [t for power in range(-6, 7) for t in np.array(STEPS) * 10.0**power if low < t < high]
        axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    tidy(axes)
    return png(figure)


def tidy(axes) -> None:
    """Grid, no frame, a legend where there is room."""
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="best")


def dots(axes, points: np.ndarray, **look) -> None:
    """Points (n, 3) in 3D axes; y is up in the data, z in the plot."""
    x, z, y = points.T
    axes.scatter(x, -y, z, depthshade=False, **look)


def stage(axes, points: np.ndarray, zoom: float = 1.3) -> None:
    """Make room for the points (n, 3) in 3D axes, in equal units, without frame."""
    axes.set_axis_off()
    axes.view_init(elev=18, azim=-58)
    low, high = points.min(0), points.max(0)
    x, z, y = (low + high) / 2
    half = (high - low).max() / 2
    axes.set(xlim=(x - half, x + half), ylim=(-y - half, -y + half), zlim=(z - half, z + half))
    axes.set_box_aspect((1, 1, 1), zoom=zoom)


def row_title(axes, words: str) -> None:
    """Words that stand upright left of the first picture of a row."""
    axes.text2D(-0.04, 0.5, words, transform=axes.transAxes, rotation=90, va="center", ha="center", fontsize=11)
