"""Figures as data: curves, and clouds to look at. png.py and interactive.py draw them; nothing else does.

A maker is a function of (results, gallery) that returns a figure, or None where its data is not there. An experiment
names its makers in experiment.py; those of this module serve any, others stand in figures.py of its own folder.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from samplenet.report.results import Results, read_log
from samplenet.report.rows import (
    BASELINES,
    FULL_CLOUD,
    SAMPLERS,
    Pivot,
    color,
    in_order,
    label,
    mean,
    select,
    shown_size,
)
from samplenet.report.tables import metric_of

DASHES = {"matched": "solid", "soft": "dash", "generated": "dot"}
GREY = "#a4adb5"
RAMP = (
    "#440154",
    "#443983",
    "#31688e",
    "#21918c",
    "#35b779",
    "#7fc94a",
)  # of sample sizes, in order


@dataclass
class Axis:
    """kind: "linear", "log" or "root" (linear in the square root); span: its ends, or None to fit them."""

    title: str = ""
    kind: str = "linear"
    ticks: list[float] | None = None
    span: tuple[float, float] | None = None


@dataclass
class Line:
    """A curve; `shift` is how many times its x it is drawn at, so that equal curves do not hide each other."""

    name: str
    color: str
    x: list[float]
    y: list[float]
    dash: str = "solid"
    shown: bool = True
    shift: float = 1
    markers: bool = False


@dataclass
class Variant:
    """One choice of a figure's menu."""

    label: str
    y: Axis
    lines: list[Line]


@dataclass
class Lines:
    """Curves over one x axis; of several variants one is seen at a time, at first the first."""

    title: str
    x: Axis
    variants: list[Variant]


@dataclass
class Layer:
    """Points (n, 3) in one colour: a string, or one of each point. `aside` draws them to the right of the cloud."""

    name: str
    points: np.ndarray
    color: str | list[str]
    size: float = 2
    aside: bool = False
    ring: bool = False


@dataclass
class View:
    """A cloud as one method sees it, and what came of that."""

    name: str
    note: str
    layers: list[Layer]


@dataclass
class Cloud:
    """A cloud and its views; all clouds of a scene have the same views."""

    name: str
    views: list[View]


@dataclass
class Scene:
    """Clouds to turn about; `up` is the axis that points up."""

    title: str
    clouds: list[Cloud]
    up: str = "y"
    first: int = field(init=False)

    def __post_init__(self):
        names = [view.name for view in self.clouds[0].views]
        ours = [i for i, name in enumerate(names) if name.startswith(label("samplenet"))]
        self.first = ours[0] if ours else len(names) - 1

    @property
    def layers(self) -> list[Layer]:
        """All layers of all clouds."""
        return [layer for cloud in self.clouds for view in cloud.views for layer in view.layers]

    def place(self) -> tuple[list[dict[int, np.ndarray]], np.ndarray]:
        """Centre each cloud in a box of half side 1, what is drawn aside beside it.

        Returns:
            Of each cloud the points (n, 3) by the id of their layer, and the half sides (3,) of a box that holds all.
        """
        placed, room = [], np.ones(3)
        aside = any(layer.aside for layer in self.layers)
        for cloud in self.clouds:
            layers = [layer for view in cloud.views for layer in view.layers]
            points = np.concatenate([layer.points for layer in layers if not layer.aside]).astype(
                float
            )
            low, high = points.min(0), points.max(0)
            half = float((high - low).max()) / 2 or 1.0
            width = 1.25 * (high - low)[0] / half if aside else 0.0
            moved = {}
            for layer in layers:
                offset = np.array([width / 2 if layer.aside else -width / 2, 0, 0])
                moved[id(layer)] = (layer.points - (low + high) / 2) / half + offset
            placed.append(moved)
            room[0] = max(room[0], 1 + width / 2)
        return placed, room


def by_ratio(results: Results, gallery: dict) -> Lines | None:
    """Draw each metric against the sampling ratio; None where only full clouds were scored."""
    rows, n = [row for row in results.rows if "class" not in row], results.size[1]
    found = dict.fromkeys(row["metric"] for row in rows)
    variants = []
    for metric in results.experiment.metrics:
        if metric in found and (
            variant := _metric_by_ratio(select(rows, metric=metric), results, metric)
        ):
            variants.append(variant)
    ticks = sorted(
        {n / row["m"] for row in rows if row.get("m") and row["sampler"] not in FULL_CLOUD}
    )
    axis = Axis(f"sampling ratio N/m (N = {n})", "log", ticks)
    return Lines("Against the sampling ratio", axis, variants) if variants else None


def _metric_by_ratio(rows: list[dict], results: Results, metric: str) -> Variant | None:
    look, n = metric_of(results.experiment, metric), results.size[1]
    pivot = Pivot(rows, "m", "sampler")
    if not pivot.lines:
        return None
    lines = []
    for sampler in FULL_CLOUD:
        if full := select(rows, sampler=sampler):
            level = mean(full, look.scale)
            ends = [n / pivot.lines[0], n / pivot.lines[-1]]
            lines.append(
                Line(f"{label(sampler)}, {level:.3g}", color(sampler), ends, [level, level], "dot")
            )
    learned = [
        name for name in in_order(column.name for column in pivot.columns) if name not in BASELINES
    ]
    for column in pivot.columns:
        sizes = [m for m in pivot.lines if pivot[m, column]]
        line = Line(
            column.label, color(column.name) or GREY, [n / m for m in sizes], [], markers=True
        )
        line.y = [mean(pivot[m, column], look.scale) for m in sizes]
        line.dash, line.shown = DASHES.get(column.protocol, "dot"), column.protocol == "matched"
        if column.name in learned:  # equal values of learned samplers would hide each other
            line.shift = 1.05 ** (learned.index(column.name) - (len(learned) - 1) / 2)
        lines.append(line)
    values = [value for line in lines if not line.name.startswith(label("icp")) for value in line.y]
    share = look.scale == 100 or look.better == "higher" and max(values) <= 1
    if share:
        axis = Axis(look.title, "linear", None, (0, 1.03 * (100 if look.scale == 100 else 1)))
    else:  # ICP may lie far below the rest, and then outside
        axis = Axis(
            look.title,
            "log" if min(values) > 0 else "linear",
            None,
            (0.8 * min(values), 1.25 * max(values)),
        )
    return Variant(look.title, axis, lines)


def precision_curves(results: Results, gallery: dict) -> Lines | None:
    """Draw precision against recall, or the share of pairs under an error: matched points, one size at a time."""
    curves = select(results.curves, protocol="matched")
    first = shown_size(curves)
    sizes = sorted(
        {curve["m"] for curve in curves if curve["sampler"] not in FULL_CLOUD}, reverse=True
    )
    sizes.sort(key=lambda m: m != first)
    variants = []
    for m in sizes:
        lines = []
        for sampler in in_order(curve["sampler"] for curve in curves):
            full = sampler in FULL_CLOUD
            same = [curve for curve in select(curves, sampler=sampler) if full or curve["m"] == m]
            if same:
                share = 100 * np.mean([curve["precision"] for curve in same], 0)
                x = 100 * np.array(same[0]["recall"]) if "recall" in same[0] else None
                x = same[0]["step_deg"] * np.arange(len(share)) if x is None else x
                dash = "dot" if full else "solid"
                lines.append(
                    Line(label(sampler), color(sampler) or GREY, x.tolist(), share.tolist(), dash)
                )
        variants.append(Variant(f"m = {m}", Axis("", "linear", None, (0, 103)), lines))
    if not variants:
        return None
    if "recall" in curves[0]:
        return Lines(
            "Retrieval: precision, %, against recall", Axis("recall, %", span=(0, 100)), variants
        )
    ticks = [
        0,
        1,
        5,
        10,
        20,
        45,
        90,
        180,
    ]  # most happens at small errors: the axis is linear in the angle's root
    axis = Axis("rotation error, degrees (root scale)", "root", ticks, (0, 180))
    return Lines("Pairs under an error, %", axis, variants)


def histogram(
    title: str, items: str, words: str, values: dict[str, np.ndarray], bins: int = 40
) -> Lines:
    """Show how values are spread over the test items: steps over bins of equal ratio, by sampler.

    Args:
        title, items: what the x and the y axis count.
        words: what the values are of.
    """
    together = np.concatenate(list(values.values()))
    edges = np.geomspace(0.95 * together.min(), 1.05 * together.max(), bins)
    lines = []
    for sampler, of_items in values.items():
        counts, _ = np.histogram(of_items, edges)
        name = f"{label(sampler)}, median {np.median(of_items):.2f}"
        lines.append(
            Line(
                name,
                color(sampler) or GREY,
                np.repeat(edges, 2)[1:-1].tolist(),
                np.repeat(counts, 2).tolist(),
            )
        )
    return Lines(f"Histogram: {title}", Axis(title, "log"), [Variant(words, Axis(items), lines)])


def sigma(runs: list[Path]) -> Lines | None:
    """Draw the projection's sigma over training, of the runs that logged one; S-NET's is 0 and is left out."""
    lines = []
    for run in runs:
        points = [
            (entry["step"], entry["projection_loss"])
            for entry in read_log(run)
            if entry.get("projection_loss")
        ]
        if points:
            steps, values = zip(*points, strict=True)
            name = re.sub(r"-seed\d+$", "", run.name)  # seeds share an entry of the legend
            lines.append(Line(name, GREY, list(steps), list(values)))
    names = sorted(
        {line.name for line in lines}, key=lambda name: [int(n) for n in re.findall(r"\d+", name)]
    )
    for line in lines:
        place = names.index(line.name) / max(len(names) - 1, 1)
        line.color = RAMP[round(place * (len(RAMP) - 1))]
    lines.sort(key=lambda line: names.index(line.name))
    variant = Variant("sigma = t²", Axis("sigma = t²", "log"), lines)
    return (
        Lines("Sigma of the soft projection over training", Axis("training step"), [variant])
        if lines
        else None
    )


def picked(gallery: dict) -> list[str]:
    """List the samplers whose samples a gallery holds, in display order."""
    return [sampler for sampler in SAMPLERS if f"idx_{sampler}" in gallery]


def sample_layers(gallery: dict, sampler: str, c: int) -> list[Layer]:
    """Show cloud c of a gallery, and on it the points that a sampler picked."""
    cloud = gallery["points"][c]
    sample = cloud[gallery[f"idx_{sampler}"][c]]
    return [Layer("input", cloud, GREY), Layer("sampled", sample, color(sampler), 5)]
