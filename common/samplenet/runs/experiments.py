"""Find the experiments of a checkout: every folder with an experiment.py, which declares it.

An experiment.py is read before anything is installed, so it imports only the standard library, and
so does this file. The documentation's page "A new experiment" walks through an example.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import ModuleType

from samplenet.errors import InputError

FRAMEWORKS = ("tf", "torch")
# from the shortest to the longest, with the samplers' seeds where --seeds is not given
PRESETS = {"smoke": [0], "quick": [0], "full": [0, 1, 2], "paper": [0]}
FUNCTIONS = (
    "runs",
    "check",
    "variant",
)  # of an experiment.py; its other declarations are constants
# in the order of the tables
TRAINED_SAMPLERS = ("snet", "progressivenet", "samplenet", "samplenet_progressive")


@dataclass(frozen=True)
class Metric:
    """How a metric of results.json is shown.

    Attributes:
        title: heading of its table, with the unit.
        scale: factor from the value in results.json to the value shown.
        digits: after the decimal point.
        better: "higher" or "lower"; empty where neither is better.
        spread: source of the standard error over the n test items. "share" if the value is the
            share of items with a property, as an accuracy is; else the metric that holds the
            standard deviation over the items. If empty, the error is unknown and no value is marked
            as the best.
        spread_factor: factor of that standard deviation.
    """

    title: str
    scale: float = 1
    digits: int = 2
    better: str = ""
    spread: str = ""
    spread_factor: float = 1


@dataclass(frozen=True)
class Experiment:
    """The declarations in a folder's experiment.py; those with a default here are optional there.

    Attributes:
        name: of the folder.
        folder: where it lies.
        question: one sentence for the page.
        framework: "tf" or "torch"; set-up installs it, and the image with it runs the experiment.
        in_all: whether `reproduce.sh all` includes it; `everything` always does.
        items: plural noun for the test items, such as "clouds" or "pairs".
        metrics: in the order of the tables; the first is the headline.
        lines, columns: keys of a row's method, or of the row itself, along a table's two axes.
        runs: function of a `plan.Plan` that adds the experiment's runs to it.
        module: the loaded experiment.py, with whatever else it declares.
        data_set: name of the published data set; empty if it takes no data set.
        data_flag: flag of reproduce.sh for the data set's folder.
        flags: flags of reproduce.sh that only this experiment has, with argparse's keywords.
        check: function of reproduce.sh's flags; raises ValueError, with a sentence, to refuse them.
        variant: function of these flags; returns what they add to the results folder's name.
        extras: further tables that reproduce.sh creates on request: functions like `runs`, by name.
        default: --samplers and --sizes by preset; only the one experiment that reproduce.sh runs
            when it is given no name has them. None stands for all samplers, or the preset's sizes.
        note: sentences above the tables on what the headline metric means.
        caveat: a sentence on what its standard errors leave out.
        figures: by file name beside results.json: the function that draws it, from the folder's
            figures.py or from the library.
        references: methods that only set the scale, as true points do; none is marked as best.
        main: further metrics whose tables stand with the headline's, above the folded ones.
        glance: sample size that stands for the experiment where a table has room for one.
        further: parts of the published preset that the page reports if they are missing: by name of
            the part, the metric that shows its presence; for "cost" and "ablations" an empty text.
        cost: readable names of task networks, and a published claim for cost/cost.json's table.
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
    default: dict[str, tuple[list[str] | None, list[int] | None]] | None = None
    note: str = ""
    caveat: str = ""
    figures: dict[str, str] = field(default_factory=dict)
    references: list[str] = field(default_factory=list)
    main: list[str] = field(default_factory=list)
    glance: int | None = None
    further: dict[str, str] = field(default_factory=dict)
    cost: dict = field(default_factory=dict)

    @property
    def headline(self) -> str:
        """The metric of the main table."""
        return next(iter(self.metrics))

    @property
    def title(self) -> str:
        """The name as a heading: "Shape and pose" for shape_and_pose."""
        return self.name.replace("_", " ").capitalize()

    @property
    def has_samplers(self) -> bool:
        """Whether it compares samplers; others have no protocols and no place in the ranking."""
        return self.columns == "sampler"

    def network(self, name: str) -> str:
        """Return the readable name of a task network; `name` itself if `cost` has none."""
        return self.cost.get("networks", {}).get(name, name)


def attribute(flag: str) -> str:
    """Return the attribute in which argparse keeps a flag's value: data_root for --data-root."""
    return flag.lstrip("-").replace("-", "_")


def load(folder: Path) -> Experiment:
    """Read `folder`/experiment.py, where functions are named as here and constants in capitals.

    Raises:
        InputError: a declaration is missing.
    """
    folder = Path(folder).resolve()
    module = load_module(folder / "experiment.py")
    declared, missing = {"name": folder.name, "folder": folder, "module": module}, []
    for entry in fields(Experiment):
        if entry.name in declared:
            continue
        spelling = entry.name if entry.name in FUNCTIONS else entry.name.upper()
        if hasattr(module, spelling):
            declared[entry.name] = getattr(module, spelling)
        elif entry.default is entry.default_factory is MISSING:
            missing.append(spelling)
    if missing:
        raise InputError(
            f"{module.__file__} must state {', '.join(missing)}; see docs/new-experiment.md"
        )
    framework, metrics = declared["framework"], declared["metrics"]
    if framework not in FRAMEWORKS:
        known = " or ".join(FRAMEWORKS)
        raise InputError(f"{module.__file__}: FRAMEWORK must be {known}, got {framework!r}")
    declared["metrics"] = {name: Metric(**keywords) for name, keywords in metrics.items()}
    return Experiment(**declared)


def load_module(path: Path) -> ModuleType:
    """Import a file by its path, as different experiments have files of the same name."""
    spec = importlib.util.spec_from_file_location(f"{path.stem}_of_{path.parent.name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def discover(root: Path) -> dict[str, Experiment]:
    """Load the experiments of a checkout, by name in alphabetical order."""
    folders = sorted(path.parent for path in Path(root).glob("*/experiment.py"))
    return {folder.name: load(folder) for folder in folders}
