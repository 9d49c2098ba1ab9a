"""Time training steps with and without the pooled layer: python benchmarks/steps.py [--out FILE].

PointNet and the vanilla PointNet in TensorFlow, also compiled by XLA, which has no native ops, and
PCRNet in PyTorch, whose last layer is otherwise searched by PyTorch's own operations. Batches of 32
clouds of 1024 points, the step of the training scripts. Times are medians and the best of seven
(--turns), taken in turns after a warm-up. Then the peak memory of PointNet's step with clouds of
4096 points: of its first step in a process of its own, minus what the process holds before it, when
the network and the optimizer are built.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import samplenet.quiet_tensorflow  # noqa: F401

import keras
import numpy as np
import tensorflow as tf
import torch

from samplenet.atomic import write_json
from samplenet.ops import tf as tf_ops
from samplenet.ops.torch import _pooled_linear as torch_pooled
from samplenet.runs.environment import environment
from samplenet.runs.memory import keep_freed_memory
from samplenet.runs.parser import Parser
from samplenet.tf.cost import in_fresh_process, peak_memory
from samplenet.timing import in_turns

ROOT = Path(__file__).parents[1]
BATCH, POINTS, MANY_POINTS = 32, 1024, 4096


@contextlib.contextmanager
def framework_layers() -> Iterator[None]:
    """Leave the pooled layers to the frameworks' own operations."""
    with (
        mock.patch.object(tf_ops, "searches_natively", lambda: False),
        mock.patch.object(torch_pooled, "searches_natively", lambda features: False),
    ):
        yield


def classifier_step(model: str, xla: bool = False, count: int = POINTS) -> Callable:
    """Return a training step of `classification/train_classifier.py`, traced."""
    import pointnet

    keras.utils.set_random_seed(0)
    net, optimizer = pointnet.build(model, 21), keras.optimizers.Adam(1e-3)
    points = tf.random.normal((BATCH, count, 3))
    labels = tf.range(BATCH, dtype=tf.int64) % 21

    @tf.function(jit_compile=xla)
    def step():
        with tf.GradientTape() as tape:
            loss, _ = pointnet.task_loss(net, points, labels, training=True)
        optimizer.apply(tape.gradient(loss, net.trainable_variables), net.trainable_variables)
        return loss

    optimizer.build(net.trainable_variables)
    traced = step.get_concrete_function()
    return lambda: traced().numpy()


def step_memory(layers: str) -> float:
    """Measure the megabytes that PointNet's first step takes, in a fresh process."""
    with framework_layers() if layers == "framework's" else contextlib.nullcontext():
        step = classifier_step("pointnet", count=MANY_POINTS)
    return peak_memory(step, warm_up=lambda: None) / 1e6


def pcrnet_step() -> Callable:
    """Return a training step of `registration/train_pcrnet.py`."""
    from pairs import make
    from pcrnet import PCRNet, task_loss

    torch.manual_seed(0)
    clouds = np.random.default_rng(0).random((BATCH, POINTS, 3), np.float32)
    template, source, quaternion, _ = map(torch.from_numpy, make(clouds, POINTS, BATCH, seed=0))
    net = PCRNet()
    optimizer = torch.optim.Adam(net.parameters(), fused=True)

    def step():
        optimizer.zero_grad()
        task_loss(net(template, source)[0], template, source, quaternion).backward()
        optimizer.step()

    return step


def main() -> None:
    """Run the command line."""
    parser = Parser(prog="steps.py", description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=7, help="runs of each case (default: 7)")
    parser.add_argument("--out", type=Path, help="write the figures as JSON to this file")
    flags = parser.parse_args()
    keep_freed_memory()
    sys.path[:0] = [str(ROOT / "classification"), str(ROOT / "registration")]
    rows = []
    print("| network | layers | median ms | best ms | to ours |\n| --- | --- | --- | --- | --- |")
    pcrnet = pcrnet_step()

    def pcrnet_by_framework():
        with framework_layers():
            pcrnet()

    with framework_layers():
        plain = {model: classifier_step(model) for model in ("vanilla", "pointnet")}
        xla = {model: classifier_step(model, xla=True) for model in plain}
    cases = {"pcrnet": {"framework's": pcrnet_by_framework, "ours": pcrnet}}
    for model in plain:
        ours = classifier_step(model)
        cases[model] = {"framework's": plain[model], "XLA": xla[model], "ours": ours}
    for network, calls in cases.items():
        found = in_turns(calls, flags.turns)
        for layers, seconds in found.items():
            row = {"network": network, "layers": layers, "to_ours": seconds.median}
            row["to_ours"] /= found["ours"].median
            row["median_ms"], row["best_ms"] = 1e3 * seconds.median, 1e3 * seconds.best
            rows.append(row)
            print(
                f"| {network} | {layers} | {row['median_ms']:.0f} | {row['best_ms']:.0f} | "
                f"{row['to_ours']:.2f} |",
                flush=True,
            )
    megabytes = {kind: in_fresh_process(step_memory, kind) for kind in ("framework's", "ours")}
    print(
        f"\nPeak memory of PointNet's step, B {BATCH}, N {MANY_POINTS}\n\n| layers | MB | to ours |"
    )
    print("| --- | --- | --- |")
    for layers, size in megabytes.items():
        print(f"| {layers} | {size:.0f} | {size / megabytes['ours']:.2f} |")
    if flags.out:
        result = {"environment": environment(), "cores": os.cpu_count(), "rows": rows}
        result["peak_mb"] = megabytes
        write_json(flags.out, result)


if __name__ == "__main__":
    main()
