"""Evaluations of networks that predict clouds: which are scored, on what data, and as what rows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from samplenet.atomic import write_atomic
from samplenet.errors import InputError
from samplenet.runs import evaluation
from samplenet.runs.entries import open_finished
from samplenet.runs.experiments import Experiment
from samplenet.runs.settings import option

T = TypeVar("T")


@dataclass
class NetworksConfig:
    """Settings of every evaluation of networks; each adds its own fields and defaults."""

    networks: list[str] = option([], "run folders of trained networks")
    runs: str | None = option(
        None, "folder of run folders: also score its finished networks", path=True
    )
    data_root: str | None = option(
        None, "data set folder; default: that of the networks", path=True
    )
    split: str = option("test", "models to score", choices=("test", "val"))
    out: str = option("", "folder for results.json, table and figures", path=True)
    batch_size: int = option(
        32, "images given to a network at once; does not change the results", at_least=1
    )
    seed: int = option(0, "seed of random draws", at_least=0)
    save_clouds: str | None = option(
        None,
        "folder for the clouds predicted from each model's first picture: "
        "<name of the run>/<synset>/<model>.ply",
        path=True,
    )


class Entry(NamedTuple):
    """A method that is scored, with what `samplenet.runs.evaluation` asks of one.

    Attributes:
        method: key of its rows in results.json, as {"network": "CAPNet"}.
        folder: of its run; "" if nothing was trained.
    """

    method: dict[str, str]
    seed: int
    folder: str = ""


def choose(config: NetworksConfig, load: Callable[[str], T], setting: str) -> dict[str, T]:
    """Load the networks of `config.networks`, then the other finished ones in `config.runs`.

    Prints a line about each unfinished run in `config.runs`.

    Args:
        load: run folder -> network; raises InputError if there is no finished one.
        setting: that the runs of the experiment's training have, and no others.

    Returns:
        What `load` returned, by run folder.

    Raises:
        InputError: no network, one of `config.networks` that cannot be loaded, or two whose clouds
            would have one folder.
    """
    found = {}
    for folder in config.networks:
        if not Path(folder).is_dir():
            raise InputError(f"--networks: {folder!r} is not a run folder")
        found[folder] = load(folder)
    if config.runs:
        given = {Path(folder).resolve() for folder in found}
        for folder, network in open_finished(config.runs, setting, load):
            if Path(folder).resolve() not in given:
                found[folder] = network
    if not found:
        where = f"--runs {config.runs} holds no finished one" if config.runs else "none is named"
        raise InputError(f"--networks needs the run folder of a trained network: {where}")
    names = [Path(folder).resolve().name for folder in found]
    if config.save_clouds and len({*names}) < len(names):
        raise InputError(
            f"--save-clouds has a folder for the name of each run, and two are called "
            f"{max(names, key=names.count)!r}: save their clouds apart"
        )
    return found


def shared(settings: dict[str, SimpleNamespace], names: Iterable[str]) -> dict:
    """Return the values of these settings, which must be the same in all runs.

    Args:
        settings: of each run, by its folder.

    Raises:
        InputError: two runs that differ, which cannot stand in one table.
    """
    (first, chosen), *others = settings.items()
    chosen = {name: getattr(chosen, name) for name in names}
    for folder, other in others:
        for name, value in chosen.items():
            if getattr(other, name) != value:
                flag = "--" + name.replace("_", "-")
                raise InputError(
                    f"{folder} was trained with {flag} {getattr(other, name)}, {first} with "
                    f"{value}: score them apart"
                )
    return chosen


def predict(net: Callable, images: NDArray[np.uint8], batch_size: int) -> list[NDArray | None]:
    """Apply a network to images (n, V, S, S, 3), `batch_size` at once, as float32 in [0, 1].

    Args:
        net: images (B, S, S, 3) -> some arrays (B, ...), or None in the place of one.

    Returns:
        The arrays of all images, (n, V, ...) each, or None.
    """
    count, images = images.shape[:2], images.reshape(-1, *images.shape[2:])
    starts = range(0, len(images), batch_size)
    batches = [net(images[i : i + batch_size].astype(np.float32) / 255) for i in starts]
    whole = [None if a[0] is None else np.concatenate(a) for a in zip(*batches, strict=True)]
    return [None if a is None else a.reshape(*count, *a.shape[1:]) for a in whole]


def describe(names: Sequence[str], data_root: str | None, split: str) -> str:
    """Say what was scored, as results.json does: "chair, car of the built-in shapes"."""
    root = "the built-in shapes" if data_root is None else Path(data_root).name
    return f"{', '.join(names)} of {root}" + (", validation" if split == "val" else "")


def refuse_doubles(entries: Iterable[Entry]) -> None:
    """Raise InputError if two entries would have the same key in results.json."""
    first = {}
    for entry in entries:
        other = first.setdefault((*entry.method.items(), entry.seed), entry)
        if other is not entry:
            words = ", ".join(f"{key} {value}" for key, value in entry.method.items())
            raise InputError(
                f"{other.folder} and {entry.folder} are both {words}, seed {entry.seed}; score "
                "them apart"
            )


def rows(
    entry: Entry,
    scores: dict[str, NDArray],
    classes: NDArray[np.int64],
    names: Sequence[str],
    experiment: Experiment,
    average: Callable[[NDArray], float] = np.mean,
) -> list[dict]:
    """List rows of results.json: each metric's mean over the models, and over those of each class.

    A standard deviation over the models follows where the experiment has a metric for it.

    Args:
        scores: by metric, one for each of n models.
        classes: (n,) of the models, indices into `names`; a class may have none.
        average: what to take in place of the mean, as a median.
    """
    groups = [(None, slice(None))]
    if len(names) > 1:
        groups += [(names[label], classes == label) for label in np.unique(classes)]
    found = []
    for metric, values in scores.items():
        spread = experiment.metrics[metric].spread
        for name, group in groups:
            of_group = values[group]
            pairs = [(metric, average(of_group))] + ([(spread, of_group.std())] if spread else [])
            for key, value in pairs:
                found.append(evaluation.row(entry, None, key, value, len(of_group), name))
    return found


def save_clouds(folder: Path, ids: Iterable[str], points: np.ndarray) -> None:
    """Write clouds (n, N, 3) as `<folder>/<synset>/<model>.ply`, which `data.shapenet` reads.

    Args:
        ids: (n), as "chair/chair_0012" or "03001627/1006be65e7bc937e9141f9b58470d646".
    """
    from samplenet.data import ply, shapenet_archive  # here: they need the extra "data"

    for name, cloud in zip(ids, points, strict=True):
        class_, _, model = name.partition("/")
        synset = shapenet_archive.SYNSETS.get(class_, class_)
        path = Path(folder) / synset / f"{model}.ply"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, ply.encode(cloud))
