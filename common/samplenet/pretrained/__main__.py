"""Add the sampler, or the task network, of a finished run to those that come with the library.

    python -m samplenet.pretrained classification-32 \\
        --run results/quick/classification/samplenet-32-seed0 \\
        --results results/quick/classification/evaluation

Writes the run's sampler.safetensors and, beside it, a card: experiment, data, command, revision and
its rows of results.json with matched points.

    python -m samplenet.pretrained classification --task \\
        --run results/full/classification/classifier --results results/float32 results/float16

Writes tasks/classification: the run's settings and command, its weights in float16 without the
optimizer's state, and a card, which compares the two evaluations of whole clouds. Of these the
second needs the folder, so write it first without --results, then evaluate

    python classification/evaluate.py --task results/full/classification/classifier \\
        --samplers none --sizes 32 --out results/float32
    python classification/evaluate.py --task classification \\
        --samplers none --sizes 32 --out results/float16
"""

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
from samplenet.runs.script import main
from samplenet.runs.settings import Parser, yaml

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
        InputError: the run has not finished, or the evaluation has no row of it.
    """
    evaluation = _evaluation(results)
    environment = json.loads((folder / "environment.json").read_text())
    run = open_run(folder)
    metrics = []
    for row in evaluation["rows"]:
        method = row["method"]
        matched = row["protocol"] == "matched" and method["m"] in run.sizes
        if matched and (method["sampler"], row["seed"]) == (run.name, run.seed):
            metrics.append({"m": method["m"], **{key: row[key] for key in CARD_KEYS if key in row}})
    if not metrics:
        raise InputError(f"{results} has no row of {run.name}, seed {run.seed}, m in {run.sizes}")
    card = {
        "experiment": evaluation["experiment"],
        "data": evaluation["data"],
        "seed": run.seed,
        "command": environment["command"],
        "revision": environment["revision"],
        "evaluated_by": evaluation["command"],
        "metrics": metrics,
    }
    shutil.copyfile(folder / "sampler.safetensors", FOLDER / f"{name}.safetensors")
    write_json(FOLDER / f"{name}.json", card)


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


def start() -> None:
    """Run the command."""
    parser = Parser("samplenet.pretrained", description=__doc__.splitlines()[0])
    parser.add_argument("name", help="its name for load_pretrained; of a task network, for --task")
    parser.add_argument("--task", action="store_true", help="add a task network, not a sampler")
    parser.add_argument("--run", type=Path, required=True, help="finished run folder")
    parser.add_argument(
        "--results",
        type=Path,
        nargs="+",
        default=[],
        help="evaluation folder with a results.json; of a task network two, see above",
    )
    flags = parser.parse_args()
    if flags.task and flags.name not in NORMALISATIONS:
        raise InputError(f"a task network's name is {', '.join(NORMALISATIONS)}")
    needed = (0, 2) if flags.task else (1,)
    if len(flags.results) not in needed:
        raise InputError(f"--results: {' or '.join(map(str, needed))} folders are needed")
    if flags.task:
        release_task(flags.name, flags.run, flags.results)
    else:
        release(flags.name, flags.run, *flags.results)


if __name__ == "__main__":
    main(start)
