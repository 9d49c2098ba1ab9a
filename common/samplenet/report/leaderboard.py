"""The leaderboard: every sampler's rank at every size, matched, before one network a task."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from samplenet.greedy import VARIANTS
from samplenet.report import provenance, tables
from samplenet.report.evaluations import GREEDY
from samplenet.report.rows import BASELINES, Pivot, cell, near, select
from samplenet.report.sections import Section
from samplenet.report.tables import Head, Table
from samplenet.report.ties import ranks
from samplenet.runs.experiments import TRAINED_SAMPLERS, Experiment

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


def boards(
    sections: list[Section],
    experiments: Mapping[str, Experiment],
    make: Callable[[Section], Board] | None = None,
) -> list[Board]:
    """Rank the samplers of each experiment's first section, which has its usual task network.

    Args:
        make: section -> board; if not given, that of a preset's section.
    """
    first, found = {}, []
    experiments = {name: each for name, each in experiments.items() if each.has_samplers}
    for section in sections:
        if section.results.rows:
            first.setdefault(section.experiment.name, section)
    for name, experiment in experiments.items():
        if name in first:
            found.append((make or _board)(first[name]))
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
    notes = [f"Run of the frozen network: {made}", *rules(section)]
    notes += provenance.revisions(evaluations)
    notes.append(f"Evaluated by {'; '.join(found.results.command for found in evaluations)}")
    commands = ("Commands and run folders", [provenance.commands(evaluations)])
    return Board(section.title, experiment, ranked(rows, section), notes, [commands])


def rules(section: Section) -> list[str]:
    """Say what was measured, and what a shared rank means."""
    shared = "A rank is shared by the best of the samplers left and all that tie with it, "
    return [tables.rule(section.results, []), shared + tables.tie(section.results)]


def ranked(rows: list[dict], section: Section) -> list[Table]:
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
