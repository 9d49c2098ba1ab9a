"""Time training steps with the library's layers and with the frameworks' own.

    python benchmarks/steps.py [--out FILE]

PointNet, the vanilla PointNet and SampleNet before it in TensorFlow, also compiled by XLA, which
has no native ops; PCRNet, whose last layer is otherwise searched by PyTorch's own operations, and
SampleNet before it in PyTorch. kNN and Chamfer are native on both sides, but under XLA. Batches of
32 clouds (PCRNet: pairs) of 1024 points, the steps of the training scripts. Times are medians and
the best of seven (--turns), taken in turns after a warm-up. Then the peak memory of PointNet's step
with clouds of 4096 points: of its first step in a process of its own, minus what the process holds
before it, when the network and the optimizer are built.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
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
from samplenet.torch import layers as torch_layers

ROOT = Path(__file__).parents[1]
BATCH, POINTS, MANY_POINTS, SAMPLE = 32, 1024, 4096, 32


@contextlib.contextmanager
def framework_layers() -> Iterator[None]:
    """Leave the layers to the frameworks' own operations."""
    with (
        mock.patch.object(tf_ops, "serves_layers", lambda: False),
        mock.patch.object(torch_pooled, "serves_layers", lambda features: False),
        mock.patch.object(torch_layers, "serves_layers", lambda features: False),
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


def sampler_step(xla: bool = False) -> Callable:
    """Return a training step of `classification/train_samplenet.py`, m = 32, traced."""
    import pointnet
    from samplenet.tf import SampleNet, projection_loss, simplification_loss

    keras.utils.set_random_seed(0)
    net, optimizer = pointnet.build("vanilla", 21), keras.optimizers.Adam(1e-3)
    sampler = SampleNet(SAMPLE, output_batch_norm=False)
    points = tf.random.normal((BATCH, POINTS, 3))
    labels = tf.range(BATCH, dtype=tf.int64) % 21

    @tf.function(jit_compile=xla)
    def step():
        with tf.GradientTape() as tape:
            sampled = sampler(points, training=True)
            loss, _ = pointnet.task_loss(net, sampled.points, labels, training=False)
            loss += 30 * simplification_loss(sampled.queries, points) + projection_loss(sampler)
        optimizer.apply(tape.gradient(loss, sampler.trainable_variables))
        return loss

    sampler(points)  # Keras makes the weights at the first call
    optimizer.build(sampler.trainable_variables)
    step()
    return lambda: step().numpy()


def pairs_of_clouds() -> tuple[torch.Tensor, ...]:
    """Return a batch of templates, sources and the quaternions between them."""
    from pairs import make

    clouds = np.random.default_rng(0).random((BATCH, POINTS, 3), np.float32)
    return tuple(map(torch.from_numpy, make(clouds, POINTS, BATCH, seed=0)[:3]))


def pcrnet_sampler_step() -> Callable:
    """Return a training step of `registration/train_samplenet.py`, m = 32."""
    from pcrnet import PCRNet, task_loss
    from samplenet.torch import SampleNet, projection_loss, simplification_loss

    torch.manual_seed(0)
    net, (template, source, quaternion) = PCRNet().requires_grad_(False), pairs_of_clouds()
    sampler, clouds = SampleNet(SAMPLE, output_batch_norm=False), torch.cat([template, source])
    optimizer = torch.optim.Adam(sampler.parameters(), fused=True)

    def step():
        optimizer.zero_grad()
        sampled = sampler(clouds)
        pair = sampled.points.chunk(2)
        loss = task_loss(net(*pair)[0], *pair, quaternion)
        simplified = simplification_loss(sampled.queries, clouds)
        (loss + 0.01 * (simplified + projection_loss(sampler))).backward()
        optimizer.step()

    return step


def pcrnet_step() -> Callable:
    """Return a training step of `registration/train_pcrnet.py`."""
    from pcrnet import PCRNet, task_loss

    torch.manual_seed(0)
    net, (template, source, quaternion) = PCRNet(), pairs_of_clouds()
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
    cases = {}
    for network, build in {"PCRNet": pcrnet_step, "SampleNet, PCRNet": pcrnet_sampler_step}.items():
        ours = build()
        cases[network] = {"framework's": framework_layers()(ours), "ours": ours}
    traced = {
        "vanilla PointNet": partial(classifier_step, "vanilla"),
        "PointNet": partial(classifier_step, "pointnet"),
        "SampleNet, vanilla PointNet": sampler_step,
    }
    for network, build in traced.items():
        with framework_layers():  # the layers are chosen when a step is traced
            calls = {"framework's": build(), "XLA": build(xla=True)}
        cases[network] = {**calls, "ours": build()}
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
