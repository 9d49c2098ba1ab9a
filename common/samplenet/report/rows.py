"""Rows of results.json: choosing among them, and arranging them in lines and columns."""

import re
from collections import defaultdict
from typing import NamedTuple

import numpy as np

from samplenet.greedy import VARIANTS
from samplenet.runs.experiments import TRAINED_SAMPLERS, Metric

# label and colour of the samplers, in the order of the tables; other samplers follow
SAMPLERS = {
    "none": ("full cloud", "black"),
    "icp": ("ICP on full cloud", "#7a5195"),
    "random": ("random", "#9a9a9a"),
    "fps": ("FPS", "#2f7fc1"),
    "fps_same_start": ("FPS, same start", "#3fa36b"),
    "greedy": ("greedy, all points", "#00838a"),
    "greedy_features_128": ("greedy, feature pool of 128", "#5b5bd6"),
    "greedy_fps_128": ("greedy, FPS pool of 128", "#de7fc0"),
    "greedy_fps_256": ("greedy, FPS pool of 256", "#b8479b"),
    "greedy_refresh_2": ("greedy, gradient every 2nd turn", "#3aa0a6"),
    "greedy_refresh_4": ("greedy, gradient every 4th turn", "#7cc3c7"),
    "greedy_rerank_8": ("greedy, best 8 re-ranked", "#7b9e1a"),
    "greedy_pooled_distance": ("greedy, distance of pooled features", "#b5651d"),
    "snet": ("S-NET", "#e08a1e"),
    "progressivenet": ("ProgressiveNet", "#8a6d1f"),
    "samplenet": ("SampleNet", "#c1272d"),
    "samplenet_progressive": ("SampleNet-Progressive", "#8e2a72"),
}
FULL_CLOUD = ("none", "icp")  # see all N points: no column of a table, a level in a figure
BASELINES = ("random", "fps", "fps_same_start", *VARIANTS)  # nothing is trained for them
PROTOCOLS = ("matched", "soft", "generated")


def near(sampler: str) -> tuple[str, int]:
    """Split "<trained sampler>_near_<k>", a name by --near of the evaluations; of others k is 0."""
    learned = re.fullmatch(rf"({'|'.join(TRAINED_SAMPLERS)})_near_(\d+)", sampler)
    return (learned[1], int(learned[2])) if learned else (sampler, 0)


def label(sampler: str) -> str:
    """Return the sampler's name for readers."""
    learned, k = near(sampler)
    if k:
        return f"{label(learned)}, greedy among the {k} nearest"
    return SAMPLERS.get(sampler, (sampler, None))[0]


def color(sampler: str) -> str | None:
    """Return the sampler's colour in tables and figures, or None for an unknown sampler."""
    return SAMPLERS.get(sampler, (sampler, None))[1]


def in_order(samplers) -> list[str]:
    """Sort samplers in the order of the tables, without repeats; unknown ones come last."""
    rank = {name: i for i, name in enumerate(SAMPLERS)}

    def place(name: str) -> tuple:
        learned, k = near(name)
        return rank.get(learned, len(rank)), k

    return sorted(dict.fromkeys(samplers), key=place)


def is_greedy(sampler: str) -> bool:
    """Return whether a sampler asks the task network for its points."""
    return sampler in VARIANTS or near(sampler)[1] > 0


def select(rows: list[dict], **match) -> list[dict]:
    """Return the rows that have these values."""
    return [row for row in rows if all(row.get(key) == value for key, value in match.items())]


class Column(NamedTuple):
    """A column of a table: its method, further keys that tell the method apart, the protocol."""

    name: str
    rest: tuple[tuple[str, object], ...] = ()
    protocol: str = "matched"

    @property
    def label(self) -> str:
        words = [label(self.name), *(f"{key} = {value}" for key, value in self.rest)]
        return ", ".join(words if self.protocol == "matched" else [*words, self.protocol])


class Pivot:
    """Rows of one metric arranged in lines and columns; the seeds of a method share a cell.

    Rows on full clouds are left out. A key of the method that is neither `lines` nor `columns` and
    differs between rows makes columns of its own, so that no cell mixes two methods.

    Args:
        lines, columns: keys of the rows, as an experiment states them.
    """

    def __init__(self, rows: list[dict], lines: str, columns: str):
        rows = [row for row in rows if row.get("sampler") not in FULL_CLOUD]
        values = defaultdict(set)
        for row in rows:
            for key, value in row.get("method", {}).items():
                values[key].add(value)
        further = [key for key in values if key not in (lines, columns) and len(values[key]) > 1]
        self.cells = {}
        for row in rows:
            rest = tuple((key, row["method"].get(key, "")) for key in further)
            column = Column(str(row.get(columns, "")), rest, row["protocol"])
            self.cells.setdefault((row.get(lines, "all"), column), []).append(row)
        found = dict.fromkeys(line for line, _ in self.cells)
        self.lines = sorted(found, reverse=True) if lines == "m" else list(found)
        columns = dict.fromkeys(column for _, column in self.cells)
        names = in_order(column.name for column in columns)
        protocols = dict.fromkeys([*PROTOCOLS, *sorted(column.protocol for column in columns)])
        order = {protocol: i for i, protocol in enumerate(protocols)}
        self.columns = sorted(
            columns, key=lambda c: (names.index(c.name), str(c.rest), order[c.protocol])
        )

    def __getitem__(self, cell: tuple) -> list[dict]:
        """Return the rows of a cell (line, column)."""
        return self.cells.get(cell, [])


def mean(rows: list[dict], metric: Metric) -> float:
    """Return the mean over the rows of all seeds, in the metric's unit."""
    return metric.scale * np.mean([row["value"] for row in rows])


def cell(rows: list[dict], metric: Metric) -> str:
    """Write one value, or the mean over seeds ± their standard deviation; "" without rows."""
    if not rows:
        return ""
    values, digits = metric.scale * np.array([row["value"] for row in rows]), metric.digits
    if len(rows) > 1:
        return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"
    return f"{values[0]:.{digits}f}"


def samplers_of(rows: list[dict]) -> list[str]:
    """List the samplers of the rows in display order, without those on full clouds."""
    return in_order(row["sampler"] for row in rows if row.get("sampler", "none") not in FULL_CLOUD)


def seeds(rows: list[dict], columns: str) -> dict[str, list[int]]:
    """List the seeds of each method, named by the key `columns`, without those on full clouds."""
    found = defaultdict(set)
    for row in rows:
        if row.get("sampler") not in FULL_CLOUD:
            found[str(row.get(columns, ""))].add(row["seed"])
    return {name: sorted(found[name]) for name in in_order(found)}


def shown_size(rows: list[dict]) -> int | None:
    """Return the sample size with most learned samplers, of several the smallest; None if none."""
    learned = defaultdict(set)
    for row in rows:
        if "m" in row and row.get("sampler", "none") not in FULL_CLOUD:
            learned[row["m"]] |= {row["sampler"]} - {*BASELINES}
    return max(learned, key=lambda m: (len(learned[m]), -m), default=None)
