"""Train SampleNet (or S-NET with --no-projection) in front of a frozen, trained autoencoder.

    python reconstruction/train_samplenet.py --config reconstruction/configs/quick.yaml \\
        --task results/autoencoder --sample-sizes 64 --out results/samplenet-64

Several sizes (--sample-sizes 16 32 64) train SampleNet-Progressive, or ProgressiveNet: one sampler whose first c points
serve every size c.

The clouds are those that the autoencoder was trained on, and its loss is the task loss: the distance of the full input
to what the autoencoder makes of the sample. The loop over epochs is a copy of train_autoencoder.py's, so that each
script reads from top to bottom.
"""

import contextlib
import functools
import time
from dataclasses import dataclass

import samplenet.quiet_tensorflow  # noqa: F401

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

import autoencoder
from samplenet import weights
from samplenet.data import batches
from samplenet.errors import InputError
from samplenet.ops.tf import copies
from samplenet.runs import schedules
from samplenet.runs.run import Run, finite
from samplenet.runs.script import main
from samplenet.runs.settings import RunConfig, option
from samplenet.sampled import in_order, largest_size
from samplenet.tf import SampleNet, projection_loss, simplification_loss
from samplenet.tf.replicas import Replicas
from samplenet.tf.state import get_state, set_state


@dataclass
class Config(RunConfig):
    """The defaults are the published settings."""

    batch_size: int = 50
    task: str = option("", "run folder of the trained autoencoder; its data settings are the sampler's too", path=True)
    data_root: str | None = option(
        None, "where the autoencoder's data set lies now, if it has moved (for a new run)", path=True
    )
    sample_sizes: list[int] = option([64], "sample size m; several: a progressive sampler", at_least=1)
    over_sizes: str = option("mean", "reduction of several sizes' losses", choices=("sum", "mean"))
    projection: bool = option(True, "soft projection while training; without it the sampler is S-NET")
    k: int = option(16, "neighbours of the soft projection", at_least=1)
    min_sigma: float = option(1e-4, "least squared temperature of the soft projection", at_least=0)
    alpha: float = option(0.01, "weight of the simplification loss", at_least=0)
    lmbda: float = option(1e-4, "weight of the projection loss", at_least=0)
    beta: float = option(1.0, "the simplification loss's weight of the largest distance", at_least=0)
    gamma: float = option(0.0, "its weight of the coverage of the input", at_least=0)
    delta: float = option(1 / 64, "its further weight of the coverage for each sampled point", at_least=0)
    epochs: int = 400
    lr: float = 5e-4


def build(config: Config, num_points: int) -> SampleNet:
    """The sampler that the settings describe, for clouds of `num_points`, built."""
    m = largest_size(config.sample_sizes, num_points, "the autoencoder's N")
    if config.projection and config.k > num_points:
        raise InputError(f"--k must be in [1, N] = [1, {num_points}], the autoencoder's points, got {config.k}")
    sampler = SampleNet(
        m,
        config.k,
        min_sigma=config.min_sigma,
        projection=config.projection,
        conv_widths=(64, 128, 128, 256, 128),
        fc_widths=(256, 256),
        fc_batch_norm=False,
        output_batch_norm=False,
        bn_epsilon=1e-5,
        name="sampler",
    )
    sampler(np.zeros((1, num_points, 3), np.float32))
    return sampler


def losses(config: Config, sampler: SampleNet, net: autoencoder.Autoencoder, points, task_loss: str) -> tf.Tensor:
    """Of a batch (B, N, 3): the loss and its parts, task, simplification, projection, (4,).

    Differs from the released code, whose frozen autoencoder normalises by the statistics of each batch: here by those
    it has stored, as in the other two tasks.
    """
    sampled = sampler(points, training=True)
    weight = 1 / len(config.sample_sizes) if config.over_sizes == "mean" else 1.0  # of one size's losses
    each = []  # size's losses
    uses = (copies(tensor, len(config.sample_sizes)) for tensor in (sampled.points, sampled.queries))
    for m, found, queries in zip(config.sample_sizes, *uses, strict=True):
        task = autoencoder.task_loss(net(found[:, :m], training=False), points, task_loss)
        simplify = simplification_loss(queries[:, :m], points, config.beta, config.gamma, config.delta)
        each.append([task, simplify])
    task, simplify = tf.unstack(weight * tf.reduce_sum(tf.stack(each), 0))
    project = projection_loss(sampler)
    return tf.stack([task + config.alpha * simplify + config.lmbda * project, task, simplify, project])


def train(config: Config) -> None:
    replicas = Replicas(config.batch_size)
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    with replicas.scope():
        net, task_config = autoencoder.load_task(config.task)
        sampler = build(config, task_config.num_points)
        optimizer = keras.optimizers.Adam(config.lr)
        optimizer.build(sampler.trainable_variables)
    task_config.data_root = config.data_root or task_config.data_root
    clouds, validation = (autoencoder.open_clouds(task_config, split).points for split in ("train", "val"))
    train_rows = np.arange(len(clouds))
    steps = batches.steps_per_epoch(train_rows, config.batch_size)

    @replicas.compiled
    def train_step(points):
        with tf.GradientTape() as tape:
            parts = losses(config, sampler, net, points, task_config.loss)
            share_of_loss = parts[0] / replicas.count
        optimizer.apply(tape.gradient(share_of_loss, sampler.trainable_variables), sampler.trainable_variables)
        return parts

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
        best = meta.get("best")
        judge = functools.partial(autoencoder.errors, net, validation, config.batch_size, task_config.loss)
        of_all = judge() if run else None
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
                (points,) = replicas.spread(clouds[rows])
                loading += time.perf_counter() - ready
                lr = schedules.learning_rate(config, step, config.epochs * steps)
                optimizer.learning_rate.assign(lr)
                measured.append(train_step(points).numpy())
                finite(float(measured[-1][0]), "the loss", step)
                progress.set_postfix(loss=f"{measured[-1][0]:.5f}")
            if not run:
                continue
            seconds = time.perf_counter() - begin
            names = ("loss", "task_loss", "simplification_loss", "projection_loss")
            values = {**dict(zip(names, np.mean(measured, 0).tolist(), strict=True)), "lr": lr}
            matched = in_order(sampler, validation, max(config.sample_sizes), config.batch_size)
            sampled = np.mean([judge(matched[:, :m]) for m in config.sample_sizes], 0)
            judged, relative = finite(float(sampled.mean()), "the validation error", step), np.mean(sampled / of_all)
            values |= {f"validation_{task_config.loss}": judged, "validation_nre": relative}
            took = 1e3 / (steps - skip)
            timing = {"step_ms": took * seconds, "data_ms": took * loading}
            run.log(step + 1, {k: round(float(v), 9) for k, v in values.items()}, timing)
            print(
                f"epoch {epoch + 1}/{config.epochs}  loss {values['loss']:.5f}  simplify "
                f"{values['simplification_loss']:.4f}  sigma {values['projection_loss']:.4f}  {task_config.loss}: soft "
                f"{values['task_loss']:.5f}  validation, matched {judged:.5f}, {relative:.2f} of all points'  "
                f"{timing['step_ms']:.0f} ms a step, {timing['data_ms']:.1f} of them data",
                flush=True,
            )
            is_best = best is None or judged < best
            best = judged if is_best else best
            meta = {"epoch": epoch + 1, "step": step + 1, "best": best}
            last = epoch + 1 == config.epochs
            if last:  # for samplenet.load_pretrained
                about = {
                    "sizes": config.sample_sizes,
                    "num_points": task_config.num_points,
                    "normalisation": "box_diagonal",
                }
                weights.save(sampler, run.folder / "sampler.safetensors", about)
            run.checkpoint(get_state(sampler, optimizer), meta, is_best, done=last)


if __name__ == "__main__":
    main(train, Config, __doc__)
