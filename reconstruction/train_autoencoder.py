"""Train the task network: an autoencoder of four classes of ShapeNet or of the built-in shapes.

python reconstruction/train_autoencoder.py --config reconstruction/configs/quick.yaml --out results/autoencoder
"""

import contextlib
import time
from dataclasses import dataclass

import samplenet.quiet_tensorflow  # noqa: F401

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

import autoencoder
from samplenet.data import batches, shapenet
from samplenet.runs import schedules
from samplenet.runs.run import Run, finite
from samplenet.runs.script import main
from samplenet.runs.settings import DataConfig, option
from samplenet.tf.replicas import Replicas
from samplenet.tf.state import get_state, set_state


@dataclass
class Config(DataConfig):
    """The defaults are the published settings."""

    epochs: int = 500
    batch_size: int = 50
    lr: float = 5e-4
    num_points: int = 2048
    shapes_per_class: int = option(200, "built-in shapes a class: 85 % train, 5 % validate, 10 % test", at_least=10)
    classes: list[str] = option(
        ["chair", "table", "car", "airplane"], "names of classes, or synsets (in YAML between quotes)"
    )
    skip_bad: bool = option(False, "leave out clouds that cannot be used, and say which")
    loss: str = option(
        "chamfer", "distance to the reconstruction; 'emd' is approximate and slow", choices=tuple(autoencoder.DISTANCES)
    )


def train(config: Config) -> None:
    replicas = Replicas(config.batch_size)
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    opened = [autoencoder.open_clouds(config, split).points for split in shapenet.SPLITS]  # all: is one damaged?
    clouds, validation, _ = opened
    train_rows = np.arange(len(clouds))
    steps = batches.steps_per_epoch(train_rows, config.batch_size)
    with replicas.scope():
        net = autoencoder.build(config.num_points)
        optimizer = keras.optimizers.Adam(config.lr)
        optimizer.build(net.trainable_variables)

    @replicas.compiled
    def train_step(points):
        with tf.GradientTape() as tape:
            loss = autoencoder.task_loss(net(points, training=True), points, config.loss)
            share_of_loss = loss / replicas.count
        optimizer.apply(tape.gradient(share_of_loss, net.trainable_variables), net.trainable_variables)
        return loss

    with contextlib.ExitStack() as stack:
        run = stack.enter_context(Run(config.out, config, alone=replicas.alone)) if replicas.first else None
        arrays, meta, done = replicas.agree((run.arrays, run.meta, run.done) if run else None)
        within = arrays.pop("within", [])  # measured in an epoch that was stopped on its way
        if done:
            if run:
                print(f"{run.folder} is finished")
            return
        if arrays:
            set_state(net, arrays, optimizer, f"the checkpoint in {config.out}")
        best = meta.get("best")
        for epoch in range(meta.get("epoch", 0), config.epochs):
            losses, skip, within = list(within), len(within), []
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
                    run.leave(get_state(net, optimizer), {"epoch": epoch, "step": step, "best": best}, losses)
                ready = time.perf_counter()
                (points,) = replicas.spread(clouds[rows])
                loading += time.perf_counter() - ready
                lr = schedules.learning_rate(config, step, config.epochs * steps)
                optimizer.learning_rate.assign(lr)
                losses.append(finite(float(train_step(points)), "the loss", step))
                progress.set_postfix(loss=f"{losses[-1]:.5f}")
            if not run:
                continue
            seconds = time.perf_counter() - begin
            judged = float(autoencoder.errors(net, validation, config.batch_size, config.loss).mean())
            finite(judged, "the validation error", step)
            values = {f"train_{config.loss}": np.mean(losses), f"validation_{config.loss}": judged, "lr": lr}
            took = 1e3 / (steps - skip)
            timing = {"step_ms": took * seconds, "data_ms": took * loading}
            run.log(step + 1, {k: round(float(v), 9) for k, v in values.items()}, timing)
            print(
                f"epoch {epoch + 1}/{config.epochs}  {config.loss}: train {np.mean(losses):.5f}  "
                f"validation {judged:.5f}  {timing['step_ms']:.0f} ms a step, {timing['data_ms']:.1f} of them data",
                flush=True,
            )
            is_best = best is None or judged < best
            best = judged if is_best else best
            meta = {"epoch": epoch + 1, "step": step + 1, "best": best}
            run.checkpoint(get_state(net, optimizer), meta, is_best, done=epoch + 1 == config.epochs)


if __name__ == "__main__":
    main(train, Config, __doc__)
