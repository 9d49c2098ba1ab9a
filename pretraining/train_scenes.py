"""Train a network that finds the classes of a room's points, from random or pre-trained weights.

    python pretraining/train_scenes.py --config pretraining/configs/quick.yaml \\
        --pretrained results/points --out results/scenes

PointNet and DGCNN learn from columns of the rooms, SR-UNet (--backbone srunet) from the voxels of
whole rooms. After the last epoch all points of whole test rooms are scored, each once, and for
SR-UNet the voxels too (scores.json), and a few rooms are kept for a picture (gallery.npz); of
PointNet's blocks in HDF5, which are no whole rooms, the blocks' points are scored. Several
processes share each batch, as in train_images.py's; of SR-UNet the loss and the batch norms'
statistics are then means over the processes, each of its own voxels.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

import finetune
import scenes
import scores
import segmentation
from backbones import OF_SCENES, VoxelConfig, build_trunk
from finetune import FineTuneConfig
from learning import training_step
from samplenet.data import batches, blocks
from samplenet.errors import InputError
from samplenet.runs import schedules
from samplenet.runs.script import main
from samplenet.runs.settings import option
from samplenet.runs.training import Training
from samplenet.torch import processes
from samplenet.torch.state import State
from scene_augmentation import AUGMENTATIONS


@dataclass
class Config(VoxelConfig, FineTuneConfig):
    """The defaults are the published settings of PointNet, but for the network and the test.

    Nor has Adam the published weight decay, 1e-4.
    """

    data_root: str | None = option(
        None,
        "folder of S3DIS rooms (.npy, .ply) or blocks (.h5), or of ScanNet; default: generated "
        "rooms",
        path=True,
    )
    test_area: int = option(5, "S3DIS: area that is tested", at_least=1, at_most=6)
    rooms: int = option(
        100, "generated rooms for training (and 2 test rooms for every 5)", at_least=1
    )
    room_points: int = option(20_000, "points of a generated room", at_least=1)
    num_points: int = option(4096, "points of a block, N", at_least=1)
    backbone: str = option("pointnet", "point network", choices=OF_SCENES)
    augmentation: str = option(
        "none", "SR-UNet: 'scene', other poses, shapes and colours", choices=AUGMENTATIONS
    )
    network: str = option(
        "trunk", "'trunk', whole, with a head; or 'published'", choices=segmentation.NETWORKS
    )
    batch_size: int = 24
    epochs: int = 100
    lr_decay: float = 0.5


def build(config: Config, classes: int) -> nn.Module:
    """Build the network that the settings describe, with its first weights."""
    if config.backbone == "srunet":
        return segmentation.SRUNetScenes(build_trunk(config), classes)
    if config.network == "trunk":
        return segmentation.OnTrunk(build_trunk(config), classes, blocks.FEATURES)
    if config.backbone == "pointnet":
        return segmentation.PointNetScenes(classes)
    return segmentation.DGCNNScenes(classes, config.k)


def train(config: Config) -> None:
    torch.manual_seed(config.seed)
    voxels = config.backbone == "srunet"
    if config.augmentation != "none" and not voxels:
        raise InputError("--augmentation scene is of whole rooms: give --backbone srunet")
    scenes.check_test(config)
    data = scenes.WholeRooms(config) if voxels else scenes.Blocks(config)
    rows = np.arange(len(data))
    total = config.epochs * batches.steps_per_epoch(rows, config.batch_size)
    net = build(config, len(data.classes))
    restored = finetune.start(net, config)
    with processes.start(config.device, config.batch_size, config.deterministic) as peers:
        net = net.to(peers.device)
        optimizer = finetune.optimizer(net, config)
        learner = finetune.Learner(net, config, peers.count)
        train_step = training_step(learner, optimizer, peers, config, data.one_size)

        def load(step, rows):
            return data.batch(step, rows.cpu().numpy(), peers.device)

        start = config.pretrained or ""
        with Training(config, peers, State(net, optimizer), start) as training:
            for epoch in training.epochs():
                order = batches.of_epoch(rows, config.batch_size, config.seed, epoch)
                for step, batch in training.steps(peers.part(order), load):
                    lr = schedules.learning_rate(config, step, total)
                    optimizer.param_groups[0]["lr"].fill_(lr)
                    training.add(train_step(*batch))
                if training.last:
                    found, n, gallery = data.score(net, peers.device)
                    scores.write_gallery(training.run.folder, gallery)
                    method = finetune.method(config, "scenes", labels="all")
                    scores.write(training.run.folder, method, config.seed, restored, n, found)
                training.end_epoch(("loss", "train_accuracy"), lr=lr)


if __name__ == "__main__":
    main(train, Config, __doc__)
