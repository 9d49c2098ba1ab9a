"""Add the sampler, or the task network, of a finished run to those that come with the library."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np

from samplenet.atomic import write_atomic, write_json
from samplenet.errors import InputError
from samplenet.pretrained import FOLDER, TASKS
from samplenet.runs.checkpoint import save_checkpoint
from samplenet.runs.entries import open_run
from samplenet.runs.run import finished_run, network_digest
from samplenet.runs.settings import yaml

CARD_KEYS = ("metric", "class", "value", "n")  # of a row of results.json
# how each experiment's clouds are normalised, as its train_samplenet.py records it
NORMALISATIONS = {
    "classification": "unit_sphere",
    "reconstruction": "box_diagonal",
    "registration": "box_side",
}
NOT_WEIGHTS = ("optimizer/", "seed/", "within")  # of a checkpoint's arrays, how the names begin


def release(name: str, folder: Path, results: Path) -> None:
    """Copy the sampler of the run in `folder` under `name` and write its card.

    Raises:
        InputError: see `run_card`.
    """
    card = run_card(folder, results)
    shutil.copyfile(folder / "sampler.safetensors", FOLDER / f"{name}.safetensors")
    write_json(FOLDER / f"{name}.json", card)


def run_card(folder: Path, results: Path | None = None) -> dict:
    """Return what the card of a run's sampler tells besides the metadata in its file.

    Args:
        results: an evaluation of it; None: only the training's command and revision.

    Raises:
        InputError: the run has not finished, or the evaluation has no row of it.
    """
    evaluation = _evaluation(results) if results else None
    run = open_run(folder)
    environment = json.loads((folder / "environment.json").read_text())
    trained = {"seed": run.seed, **{key: environment[key] for key in ("command", "revision")}}
    if evaluation is None:
        return trained
    metrics = []
    for row in evaluation["rows"]:
        method = row["method"]
        matched = row["protocol"] == "matched" and method["m"] in run.sizes
        if matched and (method["sampler"], row["seed"]) == (run.name, run.seed):
            metrics.append({"m": method["m"], **{key: row[key] for key in CARD_KEYS if key in row}})
    if not metrics:
        raise InputError(f"{results} has no row of {run.name}, seed {run.seed}, m in {run.sizes}")
    about = {key: evaluation[key] for key in ("experiment", "data")}
    return {**about, **trained, "evaluated_by": evaluation["command"], "metrics": metrics}


def without_paths(command: str) -> str:
    """Return a command without --out and --resume, and with only the names of absolute paths."""
    words = []
    for word in _without_out(command):
        flag, equals, value = word.rpartition("=")
        words.append(f"{flag}{equals}{Path(value).name}" if value.startswith("/") else word)
    return shlex.join(words)


def release_task(name: str, folder: Path, results: list[Path]) -> None:
    """Write the task network of the run in `folder` to tasks/`name`, rounded to float16.

    Args:
        name: of its experiment.
        results: evaluations of whole clouds by the run and by tasks/`name`; none: the card has no
            metrics yet.

    Raises:
        InputError: the run has not finished, its settings name a path, which others do not have, a
            weight is too large for float16, or an evaluation is of another network.
    """
    config, arrays, meta = finished_run(folder)
    environment = json.loads((folder / "environment.json").read_text())
    command = _without_out(environment["command"])
    settings = {**vars(config), "out": "", "resume": False}
    for value in (*settings.values(), *command):
        if str(value).startswith("/"):
            raise InputError(f"{folder} depends on {value}, which others do not have")
    card = {
        "experiment": name,
        "num_points": config.num_points,
        "normalisation": NORMALISATIONS[name],
        "command": shlex.join(command),
        "revision": environment["revision"],
    }
    if results:
        card |= _compared(*results, folder, TASKS / name)
    weights = {key: array for key, array in arrays.items() if not key.startswith(NOT_WEIGHTS)}
    rounded = {key: _rounded(key, array) for key, array in weights.items()}
    meta = {**meta, "rounded_from": network_digest(folder)}
    target = TASKS / name
    target.mkdir(parents=True, exist_ok=True)
    save_checkpoint(target / "last.safetensors", rounded, meta)
    write_atomic(target / "config.yaml", yaml.safe_dump(settings, sort_keys=False).encode())
    kept = {key: card[key] for key in ("command", "revision")}
    write_json(target / "environment.json", kept)
    write_json(target / "card.json", card)


def _evaluation(results: Path) -> dict:
    evaluation = json.loads((results / "results.json").read_text())
    if evaluation.get("schema") != 2:
        raise InputError(f"{results} is of an earlier version; evaluate again")
    return evaluation


def _without_out(command: str) -> list[str]:
    """Return a training's words without --out, which is the machine's, and --resume."""
    words, kept = iter(shlex.split(command)), []
    for word in words:
        if word == "--out":
            next(words)
        elif word != "--resume" and not word.startswith("--out="):
            kept.append(word)
    return kept


def _rounded(name: str, array: np.ndarray) -> np.ndarray:
    """Return float16 of an array of floats; counters stay as they are."""
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    if not np.isfinite(half).all():
        raise InputError(f"{name} goes to {np.abs(array).max()}, too large for float16")
    return half


def _compared(full: Path, half: Path, run: Path, rounded: Path) -> dict:
    """Return the card's data, commands and metrics on whole clouds, of both kinds of weights."""
    evaluations, rows = (_evaluation(full), _evaluation(half)), []
    for evaluation, results, network in zip(evaluations, (full, half), (run, rounded), strict=True):
        (source,) = [r for r in evaluation["runs"] if r["method"]["sampler"] == "none"]
        if (results / source["folder"]).resolve() != network.resolve():
            raise InputError(f"{results} evaluates {source['folder']}, not {network}")
        whole = [row for row in evaluation["rows"] if row["method"]["sampler"] == "none"]
        rows.append([row for row in whole if "class" not in row])
    metrics = []
    for exact, rounded in zip(*rows, strict=True):  # an evaluation always lists its rows alike
        values = {"float32": exact["value"], "float16": rounded["value"]}
        metrics.append({"metric": exact["metric"], **values, "n": exact["n"]})
    commands = [evaluation["command"] for evaluation in evaluations]
    return {"data": evaluations[0]["data"], "evaluated_by": commands, "metrics": metrics}
