"""Pre-train a point network by a frozen image network: points like pixels, clouds like views.

    python pretraining/train_points.py --config pretraining/configs/quick.yaml \\
        --images results/images --out results/points

By the point loss (--losses point) a point's features find those of the pixel that shows it, among
all pairs of the object; by the global loss (global) a cloud's features become those of the object's
views. Several processes share each batch, as in registration.

SR-UNet (--backbone srunet) learns from pairs of views of rooms: --rooms 30 --num-views 2, in both
trainings, or --frames-root.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from backbones import OF_SCENES, VoxelConfig, build_trunk
from heads import GlobalHead, PointHead
from learning import training_step
from losses import contrastive_loss, global_loss, transform_regulariser
from pixel_pairs import CHOICES, Objects, PairsConfig, choose, open_pairs
from resnet import ImageNetwork, PixelHead, load_images
from samplenet.data import batches
from samplenet.errors import InputError
from samplenet.ops import torch as ops
from samplenet.runs import schedules
from samplenet.runs.script import main
from samplenet.runs.settings import option
from samplenet.runs.streams import Stream, generator
from samplenet.runs.training import Training
from samplenet.torch import capture, processes
from samplenet.torch.settings import DeviceConfig
from samplenet.torch.state import State
from scene_augmentation import AUGMENTATIONS, augment

LOSSES = ("point", "global")


@dataclass
class Config(DeviceConfig, VoxelConfig, PairsConfig):
    """The defaults are the published settings."""

    images: str = option("", "run folder of the trained image network", path=True)
    backbone: str = option("pointnet", "network to pre-train", choices=OF_SCENES)
    augmentation: str = option(
        "none", "SR-UNet: 'scene', other poses, shapes and colours", choices=AUGMENTATIONS
    )
    transforms: bool = option(True, "PointNet: the two T-Nets")
    k: int = option(20, "DGCNN: neighbours of a point, itself included", at_least=1)
    losses: list[str] = option(
        [*LOSSES], "losses, besides PointNet's regulariser", choices=LOSSES, filled=True
    )
    temperature: float = option(0.5, "of the point loss", above=0)
    pairs: int = option(512, "pixel-point pairs of an object in a step", at_least=2)
    choose: str = option("random", "which pairs, see pixel_pairs.choose", choices=CHOICES)
    exclude_duplicates: bool = option(False, "a point in two pairs is no negative of itself")
    global_weight: float = option(1.0, "weight of the global loss", at_least=0)
    regulariser: float = option(0.001, "weight of PointNet's feature regulariser", at_least=0)
    image_mode: str = option(
        "eval",
        "frozen image network: 'eval'; or 'train', as released: batch statistics, no cache",
        choices=("eval", "train"),
    )
    epochs: int = 400
    lr: float = 1e-3
    lr_decay: float = 0.7
    lr_decay_samples: int = 196_500  # 20 epochs of ModelNet40


class Learner(nn.Module):
    """A point network, its heads, and the losses of a training step.

    Args:
        channels, outputs: of the image network's maps, and of its description of an object.
        size: pixels a side of the pictures.
        processes: that share a batch; their losses are averaged, and the regulariser is a sum.
    """

    def __init__(self, config: Config, channels: int, outputs: int, size: int, processes: int = 1):
        super().__init__()
        self.config, self.size, self.processes = config, size, processes
        self.trunk = build_trunk(config)
        if "point" in config.losses:
            self.point_head = PointHead(self.trunk.width, outputs)
            self.to_pixels = PixelHead(channels, outputs)
        if "global" in config.losses:
            self.global_head = GlobalHead(self.trunk.width, outputs)

    def forward(self, points: Tensor, pairs: Tensor, maps: Tensor, objects: Tensor):
        """Compute a batch's loss, and without gradient its parts.

        Args:
            points: (B, N, 3), or for SR-UNet (B, N, 6) with colours.
            pairs: (B, P, 4) of view, row, column and point.
            maps: (B, V, C, s, s), the image network's features of the views.
            objects: (B, outputs), its descriptions of the objects.
        """
        config, described = self.config, self.trunk(points)
        of_points = of_clouds = regulariser = points.new_zeros(())
        if "point" in config.losses:
            view, row, column, point = pairs.unbind(2)  # (B, P) each
            # of the points in pairs alone, whose statistics its batch norm has: half of the work.
            # Differs from the released code, which has the head see every point
            features = self.point_head(ops.gather(described.points, point))
            pixels = self.to_pixels(maps, view, row, column, self.size)
            ids = point if config.exclude_duplicates else None
            of_points = contrastive_loss(features, pixels, config.temperature, ids)
        if "global" in config.losses:
            of_clouds = global_loss(self.global_head(described.cloud), objects)
        if described.transform is not None:
            regulariser = self.processes * transform_regulariser(described.transform)
        loss = of_points + config.global_weight * of_clouds + config.regulariser * regulariser
        return loss, torch.stack([loss, of_points, of_clouds, regulariser]).detach()


@torch.no_grad()
def look(net: ImageNetwork, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the maps and descriptions of objects (B, V, S, S, 3) in bytes, see `Learner`."""
    maps = net.maps(images.movedim(-1, 2).float() / 255)
    return maps, net.of_maps(maps)


def look_at_all(net: ImageNetwork, images: Tensor, batch_size: int) -> tuple[Tensor, Tensor]:
    """Return maps in float16 and descriptions of all objects, to be kept through the training."""
    maps, objects = [], []
    for part in images.split(batch_size):
        seen = look(net, part)
        maps.append(seen[0].half())
        objects.append(seen[1])
    return torch.cat(maps), torch.cat(objects)


def train(config: Config) -> None:
    torch.manual_seed(config.seed)
    if not config.images:
        raise InputError("--images is needed: the run folder of the trained image network")
    image_net, image_config = load_images(config.images)
    if config.augmentation != "none" and (config.backbone != "srunet" or not of_scenes(config)):
        raise InputError("--augmentation scene needs scenes: give --backbone srunet, and --rooms")
    objects = open_pairs(config, metric=config.backbone == "srunet")
    objects = objects.with_pairs(config.pairs) if "point" in config.losses else objects
    rows = np.arange(len(objects))
    total = config.epochs * batches.steps_per_epoch(rows, config.batch_size)
    with processes.start(config.device, config.batch_size, config.deterministic) as peers:
        channels, size = image_net.trunk.channels, objects.images.shape[2]
        learner = Learner(config, channels, image_config.outputs, size, peers.count)
        learner, image_net = learner.to(peers.device), image_net.to(peers.device)
        optimizer = capture.adam(learner, config.lr)
        train_step = training_step(learner, optimizer, peers, config, config.backbone != "srunet")
        points, images = (
            torch.from_numpy(a).to(peers.device) for a in (objects.points, objects.images)
        )
        image_net.train(config.image_mode == "train")
        looks = None
        if config.image_mode == "eval":
            looks = look_at_all(image_net, images, config.batch_size)

        def load(step, rows):
            pairs = torch.from_numpy(draw(config, objects, step, rows.tolist())).to(peers.device)
            maps, seen = (a[rows] for a in looks) if looks else look(image_net, images[rows])
            clouds = points[rows]
            if config.augmentation == "scene":
                clouds = augmented(config, objects.points, step, rows.tolist()).to(peers.device)
            return clouds, pairs, maps.float(), seen

        names = ("loss", "point_loss", "global_loss", "regulariser")
        with Training(config, peers, State(learner, optimizer), config.images) as training:
            for epoch in training.epochs():
                order = batches.of_epoch(rows, config.batch_size, config.seed, epoch)
                for step, batch in training.steps(peers.part(order), load):
                    lr = schedules.learning_rate(config, step, total)
                    optimizer.param_groups[0]["lr"].fill_(lr)
                    training.add(train_step(*batch))
                training.end_epoch(names, lr=lr)


def draw(config: Config, objects: Objects, step: int, rows: list[int]) -> np.ndarray:
    """Choose the pairs (B, P, 4) of a step; none if there is no point loss."""
    if "point" not in config.losses:
        return np.zeros((len(rows), 0, 4), np.int64)
    drawn = []
    for row in rows:
        rng, own = generator(config.seed, Stream.AUGMENTATION, step, row), objects.pairs[row]
        drawn.append(choose(own, objects.points[row, :, :3], config.pairs, config.choose, rng))
    return np.stack(drawn).astype(np.int64)


def of_scenes(config: Config) -> bool:
    """Return whether it learns from views of rooms rather than of objects."""
    return config.pairs_root is None and (config.frames_root or config.rooms) is not None


def augmented(config: Config, points: np.ndarray, step: int, rows: list[int]) -> Tensor:
    """Augment the coloured clouds (B, N, 6) of a step, see `scene_augmentation`."""
    drawn = []
    for row in rows:
        rng = generator(config.seed, Stream.SCENES, step, row)
        places, colors = augment(points[row, :, :3], points[row, :, 3:] + 0.5, rng)
        drawn.append(np.concatenate([places, colors - 0.5], 1))
    return torch.from_numpy(np.stack(drawn))


if __name__ == "__main__":
    main(train, Config, __doc__)
