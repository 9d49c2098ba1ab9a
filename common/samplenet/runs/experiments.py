"""Experiments declare themselves: each folder of a checkout that holds an experiment.py is one.

An experiment.py is read before anything is installed, so it imports the standard library alone, and so does this file.
The documentation's page "A new experiment" walks through one.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import ModuleType

from samplenet.errors import InputError

FRAMEWORKS = ("tf", "torch")
PRESETS = ("smoke", "quick", "paper")
TRAINED_SAMPLERS = (
    "snet",
    "progressivenet",
    "samplenet",
    "samplenet_progressive",
)  # in the order of the tables


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
    """The statements of a folder's experiment.py; those with a default here may be left out there.

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
        data_set: name of the published data set; empty if it takes no data set.
        data_flag: flag of reproduce.sh that gives the data set's folder.
        flags: flags of reproduce.sh that only this experiment has, with argparse's keywords.
        check: function of reproduce.sh's flags that raises ValueError, with a sentence, for those it refuses.
        variant: function of these flags -> what they add to the name of the results folder.
        extras: further tables that reproduce.sh makes on request: functions as `runs`, by name.
        default: --samplers and --sizes by preset, of the one experiment that `reproduce.sh` alone runs.
        note: sentences on what the headline metric means, for the text above the tables.
        caveat: a sentence on what its standard errors leave out.
        figures: file beside results.json -> the function that makes it, of figures.py in the folder or of the library.
        further: parts of the published preset that the page says are missing: a metric that stands for it, by name of
            the part; of "cost" and "ablations" an empty text.
        cost: names of task networks for readers, and a published claim, for the table of cost/cost.json.
    """

    name: str
    folder: Path
    question: str
    framework: str
    items: str
    metrics: dict[str, Metric]
    lines: str
    columns: str
    runs: Callable
    module: ModuleType
    in_all: bool = False
    data_set: str = ""
    data_flag: str = "--data-root"
    flags: dict[str, dict] = field(default_factory=dict)
    check: Callable = lambda flags: None
    variant: Callable = lambda flags: ""
    extras: dict[str, Callable] = field(default_factory=dict)
    default: dict[str, tuple[list[str], list[int] | None]] | None = None
    note: str = ""
    caveat: str = ""
    figures: dict[str, str] = field(default_factory=dict)
    further: dict[str, str] = field(default_factory=dict)
    cost: dict = field(default_factory=dict)

    @property
    def headline(self) -> str:
        """The metric of the main table."""
        return next(iter(self.metrics))


def attribute(flag: str) -> str:
    """The attribute that argparse keeps a flag's value in: --data-root is data_root."""
    return flag.lstrip("-").replace("-", "_")


def load(folder: Path) -> Experiment:
    """Read `folder`/experiment.py: constants are spelt in capitals there, functions as here.

    Raises:
        InputError: a statement is missing.
    """
    folder = Path(folder).resolve()
    module = load_module(folder / "experiment.py")
    stated = {"name": folder.name, "folder": folder, "module": module}
    for entry in fields(Experiment):
        for spelling in (entry.name, entry.name.upper()):
            if entry.name not in stated and hasattr(module, spelling):
                stated[entry.name] = getattr(module, spelling)
    needed = [
        entry.name
        for entry in fields(Experiment)
        if entry.default is entry.default_factory is MISSING
    ]
    if missing := [
        name if name == "runs" else name.upper() for name in needed if name not in stated
    ]:
        raise InputError(
            f"{module.__file__} must state {', '.join(missing)}; see docs/new-experiment.md"
        )
    if stated["framework"] not in FRAMEWORKS:
        raise InputError(
            f"{module.__file__}: FRAMEWORK must be {' or '.join(FRAMEWORKS)}, got {stated['framework']!r}"
        )
    stated["metrics"] = {name: Metric(**keywords) for name, keywords in stated["metrics"].items()}
    return Experiment(**stated)


def load_module(path: Path) -> ModuleType:
    """Import a file of an experiment's folder by its path: folders have files of the same names."""
    spec = importlib.util.spec_from_file_location(f"{path.stem}_of_{path.parent.name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def discover(root: Path) -> dict[str, Experiment]:
    """The experiments of a checkout by name, in alphabetical order."""
    return {
        path.parent.name: load(path.parent) for path in sorted(Path(root).glob("*/experiment.py"))
    }
