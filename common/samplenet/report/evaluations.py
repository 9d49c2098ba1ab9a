"""The evaluations of a preset: main ones, and the ablations beside each.

An ablation is in the folder `ablation/<name>/evaluation`. Its name is `<setting>-<value>` for a
changed setting. Other names say in words what differs, as `no-student`. Where samplers are compared
they are `<network>` for another task network, or `<network>-to-<network>` for samplers that another
network judges than the one they were trained for; `greedy` for the settings of greedy samplers, or
`greedy-<network>-to-<network>` where another network judges than the one they ask.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

from samplenet.report.results import Results, code_of, read, read_environment, read_log
from samplenet.report.rows import PROTOCOLS, cell, is_greedy, label, samplers_of, select
from samplenet.report.tables import Head, Table
from samplenet.runs.experiments import Experiment

SYMBOLS = {"lambda": "λ"}
SETTING = re.compile(r"([a-z_]+)-(\d+(?:\.\d+)?)")
ABLATED = ("snet", "samplenet")
GREEDY = "greedy"


class Evaluation(NamedTuple):
    """One results.json below a preset's folder.

    Attributes:
        words: what an ablation changes; empty for a main evaluation.
        path: its folder, relative to the preset's.
        runs: those of the results, with folders relative to the preset's and the code of each run.
    """

    words: str
    path: str
    results: Results
    runs: list[dict]

    @property
    def name(self) -> str:
        """The ablation's, as in its path."""
        return Path(self.path).parent.name


def read_evaluation(path: Path, preset: Path, experiments: dict[str, Experiment]) -> Evaluation:
    """Read the evaluation in the folder `path` below the folder `preset`."""
    results, below, runs = read(path, experiments), path.relative_to(preset), []
    for run in results.runs:
        folder = os.path.normpath(below / str(run.get("folder", "")))
        runs.append({**run, "folder": folder, **code_of(read_environment(preset / folder))})
    return Evaluation("", below.as_posix(), results, runs)


def ablations(path: Path, preset: Path, experiments: dict[str, Experiment]) -> list[Evaluation]:
    """Read the ablations beside a main evaluation: settings by name and value, then networks."""

    def order(folder: Path) -> tuple:
        setting = SETTING.fullmatch(folder.parent.name)
        return (0, setting[1], float(setting[2])) if setting else (1, folder.parent.name, 0)

    folders = [found.parent for found in path.parent.glob("ablation/*/evaluation/results.json")]
    evaluations = []
    for folder in sorted(folders, key=order):
        found = read_evaluation(folder, preset, experiments)
        words = describe(found.name, found.results.experiment.has_samplers)
        evaluations.append(found._replace(words=words))
    return evaluations


def describe(name: str, has_samplers: bool = True) -> str:
    """Put an ablation's name into words."""
    if setting := SETTING.fullmatch(name):
        return f"{SYMBOLS.get(setting[1], setting[1])} = {setting[2]}"
    if not has_samplers:
        return name.replace("-", " ")
    if name == GREEDY:
        return "settings of greedy"
    if pair := re.fullmatch(GREEDY + r"-(.+)-to-(.+)", name):
        return f"chosen by {pair[1].replace('-', ' ')}, judged by {pair[2].replace('-', ' ')}"
    if pair := re.fullmatch(r"(\w+)-to-(\w+)", name):
        return f"trained for {pair[1]}, judged by {pair[2]}"
    return f"trained for and judged by {name}"


def ablation_tables(preset: Path, main: Evaluation, changed: list[Evaluation]) -> list[Table]:
    """Tabulate the headline of the ablations: of trained samplers, and of greedy ones.

    Those of an experiment without samplers have a table with its main metrics.
    """
    if not main.results.experiment.has_samplers:
        return [network_table(main, changed)]
    greedy = [found for found in changed if found.name.split("-")[0] == GREEDY]
    trained = [found for found in changed if found not in greedy]
    tables = [table(preset, main, trained)] if trained else []
    return tables + ([greedy_table(greedy)] if greedy else [])


def network_table(main: Evaluation, changed: list[Evaluation]) -> Table:
    """Tabulate the main metrics, a line for each ablation and method that has a run in one.

    The methods of the main evaluation come first.
    """
    experiment, lines = main.results.experiment, []
    columns = experiment.columns
    metrics = [experiment.headline, *experiment.main]
    trained = {run[columns] for evaluation in changed for run in evaluation.runs}
    for evaluation in [main._replace(words="unchanged"), *changed]:
        runs = [run[columns] for run in evaluation.runs if run[columns] in trained]
        for method in dict.fromkeys(runs):
            values = []
            for name in metrics:
                rows = select(evaluation.results.rows, metric=name, **{columns: method})
                whole = [row for row in rows if "class" not in row]
                values.append(cell(whole, experiment.metrics[name]))
            lines.append([evaluation.words, label(method), *values])
    heads = ["what differs", columns, *(experiment.metrics[name].title for name in metrics)]
    return Table("Ablations", [Head(text) for text in heads], lines)


def greedy_table(changed: list[Evaluation]) -> Table:
    """Tabulate the headline on matched points by size, a line for each ablation and sampler."""
    sizes, lines = set(), []
    for evaluation in changed:
        sizes |= {row["m"] for row in _greedy(evaluation.results.rows)}
    sizes = sorted(sizes, reverse=True)
    for evaluation in changed:
        results = evaluation.results
        metric = results.experiment.metrics[results.experiment.headline]
        full = cell(results.headline(sampler="none"), metric)
        for sampler in samplers_of(_greedy(results.rows)):
            values = []
            for m in sizes:
                rows = results.headline(sampler=sampler, m=m, protocol="matched")
                values.append(cell(rows, metric))
            lines.append([evaluation.words, label(sampler), full, *values])
    heads = ["what differs", "sampler", "all points", *(f"m = {m}" for m in sizes)]
    title = f"Ablations of greedy samplers. {metric.title}"
    return Table(title, [Head(text) for text in heads], lines)


def _greedy(rows: list[dict]) -> list[dict]:
    return [row for row in rows if is_greedy(row.get("sampler", ""))]


def table(preset: Path, main: Evaluation, changed: list[Evaluation]) -> Table:
    """Tabulate the headline by protocol, a line for each ablation and sampler.

    The samplers of the main evaluation, of the sizes that the ablations have, come first.
    """
    results = main.results
    metric = results.experiment.metrics[results.experiment.headline]

    def ablated(evaluation):
        return [run for run in evaluation.runs if run.get("sampler") in ABLATED]

    sizes, lines = set(), []
    for evaluation in changed:
        sizes |= {run["m"] for run in ablated(evaluation)}
    for evaluation in [main._replace(words="unchanged"), *changed]:
        results = evaluation.results
        full = cell(results.headline(sampler="none"), metric)
        shown = [run for run in ablated(evaluation) if run["m"] in sizes]
        for sampler, m in dict.fromkeys((run["sampler"], run["m"]) for run in shown):
            values = []
            for protocol in PROTOCOLS:
                rows = results.headline(sampler=sampler, m=m, protocol=protocol)
                values.append(cell(rows, metric))
            logs = [read_log(preset / run["folder"]) for run in select(shown, sampler=sampler, m=m)]
            sigmas = [log[-1].get("projection_loss", 0) for log in logs if log]
            sigma = f"{sum(sigmas) / len(sigmas):.2g}" if any(sigmas) else ""
            lines.append([evaluation.words, label(sampler), str(m), full, *values, sigma])
    names = ("what differs", "sampler", "m", "all points", *PROTOCOLS, "σ at the end")
    return Table(f"Ablations. {metric.title}", [Head(name) for name in names], lines)
