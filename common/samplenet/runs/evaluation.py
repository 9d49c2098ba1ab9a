"""Shared parts of the evaluation scripts: settings, protocols and output files."""

import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from samplenet import greedy
from samplenet.atomic import write_atomic, write_json
from samplenet.data import saved_samples
from samplenet.errors import InputError
from samplenet.pretrained import task_folder
from samplenet.runs import settings
from samplenet.runs.entries import Entry
from samplenet.runs.environment import command, environment, made_by
from samplenet.runs.run import network_digest
from samplenet.runs.settings import option
from samplenet.sampled import Prefix


@dataclass
class EvaluationConfig:
    """Settings of every evaluation script; each adds its own fields and defaults."""

    task: str = option(
        "", "run folder of the trained task network, or the library's by name", path=task_folder
    )
    samplers: list[str] = option(
        ["random", "fps"],
        "baselines by name, and trained samplers: run folders, or the library's by name",
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
    near: list[int] = option(
        [],
        "for each trained sampler also score the greedy choice among so many nearest input points "
        "of each generated point",
        at_least=1,
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


def check(config) -> None:
    """Raise InputError if --out is missing, before anything is read."""
    if not config.out:
        raise InputError("--out is needed: the folder to write the results to")
    if not isinstance(config, EvaluationConfig) or not config.chooser:  # costs have no --chooser
        return
    if not {*config.samplers} & {*greedy.VARIANTS} and not config.near:
        raise InputError("--chooser is for greedy samplers: name one in --samplers, or give --near")


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


def row(
    entry: Entry, protocol: str | None, metric: str, value, n: int, class_: str | None = None
) -> dict:
    """Return a row of results.json: a metric over n test items, all of them or one class's.

    Args:
        protocol: which points were scored; None where no cloud is sampled.
    """
    row = {"method": entry.method, "metric": metric}
    if protocol:
        row["protocol"] = protocol
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

    Raises:
        InputError: a training run is in the folder.
    """
    if entries and _to_save(config, entries):  # raises if samples are there already
        Path(config.save_samples).mkdir(parents=True, exist_ok=True)
    out = Path(config.out)
    if (out / "environment.json").exists():  # its config.yaml says how to build the network
        raise InputError(f"{out} holds a training run; choose another --out")
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
    """List the run of the task network (`none`) and of each sampler: folder, command and revision.

    Folders are relative to `out`. The network has its digest, by which a leaderboard knows it. A
    progressive sampler's m is the largest size it is scored at and "sizes" lists them all.
    """
    by_folder = {}
    for entry in entries:
        if entry.folder:
            by_folder.setdefault(entry.folder, []).append(entry)
    runs = []
    for folder, scored in by_folder.items():
        try:
            made = dict(json.loads(made_by(folder).read_text()))
        except (OSError, ValueError, TypeError):
            made = {}  # the sampler works without this file, which a copy may lack
        run = {"method": scored[0].method, "seed": scored[0].seed}
        run |= {"folder": os.path.relpath(folder, out)}
        run |= {key: made.get(key, "") for key in ("command", "revision")}
        if scored[0].method.get("sampler") == "none":
            run["digest"] = network_digest(folder)
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
