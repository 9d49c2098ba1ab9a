"""Train the task network: an autoencoder of four classes of ShapeNet or of the built-in shapes.

python reconstruction/train_autoencoder.py --config reconstruction/configs/quick.yaml --out results/autoencoder
"""

import time
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

import autoencoder
from samplenet import config as configs
from samplenet import schedules
from samplenet.config import DataConfig, option
from samplenet.data import clouds as data
from samplenet.data import shapes
from samplenet.data.modelnet40 import Clouds
from samplenet.errors import InputError
from samplenet.run import Run, finite, main
from samplenet.tf.state import get_state, set_state


@dataclass
class Config(DataConfig):
    """The defaults are the published settings."""

    batch_size: int = option(50, "clouds a step, B")
    num_points: int = option(2048, "points of each cloud that are used and reconstructed, N")
    shapes_per_class: int = option(200, "built-in shapes a class: 85 % train, 5 % validate, 10 % test")
    classes: list[str] = option(["chair", "table", "car", "airplane"], "classes that are reconstructed")
    loss: str = option("chamfer", "distance to the reconstruction: 'chamfer' (published) or 'emd' (approximate, slow)")
    epochs: int = option(500, "passes over the training set")
    lr: float = option(5e-4, "Adam's first learning rate")
    lr_schedule: str = option("step", "'step' (published, with a factor of 1: constant) or 'cosine' (short runs)")
    lr_decay: float = option(1.0, "factor of the step schedule")
    lr_decay_samples: int = option(200_000, "clouds between its steps")


def check(config: Config) -> None:
    """InputError for settings out of their range."""
    configs.at_least(config, num_points=1, batch_size=2, epochs=1, lr=0, seed=0, shapes_per_class=10)
    configs.at_least(config, lr_decay=0, lr_decay_samples=1)
    configs.at_most(config, seed=2**32 - 1)
    configs.one_of(config, loss=autoencoder.DISTANCES, lr_schedule=schedules.SCHEDULES)


def open_clouds(config: Config, split: str) -> Clouds:
    """The clouds of one split, "train", "val" or "test": of --data-root, or built-in shapes."""
    if config.data_root is not None:
        raise InputError("--data-root is not read yet; leave it out for the built-in shapes")
    ends = [config.shapes_per_class * percent // 100 for percent in (0, 85, 90, 100)]
    first = ("train", "val", "test").index(split)
    ids = [(name, i) for name in config.classes for i in range(*ends[first : first + 2])]
    points = [shapes.generate(name, i)[: config.num_points] for name, i in ids]
    labels = np.array([config.classes.index(name) for name, _ in ids])
    return Clouds(np.stack(points), labels, tuple(config.classes), [f"{name}_{i:04d}" for name, i in ids])


def train(config: Config) -> None:
    check(config)
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    clouds, validation = (open_clouds(config, split).points for split in ("train", "val"))
    train_rows = np.arange(len(clouds))
    steps = data.steps_per_epoch(train_rows, config.batch_size)
    net = autoencoder.build(config.num_points)
    optimizer = keras.optimizers.Adam(config.lr)
    optimizer.build(net.trainable_variables)

    @tf.function
    def train_step(points):
        with tf.GradientTape() as tape:
            loss = autoencoder.task_loss(net(points, training=True), points, config.loss)
        optimizer.apply(tape.gradient(loss, net.trainable_variables), net.trainable_variables)
        return loss

    with Run(config.out, config) as run:
        if run.done:
            print(f"{run.folder} is finished")
            return
        if run.arrays:
            set_state(net, run.arrays, optimizer, run.path("last"))
        best = run.meta.get("best")
        for epoch in range(run.meta.get("epoch", 0), config.epochs):
            losses, loading, begin = [], 0.0, time.perf_counter()
            progress = tqdm(
                data.batches(train_rows, config.batch_size, config.seed, epoch),
                f"epoch {epoch + 1}/{config.epochs}",
                steps,
                leave=False,
                disable=None,
            )
            for i, rows in enumerate(progress):
                step = epoch * steps + i
                ready = time.perf_counter()
                points = tf.constant(clouds[rows])
                loading += time.perf_counter() - ready
                lr = schedules.learning_rate(config, step, config.epochs * steps)
                optimizer.learning_rate.assign(lr)
                losses.append(finite(float(train_step(points)), "the loss", step))
                progress.set_postfix(loss=f"{losses[-1]:.5f}")
            seconds = time.perf_counter() - begin
            judged = float(autoencoder.errors(net, validation, config.batch_size, config.loss).mean())
            finite(judged, "the validation error", step)
            values = {f"train_{config.loss}": np.mean(losses), f"validation_{config.loss}": judged, "lr": lr}
            timing = {"step_ms": 1e3 * seconds / steps, "data_ms": 1e3 * loading / steps}
            run.log(step + 1, {k: round(float(v), 9) for k, v in values.items()}, timing)
            print(
                f"epoch {epoch + 1}/{config.epochs}  {config.loss}: train {np.mean(losses):.5f}  "
                f"validation {judged:.5f}  {timing['step_ms']:.0f} ms a step, {timing['data_ms']:.1f} of them data",
                flush=True,
            )
            is_best = best is None or judged < best
            best = judged if is_best else best
            meta = {"epoch": epoch + 1, "step": step + 1, "best": best, "names": list(config.classes)}
            run.checkpoint(get_state(net, optimizer), meta, is_best, done=epoch + 1 == config.epochs)


if __name__ == "__main__":
    main(lambda: train(configs.load(Config, description=__doc__.splitlines()[0])))
