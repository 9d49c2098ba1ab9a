"""Numbers that others published (published.yaml), and whether ours compare with them."""

from dataclasses import dataclass

from samplenet.errors import InputError
from samplenet.report.results import Results
from samplenet.report.rows import in_order, select
from samplenet.runs.experiments import Experiment

# how far a row's numbers are verified: its mark -> the word in the column `source`, its meaning
MARKS = {
    "log": ("log", "read in training logs published with a later paper"),
    "poster": ("poster", "digitised from a published curve; accuracies by ±0.7 points"),
    "reprint": ("report", "as the report of a port in PyTorch reprints the paper's table"),
    "relabelled": (
        "unsure",
        "printed as the paper's by the README of a port in PyTorch and named unsupervised; the "
        "port's report has larger numbers for that, so these are taken to be of known cameras",
    ),
    "paper": ("paper", "read in the paper's table"),
    "port": ("port", "of the port itself, in its report"),
    "guide": (
        "unverified",
        "as later papers are recalled to reprint it, checked against no document",
    ),
}


@dataclass(frozen=True)
class Reference:
    """One table of published.yaml.

    Attributes:
        metric, protocol: of the numbers, as in results.json.
        words: what readers call the data.
        points: N.
        rows: the line (such as m), its mark, and the value of each method as text, in the unit of
            our table of the metric; "a–b" is a range.
        data: what results.json calls the same data. Empty: the table stands by itself, else beside
            our numbers of the metric.
        task: the task network, if it is not that of the folder `evaluation`: the table then stands
            beside `evaluation-<task>`.
        network: the task network, where results.json names it.
        clouds: size of the test set; 0 if unknown.
        differs: how our data differ from the published data all the same.
    """

    experiment: Experiment
    title: str
    metric: str
    protocol: str
    words: str
    points: int
    rows: list[dict]
    data: str = ""
    task: str = ""
    network: str = ""
    clouds: int = 0
    differs: str = ""

    @property
    def methods(self) -> list[str]:
        """The methods with a value in display order, without the full cloud."""
        own = (self.experiment.lines, "mark", "none")
        return in_order(name for row in self.rows for name in row if name not in own)

    @property
    def lines(self) -> list:
        """The lines with a value, without the line of the full cloud."""
        key = self.experiment.lines
        found = [row[key] for row in self.rows if "none" not in row]
        return [*map(int, found)] if key == "m" else found

    def row(self, line) -> dict:
        """Return the row of a line, {} if nothing is published for it; full clouds have no line."""
        key = self.experiment.lines
        return next((row for row in self.rows if row[key] == str(line) and "none" not in row), {})

    @property
    def full(self) -> str:
        """The value of the full cloud with its mark; empty if none is published."""
        row = next((row for row in self.rows if "none" in row), None)
        return f"{row['none']} ({source(row)})" if row else ""

    @property
    def legend(self) -> str:
        """The meaning of the words in the column `source`."""
        meanings = [MARKS[mark] for mark in dict.fromkeys(row["mark"] for row in self.rows)]
        return "; ".join(f"“{word}”: {meaning}" for word, meaning in meanings) + "."

    @property
    def extent(self) -> str:
        """The number of clouds or pairs, if known, and of their points."""
        count = f"{self.clouds} test " if self.clouds else ""
        return f"{count}{self.experiment.items} of {self.points} points"

    def hindrances(self, results: Results, preset: str) -> list[str]:
        """List what makes a difference between `results` and this meaningless; [] if it is fair."""
        n, points = results.size
        if self.experiment.has_samplers:
            full = select(results.rows, sampler="none", metric=self.metric)
            n, points = (full[0]["n"], full[0]["m"]) if full else (0, 0)
        found = []
        if results.data != self.data:
            found.append(f"the data is {results.data}")
        if points != self.points or self.clouds not in (0, n):
            of_points = f" of {points} points" if points else ""
            found.append(f"{n} test {self.experiment.items}{of_points}")
        if preset != "paper":
            found.append(f"the preset {preset}")
        if self.network and results.network and results.network != self.network:
            found.append(f"the task network {results.network}")
        return found

    def note(self, results: Results, preset: str) -> str:
        """Say what the published numbers are of, and whether ours compare with them."""
        words = f"{self.words} ({self.extent})"
        if hindrances := self.hindrances(results, preset):
            text = (
                f"The published numbers are of {words} with the published settings. Here: "
                f"{'; '.join(hindrances)}. They do not compare with ours, and no difference is "
                "given."
            )
        else:
            of = f"{words}, but {self.differs}" if self.differs else f"the same {words}"
            text = f"Published and ours are of {of}; the difference is ours − published."
        full = f" Published for all {self.points} points: {self.full}." if self.full else ""
        return f"{text}{full} Source {self.legend}"


def source(row: dict) -> str:
    """Return what the column `source` says of a row; "" for an empty row."""
    return MARKS[row["mark"]][0] if row else ""


def references(experiment: Experiment) -> list[Reference]:
    """Read the published tables of an experiment, those that stand beside ours first."""
    path = experiment.folder / "published.yaml"
    if not path.exists():
        return []
    import yaml  # not at the top: the console's viewer works without PyYAML

    found = []
    try:
        # BaseLoader keeps a number as it is printed: 87.80
        for table in yaml.load(path.read_text(), yaml.BaseLoader):
            counts = {"points": int(table["points"]), "clouds": int(table.get("clouds", 0))}
            found.append(Reference(experiment, **{**table, **counts}))
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a list of published tables ({error})") from error
    return sorted(found, key=lambda reference: not reference.data)


def beside(experiment: Experiment, task: str) -> list[Reference]:
    """List the published tables that stand beside our numbers with this task network."""
    return [found for found in references(experiment) if found.data and found.task == task]


def difference(ours: float, published: str, digits: int) -> str:
    """Write ours - published with its sign; from a range's nearer end, or "within" the range."""
    low, high = (float(end) for end in (published.split("–") * 2)[:2])
    if low < high and low <= ours <= high:
        return "within"
    apart = ours - min(max(ours, low), high)
    return f"{apart:+.{digits}f}".replace("-", "−")
