"""Numbers that others published (published.yaml of an experiment), and whether ours may be compared with them."""

from dataclasses import dataclass

from samplenet.errors import InputError
from samplenet.report.results import Results
from samplenet.report.rows import in_order, select
from samplenet.runs.experiments import Experiment

# what a mark of the file is called in a table, and what that means
MARKS = {
    "log": ("log", "read in training logs published with a later paper"),
    "poster": ("poster", "digitised from a published curve; accuracies by ±0.7 points"),
    "guide": (
        "unverified",
        "as later papers are recalled to reprint it, checked against no document",
    ),
}


@dataclass(frozen=True)
class Reference:
    """One table of published.yaml; `data` is empty where nothing of ours stands beside it, `clouds` 0 if not known."""

    experiment: Experiment
    title: str
    metric: str
    protocol: str
    words: str
    points: int
    rows: list[dict]  # the value of the lines' key, mark, and the value of each method, all as text
    data: str = ""
    task: str = ""
    network: str = ""
    clouds: int = 0
    differs: str = ""

    @property
    def methods(self) -> list[str]:
        """Those with a value, in display order; the full cloud is none of them."""
        own = (self.experiment.lines, "mark", "none")
        return in_order(name for row in self.rows for name in row if name not in own)

    @property
    def lines(self) -> list:
        """The lines with a value, without that of the full cloud."""
        found = [row[self.experiment.lines] for row in self.rows if "none" not in row]
        return (
            [int(m) for m in found if int(m) <= self.points]
            if self.experiment.lines == "m"
            else found
        )

    def row(self, line) -> dict:
        """The row of a line; {} where nothing is published."""
        return next((row for row in self.rows if row[self.experiment.lines] == str(line)), {})

    def full(self) -> str:
        """The value of the full cloud with its mark; empty where none is published."""
        return next(
            (f"{row['none']} ({MARKS[row['mark']][0]})" for row in self.rows if "none" in row), ""
        )

    def legend(self) -> str:
        """What the words of the column `source` mean."""
        meanings = (MARKS[mark] for mark in dict.fromkeys(row["mark"] for row in self.rows))
        return "; ".join(f"“{name}”: {meaning}" for name, meaning in meanings) + "."

    def extent(self) -> str:
        """How many clouds or pairs, where that is known, of how many points."""
        count = f"{self.clouds} test " if self.clouds else ""
        return f"{count}{self.experiment.items} of {self.points} points"

    def hindrances(self, results: Results, preset: str) -> list[str]:
        """Why a difference between `results` and this would mean nothing; [] when it means something."""
        full = select(results.rows, sampler="none", metric=self.metric)
        n, points = (full[0]["n"], full[0]["m"]) if full else (0, 0)
        found = []
        if results.data != self.data:
            found.append(f"the data is {results.data}")
        if points != self.points or self.clouds not in (0, n):
            found.append(f"{n} test {self.experiment.items} of {points} points")
        if preset != "paper":
            found.append(f"the preset {preset}")
        if self.network and results.network and results.network != self.network:
            found.append(f"the task network {results.network}")
        return found

    def note(self, results: Results, preset: str) -> str:
        """What the published numbers are of, and whether ours may be compared with them."""
        what = f"{self.words} ({self.extent()})"
        if hindrances := self.hindrances(results, preset):
            text = f"The published numbers are of {what} with the published settings. Here: {'; '.join(hindrances)}. "
            text += "They do not compare with ours, and no difference is given."
        elif self.differs:
            text = f"Published and ours are of {what}, but {self.differs}; the difference is ours − published."
        else:
            text = f"Published and ours are of the same {what}; the difference is ours − published."
        full = f" Published for all {self.points} points: {self.full()}." if self.full() else ""
        return f"{text}{full} Source {self.legend()}"


def references(experiment: Experiment) -> list[Reference]:
    """The published tables of an experiment, those that stand beside ours first; none without a published.yaml."""
    path = experiment.folder / "published.yaml"
    if not path.exists():
        return []
    import yaml  # not at the top: the console's viewer draws without it

    try:
        tables = yaml.load(
            path.read_text(), yaml.BaseLoader
        )  # which keeps every number as it is printed: 87.80
        found = []
        for table in tables:
            whole = {"points": int(table["points"]), "clouds": int(table.get("clouds", 0))}
            found.append(Reference(experiment, **{**table, **whole}))
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a list of published tables ({error})") from error
    return sorted(found, key=lambda reference: not reference.data)


def beside(experiment: Experiment, task: str) -> list[Reference]:
    """The published tables that stand beside our numbers with this task network."""
    return [
        reference
        for reference in references(experiment)
        if reference.data and reference.task == task
    ]


def difference(ours: float, published: str, digits: int) -> str:
    """ours - published, signed, as text; from the nearer end of a range, "within" inside it."""
    low, high = (float(end) for end in (published.split("–") * 2)[:2])
    if low < high and low <= ours <= high:
        return "within"
    apart = ours - min(max(ours, low), high)
    return f"{apart:+.{digits}f}".replace("-", "−")
