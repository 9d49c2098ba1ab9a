"""Train the task network: PointNet, vanilla PointNet or one of your own, on ModelNet40 or the built-in shapes.

python classification/train_classifier.py --config classification/configs/quick.yaml --out results/classifier
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
from samplenet.data import batches, modelnet40
from samplenet.runs import schedules
from samplenet.runs.run import Run, finite
from samplenet.runs.script import main
from samplenet.runs.settings import DataConfig, option
from samplenet.tf import set_momentum
from samplenet.tf.replicas import Replicas
from samplenet.tf.state import get_state, set_state


@dataclass
class Config(DataConfig):
    """The defaults are the published settings."""

    model: str = option("pointnet", "task network: pointnet, vanilla, or your own as FILE.py:CLASS")
    epochs: int = 250
    lr: float = 1e-3
    lr_decay: float = 0.7
    lr_decay_samples: int = 200_000
    bn_decay_samples: int = option(200_000, "clouds between the steps of the batch norm momentum", at_least=1)
    rotate: bool = option(True, "turn each training cloud about the y axis")
    jitter: float = option(0.01, "standard deviation of the noise on training clouds (clipped at 0.05)", at_least=0)
    hold_out: float = option(0.1, "share of the training set that is held out", at_least=0, below=1)
    xla: bool = option(True, "compile the training step with XLA (1.5 to 2 times faster)")


def accuracy(net, points: np.ndarray, labels: np.ndarray, batch_size: int) -> float:
    """Share of the clouds (n, N, 3) that are classified right."""
    right = 0
    for start in range(0, len(points), batch_size):
        part = slice(start, start + batch_size)
        right += int((net(points[part], training=False).numpy().argmax(1) == labels[part]).sum())
    return right / len(points)


def train(config: Config) -> None:
    config.model = pointnet.whole(config.model)
    replicas = Replicas(config.batch_size)
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    folder = batches.open_set(config.data_root, config.shapes_per_class)
    clouds = modelnet40.load(folder, "train", config.num_points)
    train_rows, held_out = batches.hold_out(clouds, config.hold_out, config.seed)
    steps = batches.steps_per_epoch(train_rows, config.batch_size)
    with replicas.scope():
        net = pointnet.build(config.model, len(clouds.names), config.num_points)
        optimizer = keras.optimizers.Adam(config.lr)
        optimizer.build(net.trainable_variables)

    def train_step(points, labels):
        with tf.GradientTape() as tape:
            loss, logits = pointnet.task_loss(net, points, labels, training=True)
            share_of_loss = loss / replicas.count
        optimizer.apply(tape.gradient(share_of_loss, net.trainable_variables), net.trainable_variables)
        return loss, tf.reduce_mean(tf.cast(tf.argmax(logits, 1) == labels, tf.float32))

    train_step = replicas.compiled(train_step, config.xla)
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
        best = meta.get("best", 0.0)
        for epoch in range(meta.get("epoch", 0), config.epochs):
            measured, skip, within = list(within), len(within), []
            loading, begin = 0.0, time.perf_counter()
            rng = np.random.default_rng((config.seed, 3, epoch))
            progress = tqdm(
                batches.batches(train_rows, config.batch_size, config.seed, epoch),
                f"epoch {epoch + 1}/{config.epochs}",
                steps,
                leave=False,
                disable=None if run else True,
            )
            for i, rows in enumerate(progress):
                step = epoch * steps + i
                ready = time.perf_counter()
                points = clouds.points[rows]
                if config.rotate or config.jitter:
                    points = batches.augment(points, rng, config.rotate, config.jitter)
                if i < skip:  # done before the stop; what it drew is drawn again
                    continue
                if run and run.stopping:
                    run.leave(get_state(net, optimizer), {"epoch": epoch, "step": step, "best": best}, measured)
                points, labels = replicas.spread(points, clouds.labels[rows])
                loading += time.perf_counter() - ready
                lr = schedules.learning_rate(config, step, config.epochs * steps)
                optimizer.learning_rate.assign(lr)
                set_momentum(net, schedules.bn_momentum(step * config.batch_size, config.bn_decay_samples))
                loss, share = train_step(points, labels)
                measured.append((finite(float(loss), "the loss", step), float(share)))
                progress.set_postfix(loss=f"{measured[-1][0]:.3f}")
            if not run:
                continue
            seconds = time.perf_counter() - begin
            losses, right = zip(*measured, strict=True)
            values = {"loss": np.mean(losses), "train_accuracy": np.mean(right), "lr": lr}
            judged, words = 0.0, ""
            if len(held_out):
                judged = values["held_out_accuracy"] = accuracy(
                    net, clouds.points[held_out], clouds.labels[held_out], config.batch_size
                )
                words = f"held out {judged:.3f}  "
            took = 1e3 / (steps - skip)
            timing = {"step_ms": took * seconds, "data_ms": took * loading}
            run.log(step + 1, {k: round(float(v), 6) for k, v in values.items()}, timing)
            print(
                f"epoch {epoch + 1}/{config.epochs}  loss {values['loss']:.3f}  train {values['train_accuracy']:.3f}  "
                f"{words}{timing['step_ms']:.0f} ms a step, {timing['data_ms']:.1f} of them data",
                flush=True,
            )
            is_best = judged > best
            best = max(best, judged)
            meta = {"epoch": epoch + 1, "step": step + 1, "best": best, "names": list(clouds.names)}
            run.checkpoint(get_state(net, optimizer), meta, is_best, done=epoch + 1 == config.epochs)


if __name__ == "__main__":
    main(train, Config, __doc__)
