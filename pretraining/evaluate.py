"""Collect the scores of all finished runs in a folder into results.json, its tables and figures.

    python pretraining/evaluate.py --runs results/pointnet --out results/evaluation

Each run has scored its test set itself, after its last epoch: this script computes nothing new.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import scores
from samplenet.errors import InputError
from samplenet.report import summary
from samplenet.report.results import read_gallery
from samplenet.runs import evaluation, experiments, networks
from samplenet.runs.networks import Entry
from samplenet.runs.script import main
from samplenet.runs.settings import option

STARTS = {
    "initial": "random, as drawn",
    "random": "random",
    "point": "point loss",
    "global": "global loss",
    "both": "both losses",
    "supervised": "supervised",
}
BACKBONES = {
    "pointnet": "PointNet",
    "pointnet_plain": "PointNet without T-Nets",
    "dgcnn": "DGCNN",
    "pointnet2": "PointNet++",
    "srunet": "SR-UNet",
}


@dataclass
class Config:
    """Settings: which runs, and where to."""

    runs: list[str] = option([], "folders of run folders with scores.json, at any depth")
    data: str = option("built-in shapes", "the data's name in the tables")
    out: str = option("", "folder for results.json, table and figures", path=True)


def evaluate(config: Config) -> None:
    evaluation.check(config)
    runs = {}
    for folder in config.runs:
        files = sorted(Path(folder).rglob(scores.FILE))
        if not files:
            raise InputError(f"--runs {folder} holds no run with {scores.FILE}")
        runs |= {file.parent.resolve(): file.parent for file in files}  # folders may overlap
    if not runs:
        raise InputError("--runs is needed: folders of runs to collect")
    found = sorted((scores.read(run) | {"folder": run} for run in runs.values()), key=place)
    out = evaluation.prepare(config)
    entries = [entry(config, content) for content in found]
    networks.refuse_doubles(entries)
    every = [row for pair in zip(entries, found, strict=True) for row in rows(*pair)]
    evaluation.write(out, "pretraining", config.data, entries, every, gallery(entries, found))
    print(summary.write(out, experiments.load(Path(__file__).parent)))


def place(content: dict) -> tuple:
    """Sort runs by task, then by number of labels, then in the order of STARTS."""
    method = content["method"]
    labels = method["labels"].split()[0]
    count = int(labels) if labels.isdigit() else 0
    starts = [*STARTS]
    rank = starts.index(method["start"]) if method["start"] in starts else len(starts)
    return method["task"], count == 0, count, method["backbone"], rank, content["seed"]


def entry(config: Config, content: dict) -> Entry:
    """Return a run's place in the tables: a line for task, labels and network, a column a start."""
    method = content["method"]
    labels = "" if method["labels"] == "all" else method["labels"]
    words = [method["task"], labels, BACKBONES.get(method["backbone"], method["backbone"])]
    start = STARTS.get(method["start"], method["start"])
    task = ", ".join(filter(None, words))
    return Entry({"task": task, "start": start}, content["seed"], str(content["folder"]))


def rows(entry: Entry, content: dict) -> Iterator[dict]:
    """Yield the rows of a run: its scores, and the share of its weights that were restored."""
    for metric, value in content["scores"].items():
        yield evaluation.row(entry, None, metric, value, content["n"])
    for name, of_class in content["classes"].items():
        for metric, value in of_class.items():
            yield evaluation.row(entry, None, metric, value, content["n"], name)
    yield evaluation.row(entry, None, "restored", content["restored"], content["n"])


def gallery(entries: list[Entry], found: list[dict]) -> dict[str, np.ndarray]:
    """Join the pictures' arrays of runs that have some, of the first seed: figures.py shows them.

    Returns:
        The arrays by "<line>, <column> of the tables|<name in the run>".
    """
    arrays = {}
    for entry, content in zip(entries, found, strict=True):
        words = ", ".join(entry.method.values())
        for name, array in read_gallery(content["folder"]).items():
            arrays.setdefault(f"{words}|{name}", array)
    return arrays


if __name__ == "__main__":
    main(evaluate, Config, __doc__)
