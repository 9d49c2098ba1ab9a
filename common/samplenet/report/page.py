"""One page of all results of a preset, and the same tables as Markdown (`python -m samplenet.report --page FOLDER`).

The page needs nothing beside it: plotly.js, style and data are inside. The template escapes what comes from a file. Two
calls write the same bytes.
"""

import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from samplenet.atomic import write_atomic
from samplenet.errors import InputError
from samplenet.report import cost, figures, interactive, published, summary, tables, variants
from samplenet.report.results import Results, read, read_environment, read_gallery, read_log
from samplenet.report.rows import cell, color, in_order, label, samplers_of, select, shown_size
from samplenet.report.tables import Head, Table
from samplenet.runs.experiments import Experiment
from samplenet.runs.sources import some

INTRO = (
    "SampleNet learns which m of the N points of a cloud a task needs. Random sampling, farthest point sampling (FPS) "
    "and S-NET, its predecessor, stand beside it. Numbers are matched unless a table says otherwise: the frozen task "
    "network sees m distinct points of the input."
)
SMOKE = " Preset smoke: every step on tiny data, the numbers mean nothing."
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"

Planned = dict[tuple[str, str], dict[str, list[int]]]  # sizes by sampler, by experiment and variant


class Evaluation(NamedTuple):
    """One results.json below the preset's folder: an ablation in words or empty, and the runs as `trained` has them."""

    words: str
    path: str
    results: Results
    runs: list[dict]


@dataclass
class Section:
    """One evaluation. One that is planned and has not been run has no rows.

    Attributes:
        path: of the evaluation below the preset's folder.
        variant: of the evaluation: a task network other than that of the main table, or empty.
        evaluations: that of the section, then its ablations.
    """

    path: str
    variant: str
    title: str
    results: Results
    gallery: dict = field(default_factory=dict)
    evaluations: list[Evaluation] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cost: dict | None = None

    @property
    def experiment(self) -> Experiment:
        return self.results.experiment

    @property
    def further(self) -> list[tuple[str, list]]:
        """What a reader opens to see more: a heading, and tables and notes below it."""
        found = []
        if self.results.rows:
            found.append(("Every metric and protocol", tables.every(self.results)))
            found.append(("Commands and run folders", [commands(self)]))
        if self.cost:
            found.append(("Cost", cost.parts(self.cost, self.experiment)))
        note, others = tables.others(self.experiment, self.variant)
        if others:
            found.append(("More published numbers", [note, *others]))
        return found


def write(
    folder: Path,
    preset: str = "",
    failed: dict[str, str] | None = None,
    planned: Planned | None = None,
    *,
    experiments: dict[str, Experiment],
) -> Path:
    """Write index.html and tables.md of a preset's results; the page's path.

    Args:
        folder: results, with <experiment>[-<data>]/evaluation*/results.json below it.
        preset: what they were made with; the folder's name if not given.
        failed: runs that failed just now, and why; what is shown of them is older, or missing.
        planned: cells that say "not run" as long as they have no number.

    Raises:
        InputError: no evaluation there, or a damaged file, which is named.
    """
    folder, preset = Path(folder), preset or Path(folder).resolve().name
    sections = read_sections(folder, preset, planned or {}, experiments)
    write_atomic(folder / "tables.md", markdown(preset, sections).encode())
    write_atomic(folder / "index.html", document(preset, folder, sections, failed or {}).encode())
    return folder / "index.html"


def write_results(folder: Path, experiments: dict[str, Experiment]) -> list[Path]:
    """Write the tables of a preset's results between the markers of each experiment's results.md; their paths."""
    folder, written = Path(folder), []
    sections = read_sections(folder, folder.resolve().name, {}, experiments)
    for experiment in dict.fromkeys(section.experiment.name for section in sections):
        path = experiments[experiment].folder / "results.md"
        text = (
            path.read_text()
            if path.exists()
            else f"# {experiment.capitalize()}: results\n\n{BEGIN}\n{END}\n"
        )
        if text.count(BEGIN) != 1 or text.count(END) != 1:
            raise InputError(f"{path} must have the lines {BEGIN} and {END} once each")
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        parts = [
            part
            for section in sections
            if section.experiment.name == experiment
            for part in texts(section)
        ]
        write_atomic(path, f"{before}{BEGIN}\n\n{tables.markdown(parts)}\n{END}{after}".encode())
        written.append(path)
    return written


def read_sections(
    folder: Path, preset: str, planned: Planned, experiments: dict[str, Experiment]
) -> list[Section]:
    """Read all evaluations of a preset, and list those that are planned and missing, in the order of the page."""
    paths = sorted(folder.glob("*/evaluation*/results.json"))
    sections = [evaluated(path.parent, folder, preset, planned, experiments) for path in paths]
    present = {(section.experiment.name, section.variant) for section in sections}
    for (name, variant), cells in planned.items():
        if (name, variant) not in present:
            sections.append(not_run(experiments[name], variant, cells))
    if not sections:
        raise InputError(
            f"no evaluation below {folder}: expected <experiment>/evaluation/results.json"
        )
    titles = [section.title for section in sections]
    for section in sections:
        if (
            titles.count(section.title) > 1
        ):  # of one data set, with another task network or number of points
            section.title += f" ({section.path.split('/')[0]})"
    order = list(experiments)
    return sorted(
        sections,
        key=lambda s: (order.index(s.experiment.name), not s.results.rows, s.path.split("/")),
    )


def evaluated(
    evaluation: Path, folder: Path, preset: str, planned: Planned, experiments: dict
) -> Section:
    """Read one evaluation and what lies beside it."""
    results = read(evaluation, experiments)
    experiment, path = results.experiment, evaluation.relative_to(folder)
    variant = path.name.removeprefix("evaluation").lstrip("-")
    references = {
        reference.metric: reference for reference in published.beside(experiment, variant)
    }
    cells = planned.get((experiment.name, variant), {})
    made = []
    for metric in dict.fromkeys([experiment.headline, *references]):
        if metric == experiment.headline or select(results.rows, metric=metric):
            made.append(tables.compared(results, metric, preset, references.get(metric), cells))
    title = f"{experiment.name.capitalize()}: {results.data}" + (f", {variant}" if variant else "")
    section = Section(path.as_posix(), variant, title, results, read_gallery(evaluation))
    section.evaluations = [
        Evaluation("", section.path, results, trained(results, evaluation, folder))
    ]
    if not variant:
        section.cost = cost.read(evaluation.parent / "cost" / "cost.json", experiment)
        changed = variants.variants(evaluation, experiments)
        for one in changed:
            below, runs = (
                one.folder.relative_to(folder).as_posix(),
                trained(one.results, one.folder, folder),
            )
            section.evaluations.append(Evaluation(one.words, below, one.results, runs))
        if changed:
            made.append(variants.table(evaluation, results, changed))
    section.tables = made
    section.notes = [tables.rule(results, made)]
    section.notes += [reference.note(results, preset) for reference in references.values()]
    section.notes += of_several_codes(section.evaluations)
    section.notes += missing(section) if cells else []
    return section


def trained(results: Results, evaluation: Path, folder: Path) -> list[dict]:
    """List the runs of an evaluation: their folders below that of the preset, and the code they were trained by."""
    runs = []
    for run in results.runs:
        path = os.path.normpath(evaluation.relative_to(folder) / str(run.get("folder", "")))
        environment = read_environment(folder / path)
        code = {"revision": revision(environment), "sources": environment.get("sources", {})}
        runs.append({**run, "folder": path, **code})
    return runs


def of_several_codes(evaluations: list[Evaluation]) -> list[str]:
    """Say what each revision on record made, where one code did not make all numbers of a section; else nothing."""
    made, digests = {}, {}
    for _, path, results, runs in evaluations:
        environment = results.environment
        itself = {
            "folder": path,
            "revision": revision(environment),
            "sources": environment.get("sources", {}),
        }
        for run in [*runs, itself]:
            if run["revision"]:
                made.setdefault(run["revision"], {})[run["folder"]] = None
            for file, digest in run["sources"].items():
                digests.setdefault(file, set()).add(digest)
    files = [file for file, found in digests.items() if len(found) > 1]
    if len(made) < 2 and not files:
        return []
    listed = "; ".join(f"{name} made {', '.join(paths)}" for name, paths in made.items())
    uncommitted = " (+changes: and what was not committed)" if "+changes" in listed else ""
    differing = f" Files that differ between them: {some(files, 5)}." if files else ""
    return [f"The code changed between these numbers. Revision {listed}{uncommitted}.{differing}"]


def revision(environment: dict) -> str:
    """Shorten the revision of an environment; empty where none is known."""
    found = str(environment.get("revision", ""))
    return found[:10] + ("+changes" if found.endswith("+changes") else "")


def not_run(experiment: Experiment, variant: str, cells: dict[str, list[int]]) -> Section:
    """List the cells planned for an evaluation, and how to fill them."""
    results = Results(experiment, "not run", [])
    references = published.beside(experiment, variant)
    title = f"{experiment.name.capitalize()}: not run" + (f", {variant}" if variant else "")
    section = Section(f"{experiment.name}/evaluation-{variant}", variant, title, results)
    for reference in references or [None]:
        metric = reference.metric if reference else experiment.headline
        section.tables.append(tables.compared(results, metric, "paper", reference, cells))
    section.notes = [
        f"Not run yet: bash reproduce.sh {experiment.name} --preset paper --data-root DIR"
    ]
    section.notes += missing(section)
    for reference in references:
        section.notes.append(
            f"The published numbers are of {reference.words}. Source {reference.legend()}"
        )
    return section


def missing(section: Section) -> list[str]:
    """Name those of the experiment's further parts that have not been run, in a sentence."""
    experiment, results = section.experiment, section.results
    found = {"cost": section.cost, "ablations": section.evaluations[1:]}
    lacking = []
    for part, metric in experiment.further.items():
        if not (select(results.rows, metric=metric) if metric else found.get(part)):
            lacking.append(part)
    if section.variant or not lacking:
        return []
    words = " ".join([experiment.name, *experiment.extras])
    return [
        f"Not run: {', '.join(lacking)} (bash reproduce.sh {words} --preset paper --data-root DIR)"
    ]


def glance(sections: list[Section]) -> Table:
    """Make the table with a line an evaluation: every method's headline number, at one sample size."""
    lines, names = [], []
    for section in sections:
        results, experiment = section.results, section.experiment
        look, rows = experiment.metrics[experiment.headline], results.headline(protocol="matched")
        m, points = shown_size(rows), results.size[1]
        names += samplers_of(rows)
        shown = {sampler: select(rows, sampler=sampler, m=m) for sampler in samplers_of(rows)}
        shown["none"] = select(rows, sampler="none")
        cells = {sampler: cell(found, look.scale, look.digits) for sampler, found in shown.items()}
        extent = (f"{m or 'all'} of {points} points" if points else "") if rows else tables.NOT_RUN
        lines.append(([section.title, f"{look.title}; {extent}"], cells))
    names = in_order(names)
    heads = [
        Head(""),
        Head("measure"),
        *(Head(label(name), "", color(name)) for name in names),
        Head("all points"),
    ]
    return Table(
        "At one sample size",
        heads,
        [head + [cells.get(s, "") for s in [*names, "none"]] for head, cells in lines],
    )


def texts(section: Section) -> list:
    """List the tables and notes of a section for a Markdown file."""
    further = [part for _, parts in section.further for part in parts]
    return [f"## {section.title}", *section.tables, *section.notes, *further]


def markdown(preset: str, sections: list[Section]) -> str:
    """Write the content of tables.md."""
    parts = [part for section in sections for part in texts(section)]
    return tables.markdown([f"# Results, preset {preset}", intro(preset), *parts])


def intro(preset: str) -> str:
    """Say what the page shows."""
    return INTRO + (SMOKE if preset == "smoke" else "")


def document(preset: str, folder: Path, sections: list[Section], failed: dict[str, str]) -> str:
    """Write the content of index.html."""
    try:
        import jinja2
    except ImportError as error:
        raise InputError("the page needs jinja2; install the library with its viz extra") from error
    try:
        plotly, left_out = interactive.library(), ""
    except interactive.Unavailable as reason:
        plotly, left_out = "", str(reason)
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    page = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return page.get_template("page.html.j2").render(
        title=f"SampleNet results, preset {preset}",
        intro=intro(preset),
        facts=provenance(preset, folder, sections),
        failed=failed,
        glance=glance(sections),
        sections=[(section, drawn(section, folder) if plotly else []) for section in sections],
        plotly=plotly,
        left_out=left_out,
        NOT_RUN=tables.NOT_RUN,
    )


def drawn(section: Section, folder: Path) -> list[tuple[str, str, str]]:
    """Return title, kind ("lines" or "clouds") and packed data of each figure; no `</script>` is in it."""
    if not section.results.rows:
        return []
    makers = dict.fromkeys(summary.makers(section.experiment).values())
    runs = [folder / run["folder"] for run in section.evaluations[0].runs]
    runs = runs or sorted((folder / section.path).parent.glob("samplenet*"))
    made = [make(section.results, section.gallery) for make in makers]
    found = []
    for figure in [*made, figures.sigma(runs)]:
        if figure is not None:
            kind = "lines" if isinstance(figure, figures.Lines) else "clouds"
            packed = json.dumps(interactive.draw(figure), separators=(",", ":"), allow_nan=False)
            found.append((figure.title, kind, packed.replace("<", "\\u003c")))
    return found


def provenance(preset: str, folder: Path, sections: list[Section]) -> list[tuple[str, str]]:
    """Say what made the numbers; the date is of the last training step, so that it outlives copies of the files."""
    results = [section.results for section in sections if section.results.rows]
    environments = [one.environment for one in results]
    libraries = {}
    for environment in environments:
        libraries |= {
            f"{name} {version}": None for name, version in environment.get("libraries", {}).items()
        }
    pythons = {
        f"Python {environment['python']}": None
        for environment in environments
        if "python" in environment
    }
    steps = [
        step["unix"] for path in folder.glob("*/*/metrics.jsonl") for step in read_log(path.parent)
    ]
    machines = dict.fromkeys(
        environment["machine"] for environment in environments if "machine" in environment
    )
    found = [
        ("Preset", preset),
        ("Data", "; ".join(dict.fromkeys(one.data for one in results))),
        ("Trained until", f"{datetime.fromtimestamp(max(steps), UTC):%-d %B %Y}" if steps else ""),
        (
            "Evaluated at revision",
            ", ".join(dict.fromkeys(filter(None, map(revision, environments)))),
        ),
        ("Libraries", ", ".join([*pythons, *libraries])),
        ("Machine", "; ".join(machines)),
    ]
    return [(name, text) for name, text in found if text]


def commands(section: Section) -> Table:
    """List how each number was made: training commands, that of the evaluation, and those of ablations last."""
    heads = [Head(text) for text in ("", "m", "seed", "revision", "folder", "command")]
    lines, listed = [], set()
    for words, path, results, runs in section.evaluations:
        for run in runs:
            if run["folder"] not in listed:
                m = ", ".join(map(str, run.get("sizes") or [run.get("m", "")]))
                name = ", ".join(filter(None, [label(str(run.get("sampler", ""))), words]))
                lines.append(
                    [
                        name,
                        m,
                        *(
                            str(run.get(key, ""))
                            for key in ("seed", "revision", "folder", "command")
                        ),
                    ]
                )
        listed |= {run["folder"] for run in runs}
        known = {str(run.get("sampler")) for run in runs}
        scored = dict.fromkeys(row.get("sampler", "") for row in results.rows)
        rest = [label(name) for name in scored if name not in known]
        name = (
            "evaluation"
            + (f", {words}" if words else "")
            + (f": {', '.join(rest)}" if any(rest) else "")
        )
        lines.append([name, "", "", revision(results.environment), path, results.command])
    return Table("From the checkout's folder", heads, lines)
