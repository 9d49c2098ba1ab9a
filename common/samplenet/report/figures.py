"""Figures as data: curves, clouds to look at, and images. png.py and interactive.py draw them.

A maker is a function of (results, gallery) that returns a figure, or None if its data is missing.
An experiment names its makers in experiment.py: functions of this module or of its own figures.py.
"""

import re
from dataclasses import dataclass
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
# colours of sample sizes, from small to large
RAMP = ("#440154", "#443983", "#31688e", "#21918c", "#35b779", "#7fc94a")


@dataclass
class Axis:
    """kind: "linear", "log" or "root" (linear in the square root); span: its ends, None to fit."""

    title: str = ""
    kind: str = "linear"
    ticks: list[float] | None = None
    span: tuple[float, float] | None = None


@dataclass
class Line:
    """A curve, drawn at `shift` times its x so that it does not hide an equal one."""

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
    """Curves over one x axis; one variant is shown at a time, at first the first."""

    title: str
    x: Axis
    variants: list[Variant]


@dataclass
class Layer:
    """Points (n, 3) in one colour, or in one each; `aside` puts them to the right of the cloud."""

    name: str
    points: np.ndarray
    color: str | list[str]
    size: float = 2
    aside: bool = False
    ring: bool = False


@dataclass
class View:
    """A cloud as one method sees it, and the outcome as a note."""

    name: str
    note: str
    layers: list[Layer]


@dataclass
class Cloud:
    """A cloud and its views; all clouds of a scene have the same views."""

    name: str
    views: list[View]

    @property
    def layers(self) -> list[Layer]:
        """The layers of all views."""
        return [layer for view in self.views for layer in view.layers]


@dataclass
class Scene:
    """Clouds to turn about; `up` is the axis that points up."""

    title: str
    clouds: list[Cloud]
    up: str = "y"

    @property
    def first(self) -> int:
        """The view shown at first: SampleNet's, else the last."""
        names = [view.name for view in self.clouds[0].views]
        ours = [i for i, name in enumerate(names) if name.startswith(label("samplenet"))]
        return ours[0] if ours else len(names) - 1

    def place(self) -> tuple[list[dict[int, np.ndarray]], np.ndarray]:
        """Centre each cloud in a box of half side 1, with the layers aside to its right.

        Returns:
            For each cloud the points (n, 3) by the id of their layer, and the half sides (3,) of a
            box that holds all clouds.
        """
        placed, half_sides = [], np.ones(3)
        aside = any(layer.aside for cloud in self.clouds for layer in cloud.layers)
        for cloud in self.clouds:
            inside = [layer.points for layer in cloud.layers if not layer.aside]
            points = np.concatenate(inside).astype(float)
            low, high = points.min(0), points.max(0)
            half = float((high - low).max()) / 2 or 1.0
            width = 1.25 * (high - low)[0] / half if aside else 0.0
            moved = {}
            for layer in cloud.layers:
                offset = np.array([width / 2 if layer.aside else -width / 2, 0, 0])
                moved[id(layer)] = (layer.points - (low + high) / 2) / half + offset
            placed.append(moved)
            half_sides[0] = max(half_sides[0], 1 + width / 2)
        return placed, half_sides


@dataclass
class Pictures:
    """Images side by side, a line for each object.

    Attributes:
        images: by row, then column: (H, W) or (H, W, 3), bytes or in [0, 1]; None where none is.
    """

    title: str
    rows: list[str]
    columns: list[str]
    images: list[list[np.ndarray | None]]

    def placed(self) -> list[tuple[int, int, np.ndarray]]:
        """List row, column and RGB bytes (H, W, 3) of each image."""
        found = []
        for r, line in enumerate(self.images):
            for c, image in enumerate(line):
                if image is None:
                    continue
                if image.dtype != np.uint8:
                    image = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
                if image.ndim == 2:
                    image = np.repeat(image[..., None], 3, axis=2)
                found.append((r, c, image))
        return found


def by_ratio(results: Results, gallery: dict) -> Lines | None:
    """Draw each metric against the sampling ratio; None if only full clouds were scored."""
    rows, n = [row for row in results.rows if "class" not in row], results.size[1]
    variants = []
    for name in results.experiment.metrics:
        if variant := _metric_by_ratio(select(rows, metric=name), results, name):
            variants.append(variant)
    sampled = [row for row in rows if row.get("m") and row["sampler"] not in FULL_CLOUD]
    ticks = sorted({n / row["m"] for row in sampled})
    axis = Axis(f"sampling ratio N/m (N = {n})", "log", ticks)
    return Lines("Against the sampling ratio", axis, variants) if variants else None


def _metric_by_ratio(rows: list[dict], results: Results, name: str) -> Variant | None:
    metric, n = metric_of(results.experiment, name), results.size[1]
    pivot = Pivot(rows, "m", "sampler")
    if not pivot.lines:
        return None
    lines, values = [], []
    ends = [n / pivot.lines[0], n / pivot.lines[-1]]
    for sampler in FULL_CLOUD:
        if full := select(rows, sampler=sampler):
            level = mean(full, metric)
            words = f"{label(sampler)}, {level:.3g}"
            lines.append(Line(words, color(sampler), ends, [level, level], "dot"))
            if sampler == "none":  # ICP's level may be far below the rest, and then outside
                values.append(level)
    methods = in_order(column.name for column in pivot.columns)
    learned = [method for method in methods if method not in BASELINES]
    for column in pivot.columns:
        sizes = [m for m in pivot.lines if pivot[m, column]]
        line = Line(
            column.label,
            color(column.name) or GREY,
            [n / m for m in sizes],
            [mean(pivot[m, column], metric) for m in sizes],
            DASHES.get(column.protocol, "dot"),
            shown=column.protocol == "matched",
            markers=True,
        )
        if column.name in learned:  # equal values of learned samplers would hide each other
            line.shift = 1.05 ** (learned.index(column.name) - (len(learned) - 1) / 2)
        lines.append(line)
        values += line.y
    axis = Axis(metric.title, span=(0.8 * min(values), 1.25 * max(values)))
    if metric.scale == 100 or metric.better == "higher" and max(values) <= 1:  # a share
        axis.span = (0, 1.03 * (100 if metric.scale == 100 else 1))
    elif min(values) > 0:
        axis.kind = "log"
    return Variant(metric.title, axis, lines)


def precision_curves(results: Results, gallery: dict) -> Lines | None:
    """Draw precision against recall, or the share of pairs under an error; a variant for each m.

    Both are of matched points.
    """
    curves = select(results.curves, protocol="matched")
    first = shown_size(curves)
    sizes = {curve["m"] for curve in curves if curve["sampler"] not in FULL_CLOUD}
    variants = []
    for m in sorted(sizes, key=lambda m: (m != first, -m)):
        lines = []
        for sampler in in_order(curve["sampler"] for curve in curves):
            full = sampler in FULL_CLOUD
            of_sampler = select(curves, sampler=sampler)
            of_size = of_sampler if full else select(of_sampler, m=m)
            if of_size:
                share = 100 * np.mean([curve["precision"] for curve in of_size], 0)
                if "recall" in of_size[0]:
                    x = 100 * np.array(of_size[0]["recall"])
                else:
                    x = of_size[0]["step_deg"] * np.arange(len(share))
                dash = "dot" if full else "solid"
                shade = color(sampler) or GREY
                lines.append(Line(label(sampler), shade, x.tolist(), share.tolist(), dash))
        variants.append(Variant(f"m = {m}", Axis("", span=(0, 103)), lines))
    if not variants:
        return None
    if "recall" in curves[0]:
        axis = Axis("recall, %", span=(0, 100))
        return Lines("Retrieval: precision, %, against recall", axis, variants)
    # most happens at small errors: the axis is linear in the angle's root
    ticks = [0, 1, 5, 10, 20, 45, 90, 180]
    axis = Axis("rotation error, degrees (root scale)", "root", ticks, (0, 180))
    return Lines("Pairs under an error, %", axis, variants)


def histogram(
    title: str,
    items: str,
    words: str,
    values: dict[str, np.ndarray],
    edges: np.ndarray | None = None,
    colors: dict[str, str] | None = None,
) -> Lines:
    """Draw each method's distribution of a value over the test items.

    Args:
        title, items: of the x and the y axis.
        words: what the values are of.
        values: by method.
        edges: of the bins; by default those of 39 bins of equal ratio.
        colors: by method; by default those of samplers.
    """
    together, kind = np.concatenate(list(values.values())), "linear"
    if edges is None:
        edges = np.geomspace(0.95 * together.min(), 1.05 * together.max(), 40)
        kind = "log"
    x = np.repeat(edges, 2)[1:-1].tolist()  # both ends of each bin: steps
    lines, colors = [], colors or {}
    for method, of_items in values.items():
        counts, _ = np.histogram(of_items, edges)
        name = f"{label(method)}, median {np.median(of_items):.2f}"
        shade = colors.get(method) or color(method) or GREY
        lines.append(Line(name, shade, x, np.repeat(counts, 2).tolist()))
    variant = Variant(words, Axis(items), lines)
    return Lines(f"Histogram: {title}", Axis(title, kind), [variant])


def sigma(runs: list[Path]) -> Lines | None:
    """Draw the projection's sigma over training, for runs that have one (S-NET's is always 0)."""
    lines = []
    for run in runs:
        entries = [entry for entry in read_log(run) if entry.get("projection_loss")]
        if entries:
            name = re.sub(r"-seed\d+$", "", run.name)  # seeds share an entry of the legend
            steps = [entry["step"] for entry in entries]
            lines.append(Line(name, GREY, steps, [entry["projection_loss"] for entry in entries]))
    if not lines:
        return None

    def sizes(name):
        return [int(number) for number in re.findall(r"\d+", name)]

    names = sorted(dict.fromkeys(line.name for line in lines), key=sizes)
    for line in lines:
        position = names.index(line.name) / max(len(names) - 1, 1)
        line.color = RAMP[round(position * (len(RAMP) - 1))]
    lines.sort(key=lambda line: names.index(line.name))
    variant = Variant("sigma = t²", Axis("sigma = t²", "log"), lines)
    return Lines("Sigma of the soft projection over training", Axis("training step"), [variant])


def picked(gallery: dict) -> list[str]:
    """List the samplers whose samples a gallery holds, in display order."""
    return [sampler for sampler in SAMPLERS if f"idx_{sampler}" in gallery]


def sample_layers(gallery: dict, sampler: str, c: int) -> list[Layer]:
    """Return the layers of a gallery's cloud c and of the points that a sampler picked from it."""
    cloud = gallery["points"][c]
    sample = cloud[gallery[f"idx_{sampler}"][c]]
    return [Layer("input", cloud, GREY), Layer("sampled", sample, color(sampler), 5)]
