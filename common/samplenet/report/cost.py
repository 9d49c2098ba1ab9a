"""What a sampler and the task network on its points cost, against the task network alone on all points."""

import json
from pathlib import Path

from samplenet.errors import InputError
from samplenet.report.rows import label
from samplenet.report.tables import Head, Table
from samplenet.runs.experiments import Experiment

# metric: (what it is, unit, factor, digits), in the order of the table
METRICS = {
    "parameters": ("parameters", "M", 1e-6, 3),
    "macs": ("MACs a cloud", "M", 1e-6, 1),
    "ms_per_cloud": ("time a cloud", "ms", 1, 3),
    "peak_memory_bytes": ("peak memory", "MB", 1e-6, 1),
}


def read(path: Path, experiment: Experiment) -> dict | None:
    """Read a cost.json; None where there is no such file."""
    if not path.exists():
        return None
    try:
        results = json.loads(path.read_text())
        parts(results, experiment)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"{path} is no file of costs ({error})") from error
    return results


def parts(results: dict, experiment: Experiment) -> list[Table | str]:
    """The table, and the notes below it."""
    return [table(results, experiment), *notes(results, experiment)]


def table(results: dict, experiment: Experiment) -> Table:
    """A line a sampler and size, each value with its change against the task network alone; then a published claim."""
    values = {
        (row["sampler"], row["m"], row["metric"], row["device"]): row["value"]
        for row in results["rows"]
    }
    devices = {
        metric: dict.fromkeys(key[3] for key in values if key[2] == metric) for metric in METRICS
    }
    columns = [(metric, device) for metric in METRICS for device in devices[metric]]
    methods = list(dict.fromkeys((row["sampler"], row["m"]) for row in results["rows"]))
    n = methods[0][1]
    heads = [Head(""), Head("m"), Head("ratio")]
    for metric, device in columns:
        name, unit, _, _ = METRICS[metric]
        heads.append(Head(f"{name}{'' if device == 'any' else ', ' + device.upper()}, {unit}"))
    lines = []
    for sampler, m in methods:
        cells = []
        for metric, device in columns:
            _, _, factor, digits = METRICS[metric]
            value, full = (
                values.get((sampler, m, metric, device)),
                values.get(("none", n, metric, device)),
            )
            text = "" if value is None else f"{factor * value:.{digits}f}"
            if text and full and sampler != "none":
                text += f" ({100 * (value / full - 1):+.0f} %)".replace("-", "−")
            cells.append(text)
        name = "task network alone" if sampler == "none" else f"{label(sampler)} + task network"
        lines.append([name, str(m), f"{n / m:g}", *cells])
    if claim := experiment.cost.get("claim"):
        lines.append(
            [claim["source"], "", claim["ratio"], *(claim.get(metric, "") for metric, _ in columns)]
        )
    return Table(
        "Cost at inference; in brackets the change against the task network alone", heads, lines
    )


def notes(results: dict, experiment: Experiment) -> tuple[str, str, str]:
    """What the numbers were measured on, the command, and what they mean."""
    first, machine = results["rows"][0], results["environment"]
    ops = "native ops" if "tf" in machine["native_ops"] else "TensorFlow's own operations"
    gpu = f"GPU: {results['gpu']}." if results["gpu"] else "No GPU seen: CPU only."
    lacking = not any(
        r["metric"] == "peak_memory_bytes" and r["device"] == "cpu" for r in results["rows"]
    )
    networks = experiment.cost.get("networks", {})
    task = (
        f" The task network: {networks.get(results['task'], results['task'])}."
        if "task" in results
        else ""
    )
    setting = (
        f"Inference on clouds of {first['m']} points, {results['batch_size']} at once.{task} {machine['machine']}; FPS "
        f"and matching by {ops}. {gpu}"
    )
    method = (
        f"{experiment.cost.get('claim', {}).get('note', '')} "
        "The running statistics of batch norm are no parameters here. MACs are the multiply-adds of matrix "
        "products and convolutions; the distances of FPS (3 m N) and of matching (up to twice that) are left out. "
        f"Time: the median of {results['repeats']} calls, all lines in turns. Peak memory: what a batch takes above "
        "the loaded networks, on the CPU the growth of the resident set in a process of its own"
        f"{'; not measured here, as it needs /proc/self/clear_refs' if lacking else ''}."
    )
    return setting, results["command"], method.strip()
