"""Put a finished run among the weights that come with the library.

    python -m samplenet.pretrained classification-32 --run results/quick/classification/samplenet-32-seed0 \\
        --results results/quick/classification/evaluation

Writes the run's sampler.safetensors and the card beside it: sizes, data, command, and its matched rows of results.json.
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
    found = json.loads((results / "results.json").read_text())
    if found.get("schema") != 2:
        raise InputError(f"{results} is of an earlier version; evaluate again")
    trained = json.loads((folder / "environment.json").read_text())
    run = open_run(folder)
    metrics = []
    for row in found["rows"]:
        method, of_seed = row["method"], row["protocol"] == "matched" and row["seed"] == run.seed
        if of_seed and method["sampler"] == run.name and method["m"] in run.sizes:
            metrics.append({"m": method["m"], **{key: row[key] for key in CARD_KEYS if key in row}})
    if not metrics:
        raise InputError(f"{results} has no row of {run.name}, seed {run.seed}, m in {run.sizes}")
    card = {
        "experiment": found["experiment"],
        "data": found["data"],
        "command": trained["command"],
        "revision": trained["revision"],
        "evaluated_by": found["command"],
        "metrics": metrics,
    }
    shutil.copyfile(folder / "sampler.safetensors", FOLDER / f"{name}.safetensors")
    write_atomic(FOLDER / f"{name}.json", (json.dumps(card, indent=1) + "\n").encode())


def start() -> None:
    parser = Parser("samplenet.pretrained", description=__doc__.splitlines()[0])
    parser.add_argument("name", help="the name that load_pretrained will know it by")
    parser.add_argument(
        "--run", type=Path, required=True, help="finished run folder of a train_samplenet.py"
    )
    parser.add_argument(
        "--results", type=Path, required=True, help="evaluation folder with its results.json"
    )
    flags = parser.parse_args()
    release(flags.name, flags.run, flags.results)


if __name__ == "__main__":
    main(start)
