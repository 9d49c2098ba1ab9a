"""Add the sampler, or the task network, of a finished run to those that come with the library."""

import json
import re
import shlex
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
TRAINED = {"command": str, "revision": str}  # what is read of a run's environment.json
EVALUATED = {"experiment": str, "data": str, "command": str, "rows": list}  # of a results.json
COMPARED = {"data": str, "command": str, "rows": list, "runs": list}
WHOLE_ROW = {"metric": str, "value": (int, float), "n": int}  # of a row on whole clouds
NOT_WEIGHTS = ("optimizer/", "seed/", "within")  # of a checkpoint's arrays, how the names begin


def release(name: str, folder: Path, results: Path) -> None:
    """Copy the sampler of the run in `folder` under `name` and write its card.

    Raises:
        InputError: a name of other signs than a-z, 0-9 and hyphens, or see `run_card`.
    """
    if not re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", name):
        raise InputError(f"a name has a-z, 0-9 and hyphens, as classification-32; got {name!r}")
    card = run_card(folder, results)
    content = (folder / "sampler.safetensors").read_bytes()
    write_atomic(FOLDER / f"{name}.safetensors", content)
    write_json(FOLDER / f"{name}.json", card)


def run_card(folder: Path, results: Path | None = None) -> dict:
    """Return what the card of a run's sampler tells besides the metadata in its file.

    Args:
        results: an evaluation of it; None: only the training's command and revision.

    Raises:
        InputError: the run has not finished, the evaluation has no row of it, or a file is damaged.
    """
    evaluation = _evaluation(results, EVALUATED) if results else None
    run = open_run(folder)
    environment = _read(folder / "environment.json", TRAINED)
    trained = {"seed": run.seed, **{key: environment[key] for key in TRAINED}}
    if evaluation is None:
        return trained
    metrics = []
    for row in evaluation["rows"]:
        method = row["method"]
        matched = row.get("protocol") == "matched" and method.get("m") in run.sizes
        if matched and (method.get("sampler"), row.get("seed")) == (run.name, run.seed):
            metrics.append({"m": method["m"], **{key: row[key] for key in CARD_KEYS if key in row}})
    if not metrics:
        raise InputError(f"{results} has no row of {run.name}, seed {run.seed}, m in {run.sizes}")
    about = {key: evaluation[key] for key in ("experiment", "data")}
    return {**about, **trained, "evaluated_by": evaluation["command"], "metrics": metrics}


def without_paths(command: str) -> str:
    """Return a command without --out and --resume; of absolute paths, ~ and .. only the names."""
    words = []
    for word in _without_out(command):
        flag, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
        outside = value.startswith(("/", "~")) or ".." in Path(value).parts
        words.append(f"{flag}{equals}{Path(value).name if outside else value}")
    return shlex.join(words)


def release_task(name: str, folder: Path, results: list[Path]) -> None:
    """Write the task network of the run in `folder` to tasks/`name`, rounded to float16.

    Args:
        name: of its experiment.
        results: evaluations of whole clouds by the run and by tasks/`name`; none: the card has no
            metrics yet.

    Raises:
        InputError: the run has not finished, its settings name a path, which others do not have, a
            weight is too large for float16, an evaluation is of another network, or a file is
            damaged.
    """
    config, arrays, meta = finished_run(folder)
    environment = _read(folder / "environment.json", TRAINED)
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


def _read(path: Path, needed: dict) -> dict:
    """Read a JSON object; InputError unless its values have the needed types."""
    try:
        found = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error})") from error
    _check(path, found, needed)
    return found


def _check(path: Path, found, needed: dict) -> None:
    """Raise InputError unless `found`, of the file `path`, has values of the needed types."""
    if not isinstance(found, dict):
        raise InputError(f"{path} is damaged: {found!r:.40} stands where names and values should")
    for key, kind in needed.items():
        if not isinstance(found.get(key), kind):
            raise InputError(f"{path} is damaged: {key!r} is missing or of the wrong type")


def _evaluation(results: Path, needed: dict) -> dict:
    path = results / "results.json"
    evaluation = _read(path, {})
    if evaluation.get("schema") != 2:
        raise InputError(f"{results} is of an earlier version; evaluate again")
    _check(path, evaluation, needed)
    for key in needed.keys() & {"rows", "runs"}:
        for entry in evaluation[key]:
            _check(path, entry, {"method": dict})
    return evaluation


def _without_out(command: str) -> list[str]:
    """Return a training's words without --out, which is the machine's, and --resume."""
    try:
        words, kept = iter(shlex.split(command)), []
    except ValueError as error:
        raise InputError(f"the run's command is damaged ({error}): {command}") from error
    for word in words:
        if word == "--out":
            next(words, None)
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
    evaluations, rows = [_evaluation(results, COMPARED) for results in (full, half)], []
    for evaluation, results, network in zip(evaluations, (full, half), (run, rounded), strict=True):
        sources, whole = (
            [entry for entry in evaluation[key] if entry["method"].get("sampler") == "none"]
            for key in ("runs", "rows")
        )
        folders = [str(source.get("folder")) for source in sources]
        if [(results / folder).resolve() for folder in folders] != [network.resolve()]:
            raise InputError(f"{results} evaluates {', '.join(folders)}, not {network}")
        rows.append([row for row in whole if "class" not in row])
        for row in rows[-1]:
            _check(results / "results.json", row, WHOLE_ROW)
    if len(rows[0]) != len(rows[1]):
        raise InputError(f"{full} and {half} differ in their rows on whole clouds; evaluate again")
    metrics = []
    for exact, coarse in zip(*rows, strict=True):  # an evaluation always lists its rows alike
        values = {"float32": exact["value"], "float16": coarse["value"]}
        metrics.append({"metric": exact["metric"], **values, "n": exact["n"]})
    commands = [evaluation["command"] for evaluation in evaluations]
    return {"data": evaluations[0]["data"], "evaluated_by": commands, "metrics": metrics}
