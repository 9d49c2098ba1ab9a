"""What a sampler and the task network on its points cost, against the task network alone on all points."""

import json
from pathlib import Path

from samplenet.errors import InputError
from samplenet.report.rows import label
from samplenet.report.tables import Table

# metric: (what it is, unit, factor, digits), in the order of the table
METRICS = {
    "parameters": ("parameters", "M", 1e-6, 3),
    "macs": ("MACs a cloud", "M", 1e-6, 1),
    "ms_per_cloud": ("time a cloud", "ms", 1, 3),
    "peak_memory_bytes": ("peak memory", "MB", 1e-6, 1),
}
# of the paper, as a later book quotes it and no document verifies; its "memory" is taken to be the parameters
CLAIM_RATIO, CLAIM = 32, {"parameters": "“memory” +6 %", "macs": "−90 %"}
TASKS = {"pointnet": "PointNet with T-Nets", "vanilla": "vanilla PointNet"}


def read(path: Path) -> dict | None:
    """The content of a cost.json; None where there is no such file."""
    if not path.exists():
        return None
    try:
        results = json.loads(path.read_text())
        table(results), notes(results)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"{path} is no file of costs ({error})") from error
    return results


def table(results: dict) -> Table:
    """A line a sampler and size, each value with its change against the task network alone; then the paper's claim."""
    values = {(r["sampler"], r["m"], r["metric"], r["device"]): r["value"] for r in results["rows"]}
    columns = [
        (metric, device) for metric in METRICS for device in dict.fromkeys(d for *_, k, d in values if k == metric)
    ]
    pairs = list(dict.fromkeys((r["sampler"], r["m"]) for r in results["rows"]))
    n = pairs[0][1]
    heads = [("", head, None) for head in ("", "m", "ratio")]
    heads += [
        ("", f"{METRICS[metric][0]}{'' if device == 'any' else ', ' + device.upper()}, {METRICS[metric][1]}", None)
        for metric, device in columns
    ]
    lines = []
    for sampler, m in pairs:
        cells = []
        for metric, device in columns:
            _, _, factor, digits = METRICS[metric]
            value, full = values.get((sampler, m, metric, device)), values.get(("none", n, metric, device))
            text = "" if value is None else f"{factor * value:.{digits}f}"
            if text and full and sampler != "none":
                text += f" ({100 * (value / full - 1):+.0f} %)".replace("-", "−")
            cells.append(text)
        name = "task network alone" if sampler == "none" else f"{label(sampler)} + task network"
        lines.append([name, str(m), f"{n / m:g}", *cells])
    claim = [CLAIM.get(metric, "") for metric, _ in columns]
    lines.append(["the paper, as quoted, unverified", "", str(CLAIM_RATIO), *claim])
    return Table("Cost at inference; in brackets the change against the task network alone", heads, lines)


def notes(results: dict) -> tuple[str, str, str]:
    """What the numbers were measured on, the command, and what they mean."""
    first, machine = results["rows"][0], results["environment"]
    ops = "native ops" if "tf" in machine["native_ops"] else "TensorFlow's own operations"
    gpu = f"GPU: {results['gpu']}." if results["gpu"] else "No GPU seen: CPU only."
    lacking = not any(r["metric"] == "peak_memory_bytes" and r["device"] == "cpu" for r in results["rows"])
    task = f" The task network: {TASKS.get(results['task'], results['task'])}." if "task" in results else ""
    setting = (
        f"Inference on clouds of {first['m']} points, {results['batch_size']} at once.{task} {machine['machine']}; FPS "
        f"and matching by {ops}. {gpu}"
    )
    method = (
        "The paper's claim is as a later book quotes it, unverified; what it calls memory is taken to be the "
        "parameters. The running statistics of batch norm are no parameters here. MACs are the multiply-adds of matrix "
        "products and convolutions; the distances of FPS (3 m N) and of matching (up to twice that) are left out. "
        f"Time: the median of {results['repeats']} calls, all lines in turns. Peak memory: what a batch takes above "
        "the loaded networks, on the CPU the growth of the resident set in a process of its own"
        f"{'; not measured here, as it needs /proc/self/clear_refs' if lacking else ''}."
    )
    return setting, results["command"], method
