"""What the evaluation scripts share: which samplers are scored at which sizes, and the files that come of it."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from samplenet import config as configs
from samplenet.checkpoint import write_atomic
from samplenet.errors import InputError
from samplenet.run import command, environment


class Scored(NamedTuple):
    """A sampler to score: its name in the tables, sample size, callable (None: the full cloud) and seed."""

    name: str
    m: int
    sampler: Callable | None
    seed: int


def check(config) -> None:
    """InputError for settings out of range, before anything is read."""
    configs.at_least(config, sizes=1, batch_size=1, seed=0)
    if not config.out:
        raise InputError("--out is needed: the folder to write the results to")


def choose(
    config, num_points: int, untrained: dict[str, Callable[[int, int], Callable]], trained: Callable[[str], Scored]
) -> list[Scored]:
    """Everything to score: the full cloud, then `config.samplers` in order.

    An untrained sampler comes at each of `config.sizes` and at those of the trained ones, a trained one at its own.

    Args:
        config: has `samplers`, `sizes` and `seed`.
        num_points: N, of the task network's clouds.
        untrained: (m, seed) -> sampler, by name.
        trained: run folder -> what it holds.

    Raises:
        InputError: an unknown name, a size above N, or two runs that one row of a table would hold.
    """
    chosen, known = {}, {}
    for name in config.samplers:
        if name in untrained or name in chosen:
            continue
        if not Path(name).is_dir():
            raise InputError(f"--samplers: {name!r} is neither {' nor '.join(untrained)} nor a run folder")
        one = chosen[name] = trained(name)
        if (other := known.setdefault((one.name, one.m, one.seed), name)) != name:
            raise InputError(
                f"--samplers: {other} and {name} are both {one.name}, m = {one.m}, seed {one.seed}; score them apart"
            )
    sizes = sorted({*config.sizes, *(one.m for one in chosen.values())}, reverse=True)
    if sizes and sizes[0] > num_points:
        raise InputError(f"--sizes must be at most N = {num_points}, the task network's points, got {sizes[0]}")
    samplers = [Scored("none", num_points, None, config.seed)]
    for name in dict.fromkeys(config.samplers):
        if name in untrained:
            samplers += [Scored(name, m, untrained[name](m, config.seed), config.seed) for m in sizes]
        else:
            samplers.append(chosen[name])
    return samplers


def gallery_size(config, samplers: list[Scored], untrained) -> int:
    """The sample size of the pictures: `config.gallery_size`, or of the trained samplers' the nearest to it."""
    learned = [one.m for one in samplers if one.name not in ("none", *untrained)]
    return min(learned, key=lambda m: abs(m - config.gallery_size), default=config.gallery_size)


def prepare(config) -> Path:
    """Make the folder `config.out` and write the settings there: an early word if nothing can be written."""
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / "config.yaml", configs.dump(config).encode())
    return out


def write(out: Path, experiment: str, data: str, rows: list[dict], gallery: dict[str, np.ndarray], **more) -> None:
    """Write results.json, with `more` beside the rows, and gallery.npz, what the pictures show."""
    results = {"schema": 1, "experiment": experiment, "data": data, "command": command(), "environment": environment()}
    packed = io.BytesIO()
    np.savez_compressed(packed, **gallery)
    write_atomic(out / "results.json", (json.dumps({**results, "rows": rows, **more}, indent=1) + "\n").encode())
    write_atomic(out / "gallery.npz", packed.getvalue())
