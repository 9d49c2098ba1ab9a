"""What the evaluation scripts share: their settings, which samplers they score at which sizes, and what they write."""

import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from samplenet.atomic import write_atomic
from samplenet.data import saved_samples
from samplenet.errors import InputError
from samplenet.pretrained import card
from samplenet.runs import settings
from samplenet.runs.checkpoint import digest, load_checkpoint
from samplenet.runs.environment import command, environment
from samplenet.runs.experiments import TRAINED_SAMPLERS
from samplenet.runs.run import finished_run, saved_config
from samplenet.runs.settings import option
from samplenet.sampled import Prefix


@dataclass
class EvaluationConfig:
    """What every evaluation script takes; each adds its own fields and defaults."""

    task: str = option("", "run folder of the trained task network", path=True)
    samplers: list[str] = option(
        ["random", "fps"], "baselines by name, and run folders of trained samplers"
    )
    runs: str | None = option(
        None,
        "folder of run folders: the samplers that finished there for this task network are scored too",
        path=True,
    )
    sizes: list[int] = option(
        [512, 256, 128, 64, 32, 16, 8],
        "sample sizes m of baselines and progressive samplers, besides the trained",
        at_least=1,
    )
    data_root: str | None = option(
        None, "data set folder; without it, the task network's own data set", path=True
    )
    out: str = option("", "folder for results.json, table and figures", path=True)
    batch_size: int = option(
        32, "clouds, or pairs, scored at once; the result does not depend on it", at_least=1
    )
    seed: int = option(0, "of what the baselines draw", at_least=0)
    samples: list[str] = option(
        [], "folders of saved samples, or of several such, to score as well"
    )
    save_samples: str | None = option(
        None, "folder to write what each sampler picked to, for --samples", path=True
    )
    gallery_size: int = option(
        32, "sample size of the pictures (of the trained ones, the nearest to it)"
    )


class Entry(NamedTuple):
    """A sampler at one size, a line of the tables.

    Attributes:
        name: what the tables call it.
        sampler: maps clouds to `Sampled`; None for the full cloud.
        folder: of its run or its saved samples; that of the task network's run for the full cloud.
    """

    name: str
    m: int
    sampler: Callable | None
    seed: int
    folder: str = ""

    @property
    def method(self) -> dict:
        """The key of this entry's rows in results.json."""
        return {"sampler": self.name, "m": self.m}


class SamplerRun(NamedTuple):
    """A finished run of a train_samplenet.py; `task` is the digest of the network it was trained for."""

    folder: str
    name: str
    sizes: list[int]
    seed: int
    task: str


def check(config) -> None:
    """Raise InputError without --out, before anything is read."""
    if not config.out:
        raise InputError("--out is needed: the folder to write the results to")


def open_run(folder: str) -> SamplerRun:
    """Read what the run in `folder` trained.

    Raises:
        InputError: it is no run of a sampler, or has not finished.
    """
    config, _, meta = finished_run(folder, sample_sizes=list[int], projection=bool)
    if len(config.sample_sizes) > 1:
        name = "samplenet_progressive" if config.projection else "progressivenet"
    else:
        name = "samplenet" if config.projection else "snet"
    return SamplerRun(str(folder), name, config.sample_sizes, config.seed, meta.get("task", ""))


def finished_runs(folder: str, task: str) -> list[SamplerRun]:
    """Find the samplers that finished in `folder` and were trained for the network of run `task`, in table order.

    Prints a line on each that has not finished.
    """
    if not Path(folder).is_dir():
        raise InputError(f"--runs: {folder} is not a folder; name one that holds run folders")
    network = digest(load_checkpoint(Path(task) / "last.safetensors")[0])
    found = []
    for path in sorted(Path(folder).glob("*/config.yaml")):
        try:
            if not hasattr(saved_config(path.parent), "sample_sizes"):
                continue  # the run of a task network, or an evaluation
            run = open_run(path.parent)
        except InputError as error:
            print(f"passed over: {error}", flush=True)
            continue
        if run.task == network:
            found.append(run)
    return sorted(
        found, key=lambda run: (TRAINED_SAMPLERS.index(run.name), max(run.sizes), run.seed)
    )


def choose(
    config,
    num_points: int,
    baselines: dict[str, Callable[[int, int], Callable]],
    load: Callable[[str], Callable],
    saved: Sequence[saved_samples.Saved] = (),
) -> list[Entry]:
    """List what to score: the full cloud, `config.samplers` in order, those of `config.runs`, then saved samples.

    A trained or saved sampler of one size is scored at that size. Baselines and progressive samplers come at each of
    `config.sizes` and at every size that another sampler was trained or saved for, so that each line of a table is
    full; saved orders of clouds at those of them that they reach.

    Args:
        config: has `task`, `samplers`, `runs`, `sizes` and `seed`.
        num_points: N, of the task network's clouds.
        baselines: (m, seed) -> sampler, by name.
        load: run folder -> the trained sampler.

    Raises:
        InputError: an unknown name, a size above N, or two samplers that one row of a table would hold.
    """
    names = [
        name for name in dict.fromkeys(config.samplers) if name != "none"
    ]  # which is always scored
    runs = {}  # by the name or folder they are asked for by
    for name in names:
        if name in baselines:
            continue
        if not Path(name).is_dir():
            raise InputError(
                f"--samplers: {name!r} is neither {' nor '.join(baselines)} nor a run folder"
            )
        runs[name] = open_run(name)
    if config.runs:
        given = {Path(folder).resolve() for folder in runs}
        for run in finished_runs(config.runs, config.task):
            if Path(run.folder).resolve() not in given:
                runs[run.folder] = run
    for run in runs.values():
        trained_on = card(run.folder).get("num_points", num_points)
        if trained_on != num_points:
            raise InputError(
                f"{run.folder} was trained on {trained_on} points, the task network on {num_points}"
            )

    own_sizes = {m for run in runs.values() for m in run.sizes}
    own_sizes |= {samples.m for samples in saved if not samples.ordered}
    sizes = sorted(own_sizes | {*config.sizes}, reverse=True)
    if sizes and sizes[0] > num_points:
        raise InputError(
            f"--sizes must be at most N = {num_points}, the task network's points, got {sizes[0]}"
        )

    entries = [Entry("none", num_points, None, config.seed, config.task)]
    for name in dict.fromkeys([*names, *runs]):
        if name in runs:
            entries += _of_run(runs[name], load(name), sizes)
        else:
            entries += [Entry(name, m, baselines[name](m, config.seed), config.seed) for m in sizes]
    for samples in saved:
        entries += _of_samples(samples, sizes)
    _refuse_doubles(entries)
    return entries


def _of_run(run: SamplerRun, sampler, sizes: list[int]) -> list[Entry]:
    if len(run.sizes) == 1:
        return [Entry(run.name, sampler.m, sampler, run.seed, run.folder)]
    return [Entry(run.name, m, Prefix(sampler, m), run.seed, run.folder) for m in sizes]


def _of_samples(samples: saved_samples.Saved, sizes: list[int]) -> list[Entry]:
    fitting = [m for m in sizes if m <= samples.m] if samples.ordered else [samples.m]
    if not fitting:
        raise InputError(
            f"--samples: {samples.folder} orders {samples.m} points; give one of --sizes that is at most that"
        )
    return [
        Entry(samples.name, m, samples.first(m), samples.seed, str(samples.folder)) for m in fitting
    ]


def _refuse_doubles(entries: list[Entry]) -> None:
    """Raise InputError for two entries whose rows could not be told apart."""
    seen = {}
    for entry in entries:
        other = seen.setdefault((entry.name, entry.m, entry.seed), entry)
        if other is not entry:
            raise InputError(
                f"{other.folder or other.name} and {entry.folder} are both {entry.name}, m = {entry.m}, seed "
                f"{entry.seed}; score them apart"
            )


def gallery_size(config, entries: list[Entry]) -> int:
    """Choose the sample size of the pictures: one that most trained samplers share, the nearest to --gallery-size."""
    names = {}  # of the samplers that come at each size
    for entry in entries:
        if entry.sampler and entry.folder:
            names.setdefault(entry.m, set()).add(entry.name)
    most = max(map(len, names.values()), default=0)
    shared = [m for m in names if len(names[m]) == most]
    return min(shared, key=lambda m: (abs(m - config.gallery_size), m), default=config.gallery_size)


def protocols(sampler, points, sampled) -> dict:
    """The clouds (B, m, 3) that the task network is given of one sample of clouds (B, N, 3), by protocol."""
    clouds = {"generated" if sampled.idx is None else "matched": sampled.points}
    if sampled.queries is not None:
        clouds["generated"] = sampled.queries
        if sampler.project is not None:
            clouds["soft"] = sampler.project(points, sampled.queries)
    return clouds


def joined(batches: list[dict], concatenate=np.concatenate) -> dict[str, dict]:
    """Concatenate the results of all batches: {protocol: {name: array}} each, of the same keys."""
    whole = {}
    for protocol, arrays in batches[0].items():
        whole[protocol] = {}
        for name in arrays:
            whole[protocol][name] = concatenate([batch[protocol][name] for batch in batches])
    return whole


def rounded(value) -> float:
    """Six significant digits: of a small distance as of a large angle."""
    return float(f"{value:.6g}")


def row(entry: Entry, protocol: str, metric: str, value, n: int, class_: str | None = None) -> dict:
    """Make a row of results.json: one number, over the n items of the test set or of one class of it."""
    head = {"method": entry.method, "protocol": protocol, "metric": metric}
    of_class = {"class": class_} if class_ else {}
    return {**head, **of_class, "value": rounded(value), "n": n, "seed": entry.seed}


def curve(entry: Entry, protocol: str, values: Sequence[float], **axis) -> dict:
    """Make a precision curve of results.json; `axis` says where its values stand."""
    precision = [rounded(value) for value in values]
    return {
        "method": entry.method,
        "protocol": protocol,
        "seed": entry.seed,
        **axis,
        "precision": precision,
    }


def prepare(config, entries: list[Entry] = ()) -> Path:
    """Make the folder `config.out` and write the settings there, so that an unwritable folder is an early error.

    With `entries`, make also the folder of their samples, which must not hold them yet.
    """
    if entries and _to_save(config, entries):  # which raises for samples that are there
        Path(config.save_samples).mkdir(parents=True, exist_ok=True)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / "config.yaml", settings.dump(config).encode())
    return out


def _to_save(config, entries: list[Entry]) -> list[Entry]:
    """The entries that `save_samples` writes; of a progressive sampler one, as its order holds every size."""
    if not config.save_samples:
        return []
    wanted = {}
    for entry in entries:
        if entry.sampler is None or isinstance(entry.sampler, saved_samples.Saved):
            continue
        ordered = isinstance(entry.sampler, Prefix)
        folder = saved_samples.new_folder(
            config.save_samples, entry.name, entry.m, entry.seed, ordered
        )
        wanted.setdefault(folder, entry)
    return list(wanted.values())


def save_samples(
    config, entries: list[Entry], test: saved_samples.Originals, clouds=None, numpy=np.asarray
) -> None:
    """Write what each sampler picks of the test set to `config.save_samples`, where that is set.

    Args:
        clouds: of each part of `test` the points (n, N, 3) as samplers take them; its own if not given.
        numpy: makes an array of the samplers' indices.
    """
    clouds = [part.points for part in test.parts.values()] if clouds is None else clouds
    for entry in _to_save(config, entries):
        sampler, ordered = entry.sampler, isinstance(entry.sampler, Prefix)
        if ordered:
            sampler = Prefix(sampler.sampler, clouds[0].shape[1])  # all N points, in order
        idx = []
        for part, points in enumerate(clouds):
            numbers = len(clouds) * np.arange(len(points)) + part
            batches = [
                slice(i, i + config.batch_size) for i in range(0, len(points), config.batch_size)
            ]
            idx.append(
                np.concatenate(
                    [numpy(sampler(points[batch], numbers[batch]).idx) for batch in batches]
                )
            )
        saved_samples.write(config.save_samples, entry.name, entry.seed, test, idx, ordered=ordered)


def sources(out: Path, entries: list[Entry]) -> list[dict]:
    """Say where the task network (`none`) and each sampler came from: its folder, seen from `out`, and its command.

    A progressive sampler has the largest size it is scored at as its m, and all of them as "sizes".
    """
    by_folder = {}
    for entry in entries:
        if entry.folder:
            by_folder.setdefault(entry.folder, []).append(entry)
    runs = []
    for folder, scored in by_folder.items():
        try:
            trained_by = json.loads((Path(folder) / "environment.json").read_text())["command"]
        except (OSError, ValueError, KeyError):
            trained_by = ""  # a copied folder without it is as good a sampler
        run = {"method": scored[0].method, "seed": scored[0].seed}
        run |= {"folder": os.path.relpath(folder, out), "command": trained_by}
        if len(scored) > 1:
            run["sizes"] = [entry.m for entry in scored]
        runs.append(run)
    return runs


def write(
    out: Path,
    experiment: str,
    data: str,
    entries: list[Entry],
    rows: list[dict],
    gallery: dict,
    **more,
) -> None:
    """Write results.json, with `more` beside the rows, and gallery.npz, the arrays that the pictures show."""
    results = {
        "schema": 2,
        "experiment": experiment,
        "data": data,
        "command": command(),
        "environment": environment(),
    }
    results |= {"rows": rows, **more, "runs": sources(out, entries)}
    packed = io.BytesIO()
    np.savez_compressed(packed, **gallery)
    write_atomic(out / "results.json", (json.dumps(results, indent=1) + "\n").encode())
    write_atomic(out / "gallery.npz", packed.getvalue())
