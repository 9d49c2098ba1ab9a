"""What a sampler and the classifier on its m points cost, against the classifier on all N points.

    python classification/cost.py --task results/classifier --samplers fps random results/samplenet-32 --sizes 32 \\
        --out results/cost

Parameters, multiply-adds, time and peak memory at inference, on the CPU and, where TensorFlow sees one, on the GPU.
Random clouds: the work is the same.
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
from samplenet.report import cost_table
from samplenet.runs import evaluation, experiments
from samplenet.runs.environment import command, environment
from samplenet.runs.script import main
from samplenet.runs.settings import option
from samplenet.tf import RandomSampler, cost

EXPERIMENT = experiments.load(Path(__file__).parent)


@dataclass
class Config:
    """What is measured, and how."""

    task: str = option("", "run folder of the trained classifier", path=True)
    samplers: list[str] = option(
        ["random", "fps"], "random, fps, and run folders of trained samplers"
    )
    runs: str | None = option(
        None,
        "folder of run folders: measure what finished there of the smallest seed, but no progressive one",
        path=True,
    )
    sizes: list[int] = option([32], "sizes m of random and fps, besides the trained", at_least=1)
    out: str = option("", "folder for cost.json and cost.md", path=True)
    batch_size: int = option(32, "clouds at once", at_least=2)  # one cloud warms up the memory
    repeats: int = option(20, "turns whose median is the time", at_least=1)
    seed: int = option(0, "of the clouds and the random sampler", at_least=0)


def with_finished(config: Config) -> Config:
    """Replace --runs by the run folders that it stands for."""
    if not config.runs:
        return config
    runs = evaluation.finished_runs(config.runs, config.task)
    first_seed = min((run.seed for run in runs), default=0)
    folders = [run.folder for run in runs if run.seed == first_seed and len(run.sizes) == 1]
    return dataclasses.replace(config, runs=None, samplers=[*config.samplers, *folders])


def load(
    config: Config,
) -> tuple[keras.Model, dict[tuple[str, int], Callable | None], SimpleNamespace]:
    """Open the classifier, the samplers by name and size (`none` first; of several seeds the first), its settings."""
    net, _, task = pointnet.load_task(config.task)
    samplers = {}
    for entry in evaluation.choose(config, task.num_points, BASELINES, load_sampler):
        samplers.setdefault((entry.name, entry.m), entry.sampler)
    return net, samplers, task


def clouds(config: Config, n: int) -> tf.Tensor:
    return tf.constant(
        np.random.default_rng(config.seed).uniform(-1, 1, (config.batch_size, n, 3)), tf.float32
    )


def pipeline(net, sampler, n: int) -> Callable:
    """(B, N, 3) -> logits, by a compiled sampler and a compiled classifier, for any B."""
    m = n if sampler is None else sampler.m
    classify = tf.function(
        partial(net, training=False),
        [tf.TensorSpec((None, m, 3), tf.float32)],
        autograph=False,
        jit_compile=False,
    )
    if sampler is None:
        return classify
    if isinstance(
        sampler, RandomSampler
    ):  # its draws are NumPy's: a graph would keep the first ones
        return lambda points: classify(sampler(points).points)
    sample = tf.function(
        lambda points: sampler(points).points,
        [tf.TensorSpec((None, n, 3), tf.float32)],
        autograph=False,
    )
    return lambda points: classify(sample(points))


def memory(config: Config, key: tuple[str, int]) -> int:
    """Peak memory on the CPU, in bytes; to be run in a process of its own."""
    tf.config.set_visible_devices([], "GPU")
    net, samplers, task = load(config)
    run, points = pipeline(net, samplers[key], task.num_points), clouds(config, task.num_points)
    return cost.peak_memory(lambda: run(points), lambda: run(points[:1]))


def counts(net, samplers: dict, n: int) -> list[dict]:
    """Rows of parameters and multiply-adds, which no device changes: of the sampler alone, and with the classifier."""
    rows = []
    for (name, m), sampler in samplers.items():
        task, own = counted(partial(net, training=False), (1, m, 3)), cost.Count(0, 0)
        if sampler is not None:
            own = counted(lambda points, sampler=sampler: sampler(points).points, (1, n, 3))
        for metric in cost.Count._fields:
            alone, behind = getattr(own, metric), getattr(task, metric)
            if None not in (alone, behind):
                rows.append(row(name, m, metric, alone + behind))
            if alone is not None:
                rows.append(row(name, m, f"sampler_{metric}", alone))
    return rows


def counted(function: Callable, shape: tuple[int, ...]) -> cost.Count:
    """`cost.count`, with None for multiply-adds that are not countable, as in the loops of a network of one's own."""
    try:
        return cost.count(function, shape)
    except InputError as reason:
        print(f"multiply-adds are left out on {shape[1]} points: {reason}")
        return cost.Count(cost.parameters(function, shape), None)


def measure(config: Config, device: str) -> list[dict]:
    """Rows of time and peak memory on "cpu" or "gpu"."""
    place = f"/{device.upper()}:0"
    with tf.device(place):
        net, samplers, task = load(config)
        points = clouds(config, task.num_points)
        runs = {key: pipeline(net, sampler, task.num_points) for key, sampler in samplers.items()}
        times = cost.seconds(
            {key: partial(run, points) for key, run in runs.items()}, config.repeats
        )
        rows = [
            row(*key, "ms_per_cloud", 1e3 * t / config.batch_size, device)
            for key, t in times.items()
        ]
        if device == "gpu":
            held = {
                key: cost.peak_memory(partial(run, points), partial(run, points[:1]), place[1:])
                for key, run in runs.items()
            }
        else:
            there = runs if os.access(cost.CLEAR, os.W_OK) else ()
            held = {
                key: cost.in_fresh_process(memory, config, key)
                for key in tqdm(there, "peak memory", disable=None)
            }
    return rows + [row(*key, "peak_memory_bytes", peak, device) for key, peak in held.items()]


def row(sampler: str, m: int, metric: str, value: float, device: str = "any") -> dict:
    return {
        "sampler": sampler,
        "m": m,
        "metric": metric,
        "value": round(value, 6),
        "device": device,
    }


def report(results: dict) -> str:
    """The Markdown text of cost.json's content."""
    setting, command, method = cost_table.notes(results, EXPERIMENT)
    table = cost_table.table(results, EXPERIMENT).markdown()
    return f"{setting}\n\n    {command}\n\n{table}\n\n{method}\n"


def measure_all(config: Config) -> None:
    evaluation.check(config)
    config = with_finished(config)
    gpus = tf.config.list_physical_devices("GPU")
    net, samplers, task = load(config)
    out = evaluation.prepare(config)
    rows = counts(net, samplers, task.num_points)
    for device in ("cpu", "gpu")[: 1 + bool(gpus)]:
        rows += measure(config, device)
    results = {
        "schema": 1,
        "experiment": "classification",
        "command": command(),
        "environment": environment(),
        "task": pointnet.called(task.model),
        "gpu": tf.config.experimental.get_device_details(gpus[0]).get("device_name", "a GPU")
        if gpus
        else None,
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
