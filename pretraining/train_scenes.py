"""Train a network that finds the classes of a room's points, from random or pre-trained weights.

    python pretraining/train_scenes.py --config pretraining/configs/quick.yaml \\
        --pretrained results/points --out results/scenes

It learns from columns of the rooms. After the last epoch all points of whole test rooms are scored,
each once (scores.json); of PointNet's blocks in HDF5, which are no whole rooms, the blocks' points.
Several processes share each batch, as in train_images.py's.
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
from learning import training_step
from samplenet.data import batches, blocks, rooms, s3dis
from samplenet.data.cameras import TO_BLENDER
from samplenet.errors import InputError
from samplenet.runs import schedules
from samplenet.runs.script import main
from samplenet.runs.settings import option
from samplenet.runs.streams import Stream, generator
from samplenet.runs.training import Training
from samplenet.torch import processes
from samplenet.torch.state import State


@dataclass
class Config(FineTuneConfig):
    """The defaults are the published settings of PointNet, but for the network and the test.

    Nor has Adam the published weight decay, 1e-4.
    """

    data_root: str | None = option(
        None, "folder of S3DIS rooms (.npy) or blocks (.h5); default: generated rooms", path=True
    )
    test_area: int = option(5, "S3DIS: area that is tested", at_least=1, at_most=6)
    rooms: int = option(
        100, "generated rooms for training (and 2 test rooms for every 5)", at_least=1
    )
    room_points: int = option(20_000, "points of a generated room", at_least=1)
    num_points: int = option(4096, "points of a block, N", at_least=1)
    network: str = option(
        "trunk", "'trunk', whole, with a head; or 'published'", choices=segmentation.NETWORKS
    )
    batch_size: int = 24
    epochs: int = 100
    lr_decay: float = 0.5


def open_rooms(config: Config, split: str) -> list[rooms.Room]:
    """Read or generate the rooms of one split, "train" or "test"."""
    if config.data_root is not None:
        return s3dis.load_rooms(config.data_root, split, config.test_area)
    count = config.rooms
    count = count if split == "train" else max(1, count * 2 // 5)
    return rooms.generated(count, split, config.room_points)


def open_blocks(config: Config, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features (K, N, 9) and labels (K, N) of blocks, and which points (K, N) count.

    For training they overlap. For the test they hold each point of a room; points that fill the
    last block of a column do not count.
    """
    if config.data_root is not None and s3dis.is_blocks(config.data_root):
        found = s3dis.load_blocks(config.data_root, split, config.test_area, config.num_points)
        return *found, np.ones(found[1].shape, bool)
    parts, counted = [], []
    for number, room in enumerate(open_rooms(config, split)):
        rng = generator(config.seed, Stream.BLOCKS, split == "test", number)
        cut = blocks.draw if split == "train" else blocks.cover
        parts.append(cut(room, config.num_points, rng))
        first = np.zeros(parts[-1].rows.size, bool)
        first[np.unique(parts[-1].rows, return_index=True)[1]] = True
        counted.append(first.reshape(parts[-1].rows.shape))
    features, labels, _ = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if not len(features):
        raise InputError("no column of a room has 100 points: give more, such as --room-points")
    return features, labels, np.concatenate(counted)


def build(config: Config, classes: int) -> nn.Module:
    """Build the network that the settings describe, with its first weights."""
    if config.network == "trunk":
        return segmentation.OnTrunk(build_trunk(config), classes, blocks.FEATURES)
    if config.backbone == "pointnet":
        return segmentation.PointNetScenes(classes)
    return segmentation.DGCNNScenes(classes, config.k)


def inputs(features: np.ndarray, device) -> tuple[Tensor, Tensor]:
    """Return the points (B, N, 3) of blocks (B, N, 9) as a trunk knows them, and the features.

    These points are y up, with mean 0 and largest norm 1, as those of pre-training.
    """
    features = torch.from_numpy(features)
    points = features[..., :3] @ torch.from_numpy(TO_BLENDER).float()  # z up to y up
    points = points - points.mean(1, keepdim=True)
    points = points / points.norm(dim=2).amax(1)[:, None, None].clamp(min=1e-6)
    return points.to(device), features.to(device)


def train(config: Config) -> None:
    torch.manual_seed(config.seed)
    features, labels, _ = open_blocks(config, "train")
    classes = rooms.CLASSES if config.data_root is None else s3dis.CLASSES
    rows = np.arange(len(features))
    total = config.epochs * batches.steps_per_epoch(rows, config.batch_size)
    net = build(config, len(classes))
    restored = finetune.start(net, config)
    with processes.start(config.device, config.batch_size, config.deterministic) as peers:
        net = net.to(peers.device)
        optimizer = finetune.optimizer(net, config)
        learner = finetune.Learner(net, config, peers.count)
        train_step = training_step(learner, optimizer, peers, config)
        labels = torch.from_numpy(labels)

        def load(step, rows):
            rows = rows.cpu()
            return labels[rows].to(peers.device), *inputs(features[rows.numpy()], peers.device)

        start = config.pretrained or ""
        with Training(config, peers, State(net, optimizer), start) as training:
            for epoch in training.epochs():
                order = batches.of_epoch(rows, config.batch_size, config.seed, epoch)
                for step, batch in training.steps(peers.part(order), load):
                    lr = schedules.learning_rate(config, step, total)
                    optimizer.param_groups[0]["lr"].fill_(lr)
                    training.add(train_step(*batch))
                if training.last:
                    counts, n = score(net, config, len(classes), peers.device)
                    method = finetune.method(config, "scenes", labels="all")
                    found = scores.of_scenes(counts)
                    scores.write(training.run.folder, method, config.seed, restored, n, found)
                training.end_epoch(("loss", "train_accuracy"), lr=lr)


def score(net: nn.Module, config: Config, classes: int, device) -> tuple[np.ndarray, int]:
    """Return the confusion (classes, classes) of all points of the test rooms, and their number."""
    features, labels, counted = open_blocks(config, "test")
    counts = np.zeros((classes, classes), np.int64)
    for first in range(0, len(features), config.batch_size):
        part = slice(first, first + config.batch_size)
        logits = finetune.predict(net, config.batch_size, *inputs(features[part], device))
        predicted, own = logits.argmax(2).cpu().numpy(), counted[part]
        counts += scores.confusion(predicted[own], labels[part][own], classes)
    return counts, int(counts.sum())


if __name__ == "__main__":
    main(train, Config, __doc__)
