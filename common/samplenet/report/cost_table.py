"""What sampling costs: sampler and task network on m points against the network alone on all N."""

import json
from pathlib import Path

from samplenet.errors import InputError
from samplenet.report.rows import label
from samplenet.report.tables import Head, Table
from samplenet.runs.experiments import Experiment

# metric: (title, unit, factor, digits), in the order of the table
METRICS = {
    "parameters": ("parameters", "M", 1e-6, 3),
    "macs": ("MACs a cloud", "M", 1e-6, 1),
    "ms_per_cloud": ("time a cloud", "ms", 1, 3),
    "peak_memory_bytes": ("peak memory", "MB", 1e-6, 1),
}


def read(path: Path, experiment: Experiment) -> dict | None:
    """Read a cost.json; None if there is no such file."""
    if not path.exists():
        return None
    try:
        results = json.loads(path.read_text())
        parts(results, experiment)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"{path} is no file of costs ({error})") from error
    return results


def parts(results: dict, experiment: Experiment) -> list[Table | str]:
    """Return the table and the notes below it."""
    return [table(results, experiment), *notes(results, experiment)]


def table(results: dict, experiment: Experiment) -> Table:
    """Tabulate the costs, a line for each sampler and size; the last line is a published claim."""
    values, order = {}, list(METRICS)
    for row in results["rows"]:
        values[row["sampler"], row["m"], row["metric"], row["device"]] = row["value"]
    methods = dict.fromkeys(key[:2] for key in values)
    measured = dict.fromkeys(key[2:] for key in values if key[2] in METRICS)
    columns = sorted(measured, key=lambda column: order.index(column[0]))
    n = results["rows"][0]["m"]
    heads = [Head(""), Head("m"), Head("ratio")]
    for metric, device in columns:
        title, unit, _, _ = METRICS[metric]
        where = "" if device == "any" else f", {device.upper()}"
        heads.append(Head(f"{title}{where}, {unit}"))
    lines = []
    for sampler, m in methods:
        name = "task network alone" if sampler == "none" else f"{label(sampler)} + task network"
        line = [name, str(m), f"{n / m:g}"]
        for metric, device in columns:
            _, _, factor, digits = METRICS[metric]
            value = values.get((sampler, m, metric, device))
            full = values.get(("none", n, metric, device))
            text = "" if value is None else f"{factor * value:.{digits}f}"
            if text and full and sampler != "none":
                text += f" ({100 * (value / full - 1):+.0f} %)".replace("-", "−")
            line.append(text)
        lines.append(line)
    if claim := experiment.cost.get("claim"):
        claimed = [claim.get(metric, "") for metric, _ in columns]
        lines.append([claim["source"], "", claim["ratio"], *claimed])
    title = "Cost at inference; in brackets the change against the task network alone"
    return Table(title, heads, lines)


def notes(results: dict, experiment: Experiment) -> tuple[str, str, str]:
    """Return what the numbers were measured on, the command, and what they mean."""
    rows, machine = results["rows"], results["environment"]
    claim = experiment.cost.get("claim", {})
    ops = "native ops" if "tf" in machine["native_ops"] else "TensorFlow's own operations"
    gpu = f"GPU: {results['gpu']}." if results["gpu"] else "No GPU seen: CPU only."
    task = ""
    if "task" in results:
        task = f" The task network: {experiment.network(results['task'])}."
    setting = (
        f"Inference on clouds of {rows[0]['m']} points, {results['batch_size']} at once.{task} "
        f"{machine['machine']}; FPS and matching by {ops}. {gpu}"
    )
    measured = {(row["metric"], row["device"]) for row in rows}
    no_memory = "; not measured here, as it needs /proc/self/clear_refs"
    method = (
        f"{claim.get('note', '')} The running statistics of batch norm "
        "are no parameters here. MACs are the multiply-adds of matrix products and convolutions; "
        "the distances of FPS (3 m N) and of matching (up to twice that) are left out. Time: the "
        f"median of {results['repeats']} calls, all lines in turns. Peak memory: what a batch "
        "takes above the loaded networks, on the CPU the growth of the resident set in a process "
        f"of its own{'' if ('peak_memory_bytes', 'cpu') in measured else no_memory}."
    )
    return setting, results["command"], method.strip()
