"""Samplers trained with one setting changed, or judged by another classifier than the one they were trained for."""

import os
import re
from pathlib import Path

from samplenet.report import EXPERIMENTS, charts, read
from samplenet.report.rows import PROTOCOLS, cell, label, select
from samplenet.report.tables import Table, look

SIGNS = {"k": "k", "lambda": "λ"}


def evaluations(evaluation: Path) -> dict[str, tuple[Path, dict]]:
    """Folder and results of every variant, `../ablation/<variant>/evaluation`, in order."""
    homes = {
        path.parent.parent.name: path.parent for path in evaluation.parent.glob("ablation/*/evaluation/results.json")
    }
    return {variant: (homes[variant], read(homes[variant])) for variant in sorted(homes, key=order)}


def table(evaluation: Path) -> Table | None:
    """A line a variant and sampler, a column a protocol; None where there are no variants.

    Args:
        evaluation: of the unchanged samplers, which come first.
    """
    found = evaluations(evaluation)
    if not found:
        return None
    runs = (run for _, results in found.values() for run in results.get("runs", []))
    sizes = {run["m"] for run in runs if run["sampler"] in ("snet", "samplenet")}
    lines = []
    for variant, (home, results) in ({"unchanged": (evaluation, read(evaluation))} | found).items():
        lines += lines_of(variant, results, home, sizes)
    title, _, _ = look(results["experiment"], EXPERIMENTS[results["experiment"]].HEADLINE)
    heads = [("", head, None) for head in ("what differs", "sampler", "m", "all points", *PROTOCOLS, "σ at the end")]
    return Table(f"Ablations. {title}", heads, lines)


def order(variant: str) -> tuple:
    """Settings first, by name and value; then classifiers."""
    name, _, value = variant.rpartition("-")
    return (0, name, float(value)) if name in SIGNS else (1, variant, 0)


def words(variant: str) -> str:
    """A variant's folder name, as a reader wants it."""
    name, _, value = variant.rpartition("-")
    if name in SIGNS:
        return f"{SIGNS[name]} = {value}"
    if pair := re.fullmatch(r"(\w+)-to-(\w+)", variant):
        return f"trained for {pair[1]}, judged by {pair[2]}"
    return variant if variant == "unchanged" else f"trained for and judged by {variant}"


def lines_of(variant: str, results: dict, home: Path, sizes: set[int]) -> list[list[str]]:
    """The lines of one evaluation: of its trained samplers of these sizes, over all seeds."""
    metric = EXPERIMENTS[results["experiment"]].HEADLINE
    _, scale, digits = look(results["experiment"], metric)
    rows, lines = select(results["rows"], metric=metric), []
    full = cell(select(rows, sampler="none"), scale, digits)
    runs = [run for run in results.get("runs", []) if run["sampler"] in ("snet", "samplenet") and run["m"] in sizes]
    for sampler, m in dict.fromkeys((run["sampler"], run["m"]) for run in runs):
        mine = select(rows, sampler=sampler, m=m)
        values = [cell(select(mine, protocol=protocol), scale, digits) for protocol in PROTOCOLS]
        logs = [
            charts.logged(Path(os.path.normpath(home / run["folder"]))) for run in select(runs, sampler=sampler, m=m)
        ]
        sigmas = [steps[-1].get("projection_loss", 0) for steps in logs if steps]
        sigma = sum(sigmas) / len(sigmas) if sigmas else 0
        lines.append([words(variant), label(sampler), str(m), full, *values, f"{sigma:.2g}" if sigma else ""])
    return lines
