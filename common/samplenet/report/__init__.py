"""Tables and pictures from results.json files (`python -m samplenet.report FOLDER`).

An experiment is a module of this package with four names: `HEADLINE`, the metric of its main table; `CURVE`, the fields
its curves have besides those of all experiments; `text(results)`, the Markdown report; and `PICTURES`, file name ->
function of (results, gallery) that returns the file's content, None where its data is not there, or raises `LeftOut`.
"""

import io
import json
import math
import zipfile
from pathlib import Path

import numpy as np

from samplenet.atomic import write_atomic
from samplenet.errors import InputError
from samplenet.report import classification, reconstruction, registration
from samplenet.report.pictures import LeftOut
from samplenet.report.rows import select

EXPERIMENTS = {
    "classification": classification,
    "reconstruction": reconstruction,
    "registration": registration,
}
FIELDS = {
    "rows": {"sampler", "m", "protocol", "metric", "value", "n", "seed"},
    "curves": {"sampler", "m", "protocol", "seed"},
}


def read(folder: Path) -> dict:
    """The results.json of an evaluation folder.

    Raises:
        InputError: no such file, not a results file of a known experiment, or no row for the full cloud.
    """
    path = Path(folder) / "results.json"
    try:
        results = json.loads(path.read_text())
        if results.get("schema") == 2:
            results = _flat(results)
        rows = results["rows"]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a results file ({error})") from error
    if results.get("schema") != 1 or not isinstance(rows, list):
        raise InputError(f"{path} must have schema 1 or 2, and rows, got schema {results.get('schema')!r}")
    if (name := results.get("experiment")) not in list(EXPERIMENTS):
        raise InputError(f"{path}: experiment must be {' or '.join(EXPERIMENTS)}, got {name!r}")
    for kind, fields in (FIELDS | {"curves": FIELDS["curves"] | EXPERIMENTS[name].CURVE}).items():
        for item in results.get(kind, []):
            if lacking := fields - set(item):
                short = {key: value for key, value in item.items() if not isinstance(value, list)}
                raise InputError(f"{path}: in {kind}, {short} lacks {', '.join(sorted(lacking))}")
    for row in rows:
        whole = all(type(row[name]) is int and row[name] >= 0 for name in ("m", "n", "seed"))
        words = all(isinstance(row[name], str) for name in ("sampler", "protocol", "metric"))
        if not (whole and words and type(row["value"]) in (int, float) and math.isfinite(row["value"])):
            raise InputError(f"{path}: m, n and seed must be whole numbers and value a finite one, got {row}")
    headline = EXPERIMENTS[name].HEADLINE
    if not select(rows, sampler="none", metric=headline):
        raise InputError(f"{path} has no row for the full cloud (sampler none, metric {headline})")
    return results


def _flat(results: dict) -> dict:
    """Turn schema 2 into schema 1: a row's method among its fields, its class in the name of the metric."""
    flat = {**results, "schema": 1}
    for kind in ("rows", "curves", "runs"):
        if kind in results:
            flat[kind] = [{**item["method"], **item} for item in results[kind]]
    for row in flat["rows"]:
        if "class" in row:
            row["metric"] += f"_{row['class']}"
    return flat


def read_gallery(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of gallery.npz; none where there is no such file."""
    path = folder / "gallery.npz"
    if not path.exists():
        return {}
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as gallery:
            return dict(gallery)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged ({error}); delete it or evaluate again") from error


def write(folder: Path) -> str:
    """Write table.md and the pictures beside results.json; return the table, their paths and what was left out."""
    folder = Path(folder)
    results = read(folder)
    experiment = EXPERIMENTS[results["experiment"]]
    report = experiment.text(results)
    write_atomic(folder / "table.md", report.encode())
    for name in experiment.PICTURES:  # an old picture would stand beside numbers it does not belong to
        (folder / name).unlink(missing_ok=True)
    gallery = read_gallery(folder)
    lines = [str(folder / "table.md")]
    for name, draw in experiment.PICTURES.items():
        try:
            content = draw(results, gallery)
        except LeftOut as reason:
            lines.append(f"{name} is left out: {reason}")
            continue
        if content is not None:
            write_atomic(folder / name, content)
            lines.append(str(folder / name))
    return report + "\n" + "\n".join(lines)
