"""Train a network that finds the parts of a cloud, from random or pre-trained weights.

    python pretraining/train_parts.py --config pretraining/configs/quick.yaml \\
        --pretrained results/points --out results/parts

The category of a cloud is known, and only its parts are compared when the test set is scored, once,
after the last epoch (scores.json). Several processes share each batch, as in train_images.py's.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

import finetune
import scores
import segmentation
from backbones import build_trunk
from finetune import FineTuneConfig
from labelled import amount, few_rows
from learning import training_step
from samplenet.data import batches, parts, shapes
from samplenet.data.parts import PartClouds
from samplenet.runs import schedules
from samplenet.runs.script import main
from samplenet.runs.settings import DataConfig, option
from samplenet.runs.training import Training
from samplenet.torch import processes
from samplenet.torch.state import State


@dataclass
class Config(FineTuneConfig, DataConfig):
    """The defaults are the published settings of PointNet, but for the network."""

    data_root: str | None = option(
        None, "ShapeNetPart's folder hdf5_data; default: the built-in shapes", path=True
    )
    classes: list[str] = option([*shapes.CLASSES], "built-in classes", filled=True)
    num_points: int = option(2048, "points used of each cloud, N", at_least=1)
    labels_per_class: int | None = option(
        None, "training clouds of each category, chosen by --seed; default: all", at_least=1
    )
    network: str = option(
        "trunk", "'trunk', whole, with a head; or 'published'", choices=segmentation.NETWORKS
    )
    epochs: int = 200


def open_parts(config: Config, split: str) -> PartClouds:
    """Read one split of the data set in the settings, "train" or "test"."""
    if config.data_root is not None:
        return parts.load(config.data_root, split, config.num_points)
    return parts.built_in(split, config.num_points, config.classes, config.shapes_per_class)


def build(config: Config, clouds: PartClouds) -> nn.Module:
    """Build the network that the settings describe, with its first weights."""
    outputs, categories = clouds.num_parts, len(clouds.names)
    if config.network == "trunk":
        return segmentation.OnTrunk(build_trunk(config), outputs, categories)
    if config.backbone == "pointnet":
        return segmentation.PointNetParts(outputs, categories)
    return segmentation.DGCNNParts(outputs, categories, config.k)


def score(net: nn.Module, clouds: PartClouds, batch_size: int, device) -> dict[str, float]:
    """Score the most likely of each category's own parts."""
    points = torch.from_numpy(clouds.points).to(device)
    logits = finetune.predict(net, batch_size, points, categories_of(clouds, device))
    logits = logits.cpu().numpy()  # (n, N, outputs)
    own = np.zeros((len(clouds.names), clouds.num_parts), bool)
    for label, numbers in enumerate(clouds.parts_of):
        own[label, numbers] = True
    logits[~np.broadcast_to(own[clouds.labels][:, None], logits.shape)] = -np.inf
    return scores.of_parts(logits.argmax(2), clouds)


def categories_of(clouds: PartClouds, device) -> Tensor:
    """Return the clouds' categories (n, categories) as ones and zeros."""
    return torch.from_numpy(np.eye(len(clouds.names), dtype=np.float32)[clouds.labels]).to(device)


def train(config: Config) -> None:
    torch.manual_seed(config.seed)
    clouds, test = open_parts(config, "train"), open_parts(config, "test")
    rows = few_rows(clouds.labels, config.labels_per_class, config.seed)
    total = config.epochs * batches.steps_per_epoch(rows, config.batch_size)
    net = build(config, clouds)
    restored = finetune.start(net, config)
    with processes.start(config.device, config.batch_size, config.deterministic) as peers:
        net = net.to(peers.device)
        optimizer = finetune.optimizer(net, config)
        learner = finetune.Learner(net, config, peers.count)
        train_step = training_step(learner, optimizer, peers, config)
        labels = torch.from_numpy(clouds.parts).to(peers.device)
        categories = categories_of(clouds, peers.device)

        def load(step, rows):
            own = rows.tolist()
            points = finetune.augmented(clouds.points[own], own, config, step)
            return labels[rows], torch.from_numpy(points).to(peers.device), categories[rows]

        start = config.pretrained or ""
        with Training(config, peers, State(net, optimizer), start) as training:
            for epoch in training.epochs():
                order = batches.of_epoch(rows, config.batch_size, config.seed, epoch)
                for step, batch in training.steps(peers.part(order), load):
                    lr = schedules.learning_rate(config, step, total)
                    optimizer.param_groups[0]["lr"].fill_(lr)
                    training.add(train_step(*batch))
                if training.last:
                    found = score(net, test, config.batch_size, peers.device)
                    method = finetune.method(
                        config, "parts", labels=amount(config.labels_per_class)
                    )
                    folder = training.run.folder
                    scores.write(folder, method, config.seed, restored, len(test), found)
                training.end_epoch(("loss", "train_accuracy"), lr=lr)


if __name__ == "__main__":
    main(train, Config, __doc__)
