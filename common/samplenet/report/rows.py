"""Rows of results.json: choosing among them, and their table of lines and columns."""

from typing import NamedTuple

import numpy as np

# label and colour of the samplers in the order of the tables; any other name comes after these
SAMPLERS = {
    "none": ("full cloud", "black"),
    "icp": ("ICP on full cloud", "#7a5195"),
    "random": ("random", "#9a9a9a"),
    "fps": ("FPS", "#2f7fc1"),
    "fps_same_start": ("FPS, same start", "#3fa36b"),
    "snet": ("S-NET", "#e08a1e"),
    "progressivenet": ("ProgressiveNet", "#8a6d1f"),
    "samplenet": ("SampleNet", "#c1272d"),
    "samplenet_progressive": ("SampleNet-Progressive", "#8e2a72"),
}
FULL_CLOUD = ("none", "icp")  # these see all N points: no column of a table, a level in a figure
BASELINES = ("random", "fps", "fps_same_start")
PROTOCOLS = ("matched", "soft", "generated")


def label(sampler: str) -> str:
    """The sampler's name for readers."""
    return SAMPLERS.get(sampler, (sampler, None))[0]


def color(sampler: str) -> str | None:
    """The sampler's colour in tables and figures."""
    return SAMPLERS.get(sampler, (sampler, None))[1]


def in_order(samplers) -> list[str]:
    """Sort samplers as the tables have them, without repeats; unknown ones stay in their order, after those."""
    rank = {name: i for i, name in enumerate(SAMPLERS)}
    return sorted(dict.fromkeys(samplers), key=lambda name: rank.get(name, len(rank)))


def select(rows: list[dict], **match) -> list[dict]:
    """The rows that have these values."""
    return [row for row in rows if all(row.get(key) == value for key, value in match.items())]


class Column(NamedTuple):
    """A column of a table: the value of its key, what else its methods have in common, and the protocol."""

    name: str
    rest: tuple[tuple[str, object], ...] = ()
    protocol: str = "matched"

    @property
    def label(self) -> str:
        words = [label(self.name), *(f"{key} = {value}" for key, value in self.rest)]
        return ", ".join(words if self.protocol == "matched" else [*words, self.protocol])


class Pivot:
    """Rows of one metric as lines and columns; seeds share a cell, full clouds have none.

    Keys of the method that neither lines nor columns stand for, and that differ between rows, tell columns apart too:
    no cell holds the numbers of two methods.

    Args:
        lines, columns: keys of the rows, as an experiment states them.
    """

    def __init__(self, rows: list[dict], lines: str, columns: str):
        rows = [row for row in rows if row.get("sampler") not in FULL_CLOUD]
        values = {}
        for row in rows:
            for key, value in row.get("method", {}).items():
                values.setdefault(key, set()).add(value)
        further = [key for key in values if key not in (lines, columns) and len(values[key]) > 1]
        self.cells = {}
        for row in rows:
            rest = tuple((key, row["method"].get(key, "")) for key in further)
            column = Column(str(row.get(columns, "")), rest, row["protocol"])
            self.cells.setdefault((row.get(lines, "all"), column), []).append(row)
        found = dict.fromkeys(line for line, _ in self.cells)
        self.lines = sorted(found, reverse=True) if lines == "m" else list(found)
        names = in_order(column.name for _, column in self.cells)
        self.columns = sorted(
            {column for _, column in self.cells}, key=lambda column: _place(column, names)
        )

    def __getitem__(self, place: tuple) -> list[dict]:
        """The rows of a line and a column."""
        return self.cells.get(place, [])


def _place(column: Column, names: list[str]) -> tuple:
    known = column.protocol in PROTOCOLS
    protocol = PROTOCOLS.index(column.protocol) if known else len(PROTOCOLS)
    return names.index(column.name), str(column.rest), protocol, column.protocol


def mean(rows: list[dict], scale: float = 1) -> float:
    """The mean over the rows, which are those of the seeds."""
    return scale * np.mean([row["value"] for row in rows])


def cell(rows: list[dict], scale: float = 1, digits: int = 1) -> str:
    """One value times `scale`, or the mean over seeds and their standard deviation; empty without rows."""
    if not rows:
        return ""
    values = scale * np.array([row["value"] for row in rows])
    if len(rows) > 1:
        return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"
    return f"{values[0]:.{digits}f}"


def samplers_of(rows: list[dict]) -> list[str]:
    """The samplers of the rows in display order, without those on full clouds."""
    return in_order(row["sampler"] for row in rows if row.get("sampler", "none") not in FULL_CLOUD)


def seeds(rows: list[dict], columns: str) -> dict[str, list[int]]:
    """The seeds that each method of the columns was trained or drawn with."""
    found = {}
    for row in rows:
        if row.get("sampler") not in FULL_CLOUD:
            found.setdefault(str(row.get(columns, "")), set()).add(row["seed"])
    return {name: sorted(found[name]) for name in in_order(found)}


def shown_size(rows: list[dict]) -> int | None:
    """The sample size that most learned samplers were scored at, of several the smallest; None without samplers."""
    scored = {
        (row["m"], row["sampler"])
        for row in rows
        if "m" in row and row.get("sampler", "none") not in FULL_CLOUD
    }
    sizes = {m for m, _ in scored}
    learned = {
        m: sum(size == m and sampler not in BASELINES for size, sampler in scored) for m in sizes
    }
    return max(learned, key=lambda m: (learned[m], -m), default=None)
