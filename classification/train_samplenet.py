"""Train SampleNet (or S-NET with --no-projection) in front of a frozen, trained classifier.

    python classification/train_samplenet.py --config classification/configs/quick.yaml \\
        --task results/classifier --sample-sizes 32 --out results/samplenet-32

Several sizes (--sample-sizes 8 16 32 --gamma 0.5 --delta 0.0333333, as published) train SampleNet-Progressive, or
ProgressiveNet: one sampler whose first c points serve every size c.

The loop over epochs is a copy of train_classifier.py's, so that each script reads from top to bottom.
"""

import contextlib
import time
from dataclasses import dataclass

import samplenet.quiet_tensorflow  # noqa: F401

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

import pointnet
from samplenet import weights
from samplenet.data import batches, modelnet40
from samplenet.errors import InputError
from samplenet.ops.tf import copies
from samplenet.runs import schedules
from samplenet.runs.run import Run, finite
from samplenet.runs.script import main
from samplenet.runs.settings import DataConfig, option
from samplenet.sampled import in_order, largest_size
from samplenet.tf import SampleNet, projection_loss, set_momentum, simplification_loss
from samplenet.tf.replicas import Replicas
from samplenet.tf.state import get_state, set_state
from train_classifier import accuracy


@dataclass
class Config(DataConfig):
    """The defaults are the published settings."""

    task: str = option("", "run folder of the trained classifier", path=True)
    sample_sizes: list[int] = option([32], "sample size m; several: a progressive sampler", at_least=1)
    over_sizes: str = option("sum", "reduction of several sizes' losses", choices=("sum", "mean"))
    projection: bool = option(True, "soft projection while training; without it the sampler is S-NET")
    k: int = option(7, "neighbours of the soft projection", at_least=1)
    alpha: float = option(30.0, "weight of the simplification loss", at_least=0)
    lmbda: float = option(1.0, "weight of the projection loss", at_least=0)
    beta: float = option(1.0, "the simplification loss's weight of the largest distance", at_least=0)
    gamma: float = option(1.0, "its weight of the coverage of the input", at_least=0)
    delta: float = option(0.0, "its further weight of the coverage for each sampled point", at_least=0)
    output_batch_norm: bool = option(True, "batch norm after the sampler's last layer, as published")
    epochs: int = 500
    lr: float = 1e-2
    lr_decay: float = 0.7
    lr_decay_samples: int = 600_000
    bn_decay_samples: int = option(600_000, "clouds between the steps of the batch norm momentum", at_least=1)


def build(config: Config) -> SampleNet:
    """The sampler that the settings describe, built."""
    n = config.num_points
    m = largest_size(config.sample_sizes, n, "--num-points")
    if config.projection and config.k > n:
        raise InputError(f"--k must be in [1, --num-points] = [1, {n}], got {config.k}")
    sampler = SampleNet(
        m,
        config.k,
        projection=config.projection,
        output_batch_norm=config.output_batch_norm,
        name="sampler",
    )
    sampler(np.zeros((1, n, 3), np.float32))
    return sampler


def train(config: Config) -> None:
    replicas = Replicas(config.batch_size)
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    with replicas.scope():
        sampler = build(config)
        net, names, task_config = pointnet.load_task(config.task)
        optimizer = keras.optimizers.Adam(config.lr)
        optimizer.build(sampler.trainable_variables)
    if config.num_points != task_config.num_points:
        n = task_config.num_points
        raise InputError(f"--num-points must be the classifier's, {n}, got {config.num_points}")
    folder = batches.open_set(config.data_root, config.shapes_per_class)
    clouds = modelnet40.load(folder, "train", config.num_points)
    if list(clouds.names) != names:
        raise InputError(f"--task {config.task} was trained on other classes than {folder} has")
    # the classifier's own, so that "best" is judged on clouds neither network was trained on
    train_rows, held_out = batches.hold_out(clouds, task_config.hold_out, task_config.seed)
    steps = batches.steps_per_epoch(train_rows, config.batch_size)
    weight = 1 / len(config.sample_sizes) if config.over_sizes == "mean" else 1.0  # of one size's losses

    @replicas.compiled
    def train_step(points, labels):
        with tf.GradientTape() as tape:
            sampled, count = sampler(points, training=True), len(config.sample_sizes)
            each = []  # size's losses and accuracy
            uses = copies(sampled.points, count), copies(sampled.queries, count)
            for m, found, queries in zip(config.sample_sizes, *uses, strict=True):
                entropy, logits = pointnet.task_loss(net, found[:, :m], labels, training=False)
                near = simplification_loss(queries[:, :m], points, config.beta, config.gamma, config.delta)
                each.append([entropy, near, tf.reduce_mean(tf.cast(tf.argmax(logits, 1) == labels, tf.float32))])
            task, simplify, right = tf.unstack(tf.reduce_sum(tf.stack(each), 0) * [weight, weight, 1 / count])
            project = projection_loss(sampler)
            loss = task + config.alpha * simplify + config.lmbda * project
            share_of_loss = loss / replicas.count
        optimizer.apply(tape.gradient(share_of_loss, sampler.trainable_variables), sampler.trainable_variables)
        return tf.stack([loss, task, simplify, project, right])

    with contextlib.ExitStack() as stack:
        run = stack.enter_context(Run(config.out, config, config.task, replicas.alone)) if replicas.first else None
        arrays, meta, done = replicas.agree((run.arrays, run.meta, run.done) if run else None)
        within = arrays.pop("within", [])  # measured in an epoch that was stopped on its way
        if done:
            if run:
                print(f"{run.folder} is finished")
            return
        if arrays:
            set_state(sampler, arrays, optimizer, f"the checkpoint in {config.out}")
        best = meta.get("best", 0.0)
        for epoch in range(meta.get("epoch", 0), config.epochs):
            measured, skip, within = list(within), len(within), []
            loading, begin = 0.0, time.perf_counter()
            progress = tqdm(
                batches.batches(train_rows, config.batch_size, config.seed, epoch),
                f"epoch {epoch + 1}/{config.epochs}",
                steps,
                leave=False,
                disable=None if run else True,
            )
            for i, rows in enumerate(progress):
                if i < skip:  # done before the stop
                    continue
                step = epoch * steps + i
                if run and run.stopping:
                    run.leave(get_state(sampler, optimizer), {"epoch": epoch, "step": step, "best": best}, measured)
                ready = time.perf_counter()
                points, labels = replicas.spread(clouds.points[rows], clouds.labels[rows])
                loading += time.perf_counter() - ready
                lr = schedules.learning_rate(config, step, config.epochs * steps)
                optimizer.learning_rate.assign(lr)
                set_momentum(sampler, schedules.bn_momentum(step * config.batch_size, config.bn_decay_samples))
                measured.append(train_step(points, labels).numpy())
                finite(float(measured[-1][0]), "the loss", step)
                progress.set_postfix(loss=f"{measured[-1][0]:.3f}")
            if not run:
                continue
            seconds = time.perf_counter() - begin
            names_of = ("loss", "task_loss", "simplification_loss", "projection_loss", "soft_accuracy")
            values = dict(zip(names_of, np.mean(measured, 0).tolist(), strict=True))
            judged, words = 0.0, ""
            if len(held_out):
                matched = in_order(sampler, clouds.points[held_out], max(config.sample_sizes), config.batch_size)
                labels = clouds.labels[held_out]
                each = [accuracy(net, matched[:, :m], labels, config.batch_size) for m in config.sample_sizes]
                judged = values["held_out_accuracy"] = float(np.mean(each))
                words = f"held out, matched {judged:.3f}  "
            took = 1e3 / (steps - skip)
            timing = {"step_ms": took * seconds, "data_ms": took * loading}
            run.log(step + 1, {k: round(v, 6) for k, v in {**values, "lr": lr}.items()}, timing)
            print(
                f"epoch {epoch + 1}/{config.epochs}  loss {values['loss']:.3f}  simplify "
                f"{values['simplification_loss']:.4f}  sigma {values['projection_loss']:.4f}  soft "
                f"{values['soft_accuracy']:.3f}  {words}"
                f"{timing['step_ms']:.0f} ms a step, {timing['data_ms']:.1f} of them data",
                flush=True,
            )
            is_best = judged > best
            best = max(best, judged)
            meta = {"epoch": epoch + 1, "step": step + 1, "best": best}
            last = epoch + 1 == config.epochs
            if last:  # for samplenet.load_pretrained
                about = {"sizes": config.sample_sizes, "num_points": config.num_points, "normalisation": "unit_sphere"}
                weights.save(sampler, run.folder / "sampler.safetensors", about)
            run.checkpoint(get_state(sampler, optimizer), meta, is_best, done=last)


if __name__ == "__main__":
    main(train, Config, __doc__)
