"""Train SampleNet (or S-NET with --no-projection) in front of a frozen, trained autoencoder.

    python reconstruction/train_samplenet.py --config reconstruction/configs/quick.yaml \\
        --task results/autoencoder --sample-sizes 64 --out results/samplenet-64

Several sizes (--sample-sizes 16 32 64) train SampleNet-Progressive, or ProgressiveNet: one sampler whose first c points
serve every size c.

The clouds are those that the autoencoder was trained on, and its loss is the task loss: the distance of the full input
to what the autoencoder makes of the sample.
"""

from dataclasses import dataclass

import samplenet.quiet_tensorflow  # noqa: F401

import keras
import numpy as np
import tensorflow as tf

import autoencoder
from samplenet import weights
from samplenet.data import batches
from samplenet.errors import InputError
from samplenet.ops.tf import fan_out
from samplenet.runs import schedules
from samplenet.runs.script import main
from samplenet.runs.settings import RunConfig, option
from samplenet.runs.training import Training
from samplenet.sampled import in_order, largest_size
from samplenet.tf import SampleNet, projection_loss, simplification_loss
from samplenet.tf.replicas import Replicas
from samplenet.tf.state import State


@dataclass
class Config(RunConfig):
    """The defaults are the published settings."""

    batch_size: int = 50
    task: str = option(
        "",
        "run folder of the trained autoencoder; its data settings are the sampler's too",
        path=True,
    )
    data_root: str | None = option(
        None,
        "where the autoencoder's data set lies now, if it has moved (for a new run)",
        path=True,
    )
    sample_sizes: list[int] = option(
        [64], "sample size m; several: a progressive sampler", at_least=1
    )
    over_sizes: str = option("mean", "reduction of several sizes' losses", choices=("sum", "mean"))
    projection: bool = option(
        True, "soft projection while training; without it the sampler is S-NET"
    )
    k: int = option(16, "neighbours of the soft projection", at_least=1)
    min_sigma: float = option(1e-4, "least squared temperature of the soft projection", at_least=0)
    alpha: float = option(0.01, "weight of the simplification loss", at_least=0)
    lmbda: float = option(1e-4, "weight of the projection loss", at_least=0)
    beta: float = option(
        1.0, "the simplification loss's weight of the largest distance", at_least=0
    )
    gamma: float = option(0.0, "its weight of the coverage of the input", at_least=0)
    delta: float = option(
        1 / 64, "its further weight of the coverage for each sampled point", at_least=0
    )
    epochs: int = 400
    lr: float = 5e-4


def build(config: Config, num_points: int) -> SampleNet:
    """Build the sampler that the settings describe, for clouds of `num_points`."""
    m = largest_size(config.sample_sizes, num_points, "the autoencoder's N")
    if config.projection and config.k > num_points:
        raise InputError(
            f"--k must be in [1, N] = [1, {num_points}], the autoencoder's points, got {config.k}"
        )
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


def losses(
    config: Config, sampler: SampleNet, net: autoencoder.Autoencoder, points, task_loss: str
) -> tf.Tensor:
    """Compute a batch's loss and its parts, task, simplification and projection: (B, N, 3) -> (4,).

    Differs from the released code, whose frozen autoencoder normalises by the statistics of each batch: here by those
    it has stored, as in the other two tasks.
    """
    sampled, sizes = sampler(points, training=True), config.sample_sizes
    weight = 1 / len(sizes) if config.over_sizes == "mean" else 1.0  # of one size's losses
    samples, queries = fan_out(sampled.points, len(sizes)), fan_out(sampled.queries, len(sizes))
    of_sizes = []
    for m, sample, simplified in zip(sizes, samples, queries, strict=True):
        task = autoencoder.task_loss(net(sample[:, :m], training=False), points, task_loss)
        simplify = simplification_loss(
            simplified[:, :m], points, config.beta, config.gamma, config.delta
        )
        of_sizes.append([task, simplify])
    task, simplify = tf.unstack(weight * tf.reduce_sum(of_sizes, 0))
    project = projection_loss(sampler)
    return tf.stack(
        [task + config.alpha * simplify + config.lmbda * project, task, simplify, project]
    )


def train(config: Config) -> None:
    peers = Replicas(config.batch_size)
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    with peers.scope():
        net, task_config = autoencoder.load_task(config.task)
        sampler = build(config, task_config.num_points)
        optimizer = keras.optimizers.Adam(config.lr)
        optimizer.build(
            sampler.trainable_variables
        )  # now: a continued run restores its state before a step
    task_config.data_root = config.data_root or task_config.data_root
    clouds, validation = (
        autoencoder.open_clouds(task_config, split).points for split in ("train", "val")
    )
    rows, sizes = np.arange(len(clouds)), config.sample_sizes
    total = config.epochs * batches.steps_per_epoch(rows, config.batch_size)

    @peers.compiled
    def train_step(points):
        with tf.GradientTape() as tape:
            parts = losses(config, sampler, net, points, task_config.loss)
            share_of_loss = parts[0] / peers.count  # devices add their gradients
        optimizer.apply(
            tape.gradient(share_of_loss, sampler.trainable_variables), sampler.trainable_variables
        )
        return parts

    def load(step, rows):
        return peers.spread(clouds[rows])

    def errors(samples=None):
        """Reconstruction errors of the validation clouds, (n,), from their samples or from all points."""
        return autoencoder.errors(net, validation, config.batch_size, task_config.loss, samples)

    parts = ("loss", "task_loss", "simplification_loss", "projection_loss")
    with Training(config, peers, State(sampler, optimizer), config.task) as training:
        full_errors = errors() if training.run and not training.done else None
        for epoch in training.epochs():
            order = batches.of_epoch(rows, config.batch_size, config.seed, epoch)
            for step, (points,) in training.steps(order, load):
                lr = schedules.learning_rate(config, step, total)
                optimizer.learning_rate.assign(lr)
                training.add(train_step(points))
            judged = {}
            if training.judging:
                matched = in_order(sampler, validation, max(sizes), config.batch_size)
                matched_errors = np.mean([errors(matched[:, :m]) for m in sizes], 0)
                judged[f"validation_{task_config.loss}"] = matched_errors.mean()
                judged["validation_nre"] = np.mean(matched_errors / full_errors)
            if training.last:  # for samplenet.load_pretrained
                about = {
                    "sizes": sizes,
                    "num_points": task_config.num_points,
                    "normalisation": "box_diagonal",
                }
                weights.save(sampler, training.run.folder / "sampler.safetensors", about)
            training.end_epoch(parts, lr=lr, **judged)


if __name__ == "__main__":
    main(train, Config, __doc__)
