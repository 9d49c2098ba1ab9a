"""Train the task network: PCRNet on pairs of one class of ModelNet40 or of the built-in shapes.

    python registration/train_pcrnet.py --config registration/configs/quick.yaml \\
        --out results/pcrnet

Several processes share each batch:

    torchrun --standalone --local-addr localhost --nproc-per-node 2 registration/train_pcrnet.py ...
"""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import rigid
from pairs import Pairs, load_class, make
from pcrnet import INITS, PCRNet, initialise_he, task_loss
from samplenet.data import batches
from samplenet.runs import schedules
from samplenet.runs.script import main
from samplenet.runs.settings import DataConfig, option
from samplenet.runs.training import Training
from samplenet.torch import capture, processes
from samplenet.torch.settings import DeviceConfig
from samplenet.torch.state import State


@dataclass
class Config(DeviceConfig, DataConfig):
    """The defaults are the published settings."""

    batch_size: int = option(32, "pairs a step, B", at_least=1)  # no batch norm, so 1 will do
    class_name: str = option("car", "class whose clouds are registered")
    pairs: int = option(5000, "pairs drawn by --seed, the held-out ones included", at_least=1)
    noise: float = option(
        0.0, "standard deviation of noise on the source, relative to the longest side", at_least=0
    )
    translation: bool = option(False, "move the source clouds as well, and learn by how much")
    independent: bool = option(False, "sample source and template from the surface independently")
    iterations: int = option(1, "passes that refine the estimate", at_least=1)
    init: str = option(
        "default", "first weights: PyTorch's own, as published, or 'he' (short runs)", choices=INITS
    )
    epochs: int = 500
    lr: float = 1e-3
    hold_out: float = option(0.1, "share of the training set that is held out", at_least=0, below=1)


def make_pairs(config: Config) -> tuple[Pairs, Pairs]:
    """Make the pairs to train on and the held-out ones; the two share no cloud and no rotation."""
    needed = config.num_points * (2 if config.independent else 1)
    clouds = load_class(
        config.data_root, config.class_name, "train", needed, config.shapes_per_class
    )
    rows, held_out = batches.hold_out(clouds, config.hold_out, config.seed)
    held_out_count = round(config.pairs * len(held_out) / len(clouds))
    count = config.pairs - held_out_count
    draw = functools.partial(
        make,
        num_points=config.num_points,
        seed=config.seed,
        noise=config.noise,
        translation=config.translation,
        independent=config.independent,
    )
    pairs = draw(clouds[rows], count=count)
    return pairs, draw(clouds[held_out], count=held_out_count, first=count)


def build(config: Config) -> PCRNet:
    """Build the network that the settings describe, with its first weights."""
    net = PCRNet(iterations=config.iterations, translation=config.translation)
    if config.init == "he":
        initialise_he(net)
    return net


@torch.no_grad()
def rotation_errors(net: PCRNet, pairs: Pairs, batch_size: int) -> Tensor:
    """Measure the geodesic angle in degrees between estimated and true rotations, (P,)."""
    errors = []
    for start in range(0, len(pairs.template), batch_size):
        batch = pairs.rows(slice(start, start + batch_size))
        twist, _ = net(batch.template, batch.source)
        errors.append(rigid.angle_between(twist[:, :4], batch.quaternion))
    return torch.cat(errors)


def train(config: Config) -> None:
    torch.manual_seed(config.seed)
    pairs, held_out = make_pairs(config)
    rows = np.arange(len(pairs.template))
    total = config.epochs * batches.steps_per_epoch(rows, config.batch_size)
    with processes.start(config.device, config.batch_size, config.deterministic) as peers:
        net = build(config).to(peers.device)
        optimizer = capture.adam(net, config.lr)
        model = peers.parallel(net)
        model = torch.compile(model) if config.compile else model
        pairs, held_out = pairs.to(peers.device), held_out.to(peers.device)

        def train_step(template, source, quaternion, translation):
            optimizer.zero_grad()
            with torch.autocast(peers.device.type, torch.bfloat16, enabled=config.amp):
                twist, _ = model(template, source)
            shift = translation if config.translation else None
            loss = task_loss(twist, template, source, quaternion, shift)
            loss.backward()
            optimizer.step()
            return loss.detach()

        train_step = capture.captured(train_step, optimizer, peers, config)

        def load(step, rows):
            return pairs.rows(rows)

        with Training(config, peers, State(net, optimizer)) as training:
            for epoch in training.epochs():
                order = batches.of_epoch(rows, config.batch_size, config.seed, epoch)
                for step, batch in training.steps(peers.part(order), load):
                    lr = schedules.learning_rate(config, step, total)
                    optimizer.param_groups[0]["lr"].fill_(lr)
                    training.add(train_step(*batch))
                held_out_scores = {}
                if training.judging and len(held_out.template):
                    errors = rotation_errors(net, held_out, config.batch_size)
                    held_out_scores["held_out_rotation_error_deg"] = errors.mean()
                training.end_epoch(("loss",), lr=lr, **held_out_scores)


if __name__ == "__main__":
    main(train, Config, __doc__)
