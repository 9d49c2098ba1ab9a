"""Train VoteNet to find the boxes of a room's objects, from random or pre-trained weights.

    python pretraining/train_detector.py --config pretraining/configs/quick.yaml --out results/boxes

After the last epoch the boxes found in the test rooms are scored (scores.json), and those of a few
rooms are kept for a picture (gallery.npz). Several processes share each batch, as in
train_images.py's.
"""

from dataclasses import dataclass

import numpy as np
import torch

import boxed_rooms
import boxes
import finetune
import scores
import seeds
from backbones import VoxelConfig
from detection_losses import MEASURED, Learner
from learning import training_step
from samplenet.data import batches, boxed
from samplenet.data.boxed import BoxedRooms
from samplenet.runs import schedules
from samplenet.runs.script import main
from samplenet.runs.settings import option
from samplenet.runs.training import Training
from samplenet.torch import capture, processes
from samplenet.torch.settings import DeviceConfig
from samplenet.torch.state import State
from votenet import VoteNet, detect

THRESHOLDS = {"map_25": 0.25, "map_50": 0.5}  # IoU of a box that is right, by metric
SURE = 0.5  # the least score of a box in the picture


@dataclass
class Config(DeviceConfig, VoxelConfig):
    """The defaults are the published settings for SUN RGB-D, with PointNet++."""

    data_root: str | None = option(
        None, "VoteNet's folder sunrgbd or scannet; default: generated rooms", path=True
    )
    rooms: int = option(
        100, "generated rooms for training (and 2 test rooms for every 5)", at_least=1
    )
    room_points: int = option(20_000, "points of a generated room", at_least=1)
    room_side: float = option(6.0, "generated rooms: longest side on the floor, metres", at_least=3)
    num_points: int = option(20_000, "points used of each room, N", at_least=16)
    backbone: str = option("pointnet2", "network that describes the seeds", choices=seeds.BACKBONES)
    pretrained: str | None = option(
        None, "run folder to start from; default: random weights", path=True
    )
    least_share: float = option(
        0.15, "share of the weights that --pretrained must restore", at_least=0, at_most=1
    )
    width: int = option(256, "features of a seed", at_least=8)
    ball_points: list[int] = option(
        [64, 32, 16, 16], "PointNet++: points of a ball, by level", at_least=1
    )
    num_seeds: int = option(1024, "points that vote", at_least=16)
    proposals: int = option(256, "boxes looked for in a room", at_least=1)
    bins: int = option(12, "bins of the heading, where boxes have one", at_least=1)
    batch_size: int = 8
    epochs: int = 180
    lr: float = 1e-3
    milestones: list[int] = option(
        [80, 120, 160], "epochs at which the step schedule divides the learning rate by 10"
    )


def learning_rate(config: Config, epoch: int, step: int, steps: int) -> float:
    """Compute the learning rate at a step; of the schedule "step" by the published milestones."""
    if config.lr_schedule != "step":
        return schedules.learning_rate(config, step, steps)
    return config.lr * 0.1 ** sum(epoch >= milestone for milestone in config.milestones)


def train(config: Config) -> None:
    torch.manual_seed(config.seed)
    seeds.check(config)
    rooms, test = (boxed_rooms.open_rooms(config, split) for split in ("train", "test"))
    rows = np.arange(len(rooms))
    total = config.epochs * batches.steps_per_epoch(rows, config.batch_size)
    sizes = torch.from_numpy(boxed.mean_sizes(rooms))
    most = max(len(rooms.boxes(name)[0]) for name in rooms.names)
    trunk, inputs = seeds.build(config)
    bins = config.bins if rooms.turned else 1
    net = VoteNet(trunk, inputs, config.width, config.num_seeds, sizes, bins, config.proposals)
    restored = finetune.start(net, config)
    with processes.start(config.device, config.batch_size, config.deterministic) as peers:
        net = net.to(peers.device)
        optimizer = capture.adam(net, config.lr)
        one_size = config.backbone != "srunet"  # whose rooms have other numbers of voxels
        train_step = training_step(Learner(net), optimizer, peers, config, one_size)

        def load(step, rows):
            batch = boxed_rooms.training_batch(config, rooms, step, rows.tolist(), most)
            return tuple(array.to(peers.device) for array in batch)

        start = config.pretrained or ""
        with Training(config, peers, State(net, optimizer), start) as training:
            for epoch in training.epochs():
                order = batches.of_epoch(rows, config.batch_size, config.seed, epoch)
                for step, batch in training.steps(peers.part(order), load):
                    lr = learning_rate(config, epoch, step, total)
                    optimizer.param_groups[0]["lr"].fill_(lr)
                    training.add(train_step(*batch))
                if training.last:
                    score(net, test, config, training.run.folder, restored)
                training.end_epoch(MEASURED, lr=lr)


def score(net: VoteNet, rooms: BoxedRooms, config: Config, folder, restored: float) -> None:
    """Score test rooms and write the scores, and the picture's arrays, into the run folder."""
    device = next(net.parameters()).device
    found, true, gallery = [], [], {}
    for row in range(len(rooms)):
        room = boxed_rooms.seen_in_test(config, rooms, row)
        found += detect(net, torch.from_numpy(room.points)[None].to(device))
        true.append(boxes.Labelled(room.boxes.astype(float), room.labels))
        if row < scores.SHOWN:
            sure = found[-1].boxes[found[-1].scores.max(1) > SURE]
            outlines = {"true": boxes.corners(true[-1].boxes), "found": boxes.corners(sure)}
            gallery |= {f"points_{row}": room.points}
            gallery |= {f"{name}_{row}": corners for name, corners in outlines.items()}
    means, of_classes = {}, {name: {} for name in rooms.classes}
    for metric, threshold in THRESHOLDS.items():
        areas = boxes.average_precision(found, true, threshold)
        means[metric] = np.nanmean(areas)
        for name, area in zip(rooms.classes, areas, strict=True):
            if not np.isnan(area):
                of_classes[name][metric] = area
    scores.write_gallery(folder, gallery)
    start = scores.start_of(config.pretrained or "")
    method = {"task": "detection", "start": start, "backbone": config.backbone, "labels": "all"}
    scores.write(folder, method, config.seed, restored, len(rooms), means, of_classes)


if __name__ == "__main__":
    main(train, Config, __doc__)
