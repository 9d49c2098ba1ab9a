"""Samplers trained with one setting changed, or judged by another network than the one they were trained for.

A variant is a folder beside an evaluation, `ablation/<variant>`: `<setting>-<value>`, `<network>` or
`<network>-to-<network that judges>`.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from samplenet.report.results import Results, read, read_log
from samplenet.report.rows import PROTOCOLS, cell, label, select
from samplenet.report.tables import Head, Table
from samplenet.runs.experiments import Experiment

SYMBOLS = {"lambda": "λ"}
SETTING = re.compile(r"([a-z_]+)-(\d+(?:\.\d+)?)")
COMPARED = ("snet", "samplenet")


@dataclass(frozen=True)
class Variant:
    """An evaluation of changed samplers, `folder`, and how readers call the change."""

    words: str
    folder: Path
    results: Results


def variants(evaluation: Path, experiments: dict[str, Experiment]) -> list[Variant]:
    """Read the variants beside an evaluation: settings first, by name and value, then networks."""
    folders = [path.parent for path in evaluation.parent.glob("ablation/*/evaluation/results.json")]
    folders.sort(key=lambda folder: _order(folder.parent.name))
    return [
        Variant(describe(folder.parent.name), folder, read(folder, experiments))
        for folder in folders
    ]


def _order(name: str) -> tuple:
    setting = SETTING.fullmatch(name)
    return (0, setting[1], float(setting[2])) if setting else (1, name, 0)


def describe(name: str) -> str:
    """A variant's folder name in words."""
    if setting := SETTING.fullmatch(name):
        return f"{SYMBOLS.get(setting[1], setting[1])} = {setting[2]}"
    if pair := re.fullmatch(r"(\w+)-to-(\w+)", name):
        return f"trained for {pair[1]}, judged by {pair[2]}"
    return f"trained for and judged by {name}"


def table(evaluation: Path, unchanged: Results, changed: list[Variant]) -> Table:
    """A line a variant and sampler, a column a protocol; the unchanged samplers of the same sizes come first."""
    runs = [run for variant in changed for run in variant.results.runs]
    sizes = {run["m"] for run in runs if run.get("sampler") in COMPARED}
    lines = []
    for variant in [Variant("unchanged", evaluation, unchanged), *changed]:
        lines += _lines(variant, sizes)
    experiment = unchanged.experiment
    heads = [
        Head(text)
        for text in ("what differs", "sampler", "m", "all points", *PROTOCOLS, "σ at the end")
    ]
    return Table(f"Ablations. {experiment.metrics[experiment.headline].title}", heads, lines)


def _lines(variant: Variant, sizes: set[int]) -> list[list[str]]:
    """The lines of one evaluation: of its trained samplers of these sizes, over all seeds."""
    results, lines = variant.results, []
    look = results.experiment.metrics[results.experiment.headline]
    full = cell(results.headline(sampler="none"), look.scale, look.digits)
    runs = [run for run in results.runs if run.get("sampler") in COMPARED and run["m"] in sizes]
    for sampler, m in dict.fromkeys((run["sampler"], run["m"]) for run in runs):
        values = []
        for protocol in PROTOCOLS:
            rows = results.headline(sampler=sampler, m=m, protocol=protocol)
            values.append(cell(rows, look.scale, look.digits))
        sigmas = []
        for run in select(runs, sampler=sampler, m=m):
            if log := read_log(Path(os.path.normpath(variant.folder / run["folder"]))):
                sigmas.append(log[-1].get("projection_loss", 0))
        sigma = sum(sigmas) / len(sigmas) if sigmas else 0
        lines.append(
            [variant.words, label(sampler), str(m), full, *values, f"{sigma:.2g}" if sigma else ""]
        )
    return lines
