"""Read what an evaluation wrote: results.json, gallery.npz, and the logs of the runs it scored."""

import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from samplenet.errors import InputError
from samplenet.report.rows import select
from samplenet.runs.environment import made_by
from samplenet.runs.experiments import Experiment

CURVE_AXES = ("recall", "step_deg")  # the x axis of a precision curve: values, or their distance
WITHOUT_SAMPLE = {"protocol": "matched"}  # where no cloud is sampled, results name no protocol


@dataclass(frozen=True)
class Results:
    """The content of a results.json; rows, curves and runs repeat the keys of their `method`.

    `points` are those of a predicted cloud, where no cloud is sampled; 0 where unknown.
    """

    experiment: Experiment
    data: str
    rows: list[dict]
    command: str = ""
    curves: list[dict] = field(default_factory=list)
    runs: list[dict] = field(default_factory=list)
    environment: dict = field(default_factory=dict)
    network: str = ""
    points: int = 0

    def headline(self, **match) -> list[dict]:
        """Select rows of the experiment's first metric, over all classes.

        An experiment without samplers may have tables of a part of its tasks: it is their first.
        """
        names = [*self.experiment.metrics][: 1 if self.experiment.has_samplers else None]
        found = (select(self.rows, metric=name) for name in names)
        rows = next(filter(None, found), [])
        return [row for row in select(rows, **match) if "class" not in row]

    @property
    def size(self) -> tuple[int, int]:
        """The number of test items, and N, the points of a whole cloud; 0 where unknown."""
        rows = self.headline(sampler="none") or self.headline()
        return (rows[0]["n"], rows[0].get("m", self.points)) if rows else (0, 0)


def read(folder: Path, experiments: dict[str, Experiment]) -> Results:
    """Read the results.json of an evaluation folder.

    Raises:
        InputError: the file is missing, is not of one of the experiments, or lacks the rows that
            the others are compared with.
    """
    path, kinds = Path(folder) / "results.json", {}
    try:
        content = json.loads(path.read_text())
        schema, name = content.get("schema"), content.get("experiment")
        if schema not in (1, 2) or not isinstance(content["rows"], list):
            raise InputError(f"{path} must have schema 1 or 2 and rows, got schema {schema!r}")
        if name not in list(experiments):
            raise InputError(f"{path}: experiment must be {' or '.join(experiments)}, got {name!r}")
        experiment = experiments[name]
        absent = {} if experiment.has_samplers else WITHOUT_SAMPLE
        for kind in ("rows", "curves", "runs"):
            items = list(content.get(kind, []))
            if schema == 1:
                items = [_keyed(item, experiment.metrics) for item in items]
            kinds[kind] = [{**absent, **item["method"], **item} for item in items]
        environment = dict(content.get("environment", {}))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except KeyError as error:
        raise InputError(f"{path} is not a results file (it lacks {error})") from error
    except InputError:
        raise
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a results file ({error})") from error
    for row in kinds["rows"]:
        _check_row(row, path, experiment)
    for run in kinds["runs"]:
        if not isinstance(run.get("sizes", []), list):
            raise InputError(f"{path}: in runs, sizes must be a list, got {run['sizes']!r}")
    for curve in kinds["curves"]:
        if not {"protocol", "seed", "precision"} <= set(curve) or not set(CURVE_AXES) & set(curve):
            short = {key: value for key, value in curve.items() if not isinstance(value, list)}
            axes = " or ".join(CURVE_AXES)
            raise InputError(
                f"{path}: in curves, {short} lacks protocol, seed, precision or {axes}"
            )
    text = {key: str(content.get(key, "")) for key in ("data", "command", "network")}
    points = content.get("points", 0)
    if type(points) is not int or points < 0:
        raise InputError(f"{path}: points must be a whole number, got {points!r}")
    results = Results(experiment, environment=environment, points=points, **text, **kinds)
    headline = experiment.headline
    if not results.headline():
        raise InputError(f"{path} has no row of the metric {headline}")
    if experiment.lines == "m" and not results.headline(sampler="none"):
        raise InputError(f"{path} has no row for the full cloud (sampler none, metric {headline})")
    return results


def _keyed(item: dict, metrics) -> dict:
    """Convert a row, curve or run of schema 1, where a class was a suffix of the metric's name."""
    item = dict(item)
    method = {key: item.pop(key) for key in ("sampler", "m") if key in item}
    metric = item.get("metric")
    if isinstance(metric, str) and metric not in metrics:
        # of nre and nre_emd, both prefixes of nre_emd_chair, the longer one is the metric
        bases = [base for base in metrics if metric.startswith(f"{base}_")]
        if base := max(bases, key=len, default=""):
            item |= {"metric": base, "class": metric.removeprefix(f"{base}_")}
    return {"method": method, **item}


def _check_row(row: dict, path: Path, experiment: Experiment) -> None:
    if lacking := {"protocol", "metric", "value", "n", "seed"} - set(row):
        raise InputError(f"{path}: in rows, {row} lacks {', '.join(sorted(lacking))}")
    counts = [row.get(name, 0) for name in ("m", "n", "seed")]
    words = [row.get(name, "") for name in ("sampler", "protocol", "metric", "class")]
    value = row["value"]
    valid = (
        all(type(count) is int and count >= 0 for count in counts)
        and row["n"] > 0
        and all(isinstance(word, str) for word in words)
        and all(isinstance(value, str | int | float) for value in row["method"].values())
        and type(value) in (int, float)
        and abs(value) < 1e300  # false of NaN too
    )
    if not valid:
        raise InputError(
            f"{path}: m, n and seed must be whole numbers, n at least 1, and value a finite one, "
            f"got {row}"
        )
    metric = experiment.metrics.get(row["metric"])
    if metric and metric.spread == "share" and not 0 <= value <= 1:
        raise InputError(f"{path}: a share must be between 0 and 1, got {row}")


def read_gallery(folder: Path) -> dict[str, np.ndarray]:
    """Read the arrays of gallery.npz; {} without that file."""
    path = Path(folder) / "gallery.npz"
    if not path.exists():
        return {}
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as gallery:
            return dict(gallery)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged ({error}); delete it or evaluate again") from error


def read_log(run: Path) -> list[dict]:
    """Read the entries of a run's metrics.jsonl, each with the key `unix` of its time."""
    path = Path(run) / "metrics.jsonl"
    try:
        text = path.read_text() if path.exists() else ""
        complete = text[: text.rfind("\n") + 1]  # a run in progress may have written half a line
        entries = []
        for line in complete.splitlines():
            entry = json.loads(line)
            entries.append({**entry, "unix": entry["time"]["unix"], "step": entry["step"]})
        return entries
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error})") from error


def read_environment(run: Path) -> dict:
    """Read what made a run folder, or weights of the library; {} without that file."""
    path = made_by(run)
    try:
        return dict(json.loads(path.read_text())) if path.exists() else {}
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error})") from error


def code_of(environment: dict) -> dict:
    """Return the shortened revision ("" if unknown) and the digests of the source files."""
    revision = str(environment.get("revision", ""))
    changed = "+changes" if revision.endswith("+changes") else ""
    return {"revision": revision[:10] + changed, "sources": environment.get("sources", {})}
