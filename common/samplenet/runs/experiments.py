"""Experiments declare themselves: each folder of a checkout that holds an experiment.py is one.

An experiment.py is read before anything is installed, so it imports the standard library alone, and so does this file.
The documentation's page "A new experiment" walks through one.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

FRAMEWORKS = ("tf", "torch")


@dataclass(frozen=True)
class Metric:
    """How a metric of results.json is shown.

    Attributes:
        title: what a table of it is called, its unit included.
        scale: what a value is multiplied by.
        digits: after the decimal point.
        better: "higher" or "lower"; empty where neither is better.
        spread: how the standard error of a value over the n test items is known: "share" for the share of items that
            have a property, as an accuracy; else the metric that holds the standard deviation over the items. Empty:
            it is not known, and no value of it is called the best.
        spread_factor: what that standard deviation is multiplied by.
        short: the axis label of figures; the title if empty.
    """

    title: str
    scale: float = 1
    digits: int = 2
    better: str = ""
    spread: str = ""
    spread_factor: float = 1
    short: str = ""


@dataclass(frozen=True)
class Experiment:
    """What a folder's experiment.py states.

    Attributes:
        name: of the folder.
        folder: the folder.
        question: one sentence for the page.
        framework: "tf" or "torch": which one set-up installs and which image runs it.
        in_all: whether `reproduce.sh all` includes it; `everything` always does.
        items: what a test set has n of, as "clouds" or "pairs".
        metrics: in the order of the tables; the first is the headline.
        lines, columns: keys of a row's method (or of the row itself) that a table's lines and columns stand for.
        runs: function of a `plan.Plan` that adds the experiment's runs to it.
        module: the loaded experiment.py, for what else it declares.
    """

    name: str
    folder: Path
    question: str
    framework: str
    in_all: bool
    items: str
    metrics: dict[str, Metric]
    lines: str
    columns: str
    runs: Callable
    module: ModuleType

    @property
    def headline(self) -> str:
        """The metric of the main table."""
        return next(iter(self.metrics))


def load(folder: Path) -> Experiment:
    """Read `folder`/experiment.py."""
    folder = Path(folder).resolve()
    spec = importlib.util.spec_from_file_location(f"experiment_{folder.name}", folder / "experiment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Experiment(
        name=folder.name,
        folder=folder,
        question=module.QUESTION,
        framework=module.FRAMEWORK,
        in_all=getattr(module, "IN_ALL", False),
        items=module.ITEMS,
        metrics={name: Metric(**fields) for name, fields in module.METRICS.items()},
        lines=module.LINES,
        columns=module.COLUMNS,
        runs=module.runs,
        module=module,
    )


def discover(root: Path) -> dict[str, Experiment]:
    """The experiments of a checkout by name, in alphabetical order."""
    return {path.parent.name: load(path.parent) for path in sorted(Path(root).glob("*/experiment.py"))}
