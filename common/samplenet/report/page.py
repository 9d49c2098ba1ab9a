"""One page of all results of a preset, and the same tables as Markdown (`python -m samplenet.report --page FOLDER`).

The page needs nothing beside it: plotly.js, style and data are inside. Tables are plain HTML; curves and point clouds
are drawn by page.js. Whatever comes from a file is escaped. Two calls write the same bytes.
"""

import html
import json
import os
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from samplenet.atomic import write_atomic
from samplenet.errors import InputError
from samplenet.report import EXPERIMENTS, ablation, charts, cost, published, read, read_gallery, tables
from samplenet.report.pictures import LeftOut
from samplenet.report.rows import cell, color, columns, label, select
from samplenet.report.tables import Table
from samplenet.runs.sources import some

QUESTIONS = {
    "classification": "How often is a frozen classifier right when it sees only m of a cloud's N points?",
    "registration": "How far is a frozen registration network off when it sees only m points of each of two clouds?",
    "reconstruction": "How well does a frozen autoencoder rebuild a cloud from m of its N points? NRE is the error "
    "over that from all points: 1 is as good as all.",
}
INTRO = (
    "SampleNet learns which m of the N points of a cloud a task needs. Random sampling, farthest point sampling (FPS) "
    "and S-NET, its predecessor, stand beside it. Numbers are matched unless a table says otherwise: the frozen task "
    "network sees m distinct points of the input."
)
SMOKE = " Preset smoke: every step on tiny data, the numbers mean nothing."


class Section(NamedTuple):
    """One evaluation; `results` without rows where it is planned and has not been run."""

    place: str  # of the evaluation below the preset's folder, as text
    variant: str  # of the evaluation: a task network other than that of the main table, or empty
    title: str
    results: dict
    gallery: dict
    runs: list[dict]  # as in results.json, their folders from here, and the code they were trained by
    tables: list[Table]
    notes: list[str]
    cost: dict | None = None  # content of cost.json
    changed: tuple[tuple[str, str, dict, list[dict]], ...] = ()  # ablations: words, place, results and runs of each


Planned = dict[tuple[str, str], dict[str, list[int]]]  # by experiment and variant: sizes by sampler


def write(folder: Path, preset: str = "", failed: dict[str, str] | None = None, planned: Planned | None = None) -> Path:
    """Write index.html and tables.md of a preset's results; the page's path.

    Args:
        folder: results, with <experiment>[-<data>]/evaluation*/results.json below it.
        preset: what they were made with; the folder's name if not given.
        failed: runs that failed just now, and why; what is shown of them is older, or missing.
        planned: cells that say "not run" as long as they have no number.

    Raises:
        InputError: no evaluation there, or a damaged file, which is named.
    """
    folder, planned = Path(folder), planned or {}
    preset = preset or folder.resolve().name
    sections = [evaluated(path.parent, folder, preset, planned) for path in folder.glob("*/evaluation*/results.json")]
    there = {(s.results["experiment"], s.variant) for s in sections}
    sections += [not_run(*name, cells) for name, cells in planned.items() if name not in there]
    if not sections:
        raise InputError(f"no evaluation below {folder}: expected <experiment>/evaluation/results.json")
    titles = [section.title for section in sections]
    for i, section in enumerate(sections):
        if titles.count(section.title) > 1:  # of one data set, with another task network or number of points
            sections[i] = section._replace(title=f"{section.title} ({section.place.split('/')[0]})")
    order = list(EXPERIMENTS)
    sections.sort(key=lambda s: (order.index(s.results["experiment"]), not s.results["rows"], s.place.split("/")))
    write_atomic(folder / "tables.md", markdown(preset, sections).encode())
    write_atomic(folder / "index.html", document(preset, folder, sections, failed or {}).encode())
    return folder / "index.html"


def evaluated(evaluation: Path, folder: Path, preset: str, planned: Planned) -> Section:
    results = read(evaluation)
    name, place = results["experiment"], evaluation.relative_to(folder)
    headline = EXPERIMENTS[name].HEADLINE
    variant = place.name.removeprefix("evaluation").lstrip("-")
    compared = {r.metric: r for r in published.references(name) if r.data and r.task == variant}
    made, cells = [], planned.get((name, variant), {})
    for metric in dict.fromkeys([headline, *compared]):
        if metric == headline or select(results["rows"], metric=metric):
            made.append(tables.main(results, metric, preset, compared.get(metric), cells))
    if not variant and (found := ablation.table(evaluation)):
        made.append(found)
    notes = [tables.rule(results, made)]
    notes += [tables.beside(results, preset, reference) for reference in compared.values()]
    title = f"{name.capitalize()}: {results['data']}" + (f", {variant}" if variant else "")
    runs = placed(results, evaluation, folder)
    costs = None if variant else cost.read(evaluation.parent / "cost" / "cost.json")
    changed = tuple(
        (ablation.words(changes), home.relative_to(folder).as_posix(), found, placed(found, home, folder))
        for changes, (home, found) in (ablation.evaluations(evaluation) if not variant else {}).items()
    )
    notes += of_several_codes([(place.as_posix(), results, runs), *(found[1:] for found in changed)])
    if cells:
        notes += besides(name, variant, select(results["rows"], metric="map_macro"), costs, changed)
    gallery = read_gallery(evaluation)
    return Section(place.as_posix(), variant, title, results, gallery, runs, made, notes, costs, changed)


def placed(results: dict, evaluation: Path, folder: Path) -> list[dict]:
    """The runs of an evaluation: their folders below that of the preset, and the code they were trained by."""
    runs = []
    for run in results.get("runs", []):
        place = os.path.normpath(evaluation.relative_to(folder) / str(run.get("folder", "")))
        environment = trained_in(folder / place)
        code = {"revision": revision(environment), "sources": environment.get("sources", {})}
        runs.append({**run, "folder": place, **code})
    return runs


def of_several_codes(evaluations: list[tuple[str, dict, list[dict]]]) -> list[str]:
    """A sentence on what each revision made, where one code did not make all numbers of a section; else none.

    Args:
        evaluations: the folder of each, its results and its runs. What has no revision on record is left out.
    """
    made, digests = {}, {}
    for place, results, runs in evaluations:
        environment = results.get("environment", {})
        itself = {"folder": place, "revision": revision(environment), "sources": environment.get("sources", {})}
        for run in [*runs, itself]:
            if run["revision"]:
                made.setdefault(run["revision"], {})[run["folder"]] = None
            for file, digest in run["sources"].items():
                digests.setdefault(file, set()).add(digest)
    files = [file for file, found in digests.items() if len(found) > 1]
    if len(made) < 2 and not files:
        return []
    listed = "; ".join(f"{name} made {', '.join(places)}" for name, places in made.items())
    uncommitted = " (+changes: and what was not committed)" if "+changes" in listed else ""
    what = f" Files that differ between them: {some(files, 5)}." if files else ""
    return [f"The code changed between these numbers. Revision {listed}{uncommitted}.{what}"]


def trained_in(run: Path) -> dict:
    """The environment.json of a run folder; {} where there is none."""
    path = run / "environment.json"
    try:
        return dict(json.loads(path.read_text())) if path.exists() else {}
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error})") from error


def revision(environment: dict) -> str:
    """The revision of an environment, short; empty where none is known."""
    found = str(environment.get("revision", ""))
    return found[:10] + "+changes" * found.endswith("+changes")


def not_run(name: str, variant: str, cells: dict[str, list[int]]) -> Section:
    """The cells planned for an evaluation, and how to fill them."""
    results = {"experiment": name, "data": "not run", "rows": []}
    compared = [r for r in published.references(name) if r.data and r.task == variant]
    made = [tables.main(results, r.metric, "paper", r, cells) for r in compared]
    notes = [f"Not run yet: bash reproduce.sh {name} --preset paper --data-root DIR"]
    notes += besides(name, variant)
    notes += [f"The published numbers are of {r.words}. Source {r.legend()}" for r in compared]
    title = f"{name.capitalize()}: not run" + (f", {variant}" if variant else "")
    return Section(f"{name}/evaluation-{variant}", variant, title, results, {}, [], made, notes)


def besides(name: str, variant: str, retrieval=None, costs=None, ablations=None) -> list[str]:
    """A sentence on those of the classifier's further tables that there are none of."""
    found = {"retrieval": retrieval, "cost": costs, "ablations": ablations}
    lacking = [part for part in found if not found[part]]
    if (name, variant) != ("classification", "") or not lacking:
        return []
    return [f"Not run: {', '.join(lacking)} (bash reproduce.sh classification ablation --preset paper --data-root DIR)"]


def glance(sections: list[Section]) -> Table:
    """A line an evaluation: every sampler's headline number at one sample size."""
    lines, found = [], {}
    for section in sections:
        results, name = section.results, section.results["experiment"]
        title, scale, digits = tables.look(name, EXPERIMENTS[name].HEADLINE)
        rows = select(results["rows"], metric=EXPERIMENTS[name].HEADLINE, protocol="matched")
        full, m = select(rows, sampler="none"), tables.shown_size(results)
        cells = {s: cell(select(rows, sampler=s, m=m), scale, digits) for s, _ in columns(rows)}
        cells["none"] = cell(full, scale, digits)
        points = f"{m or 'all'} of {full[0]['m']} points" if full else tables.NOT_RUN
        lines.append(([section.title, f"{title}; {points}"], cells))
        found |= cells
    names = [name for name, _ in columns([{"sampler": s, "protocol": "matched"} for s in found])] + ["none"]
    heads = [("", head, None) for head in ("", "measure")] + [("", label(s), color(s)) for s in names]
    heads[-1] = ("", "all points", None)
    return Table("At one sample size", heads, [head + [cells.get(s, "") for s in names] for head, cells in lines])


def markdown(preset: str, sections: list[Section]) -> str:
    """The tables for a README; what comes from a file cannot become markup here either."""
    parts = [f"# Results, preset {preset}", intro(preset)]
    for section in sections:
        parts += [f"## {section.title}", *(table.markdown() for table in section.tables), *section.notes]
        if section.results["rows"]:
            parts += [table.markdown() for table in (*tables.every(section.results), commands(section))]
        parts += [cost.table(section.cost).markdown(), *cost.notes(section.cost)] if section.cost else []
        note, others = tables.others(section.results["experiment"], section.variant)
        parts += [*([note] if note else []), *(table.markdown() for table in others)]
    return html.escape("\n\n".join(parts) + "\n", quote=False)


def intro(preset: str) -> str:
    """What the page shows."""
    return INTRO + (SMOKE if preset == "smoke" else "")


def document(preset: str, folder: Path, sections: list[Section], failed: dict[str, str]) -> str:
    """The whole page."""
    try:
        library = f'<script type="text/plain" id="plotly">{plotly()}</script>'  # page.js starts it when it is needed
        scripts, missing = f"{library}\n<script>{asset('page.js')}</script>", ""
    except LeftOut as reason:
        scripts, missing = "", f'<p class="note">Curves and point clouds are left out: {html.escape(str(reason))}</p>'
    bodies = [body(i, section, folder, bool(scripts)) for i, section in enumerate(sections)]
    links = tuple(f"#s{i}" for i in range(len(sections)))
    facts = "".join(f"<dt>{k}</dt><dd>{html.escape(v)}</dd>" for k, v in provenance(preset, folder, sections))
    title = html.escape(f"SampleNet results, preset {preset}")
    missed = "".join(f"<li>{html.escape(f'{name}: {why}')}</li>" for name, why in failed.items())
    missed = missed and f"<p>These runs failed; what is shown of them is older, or missing:</p><ul>{missed}</ul>"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{title}</title>
<style>{asset("page.css")}</style></head>
<body><header><h1>{title}</h1><p class="lead">{html.escape(intro(preset))}</p>
<dl>{facts}</dl>{missed}</header>
<main>{glance(sections).html("numbers glance", links)}
{missing}<noscript><p class="note">Curves and point clouds need JavaScript; the tables do not.</p></noscript>
{"".join(bodies)}</main>
{scripts}
</body></html>
"""


def plotly() -> str:
    """The source of plotly.js."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise LeftOut(
            "they need plotly, which is not installed; pip install plotly, then give the same command again"
        ) from error
    return get_plotlyjs()


def asset(name: str) -> str:
    return (files(__package__) / name).read_text()


def provenance(preset: str, folder: Path, sections: list[Section]) -> list[tuple[str, str]]:
    """What made the numbers; the date is of the last training step, so that it outlives copies of the files."""
    run = [section.results for section in sections if section.results["rows"]]
    environments = [results.get("environment", {}) for results in run]
    libraries = {f"{k} {v}": None for e in environments for k, v in e.get("libraries", {}).items()}
    pythons = {f"Python {e['python']}": None for e in environments if "python" in e}
    last = max(
        (step["unix"] for path in folder.glob("*/*/metrics.jsonl") for step in charts.logged(path.parent)), default=0
    )
    revisions = dict.fromkeys(found for e in environments if (found := revision(e)))
    found = [
        ("Preset", preset),
        ("Data", "; ".join(dict.fromkeys(results["data"] for results in run))),
        ("Trained until", f"{datetime.fromtimestamp(last, UTC):%-d %B %Y}" if last else ""),
        ("Evaluated at revision", ", ".join(revisions)),
        ("Libraries", ", ".join([*pythons, *libraries])),
        ("Machine", "; ".join(dict.fromkeys(e["machine"] for e in environments if "machine" in e))),
    ]
    return [(name, text) for name, text in found if text]


def body(number: int, section: Section, folder: Path, drawn: bool) -> str:
    """The HTML of one section."""
    name = section.results["experiment"]
    parts = [f'<section id="s{number}"><h2>{html.escape(section.title)}</h2><p>{html.escape(QUESTIONS[name])}</p>']
    parts += [table.html() for table in section.tables]
    parts += [f'<p class="note">{html.escape(note)}</p>' for note in section.notes]
    if drawn and section.results["rows"]:
        home = (folder / section.place).parent
        folders = [folder / run["folder"] for run in section.runs] or sorted(home.glob("samplenet*"))
        size = tables.shown_size(section.results)
        figures = [figure("lines", made) for made in charts.of(section.results, section.gallery, folders, size)]
        if shown := charts.scene(name, section.gallery):
            figures.append(figure("clouds", {"title": "Point clouds", **shown}))
        parts.append(f'<div class="figures">{"".join(figures)}</div>')
    more = []
    if section.results["rows"]:
        found = "".join(table.html() for table in tables.every(section.results))
        more.append(("Every metric and protocol", found))
        more.append(("Commands and run folders", commands(section).html("words")))
    note, others = tables.others(name, section.variant)
    if others:
        words = f'<p class="note">{html.escape(note)}</p>'
        more.append(("More published numbers", words + "".join(table.html() for table in others)))
    if section.cost:
        notes = "".join(f'<p class="note">{html.escape(note)}</p>' for note in cost.notes(section.cost))
        more.append(("Cost", cost.table(section.cost).html() + notes))
    parts += [f"<details><summary>{html.escape(words)}</summary>{content}</details>" for words, content in more]
    return "\n".join(parts) + "</section>\n"


def commands(section: Section) -> Table:
    """How each number was made: the training command of what learned, and that of the evaluation; ablations last."""
    heads = [("", head, None) for head in ("", "m", "seed", "revision", "folder", "command")]
    lines, listed = [], set()
    for words, place, results, runs in [("", section.place, section.results, section.runs), *section.changed]:
        trained = {str(run.get("sampler")) for run in runs}
        for run in (run for run in runs if run["folder"] not in listed):
            m = ", ".join(map(str, run.get("sizes") or [run.get("m")]))
            name = ", ".join(filter(None, [label(str(run.get("sampler"))), words]))
            lines.append([name, m, *(str(run.get(key, "")) for key in ("seed", "revision", "folder", "command"))])
        listed |= {run["folder"] for run in runs}
        rest = [label(name) for name in dict.fromkeys(r["sampler"] for r in results["rows"]) if name not in trained]
        name = "evaluation" + (f", {words}" if words else "") + (f": {', '.join(rest)}" if rest else "")
        made_by = revision(results.get("environment", {})), place, results.get("command", "")
        lines.append([name, "", "", *made_by])
    return Table("From the checkout's folder", heads, lines)


def figure(kind: str, data: dict) -> str:
    """Room for a picture, with its data; `</script>` cannot appear in it."""
    packed = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    title, plot = html.escape(data["title"]), '<div class="plot"></div><div class="legend"></div>'
    script = f'<script type="application/json">{packed}</script>'
    return f'<figure class="{kind}"><figcaption><span>{title}</span></figcaption>{plot}{script}</figure>\n'
