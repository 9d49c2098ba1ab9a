"""Read what an evaluation wrote: results.json, gallery.npz, and the logs of the runs it scored."""

import io
import json
import math
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from samplenet.errors import InputError
from samplenet.report.rows import select
from samplenet.runs.experiments import Experiment

CURVE_AXES = ("recall", "step_deg")  # what the precision of a curve may stand against


@dataclass(frozen=True)
class Results:
    """The content of a results.json. Rows, curves and runs also have the keys of their method as keys of their own."""

    experiment: Experiment
    data: str
    rows: list[dict]
    command: str = ""
    curves: list[dict] = field(default_factory=list)
    runs: list[dict] = field(default_factory=list)
    environment: dict = field(default_factory=dict)
    network: str = ""

    def headline(self, **match) -> list[dict]:
        """Select rows of the experiment's first metric, over all classes."""
        return [
            row
            for row in select(self.rows, metric=self.experiment.headline, **match)
            if "class" not in row
        ]

    @property
    def size(self) -> tuple[int, int]:
        """How many items the test set has, and N, the points of a whole cloud; 0 where unknown."""
        rows = self.headline(sampler="none") or self.headline()
        return (rows[0]["n"], rows[0].get("m", 0)) if rows else (0, 0)


def read(folder: Path, experiments: dict[str, Experiment]) -> Results:
    """Read the results.json of an evaluation folder.

    Raises:
        InputError: no such file, not a results file of one of the experiments, or no row to compare the others with.
    """
    path = Path(folder) / "results.json"
    try:
        content = json.loads(path.read_text())
        schema, name, items = content.get("schema"), content.get("experiment"), content["rows"]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a results file ({error})") from error
    if schema not in (1, 2) or not isinstance(items, list):
        raise InputError(f"{path} must have schema 1 or 2 and rows, got schema {schema!r}")
    if name not in list(experiments):
        raise InputError(f"{path}: experiment must be {' or '.join(experiments)}, got {name!r}")
    experiment = experiments[name]
    try:
        kinds = {kind: list(content.get(kind, [])) for kind in ("rows", "curves", "runs")}
        if schema == 1:
            kinds = {
                kind: [_keyed(item, experiment.metrics) for item in items]
                for kind, items in kinds.items()
            }
        flat = {
            kind: [{**item["method"], **item} for item in items] for kind, items in kinds.items()
        }
        environment = dict(content.get("environment", {}))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is not a results file (a row, curve or run lacks {error})"
        ) from error
    for row in flat["rows"]:
        _check_row(row, path)
    for curve in flat["curves"]:
        if not {"protocol", "seed", "precision"} <= set(curve) or not set(CURVE_AXES) & set(curve):
            short = {key: value for key, value in curve.items() if not isinstance(value, list)}
            raise InputError(
                f"{path}: in curves, {short} lacks protocol, seed, precision or {' or '.join(CURVE_AXES)}"
            )
    text = {key: str(content.get(key, "")) for key in ("data", "command", "network")}
    results = Results(experiment, environment=environment, **text, **flat)
    if not results.headline():
        raise InputError(f"{path} has no row of the metric {experiment.headline}")
    if experiment.lines == "m" and not results.headline(sampler="none"):
        raise InputError(
            f"{path} has no row for the full cloud (sampler none, metric {experiment.headline})"
        )
    return results


def _keyed(item: dict, metrics) -> dict:
    """Convert a row, curve or run of schema 1: its method was a sampler and a size, its class a part of the metric."""
    item = dict(item)
    method = {key: item.pop(key) for key in ("sampler", "m") if key in item}
    metric = item.get("metric")
    bases = [base for base in metrics if isinstance(metric, str) and metric.startswith(f"{base}_")]
    if bases and metric not in metrics:
        base = max(bases, key=len)
        item |= {"metric": base, "class": metric.removeprefix(f"{base}_")}
    return {"method": method, **item}


def _check_row(row: dict, path: Path) -> None:
    if lacking := {"protocol", "metric", "value", "n", "seed"} - set(row):
        raise InputError(f"{path}: in rows, {row} lacks {', '.join(sorted(lacking))}")
    whole = all(
        type(row.get(name, 0)) is int and row.get(name, 0) >= 0 for name in ("m", "n", "seed")
    )
    words = all(
        isinstance(row.get(name, ""), str) for name in ("sampler", "protocol", "metric", "class")
    )
    scalars = all(isinstance(value, str | int | float) for value in row["method"].values())
    if not (
        whole
        and words
        and scalars
        and type(row["value"]) in (int, float)
        and math.isfinite(row["value"])
    ):
        raise InputError(
            f"{path}: m, n and seed must be whole numbers and value a finite one, got {row}"
        )


def read_gallery(folder: Path) -> dict[str, np.ndarray]:
    """Read the arrays of gallery.npz; none where there is no such file."""
    path = Path(folder) / "gallery.npz"
    if not path.exists():
        return {}
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as gallery:
            return dict(gallery)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged ({error}); delete it or evaluate again") from error


def read_log(run: Path) -> list[dict]:
    """Read the lines of a run's metrics.jsonl; a run that is going on may have written half of the last one."""
    path = Path(run) / "metrics.jsonl"
    try:
        text = path.read_text() if path.exists() else ""
        entries = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        return [
            {**entry, "unix": entry["time"]["unix"], "step": entry["step"]} for entry in entries
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error})") from error


def read_environment(run: Path) -> dict:
    """Read the environment.json of a run folder; {} where there is none."""
    path = Path(run) / "environment.json"
    try:
        return dict(json.loads(path.read_text())) if path.exists() else {}
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error})") from error
