"""Train SampleNet (or S-NET with --no-projection) in front of a frozen, trained classifier.

    python classification/train_samplenet.py --config classification/configs/quick.yaml \\
        --task results/classifier --sample-sizes 32 --out results/samplenet-32

Several sizes (--sample-sizes 8 16 32 --gamma 0.5 --delta 0.0333333, as published) train SampleNet-Progressive, or
ProgressiveNet: one sampler whose first c points serve every size c.

The clouds are those that the classifier was trained on.
"""

from dataclasses import dataclass

import samplenet.quiet_tensorflow  # noqa: F401

import keras
import numpy as np
import tensorflow as tf

import pointnet
from samplenet import weights
from samplenet.data import batches, modelnet40
from samplenet.errors import InputError
from samplenet.ops.tf import fan_out
from samplenet.runs import schedules
from samplenet.runs.script import main
from samplenet.runs.settings import RunConfig, option
from samplenet.runs.training import Training
from samplenet.sampled import in_order, largest_size
from samplenet.tf import SampleNet, projection_loss, set_momentum, simplification_loss
from samplenet.tf.replicas import Replicas
from samplenet.tf.state import State
from train_classifier import accuracy


@dataclass
class Config(RunConfig):
    """The defaults are the published settings."""

    task: str = option(
        "",
        "run folder of the trained classifier; its data settings are the sampler's too",
        path=True,
    )
    data_root: str | None = option(
        None, "where the classifier's data set lies now, if it has moved", path=True
    )
    sample_sizes: list[int] = option(
        [32], "sample size m; several: a progressive sampler", at_least=1
    )
    over_sizes: str = option("sum", "reduction of several sizes' losses", choices=("sum", "mean"))
    projection: bool = option(
        True, "soft projection while training; without it the sampler is S-NET"
    )
    k: int = option(7, "neighbours of the soft projection", at_least=1)
    alpha: float = option(30.0, "weight of the simplification loss", at_least=0)
    lmbda: float = option(1.0, "weight of the projection loss", at_least=0)
    beta: float = option(
        1.0, "the simplification loss's weight of the largest distance", at_least=0
    )
    gamma: float = option(1.0, "its weight of the coverage of the input", at_least=0)
    delta: float = option(
        0.0, "its further weight of the coverage for each sampled point", at_least=0
    )
    output_batch_norm: bool = option(
        True, "batch norm after the sampler's last layer, as published"
    )
    epochs: int = 500
    lr: float = 1e-2
    lr_decay: float = 0.7
    lr_decay_samples: int = 600_000
    bn_decay_samples: int = option(
        600_000, "clouds between the steps of the batch norm momentum", at_least=1
    )


def build(config: Config, num_points: int) -> SampleNet:
    """Build the sampler that the settings describe, for clouds of `num_points`."""
    m = largest_size(config.sample_sizes, num_points, "the classifier's N")
    if config.projection and config.k > num_points:
        raise InputError(
            f"--k must be in [1, N] = [1, {num_points}], the classifier's points, got {config.k}"
        )
    sampler = SampleNet(
        m,
        config.k,
        projection=config.projection,
        output_batch_norm=config.output_batch_norm,
        name="sampler",
    )
    sampler(np.zeros((1, num_points, 3), np.float32))
    return sampler


def train(config: Config) -> None:
    peers = Replicas(config.batch_size)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    with peers.scope():
        net, names, task_config = pointnet.load_task(config.task)
        keras.utils.set_random_seed(
            config.seed
        )  # here: the sampler's first weights are the same before any network
        sampler = build(config, task_config.num_points)
        optimizer = keras.optimizers.Adam(config.lr)
        optimizer.build(
            sampler.trainable_variables
        )  # now: a continued run restores its state before a step
    folder = batches.open_set(
        config.data_root or task_config.data_root, task_config.shapes_per_class
    )
    clouds = modelnet40.load(folder, "train", task_config.num_points)
    if list(clouds.names) != names:
        raise InputError(f"--task {config.task} was trained on other classes than {folder} has")
    # the classifier's own split: no network was trained on what is held out
    rows, held_out = batches.hold_out(clouds, task_config.hold_out, task_config.seed)
    total = config.epochs * batches.steps_per_epoch(rows, config.batch_size)
    sizes = config.sample_sizes
    weight = 1 / len(sizes) if config.over_sizes == "mean" else 1.0  # of one size's losses

    @peers.compiled
    def train_step(points, labels):
        with tf.GradientTape() as tape:
            sampled = sampler(points, training=True)
            samples, queries = (
                fan_out(sampled.points, len(sizes)),
                fan_out(sampled.queries, len(sizes)),
            )
            of_sizes = []
            for m, sample, simplified in zip(sizes, samples, queries, strict=True):
                task, logits = pointnet.task_loss(net, sample[:, :m], labels, training=False)
                simplify = simplification_loss(
                    simplified[:, :m], points, config.beta, config.gamma, config.delta
                )
                right = tf.reduce_mean(tf.cast(tf.argmax(logits, 1) == labels, tf.float32))
                of_sizes.append([task, simplify, right])
            task, simplify, right = tf.unstack(
                tf.reduce_sum(of_sizes, 0) * [weight, weight, 1 / len(sizes)]
            )
            project = projection_loss(sampler)
            loss = task + config.alpha * simplify + config.lmbda * project
            share_of_loss = loss / peers.count  # devices add their gradients
        optimizer.apply(
            tape.gradient(share_of_loss, sampler.trainable_variables), sampler.trainable_variables
        )
        return tf.stack([loss, task, simplify, project, right])

    def load(step, rows):
        return peers.spread(clouds.points[rows], clouds.labels[rows])

    def matched_accuracy():
        matched = in_order(sampler, clouds.points[held_out], max(sizes), config.batch_size)
        labels = clouds.labels[held_out]
        return np.mean([accuracy(net, matched[:, :m], labels, config.batch_size) for m in sizes])

    parts = ("loss", "task_loss", "simplification_loss", "projection_loss", "soft_accuracy")
    with Training(config, peers, State(sampler, optimizer), config.task) as training:
        for epoch in training.epochs():
            order = batches.of_epoch(rows, config.batch_size, config.seed, epoch)
            for step, (points, labels) in training.steps(order, load):
                lr = schedules.learning_rate(config, step, total)
                optimizer.learning_rate.assign(lr)
                set_momentum(
                    sampler,
                    schedules.bn_momentum(step * config.batch_size, config.bn_decay_samples),
                )
                training.add(train_step(points, labels))
            judged = (
                {"held_out_accuracy": matched_accuracy()}
                if training.judging and len(held_out)
                else {}
            )
            if training.last:  # for samplenet.load_pretrained
                about = {
                    "sizes": sizes,
                    "num_points": task_config.num_points,
                    "normalisation": "unit_sphere",
                }
                weights.save(sampler, training.run.folder / "sampler.safetensors", about)
            training.end_epoch(parts, lr=lr, **judged)


if __name__ == "__main__":
    main(train, Config, __doc__)
