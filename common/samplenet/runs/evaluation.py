"""Shared parts of the evaluation scripts: settings, choice of samplers and sizes, output files."""

import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from samplenet import greedy
from samplenet.atomic import write_atomic, write_json
from samplenet.data import saved_samples
from samplenet.errors import InputError
from samplenet.pretrained import card, task_folder
from samplenet.runs import settings
from samplenet.runs.environment import command, environment
from samplenet.runs.experiments import TRAINED_SAMPLERS
from samplenet.runs.run import finished_run, network_digest, saved_config
from samplenet.runs.settings import option
from samplenet.sampled import Prefix, Sampled


@dataclass
class EvaluationConfig:
    """Settings of every evaluation script; each adds its own fields and defaults."""

    task: str = option(
        "", "run folder of the trained task network, or the library's by name", path=task_folder
    )
    samplers: list[str] = option(
        ["random", "fps"], "baselines by name, and run folders of trained samplers"
    )
    runs: str | None = option(
        None,
        "folder of run folders: also score its finished samplers of this task network",
        path=True,
    )
    sizes: list[int] = option(
        [512, 256, 128, 64, 32, 16, 8],
        "sample sizes m of baselines and progressive samplers, besides the trained sizes",
        at_least=1,
    )
    data_root: str | None = option(
        None, "data set folder; default: the task network's data set", path=True
    )
    chooser: str = option(
        "",
        "run folder, or the library's name, of the network that greedy samplers ask; "
        "default: --task",
        path=task_folder,
    )
    out: str = option("", "folder for results.json, table and figures", path=True)
    batch_size: int = option(
        32, "clouds, or pairs, scored at once; does not change the results", at_least=1
    )
    seed: int = option(0, "seed of the baselines' random draws", at_least=0)
    samples: list[str] = option(
        [], "folders of saved samples, or of several such folders, to score"
    )
    save_samples: str | None = option(
        None, "folder to save each sampler's picks in, for --samples", path=True
    )
    gallery_size: int = option(32, "sample size of the pictures; the nearest trained size is shown")


class Entry(NamedTuple):
    """A sampler at one size; each is scored.

    Attributes:
        name: as in the tables.
        sampler: maps clouds to `Sampled`; None for the full cloud.
        folder: of its run or its saved samples; for the full cloud, of the task network's run.
    """

    name: str
    m: int
    sampler: Callable | None
    seed: int
    folder: str = ""

    @property
    def method(self) -> dict:
        """Return the key of this entry's rows in results.json."""
        return {"sampler": self.name, "m": self.m}


class FirstOf:
    """The first m points of a greedy sampler's choice: its order serves every size.

    Args:
        sampler: of the largest size.
        chosen: what it returned, by the first cloud's number and the batch's size. All sizes share
            it, so that each cloud's points are chosen once.
    """

    project = None  # there is no soft projection

    def __init__(self, sampler: Callable, m: int, chosen: dict):
        self.sampler, self.m, self.chosen = sampler, m, chosen

    def __call__(self, points, cloud) -> Sampled:
        """Sample points (B, N, 3); cloud (B,), their numbers in the data set."""
        key = int(cloud[0]), len(cloud)
        if key not in self.chosen:
            self.chosen[key] = self.sampler(points, cloud)
        points, idx, _ = self.chosen[key]
        return Sampled(points[:, : self.m], idx[:, : self.m], None)


class SamplerRun(NamedTuple):
    """A finished run of a train_samplenet.py.

    Attributes:
        task: digest of the network that it was trained for.
    """

    folder: str
    name: str
    sizes: list[int]
    seed: int
    task: str


def check(config) -> None:
    """Raise InputError if --out is missing, before anything is read."""
    if not config.out:
        raise InputError("--out is needed: the folder to write the results to")
    chooser = getattr(config, "chooser", "")  # a measurement of costs has none
    if chooser and not {*config.samplers} & {*greedy.VARIANTS}:
        raise InputError("--chooser is for greedy samplers, of which --samplers names none")


def open_run(folder: str) -> SamplerRun:
    """Read which sampler the run in `folder` trained.

    Raises:
        InputError: it is not a sampler's run, or has not finished.
    """
    config, _, meta = finished_run(folder, sample_sizes=list[int], projection=bool)
    if len(config.sample_sizes) > 1:
        name = "samplenet_progressive" if config.projection else "progressivenet"
    else:
        name = "samplenet" if config.projection else "snet"
    return SamplerRun(str(folder), name, config.sample_sizes, config.seed, meta.get("task", ""))


def finished_runs(folder: str, task: str) -> list[SamplerRun]:
    """Find the finished samplers in `folder` that were trained for a task network, in table order.

    Prints a line about each unfinished run.

    Args:
        task: run folder of the task network.
    """
    if not Path(folder).is_dir():
        raise InputError(f"--runs: {folder} is not a folder; name one that holds run folders")
    network, runs = network_digest(task), []
    for path in sorted(Path(folder).glob("*/config.yaml")):
        try:
            if not hasattr(saved_config(path.parent), "sample_sizes"):
                continue  # a task network's run, or an evaluation
            run = open_run(path.parent)
        except InputError as error:
            print(f"skipped: {error}", flush=True)
            continue
        if run.task == network:
            runs.append(run)
    return sorted(runs, key=lambda r: (TRAINED_SAMPLERS.index(r.name), max(r.sizes), r.seed))


def greedy_samplers(network, sampler: type) -> dict[str, Callable[[int, int], Callable]]:
    """Return (m, seed) -> greedy sampler, by name; {} if the network does not offer what they need.

    Args:
        sampler: `GreedySampler` of the network's framework.
    """
    if not all(hasattr(network, name) for name in greedy.NEEDS):
        return {}

    def with_settings(settings: dict) -> Callable:
        return lambda m, seed: sampler(network, m, **settings)

    return {name: with_settings(settings) for name, settings in greedy.VARIANTS.items()}


def choose(
    config,
    num_points: int,
    baselines: dict[str, Callable[[int, int], Callable]],
    load: Callable[[str], Callable],
    saved: Sequence[saved_samples.Saved] = (),
) -> list[Entry]:
    """List what to score: the full cloud, `config.samplers`, `config.runs`, then saved samples.

    A sampler trained or saved for one size is scored at that size. Baselines and progressive
    samplers are scored at each of `config.sizes` and at every size that another sampler was trained
    or saved for, so that no table has gaps. Saved orders of clouds are scored at those sizes that
    they reach, greedy samplers at those up to 64.

    Args:
        config: an EvaluationConfig; `task`, `samplers`, `runs`, `sizes` and `seed` are read.
        num_points: N, of the task network's clouds.
        baselines: (m, seed) -> sampler, by name.
        load: run folder -> the trained sampler.

    Raises:
        InputError: a name is unknown, a size is above N, or two samplers would share a table's row.
    """
    # the full cloud, "none", is always scored
    names = [name for name in dict.fromkeys(config.samplers) if name != "none"]
    runs = {}  # by folder, as given
    for name in names:
        if name in baselines:
            continue
        if name in greedy.VARIANTS:
            raise InputError(
                f"--samplers {name} asks the network for {', '.join(greedy.NEEDS)}, and it lacks "
                "one of them; see GreedySampler"
            )
        if not Path(name).is_dir():
            known = " nor ".join(name for name in baselines if name not in greedy.VARIANTS)
            raise InputError(f"--samplers: {name!r} is neither {known} nor a run folder")
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

    # every size of any sampler is a line of the table, filled by all that can be scored there
    own_sizes = {m for run in runs.values() for m in run.sizes}
    own_sizes |= {samples.m for samples in saved if not samples.ordered}
    sizes = sorted(own_sizes | {*config.sizes}, reverse=True)
    if sizes and sizes[0] > num_points:
        limit = f"N = {num_points}, the task network's points"
        raise InputError(f"--sizes must be at most {limit}, got {sizes[0]}")

    entries = [Entry("none", num_points, None, config.seed, config.task)]
    for name in dict.fromkeys([*names, *runs]):
        if name in runs:
            entries += _of_run(runs[name], load(name), sizes)
        elif name in greedy.VARIANTS:
            entries += _of_greedy(name, baselines[name], sizes, config.seed)
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


def _of_greedy(name: str, make: Callable, sizes: list[int], seed: int) -> list[Entry]:
    fitting, chosen = [m for m in sizes if m <= greedy.LARGEST], {}
    if not fitting:
        raise InputError(
            f"--samplers {name} is scored at up to {greedy.LARGEST} points; --sizes has none"
        )
    sampler = make(max(fitting), seed)
    return [Entry(name, m, FirstOf(sampler, m, chosen), seed) for m in fitting]


def _of_samples(samples: saved_samples.Saved, sizes: list[int]) -> list[Entry]:
    fitting = [m for m in sizes if m <= samples.m] if samples.ordered else [samples.m]
    if not fitting:
        raise InputError(
            f"--samples: {samples.folder} orders {samples.m} points; "
            "give one of --sizes that is at most that"
        )
    name, seed, folder = samples.name, samples.seed, str(samples.folder)
    return [Entry(name, m, samples.first(m), seed, folder) for m in fitting]


def _refuse_doubles(entries: list[Entry]) -> None:
    """Raise InputError if two entries would have the same key in results.json."""
    first = {}
    for entry in entries:
        other = first.setdefault((entry.name, entry.m, entry.seed), entry)
        if other is not entry:
            both = f"{entry.name}, m = {entry.m}, seed {entry.seed}"
            raise InputError(
                f"{other.folder or other.name} and {entry.folder} are both {both}; score them apart"
            )


def gallery_size(config, entries: list[Entry]) -> int:
    """Choose the sample size of the pictures.

    The pictures compare samplers, so it is a size that the most trained samplers have; of several,
    the nearest to --gallery-size.
    """
    names = {}  # of the trained samplers at each size
    for entry in entries:
        if entry.sampler and entry.folder:
            names.setdefault(entry.m, set()).add(entry.name)
    wanted = config.gallery_size
    return min(names, key=lambda m: (-len(names[m]), abs(m - wanted), m), default=wanted)


def protocols(sampler, points, sampled) -> dict:
    """Return the clouds (B, m, 3) to give to the task network for a sample, by protocol.

    "matched" are input points, "generated" the simplified points, and "soft" their projection.

    Args:
        points: the clouds that were sampled, (B, N, 3).
        sampled: the `Sampled` that `sampler` returned for them.
    """
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
    """Round to six significant digits, which suit a small distance as well as a large angle."""
    return float(f"{value:.6g}")


def row(entry: Entry, protocol: str, metric: str, value, n: int, class_: str | None = None) -> dict:
    """Return a row of results.json: a metric over n test items, all of them or one class's."""
    row = {"method": entry.method, "protocol": protocol, "metric": metric}
    if class_:
        row["class"] = class_
    return row | {"value": rounded(value), "n": n, "seed": entry.seed}


def curve(entry: Entry, protocol: str, values: Sequence[float], **axis) -> dict:
    """Return a precision curve of results.json; `axis` is the name and positions of its values."""
    head = {"method": entry.method, "protocol": protocol, "seed": entry.seed}
    return head | axis | {"precision": [rounded(value) for value in values]}


def prepare(config, entries: list[Entry] = ()) -> Path:
    """Create the folder `config.out` and write the settings there; return the folder.

    If it cannot be written to, this fails before anything is computed. With `entries`, it also
    creates the folder for their samples, which must not hold them yet.
    """
    if entries and _to_save(config, entries):  # raises if samples are there already
        Path(config.save_samples).mkdir(parents=True, exist_ok=True)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / "config.yaml", settings.dump(config).encode())
    return out


def _to_save(config, entries: list[Entry]) -> list[Entry]:
    """List the entries that `save_samples` writes.

    A progressive sampler has one, as its order of the whole cloud holds the samples of every size.
    """
    if not config.save_samples:
        return []
    wanted = {}
    for entry in entries:
        if entry.sampler is None or isinstance(entry.sampler, saved_samples.Saved):
            continue
        ordered = isinstance(entry.sampler, Prefix)
        key = entry.name, entry.m, entry.seed, ordered
        wanted.setdefault(saved_samples.new_folder(config.save_samples, *key), entry)
    return list(wanted.values())


def save_samples(
    config, entries: list[Entry], test: saved_samples.Originals, clouds=None, numpy=np.asarray
) -> None:
    """Write the points that each sampler picks from the test set to `config.save_samples`, if set.

    Args:
        clouds: for each part of `test` the points (n, N, 3) as the samplers take them, if they are
            not those in `test`.
        numpy: converts the samplers' indices to a NumPy array.
    """
    clouds = [part.points for part in test.parts.values()] if clouds is None else clouds
    for entry in _to_save(config, entries):
        sampler, ordered = entry.sampler, isinstance(entry.sampler, Prefix)
        if ordered:
            sampler = Prefix(sampler.sampler, clouds[0].shape[1])  # all N points, in order
        idx = []
        for part, points in enumerate(clouds):
            # a pair's clouds have successive numbers, which key the baselines' random draws
            numbers, batches = len(clouds) * np.arange(len(points)) + part, []
            for i in range(0, len(points), config.batch_size):
                rows = slice(i, i + config.batch_size)
                batches.append(numpy(sampler(points[rows], numbers[rows]).idx))
            idx.append(np.concatenate(batches))
        saved_samples.write(config.save_samples, entry.name, entry.seed, test, idx, ordered=ordered)


def sources(out: Path, entries: list[Entry]) -> list[dict]:
    """List the run of the task network (`none`) and of each sampler: folder and training command.

    Folders are relative to `out`. A progressive sampler's m is the largest size it is scored at and
    "sizes" lists them all.
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
            trained_by = ""  # the sampler works without this file, which a copy may lack
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
    """Write results.json, with `more` beside the rows, and gallery.npz, the pictures' arrays."""
    results = {"schema": 2, "experiment": experiment, "data": data, "command": command()}
    results |= {"environment": environment(), "rows": rows, **more, "runs": sources(out, entries)}
    packed = io.BytesIO()
    np.savez_compressed(packed, **gallery)
    write_json(out / "results.json", results)
    write_atomic(out / "gallery.npz", packed.getvalue())
