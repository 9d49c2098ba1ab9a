"""The page of all results of a preset, its leaderboard, and the same tables as Markdown.

python -m samplenet.report --page results/quick

The pages work offline: plotly.js, style and data are inside. The template escapes what comes from
files. Two calls write the same bytes.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from samplenet.atomic import write_atomic
from samplenet.errors import InputError, needs_extra
from samplenet.report import entries, figures, interactive, leaderboard, provenance, summary, tables
from samplenet.report.rows import (
    BASELINES,
    FULL_CLOUD,
    cell,
    color,
    in_order,
    label,
    samplers_of,
    select,
    shown_size,
)
from samplenet.report.sections import Planned, Section, read_sections
from samplenet.report.tables import Head, Table
from samplenet.runs.experiments import Experiment

INTRO = (
    "SampleNet learns which m of the N points of a cloud a task needs. Random sampling, farthest "
    "point sampling (FPS) and S-NET, its predecessor, stand beside it. Numbers are matched unless "
    "a table says otherwise: the frozen task network sees m distinct points of the input."
)
SMOKE = " Preset smoke: every step on tiny data, the numbers mean nothing."
# of the table in README.md: the last is one trained network for every size
FRONT = ("random", "fps", "samplenet_progressive")
KINDS = {figures.Lines: "lines", figures.Scene: "clouds", figures.Pictures: "pictures"}
RANKS = ("leaderboard.html", "Leaderboard: all samplers at all sizes by rank")
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def write(
    folder: Path,
    preset: str = "",
    failed: dict[str, str] | None = None,
    planned: Planned | None = None,
    *,
    experiments: dict[str, Experiment],
) -> Path:
    """Write index.html, tables.md and leaderboard.html of a preset; return the path of the first.

    Args:
        folder: results, with <experiment>[-<data>]/evaluation*/results.json below it.
        preset: what they were made with; the folder's name if empty.
        failed: reason by run, of runs that have just failed; their older results are shown.
        planned: cells that say "not run" until they have a number.

    Raises:
        InputError: there is no evaluation, or a file is damaged.
    """
    folder = Path(folder)
    preset = preset or folder.resolve().name
    sections = read_sections(folder, preset, planned or {}, experiments)
    write_atomic(folder / "tables.md", markdown(preset, sections).encode())
    ranked = ranking(preset, folder, sections, experiments)
    write_atomic(folder / "leaderboard.html", ranked.encode())
    write_atomic(folder / "index.html", document(preset, folder, sections, failed or {}).encode())
    return folder / "index.html"


def write_results(folder: Path, experiments: dict[str, Experiment]) -> list[Path]:
    """Write a preset's tables between the markers of each experiment's results.md."""
    sections = read_sections(folder, folder.resolve().name, {}, experiments)
    parts = {}
    for section in sections:
        parts.setdefault(section.experiment.name, []).extend(texts(section))
    paths = []
    for name in parts:
        path = experiments[name].folder / "results.md"
        text = f"# {experiments[name].title}: results\n\n{BEGIN}\n{END}\n"
        old = path.read_text() if path.exists() else text
        write_atomic(path, _between(path, old, parts[name]).encode())
        paths.append(path)
    return paths


def write_published(
    sections: list[Section], root: Path, experiments: dict[str, Experiment]
) -> list[Path]:
    """Write the entries' numbers between the markers of the checkout's Markdown files.

    docs/leaderboard.md has the ranks, README.md one size of every experiment, and an experiment's
    README.md, if it has markers, all sizes. No file is written unless all can be made.
    """
    found = {section.experiment.name: section for section in sections}
    written = {
        root / "docs" / "leaderboard.md": _ranks(sections, experiments),
        root / "README.md": [glance(sections, FRONT)._replace(title="")],
    }
    for name, experiment in experiments.items():
        path = root / name / "README.md"
        if experiment.has_samplers and path.exists() and BEGIN in path.read_text():
            brief = tables.brief(found[name].results) if name in found else []
            written[path] = brief or [leaderboard.NO_RESULTS]
    contents = {}
    for path, parts in written.items():
        if not path.exists():
            raise InputError(f"there is no {path}, where the entries' numbers belong")
        contents[path] = _between(path, path.read_text(), parts)
    for path, content in contents.items():
        write_atomic(path, content.encode())
    return [*contents]


def _ranks(sections: list[Section], experiments: dict[str, Experiment]) -> list:
    """List the tables and notes of the entries' leaderboard."""
    parts = []
    for board in entries.boards(sections, experiments):
        parts += [f"## {board.title}", board.experiment.question, *board.tables, *board.notes]
        for _, commands in board.further:
            parts += commands
    return parts


def _between(path: Path, text: str, parts: list) -> str:
    """Return the text of a file with `parts` in the place of what is between its markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end or text.count(BEGIN) != 1 or text.count(END) != 1:
        raise InputError(f"{path} must have the lines {BEGIN} and {END} once each, in this order")
    return f"{before}{begin}\n\n{tables.markdown(parts)}\n{end}{after}"


def texts(section: Section) -> list:
    """List the tables and notes of a section for a Markdown file."""
    listed = [f"## {section.title}", *section.tables, *section.notes]
    for _, parts in section.further:
        listed += parts
    return listed


def markdown(preset: str, sections: list[Section]) -> str:
    """Return the content of tables.md."""
    parts = [f"# Results, preset {preset}", intro(preset, sections)]
    for section in sections:
        parts += texts(section)
    return tables.markdown(parts)


def intro(preset: str, sections: list[Section]) -> str:
    """Say what the page shows."""
    return ((INTRO if _samplers(sections) else "") + (SMOKE if preset == "smoke" else "")).strip()


def _samplers(sections: list[Section]) -> bool:
    """Return whether any of the sections is about samplers."""
    return any(section.experiment.has_samplers for section in sections)


def document(preset: str, folder: Path, sections: list[Section], failed: dict[str, str]) -> str:
    """Return the content of index.html."""
    plotly, left_out = "", ""
    try:
        plotly = interactive.library()
    except InputError as reason:
        left_out = str(reason)
    return _render(
        title=f"SampleNet results, preset {preset}",
        intro=intro(preset, sections),
        link=RANKS if _samplers(sections) else None,
        facts=_facts(preset, folder, sections),
        failed=failed,
        glance=glance(sections),
        sections=[(section, drawn(section, folder) if plotly else []) for section in sections],
        plotly=plotly,
        left_out=left_out,
    )


def ranking(
    preset: str, folder: Path, sections: list[Section], experiments: dict[str, Experiment]
) -> str:
    """Return the content of leaderboard.html."""
    return _render(
        title=f"SampleNet leaderboard, preset {preset}",
        intro=leaderboard.INTRO + (SMOKE if preset == "smoke" else ""),
        link=("index.html", "All tables and figures"),
        facts=_facts(preset, folder, sections),
        sections=[(board, []) for board in leaderboard.boards(sections, experiments)],
    )


def _facts(preset: str, folder: Path, sections: list[Section]) -> list[tuple[str, str]]:
    evaluated = [section.results for section in sections if section.results.rows]
    return provenance.facts(preset, folder, evaluated)


def _render(**content) -> str:
    """Fill the template, which leaves out what it is not given."""
    with needs_extra("viz"):
        import jinja2
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    page = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return page.get_template("page.html.j2").render(**content, NOT_RUN=tables.NOT_RUN)


def glance(sections: list[Section], chosen: Sequence[str] = ()) -> Table:
    """Tabulate each method's headline number at one sample size, a line for each evaluation.

    Args:
        chosen: the methods to show; all if empty.
    """
    methods, lines = [], []
    sections = [section for section in sections if section.experiment.has_samplers]
    for section in sections:
        methods += chosen or samplers_of(section.results.headline(protocol="matched"))
    methods = in_order(methods)
    for section in sections:
        rows, (_, points) = section.results.headline(protocol="matched"), section.results.size
        metric, m = section.experiment.metrics[section.experiment.headline], _size(section)
        extent = f"{m or 'all'} of {points} points" if points else ""
        alone = len([other for other in sections if other.experiment is section.experiment]) == 1
        title = section.experiment.title if alone else section.title
        line = [title, f"{metric.title}; {extent if rows else tables.NOT_RUN}"]
        line += [cell(select(rows, sampler=method, m=m), metric) for method in methods]
        lines.append([*line, cell(select(rows, sampler="none"), metric)])
    heads = [Head(label(method), "", color(method)) for method in methods]
    heads = [Head(""), Head("measure"), *heads, Head("all points")]
    return Table("At one sample size", heads, lines)


def _size(section: Section) -> int | None:
    """Return the experiment's own size for such tables; without results at it another."""
    rows, own = section.results.headline(protocol="matched"), section.experiment.glance
    learned = [row for row in rows if row.get("sampler") not in (*BASELINES, *FULL_CLOUD)]
    return own if select(learned or rows, m=own) else shown_size(rows)


def drawn(section: Section, folder: Path) -> list[tuple[str, str, str]]:
    """Return title, kind ("lines", "clouds" or "pictures") and JSON of a section's figures."""
    if not section.results.rows:
        return []
    makers = dict.fromkeys(summary.makers(section.experiment).values())
    runs = [folder / run["folder"] for run in section.evaluations[0].runs]
    runs = runs or sorted((folder / section.path).parent.glob("samplenet*"))
    made = [make(section.results, section.gallery) for make in makers]
    found = []
    for figure in filter(None, [*made, figures.sigma(runs)]):
        packed = json.dumps(interactive.draw(figure), separators=(",", ":"), allow_nan=False)
        # no "</script>" in a name may end the element that holds the data
        found.append((figure.title, KINDS[type(figure)], packed.replace("<", "\\u003c")))
    return found
