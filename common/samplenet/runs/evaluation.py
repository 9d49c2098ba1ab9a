"""What the evaluation scripts share: which samplers are scored at which sizes, and the files that come of it."""

import io
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from samplenet.atomic import write_atomic
from samplenet.data import saved_samples
from samplenet.errors import InputError
from samplenet.runs import settings
from samplenet.runs.environment import command, environment
from samplenet.sampled import Prefix


class Scored(NamedTuple):
    """A sampler to score: name in the tables, sample size, callable (None: the full cloud), seed, its own folder."""

    name: str
    m: int
    sampler: Callable | None
    seed: int
    folder: str = ""


def name_of(config) -> str:
    """What the tables call the sampler of a run with these settings."""
    if len(config.sample_sizes) > 1:
        return "samplenet_progressive" if config.projection else "progressivenet"
    return "samplenet" if config.projection else "snet"


def check(config) -> None:
    """Raise InputError without --out, before anything is read."""
    if not config.out:
        raise InputError("--out is needed: the folder to write the results to")


def choose(
    config,
    num_points: int,
    untrained: dict[str, Callable[[int, int], Callable]],
    trained: Callable[[str], tuple],
    saved: Sequence[saved_samples.Saved] = (),
) -> list[Scored]:
    """Everything to score: the full cloud, also called none, then `config.samplers` in order, then saved samples.

    An untrained or a progressive sampler comes at each of `config.sizes` and at those that any other was trained or
    saved for, a trained or saved one of one size at its own, saved orders of clouds at every size that they reach.

    Args:
        config: has `samplers`, `sizes` and `seed`.
        num_points: N, of the task network's clouds.
        untrained: (m, seed) -> sampler, by name.
        trained: run folder -> the settings of its run, and the sampler.

    Raises:
        InputError: an unknown name, a size above N, or two samplers that one row of a table would hold.
    """
    names = [name for name in dict.fromkeys(config.samplers) if name != "none"]
    chosen = {}
    for name in names:
        if name in untrained:
            continue
        if not Path(name).is_dir():
            raise InputError(f"--samplers: {name!r} is neither {' nor '.join(untrained)} nor a run folder")
        chosen[name] = trained(name)
    own = {m for run, _ in chosen.values() for m in run.sample_sizes} | {one.m for one in saved if not one.ordered}
    sizes = sorted({*config.sizes} | own, reverse=True)
    if sizes and sizes[0] > num_points:
        raise InputError(f"--sizes must be at most N = {num_points}, the task network's points, got {sizes[0]}")
    samplers = [Scored("none", num_points, None, config.seed)]
    for name in names:
        if name in untrained:
            samplers += [Scored(name, m, untrained[name](m, config.seed), config.seed) for m in sizes]
            continue
        run, sampler = chosen[name]
        if len(run.sample_sizes) == 1:
            samplers.append(Scored(name_of(run), sampler.m, sampler, run.seed, name))
        else:
            samplers += [Scored(name_of(run), m, Prefix(sampler, m), run.seed, name) for m in sizes]
    for one in saved:
        fitting = [m for m in sizes if m <= one.m] if one.ordered else [one.m]
        if not fitting:
            raise InputError(f"--samples: {one.folder} orders {one.m} points; give one of --sizes that is at most that")
        samplers += [Scored(one.name, m, one.first(m), one.seed, str(one.folder)) for m in fitting]
    known = {}
    for one in samplers:
        other = known.setdefault((one.name, one.m, one.seed), one)
        if other is not one:
            raise InputError(
                f"{other.folder or other.name} and {one.folder} are both {one.name}, m = {one.m}, seed {one.seed}; "
                "score them apart"
            )
    return samplers


def gallery_size(config, samplers: list[Scored]) -> int:
    """The sample size of the pictures: of those most trained samplers come at, the nearest to config.gallery_size."""
    learned = Counter(m for _, m in {(one.name, one.m) for one in samplers if one.folder})
    most = [m for m in learned if learned[m] == max(learned.values())]
    return min(most, key=lambda m: (abs(m - config.gallery_size), m), default=config.gallery_size)


def prepare(config, samplers: list[Scored] = ()) -> Path:
    """Make the folder `config.out` and write the settings there: an early word if nothing can be written.

    With `samplers`, also the folder that their samples are to be saved in, which must not hold them yet.
    """
    if samplers and _to_save(config, samplers):  # which raises for samples that are there
        Path(config.save_samples).mkdir(parents=True, exist_ok=True)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / "config.yaml", settings.dump(config).encode())
    return out


def _to_save(config, samplers: list[Scored]) -> list[Scored]:
    """What `save_samples` writes; of a progressive sampler the order of the whole cloud, once."""
    wanted = {}
    for one in samplers if config.save_samples else ():
        if one.sampler is None or isinstance(one.sampler, saved_samples.Saved):
            continue
        folder = saved_samples.place(config.save_samples, one.name, one.m, one.seed, isinstance(one.sampler, Prefix))
        wanted.setdefault(folder, one)
    return list(wanted.values())


def save_samples(config, scored: list[Scored], test: saved_samples.Originals, clouds=None, numpy=np.asarray) -> None:
    """Write what each sampler picks of the test set to `config.save_samples`, where that is set.

    Args:
        clouds: of each part of `test` the points (n, N, 3) as samplers take them; its own if not given.
        numpy: makes an array of the samplers' indices.
    """
    clouds = [part.points for part in test.parts.values()] if clouds is None else clouds
    for name, _, sampler, seed, _ in _to_save(config, scored):
        ordered = isinstance(sampler, Prefix)
        if ordered:
            sampler = Prefix(sampler.sampler, clouds[0].shape[1])
        idx = []
        for part, points in enumerate(clouds):
            numbers = len(clouds) * np.arange(len(points)) + part
            batches = [slice(i, i + config.batch_size) for i in range(0, len(points), config.batch_size)]
            idx.append(np.concatenate([numpy(sampler(points[batch], numbers[batch]).idx) for batch in batches]))
        saved_samples.write(config.save_samples, name, seed, test, idx, ordered=ordered)


def runs_of(out: Path, samplers: list[Scored], task: str) -> list[dict]:
    """Where the task network (`none`) and each sampler came from: folder, seen from `out`, and the command of it.

    The run of a progressive sampler has the largest of the sizes it is scored at as `m`, and all as `sizes`.
    """
    found, scored = [], [samplers[0]._replace(folder=task), *(one for one in samplers if one.folder)]
    for folder in dict.fromkeys(one.folder for one in scored):
        one, *_ = mine = [one for one in scored if one.folder == folder]
        try:
            trained = json.loads((Path(folder) / "environment.json").read_text())["command"]
        except (OSError, ValueError, KeyError):
            trained = ""  # a copied folder without it is as good a sampler
        where = os.path.relpath(folder, out)
        run = {"sampler": one.name, "m": one.m, "seed": one.seed, "folder": where, "command": trained}
        found.append(run | ({"sizes": [other.m for other in mine]} if len(mine) > 1 else {}))
    return found


def write(
    out: Path, experiment: str, data: str, task: str, samplers: list[Scored], rows: list[dict], gallery: dict, **more
) -> None:
    """Write results.json, with `more` beside the rows, and gallery.npz, the arrays that the pictures show."""
    results = {"schema": 1, "experiment": experiment, "data": data, "command": command(), "environment": environment()}
    more["runs"] = runs_of(out, samplers, task)
    packed = io.BytesIO()
    np.savez_compressed(packed, **gallery)
    write_atomic(out / "results.json", (json.dumps({**results, "rows": rows, **more}, indent=1) + "\n").encode())
    write_atomic(out / "gallery.npz", packed.getvalue())
