"""Entries of docs/leaderboard: anybody's results.json, judged by the library's task networks."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path

from samplenet.errors import InputError
from samplenet.pretrained import task_card, task_folder
from samplenet.report import leaderboard, provenance
from samplenet.report.evaluations import Evaluation
from samplenet.report.leaderboard import Board
from samplenet.report.results import code_of, read
from samplenet.report.rows import FULL_CLOUD, SAMPLERS, label, near, select
from samplenet.report.sections import Section
from samplenet.report.tables import Table
from samplenet.runs.experiments import Experiment
from samplenet.runs.run import network_digest

# between machines, of what the same network makes of the same whole clouds
TOLERANCE = 0.02


def read_entries(folder: Path, experiments: Mapping[str, Experiment]) -> list[Section]:
    """Read the entries `<experiment>/<entry>/results.json` below a folder, joined by experiment.

    Raises:
        InputError: there is no entry, or one is at another place, or cannot be ranked with the
            others: see `_check` and `_joined`.
    """
    entries = {name: [] for name, each in experiments.items() if each.has_samplers}
    for path in sorted(folder.rglob("results.json")):
        parts = path.relative_to(folder).parts
        if len(parts) != 3 or parts[0] not in entries:
            raise InputError(
                f"{path}: an entry is <experiment>/<entry>/results.json, where experiment is "
                f"{' or '.join(entries)}"
            )
        results = read(path.parent, experiments)
        runs = [{**run, **code_of(run)} for run in results.runs]
        entries[parts[0]].append(Evaluation("", "/".join(parts[:2]), results, runs))
    sections = [_joined(name, found) for name, found in entries.items() if found]
    if not sections:
        raise InputError(f"no entry below {folder}: expected <experiment>/<entry>/results.json")
    return sections


def _check(entry: Evaluation, name: str) -> None:
    """Refuse an entry of another experiment, another judge or other test clouds."""
    results, path, card = entry.results, entry.path, task_card(name)
    if results.experiment.name != name:
        raise InputError(f"{path} is of {results.experiment.name}, not of {name}")
    for row in results.rows:
        if lacking := {"sampler", "m"} - set(row):
            raise InputError(f"{path}: {row} lacks {', '.join(sorted(lacking))}")
    digests = [run.get("digest") for run in select(entry.runs, sampler="none")]
    if len(digests) != 1 or digests[0] is None:
        raise InputError(f"{path} does not say which network judged it: evaluate it again")
    again = f"evaluate with --task {name}"
    if digests[0] != network_digest(task_folder(name)):
        raise InputError(f"{path} was judged by another network than the library's: {again}")
    # the network's card says what it makes of the whole test clouds
    tested, n = (results.data, *results.size), card["metrics"][0]["n"]
    if tested != (card["data"], n, card["num_points"]):
        raise InputError(
            f"{path} was tested on {tested[0]}, n = {tested[1]}, N = {tested[2]}; the leaderboard "
            f"is of {card['data']}, n = {n}, N = {card['num_points']}: {again} alone"
        )
    for metric in card["metrics"]:
        for row in select(results.rows, sampler="none", metric=metric["metric"]):
            if "class" not in row and not math.isclose(
                row["value"], metric["float16"], rel_tol=TOLERANCE, abs_tol=1e-6
            ):
                raise InputError(
                    f"{path} has {row['value']} for {row['metric']} of whole clouds, the library's "
                    f"network {metric['float16']}: {again} alone"
                )


def _joined(name: str, entries: list[Evaluation]) -> Section:
    """Join the rows of an experiment's entries.

    Raises:
        InputError: an entry cannot be ranked (`_check`), has no number on matched points, or one
            that is there already; or another has a sampler of this name.
    """
    rows, owners = {}, {}  # rows by what they are of
    for entry in entries:
        _check(entry, name)
        results, matched = entry.results, False
        for row in results.rows:
            sampler, whole = row["sampler"], row["sampler"] in FULL_CLOUD
            key = json.dumps({**row, "value": None}, sort_keys=True)
            if whole:
                rows.setdefault(key, (entry, row))
                continue
            if "class" not in row and row["n"] != results.size[0]:
                raise InputError(f"{entry.path}: {row} is not of all {results.size[0]} test items")
            if key in rows:
                raise InputError(
                    f"{rows[key][0].path} and {entry.path} both have {label(sampler)} at "
                    f"m = {row['m']}, seed {row['seed']}: evaluate one without it"
                )
            # seeds of the library's samplers may come from anybody
            known = near(sampler)[0] in SAMPLERS
            if not known and owners.setdefault(sampler, entry.path) != entry.path:
                raise InputError(
                    f"{owners[sampler]} and {entry.path} both have a sampler {sampler!r}: give one "
                    "of them another name in its sampler.yaml"
                )
            rows[key] = (entry, row)
            matched |= row["protocol"] == "matched" and row["metric"] == results.experiment.headline
        if not matched:
            raise InputError(f"{entry.path} has no number of a sampler on matched points")
    joined = dataclasses.replace(entries[0].results, rows=[row for _, row in rows.values()])
    return Section(name, "", joined, evaluations=entries)


def boards(sections: list[Section], experiments: Mapping[str, Experiment]) -> list[Board]:
    """Rank the samplers of all entries, for docs/leaderboard.md."""
    return leaderboard.boards(sections, experiments, _board)


def _board(section: Section) -> Board:
    name = section.experiment.name
    judge = f"Frozen network: the library's `{name}`, made by `{task_card(name)['command']}`."
    commands = []
    for entry in section.evaluations:
        table = provenance.commands([entry])
        # run folders are those of whoever evaluated
        keep = [j for j, head in enumerate(table.heads) if head.text != "folder"]
        lines = [[line[j] for j in keep] for line in table.lines]
        title = f"Commands of the entry {entry.path}"
        commands.append(Table(title, [table.heads[j] for j in keep], lines))
    ranks = leaderboard.ranked(section.results.rows, section)
    notes = [judge, *leaderboard.rules(section)]
    return Board(section.title, section.experiment, ranks, notes, [("Commands", commands)])
