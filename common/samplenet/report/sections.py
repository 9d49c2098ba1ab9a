"""The sections of the page of results: one for each main evaluation, run or planned."""

from dataclasses import dataclass, field
from pathlib import Path

from samplenet.errors import InputError
from samplenet.report import cost_table, evaluations, provenance, published, tables
from samplenet.report.evaluations import Evaluation, read_evaluation
from samplenet.report.results import Results, read_gallery
from samplenet.report.rows import select
from samplenet.report.tables import Table
from samplenet.runs.experiments import Experiment

# experiment and variant -> sampler -> sizes of the published table
Planned = dict[tuple[str, str], dict[str, list[int]]]


@dataclass
class Section:
    """A main evaluation with its ablations and costs; if it is planned but not run, without rows.

    Attributes:
        path: of the evaluation, relative to the preset's folder.
        variant: its task network if that is not the main table's; else empty.
        evaluations: the section's own, then its ablations; or the entries of a leaderboard.
    """

    path: str
    variant: str
    results: Results
    gallery: dict = field(default_factory=dict)
    evaluations: list[Evaluation] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cost: dict | None = None

    def __post_init__(self):
        self.experiment = self.results.experiment
        self.title = f"{self.experiment.title}: {self.results.data}"
        self.title += f", {self.experiment.network(self.variant)}" if self.variant else ""

    @property
    def further(self) -> list[tuple[str, list]]:
        """What a reader may open: a heading, and the tables and notes below it."""
        found = []
        if self.results.rows:
            found.append(("Every metric and protocol", tables.every(self.results)))
            found.append(("Commands and run folders", [provenance.commands(self.evaluations)]))
        if self.cost:
            found.append(("Cost", cost_table.parts(self.cost, self.experiment)))
        note, others = tables.others(self.experiment, self.variant)
        if others:
            found.append(("More published numbers", [note, *others]))
        return found


def read_sections(
    folder: Path, preset: str, planned: Planned, experiments: dict[str, Experiment]
) -> list[Section]:
    """Read all evaluations of a preset and add those that are planned, in the page's order."""
    sections, order = [], list(experiments)
    for path in sorted(folder.glob("*/evaluation*/results.json")):
        sections.append(_evaluated(path.parent, folder, preset, planned, experiments))
    present = {(section.experiment.name, section.variant) for section in sections}
    for (name, variant), cells in planned.items():
        if (name, variant) not in present:
            sections.append(_not_run(experiments[name], variant, cells))
    if not sections:
        raise InputError(
            f"no evaluation below {folder}: expected <experiment>/evaluation/results.json"
        )
    titles = [section.title for section in sections]
    for section in sections:
        # one data set with several task networks or numbers of points: the folder tells them apart
        if titles.count(section.title) > 1:
            section.title += f" ({section.path.split('/')[0]})"

    def place(section):
        run, parts = bool(section.results.rows), section.path.split("/")
        return order.index(section.experiment.name), not run, parts

    return sorted(sections, key=place)


def _evaluated(
    path: Path, folder: Path, preset: str, planned: Planned, experiments: dict
) -> Section:
    """Read one evaluation and what is beside it."""
    main = read_evaluation(path, folder, experiments)
    results, experiment = main.results, main.results.experiment
    variant = path.name.removeprefix("evaluation").lstrip("-")
    section = Section(main.path, variant, results, read_gallery(path), [main])
    references = {found.metric: found for found in published.beside(experiment, variant)}
    cells = planned.get((experiment.name, variant), {})
    for metric in dict.fromkeys([experiment.headline, *experiment.main, *references]):
        if select(results.rows, metric=metric):
            table = tables.compared(results, metric, preset, references.get(metric), cells)
            section.tables.append(table)
    if not variant:
        section.cost = cost_table.read(path.parent / "cost" / "cost.json", experiment)
        if changed := evaluations.ablations(path, folder, experiments):
            section.evaluations += changed
            section.tables += evaluations.ablation_tables(folder, main, changed)
    section.notes = [tables.rule(results, section.tables)]
    said = [reference.note(results, preset) for reference in references.values()]
    section.notes += dict.fromkeys(said)  # the references of several metrics may say the same
    section.notes += provenance.revisions(section.evaluations)
    section.notes += _missing(section) if cells else []
    return section


def _not_run(experiment: Experiment, variant: str, cells: dict[str, list[int]]) -> Section:
    """List the cells planned for an evaluation, and how to fill them."""
    results = Results(experiment, tables.NOT_RUN, [])
    section = Section(f"{experiment.name}/evaluation-{variant}", variant, results)
    command = f"bash reproduce.sh {experiment.name} --preset paper --data-root DIR"
    section.notes = [f"Not run yet: {command}", *_missing(section)]
    references = published.beside(experiment, variant)
    for reference in references:
        section.tables.append(tables.compared(results, reference.metric, "paper", reference, cells))
        words = f"The published numbers are of {reference.words}. Source {reference.legend}"
        section.notes.append(words)
    if not references:
        section.tables.append(tables.compared(results, experiment.headline, "paper", None, cells))
    return section


def _missing(section: Section) -> list[str]:
    """Name the experiment's further parts that have not been run, in a sentence; else return []."""
    if section.variant:
        return []
    experiment, lacking = section.experiment, []
    beside = {"cost": section.cost, "ablations": section.evaluations[1:]}
    for part, metric in experiment.further.items():
        found = select(section.results.rows, metric=metric) if metric else beside.get(part)
        if not found:
            lacking.append(part)
    words = " ".join([experiment.name, *experiment.extras])
    command = f"bash reproduce.sh {words} --preset paper --data-root DIR"
    return [f"Not run: {', '.join(lacking)} ({command})"] if lacking else []
