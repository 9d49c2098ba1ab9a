"""Published numbers (published.yaml) and whether ours may be compared with them."""

from importlib.resources import files
from typing import NamedTuple

import yaml

from samplenet.report.rows import SAMPLERS, select

# what a mark of the file is called in a table, and what that means
MARKS = {
    "log": ("log", "read in training logs published with a later paper"),
    "poster": ("poster", "digitised from a published curve; accuracies by ±0.7 points"),
    "guide": ("unverified", "as later papers are recalled to reprint it, checked against no document"),
}


class Reference(NamedTuple):
    """One table of published.yaml; `data` is empty where nothing of ours stands beside it, `clouds` 0 if not known."""

    experiment: str
    title: str
    metric: str
    protocol: str
    words: str
    points: int
    rows: list[dict]  # m, mark, and the value of each sampler, all as text
    data: str = ""
    task: str = ""
    clouds: int = 0
    differs: str = ""

    @property
    def samplers(self) -> list[str]:
        """Those with a value, in display order; the full cloud is none of them."""
        rank = {name: i for i, name in enumerate(SAMPLERS)}
        found = dict.fromkeys(name for row in self.rows for name in row if name not in ("m", "mark", "none"))
        return sorted(found, key=lambda name: rank.get(name, len(rank)))

    def row(self, m: int) -> dict:
        """The row of sample size m; {} where nothing is published."""
        return next((row for row in self.rows if row["m"] == str(m)), {})

    def full(self) -> str:
        """The value of the full cloud with its mark; empty where none is published."""
        return next((f"{row['none']} ({MARKS[row['mark']][0]})" for row in self.rows if "none" in row), "")

    def legend(self) -> str:
        """What the words of the column `source` mean."""
        words = (MARKS[mark] for mark in dict.fromkeys(row["mark"] for row in self.rows))
        return "; ".join(f"“{name}”: {meaning}" for name, meaning in words) + "."

    def hindrances(self, results: dict, preset: str) -> list[str]:
        """Why a difference between `results` and this would mean nothing; [] when it means something."""
        full = select(results["rows"], sampler="none", metric=self.metric)
        n, points = (full[0]["n"], full[0]["m"]) if full else (0, 0)
        found = []
        if results["data"] != self.data:
            found.append(f"the data is {results['data']}")
        if points != self.points or self.clouds not in (0, n):
            found.append(f"{n} test clouds of {points} points")
        if preset != "paper":
            found.append(f"the preset {preset}")
        published = self.task or "pointnet"  # of classification, whose results name their task network
        if (network := results.get("network", published)) != published:
            found.append(f"the task network {network}")
        return found


def references(experiment: str) -> list[Reference]:
    """The published tables of an experiment, those that stand beside ours first."""
    # the base loader keeps every number as it is printed: 87.80
    tables = yaml.load((files(__package__) / "published.yaml").read_text(), yaml.BaseLoader)
    found = [Reference(**{**t, "points": int(t["points"]), "clouds": int(t.get("clouds", 0))}) for t in tables]
    return sorted((r for r in found if r.experiment == experiment), key=lambda r: not r.data)


def difference(ours: float, published: str, digits: int) -> str:
    """ours - published, signed, as text; from the nearer end of a range, "within" inside it."""
    low, high = (float(end) for end in (published.split("–") * 2)[:2])
    if low < high and low <= ours <= high:
        return "within"
    apart = ours - min(max(ours, low), high)
    return f"{apart:+.{digits}f}".replace("-", "−")
