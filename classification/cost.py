"""Measure what a sampler and the classifier on its m points cost, against all N points.

    python classification/cost.py --task results/classifier \\
        --samplers fps random results/samplenet-32 --sizes 32 --out results/cost

These are parameters, multiply-adds, time and peak memory at inference, on the CPU and on a GPU if
TensorFlow sees one. The clouds are random: the work is the same.
"""

import dataclasses
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import samplenet.quiet_tensorflow  # noqa: F401

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

import pointnet
from evaluate import BASELINES, load_sampler
from samplenet.atomic import write_atomic
from samplenet.errors import InputError
from samplenet.greedy import VARIANTS
from samplenet.pretrained import task_folder
from samplenet.report import cost_table
from samplenet.runs import evaluation, experiments
from samplenet.runs.entries import choose, finished_runs, greedy_samplers
from samplenet.runs.environment import command, environment
from samplenet.runs.script import main
from samplenet.runs.settings import option
from samplenet.tf import GreedySampler, RandomSampler, cost

EXPERIMENT = experiments.load(Path(__file__).parent)


@dataclass
class Config:
    task: str = option(
        "", "run folder of the trained classifier, or the library's by name", path=task_folder
    )
    samplers: list[str] = option(
        ["random", "fps"], "random, fps, greedy ones, and run folders of trained samplers"
    )
    runs: str | None = option(
        None, "folder of runs: measure its samplers of one size and of the smallest seed", path=True
    )
    sizes: list[int] = option([32], "sizes m of the untrained, besides the trained", at_least=1)
    out: str = option("", "folder for cost.json and cost.md", path=True)
    # at least 2: the peak memory of a batch is measured above that of one cloud
    batch_size: int = option(32, "clouds at once", at_least=2)
    repeats: int = option(20, "turns whose median is the time", at_least=1)
    seed: int = option(0, "of the clouds and the random sampler", at_least=0)


def with_finished(config: Config) -> Config:
    """Replace --runs by the run folders that it stands for."""
    if not config.runs:
        return config
    runs = finished_runs(config.runs, config.task)
    first_seed = min((run.seed for run in runs), default=0)
    folders = [run.folder for run in runs if run.seed == first_seed and len(run.sizes) == 1]
    return dataclasses.replace(config, runs=None, samplers=[*config.samplers, *folders])


def load(config: Config) -> tuple[keras.Model, dict[tuple, Callable | None], SimpleNamespace]:
    """Open the classifier, the samplers by (name, m), and the settings of the classifier's run.

    The first sampler is `none`, the full cloud. Of several seeds the first counts.
    """
    net, _, task = pointnet.load_task(config.task)
    samplers = {}
    baselines = BASELINES | greedy_samplers(net, GreedySampler)
    for entry in choose(config, "classification", task.num_points, baselines, load_sampler):
        sampler = entry.sampler
        if entry.name in VARIANTS:  # in an evaluation, a size takes its points from a larger one
            sampler = baselines[entry.name](entry.m, entry.seed)
        samplers.setdefault((entry.name, entry.m), sampler)
    return net, samplers, task


def clouds(config: Config, n: int) -> tf.Tensor:
    points = np.random.default_rng(config.seed).uniform(-1, 1, (config.batch_size, n, 3))
    return tf.constant(points, tf.float32)


def pipeline(net, sampler, n: int) -> Callable:
    """Compile sampler and classifier, (B, N, 3) -> logits, for any B."""

    def compiled(function, points: int):
        signature = [tf.TensorSpec((None, points, 3), tf.float32)]
        return tf.function(function, signature, autograph=False)

    classify = compiled(partial(net, training=False), n if sampler is None else sampler.m)
    if sampler is None:
        return classify
    if isinstance(sampler, RandomSampler):  # draws by NumPy: a graph would repeat its first draws
        return lambda points: classify(sampler(points).points)
    sample = compiled(partial(_sampled, sampler), n)
    return lambda points: classify(sample(points))


def _sampled(sampler, points: tf.Tensor) -> tf.Tensor:
    return sampler(points).points


def memory(config: Config, key: tuple[str, int]) -> int:
    """Measure the peak memory on the CPU, in bytes; call it in a process of its own."""
    tf.config.set_visible_devices([], "GPU")
    net, samplers, task = load(config)
    run, points = pipeline(net, samplers[key], task.num_points), clouds(config, task.num_points)
    return cost.peak_memory(lambda: run(points), lambda: run(points[:1]))


def counts(net, samplers: dict, n: int) -> list[dict]:
    """List the rows of parameters and multiply-adds: of the sampler, and with the classifier."""
    rows = []
    for (name, m), sampler in samplers.items():
        task, own = counted(partial(net, training=False), (1, m, 3)), cost.Count(0, 0)
        if sampler is not None:
            own = counted(partial(_sampled, sampler), (1, n, 3))
        for metric in cost.Count._fields:
            sampling, classifying = getattr(own, metric), getattr(task, metric)
            # a greedy sampler asks the classifier itself: its parameters are there once
            shared = sampling if metric == "parameters" and name in VARIANTS else 0
            if None not in (sampling, classifying):
                rows.append(row(name, m, metric, sampling + classifying - shared))
            if sampling is not None:
                rows.append(row(name, m, f"sampler_{metric}", sampling))
    return rows


def counted(function: Callable, shape: tuple[int, ...]) -> cost.Count:
    """Call `cost.count`; multiply-adds are None if they cannot be counted, as in a loop."""
    try:
        return cost.count(function, shape)
    except InputError as reason:
        print(f"multiply-adds are left out on {shape[1]} points: {reason}")
        return cost.Count(cost.parameters(function, shape), None)


def measure(config: Config, device: str) -> list[dict]:
    """List the rows of time and peak memory on "cpu" or "gpu"."""
    tf_device, rows = f"{device.upper()}:0", []
    with tf.device(f"/{tf_device}"):
        net, samplers, task = load(config)
        points = clouds(config, task.num_points)
        calls, peaks = {}, {}
        for key, sampler in samplers.items():
            calls[key] = partial(pipeline(net, sampler, task.num_points), points)
        for key, seconds in cost.seconds(calls, config.repeats).items():
            rows.append(row(*key, "ms_per_cloud", 1e3 * seconds / config.batch_size, device))
        if device == "gpu":
            for key, call in calls.items():
                peaks[key] = cost.peak_memory(call, partial(call.func, points[:1]), tf_device)
        elif os.access(cost.CLEAR, os.W_OK):  # on Linux
            for key in tqdm(calls, "peak memory", disable=None):
                peaks[key] = cost.in_fresh_process(memory, config, key)
    return rows + [row(*key, "peak_memory_bytes", peak, device) for key, peak in peaks.items()]


def row(sampler: str, m: int, metric: str, value: float, device: str = "any") -> dict:
    value = round(value, 6)
    return {"sampler": sampler, "m": m, "metric": metric, "value": value, "device": device}


def report(results: dict) -> str:
    """Write the content of cost.json as Markdown."""
    table, setting, command, method = cost_table.parts(results, EXPERIMENT)
    return f"{setting}\n\n    {command}\n\n{table.markdown()}\n\n{method}\n"


def measure_all(config: Config) -> None:
    evaluation.check(config)
    config = with_finished(config)
    net, samplers, task = load(config)
    out = evaluation.prepare(config)
    rows = [*counts(net, samplers, task.num_points), *measure(config, "cpu")]
    gpu = None
    if gpus := tf.config.list_physical_devices("GPU"):
        gpu = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "a GPU")
        rows += measure(config, "gpu")
    results = {
        "schema": 1,
        "experiment": "classification",
        "command": command(),
        "environment": environment(),
        "task": pointnet.called(task.model),
        "gpu": gpu,
        "batch_size": config.batch_size,
        "repeats": config.repeats,
        "rows": rows,
    }
    text = report(results)
    write_atomic(out / "cost.json", (json.dumps(results, indent=1) + "\n").encode())
    write_atomic(out / "cost.md", text.encode())
    print(f"{text}\n{out / 'cost.md'}")


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    main(measure_all, Config, __doc__)
