"""Put a finished run among the weights that come with the library.

    python -m samplenet.pretrained classification-32 --run results/quick/classification/samplenet-32-seed0 \\
        --results results/quick/classification/evaluation

Writes the run's sampler.safetensors and the card beside it: sizes, data, command, and its matched rows of results.json.
"""

import json
import re
import shutil
from pathlib import Path

from samplenet import weights
from samplenet.atomic import write_atomic
from samplenet.errors import InputError
from samplenet.pretrained import FOLDER
from samplenet.runs.script import main
from samplenet.runs.settings import Parser


def release(name: str, run: Path, results: Path) -> None:
    """Copy the run's sampler under `name` and write its card; InputError when its evaluation has no row of it."""
    found = json.loads((results / "results.json").read_text())
    trained = json.loads((run / "environment.json").read_text())
    if (named := re.fullmatch(r"(\w+?)(?:-\d+)?-seed(\d+)", run.name)) is None:
        raise InputError(f"--run {run} must have a name that tells sampler and seed, such as samplenet-32-seed0")
    kind, seed = named.groups()
    told = weights.about(run / "sampler.safetensors")
    mine = {"sampler": kind, "seed": int(seed), "protocol": "matched"}
    rows = [row for row in found["rows"] if mine.items() <= row.items() and row["m"] in told["sizes"]]
    if not rows:
        raise InputError(f"{results} has no row of {kind}, seed {seed}, m in {told['sizes']}")
    card = {
        "experiment": found["experiment"],
        "data": found["data"],
        "command": trained["command"],
        "revision": trained["revision"],
        "evaluated_by": found["command"],
        "metrics": [{key: row[key] for key in ("m", "metric", "value", "n")} for row in rows],
    }
    shutil.copyfile(run / "sampler.safetensors", FOLDER / f"{name}.safetensors")
    write_atomic(FOLDER / f"{name}.json", (json.dumps(card, indent=1) + "\n").encode())


def start() -> None:
    parser = Parser("samplenet.pretrained", description=__doc__.splitlines()[0])
    parser.add_argument("name", help="what load_pretrained shall call it")
    parser.add_argument("--run", type=Path, required=True, help="finished run folder of a train_samplenet.py")
    parser.add_argument("--results", type=Path, required=True, help="evaluation folder with its results.json")
    flags = parser.parse_args()
    release(flags.name, flags.run, flags.results)


if __name__ == "__main__":
    main(start)
