"""The leaderboard: every sampler's rank at every size, matched, before one network a task.

That of a preset ranks what its evaluations have. That in docs/leaderboard.md ranks entries: files
results.json by anybody, all judged by the task networks of the library.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from samplenet.errors import InputError
from samplenet.greedy import VARIANTS
from samplenet.pretrained import task_folder
from samplenet.report import provenance, tables
from samplenet.report.evaluations import GREEDY, Evaluation, read_evaluation
from samplenet.report.results import Results
from samplenet.report.rows import BASELINES, FULL_CLOUD, Pivot, cell, label, near, select
from samplenet.report.sections import Section
from samplenet.report.tables import Head, Table
from samplenet.report.ties import ranks
from samplenet.runs.experiments import TRAINED_SAMPLERS, Experiment
from samplenet.runs.run import network_digest

INTRO = (
    "Every sampler at every size, ranked by the task's first metric. All numbers are matched: the "
    "frozen task network sees m distinct points of each test cloud, and is the same for all "
    "samplers of a task."
)
NO_RESULTS = "No results are in yet."
# what a sampler runs on a cloud to choose its points
NEEDS = {
    "random": "nothing",
    "fps": "distances",
    "fps_same_start": "distances",
    **dict.fromkeys(VARIANTS, "task's encoder"),
    **dict.fromkeys(TRAINED_SAMPLERS, "own network"),
}


class Board(NamedTuple):
    """One experiment's part of the leaderboard, with what the page shows of a `Section`."""

    title: str
    experiment: Experiment
    tables: list[Table]
    notes: list[str]
    further: list[tuple[str, list]]


def boards(sections: list[Section], experiments: Mapping[str, Experiment]) -> list[Board]:
    """Rank the samplers of each experiment's first section, which has its usual task network."""
    first, found = {}, []
    experiments = {name: each for name, each in experiments.items() if each.has_samplers}
    for section in sections:
        if section.results.rows:
            first.setdefault(section.experiment.name, section)
    for name, experiment in experiments.items():
        if name in first:
            found.append(_board(first[name]))
        else:
            found.append(Board(name.capitalize(), experiment, [], [NO_RESULTS], []))
    return found


def _board(section: Section) -> Board:
    """Rank the samplers of a section, and those of the greedy ablation that it lacks."""
    results, experiment = section.results, section.experiment
    evaluations, rows = section.evaluations[:1], list(results.rows)
    present = {row.get("sampler") for row in rows}
    for ablation in section.evaluations[1:]:
        # of the ablations only this one has the same network and settings that the name tells
        if ablation.name == GREEDY:
            evaluations.append(ablation)
            rows += [row for row in ablation.results.rows if row.get("sampler") not in present]
    runs = select(evaluations[0].runs, sampler="none")
    made = f"{runs[0]['folder']}, made by {runs[0].get('command')}" if runs else "not recorded"
    notes = [f"Run of the frozen network: {made}", *_rules(section)]
    notes += provenance.revisions(evaluations)
    notes.append(f"Evaluated by {'; '.join(found.results.command for found in evaluations)}")
    commands = ("Commands and run folders", [provenance.commands(evaluations)])
    return Board(section.title, experiment, _tables(rows, section), notes, [commands])


def _rules(section: Section) -> list[str]:
    """Say what was measured, and what a shared rank means."""
    shared = "A rank is shared by the best of the samplers left and all that tie with it, "
    return [tables.rule(section.results, []), shared + tables.tie(section.results)]


def read_entries(folder: Path, experiments: Mapping[str, Experiment]) -> list[Section]:
    """Join the rows of the entries `<experiment>/<entry>/results.json` below a folder.

    Raises:
        InputError: there is no entry, or one cannot be ranked with the others: it has another
            experiment, judge or test set, or a number that another one has.
    """
    sections = []
    for name, experiment in experiments.items():
        paths = sorted(folder.glob(f"{name}/*/results.json"))
        if paths and experiment.has_samplers:
            entries = [read_evaluation(path.parent, folder, experiments) for path in paths]
            sections.append(_joined(name, entries))
    if not sections:
        raise InputError(f"no entry below {folder}: expected <experiment>/<entry>/results.json")
    return sections


def _joined(name: str, entries: list[Evaluation]) -> Section:
    """Check that entries can be ranked together, and join them."""
    first, judge, owners = entries[0].results, network_digest(task_folder(name)), {}
    rows = [row for row in first.rows if row.get("sampler") in FULL_CLOUD]
    for entry in entries:
        results = entry.results
        if results.experiment.name != name:
            raise InputError(f"{entry.path} is of {results.experiment.name}, not of {name}")
        digests = [run.get("digest") for run in select(entry.runs, sampler="none")]
        if digests != [judge]:
            raise InputError(
                f"{entry.path} was judged by another network than the library's: evaluate with "
                f"--task {name}"
            )
        if (results.data, results.size) != (first.data, first.size):
            raise InputError(
                f"{entry.path} was tested on {results.data}, {_extent(results)}; "
                f"{entries[0].path} on {first.data}, {_extent(first)}"
            )
        for row in results.rows:
            if row.get("sampler") in FULL_CLOUD:
                continue
            number = (row["sampler"], row["m"], row["seed"])
            if owners.setdefault(number, entry.path) != entry.path:
                sampler, m, seed = number
                raise InputError(
                    f"{owners[number]} and {entry.path} both have {label(sampler)} at m = {m}, "
                    f"seed {seed}: evaluate one of them without it"
                )
            rows.append(row)
    runs = [run for entry in entries for run in entry.results.runs]
    joined = dataclasses.replace(first, rows=rows, runs=runs)
    return Section(f"{name}/", "", joined, evaluations=entries)


def _extent(results: Results) -> str:
    return "n = {}, N = {}".format(*results.size)


def entered(sections: list[Section], experiments: Mapping[str, Experiment]) -> list[Board]:
    """Rank the samplers of all entries, for docs/leaderboard.md."""
    joined = {section.experiment.name: section for section in sections}
    boards = []
    for name, experiment in experiments.items():
        if not experiment.has_samplers:
            continue
        if name not in joined:
            boards.append(Board(experiment.title, experiment, [], [NO_RESULTS], []))
            continue
        section = joined[name]
        made = select(section.evaluations[0].runs, sampler="none")[0].get("command")
        judge = f"Frozen network: the library's `{name}`, made by `{made}`"
        commands = provenance.commands(section.evaluations)
        # folders of runs are those of whoever evaluated
        keep = [j for j, head in enumerate(commands.heads) if head.text != "folder"]
        heads = [commands.heads[j] for j in keep]
        lines = [[line[j] for j in keep] for line in commands.lines]
        ranked = _tables(section.results.rows, section)
        further = [("Commands", [Table("Commands", heads, lines)])]
        boards.append(Board(section.title, experiment, ranked, [judge, *_rules(section)], further))
    return boards


def _tables(rows: list[dict], section: Section) -> list[Table]:
    """Tabulate the ranks by the headline metric on matched points, a table for each size."""
    experiment, points = section.experiment, section.results.size[1]
    name, metric = experiment.headline, experiment.metrics[experiment.headline]
    matched = select(rows, metric=name, protocol="matched")
    matched = [row for row in matched if tables.in_table(row, experiment)]
    pivot, found = Pivot(matched, experiment.lines, experiment.columns), []
    heads = [Head(text) for text in ("sampler", "rank", metric.title, "seeds", "training", "needs")]
    for line in pivot.lines:
        cells = {column: pivot[line, column] for column in pivot.columns}
        lines = []
        for rank, tied, column in ranks(rows, experiment, name, cells):
            place = f"{rank}, tie" if tied else str(rank)
            numbers = [cell(cells[column], metric), str(len(cells[column]))]
            needs = _needs(column.name)
            lines.append([column.label, place, *numbers, _training(column.name), needs])
        title = f"{experiment.lines} = {line}"
        title += f" of {points}" if points and experiment.lines == "m" else ""
        found.append(Table(title + tables.levels(matched, metric), heads, lines))
    return found


def _needs(sampler: str) -> str:
    learned, k = near(sampler)
    needs = NEEDS.get(learned, "not stated")
    return f"{needs}, task's encoder" if k else needs


def _training(sampler: str) -> str:
    if sampler in BASELINES:
        return "none"
    return "trained" if near(sampler)[0] in TRAINED_SAMPLERS else "not stated"
