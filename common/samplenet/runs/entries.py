"""Choose what an evaluation scores: the full cloud, baselines, trained samplers, saved samples."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from samplenet import greedy
from samplenet.data import saved_samples
from samplenet.errors import InputError
from samplenet.pretrained import FOLDER, card, list_weights
from samplenet.runs.experiments import TRAINED_SAMPLERS
from samplenet.runs.run import finished_run, network_digest, saved_config
from samplenet.sampled import Prefix, Sampled

T = TypeVar("T")


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
    """A finished run of a train_samplenet.py, or a trained sampler of the library.

    Attributes:
        folder: of the run; the library's weights are a file.
        task: digest of the network that it was trained for; "" if unknown.
    """

    folder: str
    name: str
    sizes: list[int]
    seed: int
    task: str


def open_run(folder: str) -> SamplerRun:
    """Read which sampler the run in `folder` trained.

    Raises:
        InputError: it is not a sampler's run, or has not finished.
    """
    config, _, meta = finished_run(folder, sample_sizes=list[int], projection=bool)
    name = _name(config.sample_sizes, config.projection)
    return SamplerRun(str(folder), name, config.sample_sizes, config.seed, meta.get("task", ""))


def open_shipped(name: str, experiment: str) -> SamplerRun:
    """Read which sampler the library's weights `name` are; InputError if of another experiment."""
    record = card(name)
    if record["experiment"] != experiment:
        raise InputError(f"--samplers: {name} was trained for {record['experiment']} alone")
    kind = _name(record["sizes"], record["network"]["projection"])
    path = str(FOLDER / f"{name}.safetensors")
    return SamplerRun(path, kind, record["sizes"], record["seed"], "")


def _name(sizes: list[int], projection: bool) -> str:
    if len(sizes) > 1:
        return "samplenet_progressive" if projection else "progressivenet"
    return "samplenet" if projection else "snet"


def finished_runs(folder: str, task: str) -> list[SamplerRun]:
    """Find the finished samplers in `folder` that were trained for a task network, in table order.

    Prints a line about each unfinished run.

    Args:
        task: run folder of the task network.
    """
    runs = [run for _, run in open_finished(folder, "sample_sizes", open_run)]
    network = network_digest(task)
    runs = [run for run in runs if run.task == network]
    return sorted(runs, key=lambda r: (TRAINED_SAMPLERS.index(r.name), max(r.sizes), r.seed))


def open_finished(folder: str, setting: str, load: Callable[[str], T]) -> list[tuple[str, T]]:
    """Load the finished runs in `folder` of scripts with a certain setting: (run folder, loaded).

    Prints a line about each unfinished run.

    Args:
        setting: that tells these runs from those of other trainings and from evaluations.
        load: raises InputError if the run has not finished.
    """
    if not Path(folder).is_dir():
        raise InputError(f"--runs: {folder} is not a folder; name one that holds run folders")
    found = []
    for path in sorted(Path(folder).glob("*/config.yaml")):
        try:
            if hasattr(saved_config(path.parent), setting):
                found.append((str(path.parent), load(path.parent)))
        except InputError as error:
            print(f"skipped: {error}", flush=True)
    return found


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
    experiment: str,
    num_points: int,
    baselines: dict[str, Callable[[int, int], Callable]],
    load: Callable[[str], Callable],
    saved: Sequence[saved_samples.Saved] = (),
    near: Callable | None = None,
) -> list[Entry]:
    """List what to score: the full cloud, `config.samplers`, `config.runs`, then saved samples.

    A sampler trained or saved for one size is scored at that size. Baselines and progressive
    samplers are scored at each of `config.sizes` and at every size that another sampler was trained
    or saved for, so that no table has gaps. Saved orders of clouds are scored at those sizes that
    they reach, greedy samplers at those up to 64. For each of `config.near`, a trained sampler is
    followed by the greedy choice among the points near those that it generates.

    Args:
        config: an EvaluationConfig; all but `out` and `batch_size` may be read.
        experiment: its name; samplers of the library are each of one.
        num_points: N, of the task network's clouds.
        baselines: (m, seed) -> sampler, by name.
        load: run folder -> the trained sampler.
        near: m, and named `size` and `queries` -> `GreedySampler` with the pool "near"; needed for
            `config.near` alone.

    Raises:
        InputError: a name is unknown, a size is above N, or two samplers would share a table's row.
    """
    # the full cloud, "none", is always scored
    names = [name for name in dict.fromkeys(config.samplers) if name != "none"]
    runs = {}  # by folder or name, as given
    for name in names:
        if name in baselines:
            continue
        if name in greedy.VARIANTS:
            raise InputError(_lacking(f"--samplers {name}"))
        if name in list_weights():
            runs[name] = open_shipped(name, experiment)
            continue
        if not Path(name).is_dir():
            known = [name for name in baselines if name not in greedy.VARIANTS] + list_weights()
            fault = f"--samplers: {name!r} is neither a run folder nor one of {', '.join(known)}"
            raise InputError(fault)
        runs[name] = open_run(name)
    if config.runs:
        given = {Path(folder).resolve() for folder in runs}
        for run in finished_runs(config.runs, config.task):
            if Path(run.folder).resolve() not in given:
                runs[run.folder] = run
    for name, run in runs.items():
        trained_on = card(run.folder).get("num_points", num_points)
        if trained_on != num_points:
            raise InputError(
                f"{name} was trained on {trained_on} points, the task network on {num_points}"
            )

    if near is not None and config.near and not {*greedy.VARIANTS} & {*baselines}:
        raise InputError(_lacking("--near"))

    # every size of any sampler is a line of the table, filled by all that can be scored there
    own_sizes = {m for run in runs.values() for m in run.sizes}
    own_sizes |= {samples.m for samples in saved if not samples.ordered}
    # --sizes are of no use to samplers of one size
    free = {*names} & {*baselines} or any(len(run.sizes) > 1 for run in runs.values())
    free = free or any(samples.ordered for samples in saved)
    sizes = sorted(own_sizes | {*(config.sizes if free else [])}, reverse=True)
    if sizes and sizes[0] > num_points:
        limit = f"N = {num_points}, the task network's points"
        raise InputError(f"--sizes must be at most {limit}, got {sizes[0]}")

    entries, paired = [Entry("none", num_points, None, config.seed, config.task)], []
    for name in dict.fromkeys([*names, *runs]):
        if name in runs:
            own = _of_run(runs[name], load(name), sizes)
            entries += own
            if near is not None:
                small = [entry for entry in own if entry.m <= greedy.LARGEST]
                paired += [_near(entry, k, near) for k in config.near for entry in small]
        elif name in greedy.VARIANTS:
            entries += _of_greedy(name, baselines[name], sizes, config.seed)
        else:
            entries += [Entry(name, m, baselines[name](m, config.seed), config.seed) for m in sizes]
    if near is not None and config.near and not paired:
        raise InputError(f"--near needs a trained sampler of at most {greedy.LARGEST} points")
    entries += paired
    for samples in saved:
        entries += _of_samples(samples, sizes)
    _refuse_doubles(entries)
    return entries


def _lacking(flag: str) -> str:
    needs = ", ".join(greedy.NEEDS)
    return f"{flag} asks the network for {needs}, and it lacks one of them; see GreedySampler"


def _of_run(run: SamplerRun, sampler, sizes: list[int]) -> list[Entry]:
    if len(run.sizes) == 1:
        return [Entry(run.name, sampler.m, sampler, run.seed, run.folder)]
    return [Entry(run.name, m, Prefix(sampler, m), run.seed, run.folder) for m in sizes]


def _near(entry: Entry, k: int, near: Callable) -> Entry:
    """Choose greedily among the k nearest input points of each point that `entry` generates."""
    sampler = near(entry.m, size=k * entry.m, queries=entry.sampler.simplify)
    return Entry(f"{entry.name}_near_{k}", entry.m, sampler, entry.seed)


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
