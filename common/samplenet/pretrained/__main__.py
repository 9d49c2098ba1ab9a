"""Add the sampler of a finished run to the weights that come with the library.

    python -m samplenet.pretrained classification-32 \\
        --run results/quick/classification/samplenet-32-seed0 \\
        --results results/quick/classification/evaluation

Writes the run's sampler.safetensors and, beside it, a card: experiment, data, command, revision and
its rows of results.json with matched points.
"""

import json
import shutil
from pathlib import Path

from samplenet.atomic import write_atomic
from samplenet.errors import InputError
from samplenet.pretrained import FOLDER
from samplenet.runs.evaluation import open_run
from samplenet.runs.script import main
from samplenet.runs.settings import Parser

CARD_KEYS = ("metric", "class", "value", "n")  # of a row of results.json


def release(name: str, folder: Path, results: Path) -> None:
    """Copy the sampler of the run in `folder` under `name` and write its card.

    Raises:
        InputError: the run has not finished, or the evaluation has no row of it.
    """
    evaluation = json.loads((results / "results.json").read_text())
    if evaluation.get("schema") != 2:
        raise InputError(f"{results} is of an earlier version; evaluate again")
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
        "command": environment["command"],
        "revision": environment["revision"],
        "evaluated_by": evaluation["command"],
        "metrics": metrics,
    }
    shutil.copyfile(folder / "sampler.safetensors", FOLDER / f"{name}.safetensors")
    write_atomic(FOLDER / f"{name}.json", (json.dumps(card, indent=1) + "\n").encode())


def start() -> None:
    """Run the command."""
    parser = Parser("samplenet.pretrained", description=__doc__.splitlines()[0])
    parser.add_argument("name", help="its name for load_pretrained")
    for flag, folder in (
        ("--run", "finished run folder of a train_samplenet.py"),
        ("--results", "evaluation folder with a results.json"),
    ):
        parser.add_argument(flag, type=Path, required=True, help=folder)
    flags = parser.parse_args()
    release(flags.name, flags.run, flags.results)


if __name__ == "__main__":
    main(start)
