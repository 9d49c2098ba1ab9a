"""Train the image network without labels: two crops, or two views, of an object find each other.

    python pretraining/train_images.py --config pretraining/configs/quick.yaml \\
        --out results/images

The authors released no code for this step. Published are the network, and by a file's name 128
features, temperature 0.5, batches of 512 and 1000 epochs, the scheme of SimCLR (arXiv 2002.05709),
whose augmentations and optimiser are taken here. Decided here: an epoch shows every object once, by
--views of its pictures, drawn at random for each step, on either side. With --positives crops the
two sides are crops of the same pictures, with `views` of different ones. Of several pictures on a
side the network takes the maximum, as it does of all views later.
"""

from dataclasses import dataclass

import numpy as np
import torch

from augmentation import NUMBERS, augment
from losses import contrastive_loss
from pixel_pairs import PairsConfig, open_pairs
from resnet import DEPTHS, ImageNetwork
from samplenet.data import batches
from samplenet.errors import InputError
from samplenet.runs import schedules
from samplenet.runs.script import main
from samplenet.runs.settings import option
from samplenet.runs.streams import Stream, generator
from samplenet.runs.training import Training
from samplenet.torch import capture, processes
from samplenet.torch.settings import DeviceConfig
from samplenet.torch.state import State

POSITIVES = ("crops", "views")


@dataclass
class Config(DeviceConfig, PairsConfig):
    """The defaults are the published settings, as far as they are known."""

    depth: int = option(50, f"layers of the ResNet, one of {', '.join(map(str, DEPTHS))}")
    width: int = option(64, "channels of its first stage", at_least=1)
    outputs: int = option(128, "features of an object", at_least=1)
    temperature: float = option(0.5, "of the contrastive loss", above=0)
    positives: str = option("crops", "the two sides of an object", choices=POSITIVES)
    views: int = option(1, "pictures of an object on either side", at_least=1)
    least_area: float = option(0.08, "smallest crop, share of a picture", above=0, at_most=1)
    batch_size: int = option(512, "objects a step, B", at_least=2)
    epochs: int = 1000
    lr: float = 1e-3
    weight_decay: float = option(1e-6, "Adam's, added to the gradient", at_least=0)


def draw(config: Config, step: int, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw an object's pictures of both sides (2, views), and their augmentation's numbers."""
    rng = generator(config.seed, Stream.AUGMENTATION, step, row)
    if config.positives == "crops":
        views = np.tile(rng.choice(config.num_views, config.views, replace=False), (2, 1))
    else:
        views = rng.choice(config.num_views, (2, config.views), replace=False)
    return views, rng.random((2, config.views, NUMBERS), np.float32)


def train(config: Config) -> None:
    torch.manual_seed(config.seed)
    needed = config.views * (2 if config.positives == "views" else 1)
    if needed > config.num_views:
        raise InputError(f"--views {config.views} needs {needed} views, got {config.num_views}")
    net = ImageNetwork(config.depth, config.width, config.outputs)
    images = torch.from_numpy(open_pairs(config).images)  # (n, V, S, S, 3)
    rows = np.arange(len(images))
    total = config.epochs * batches.steps_per_epoch(rows, config.batch_size)
    with processes.start(config.device, config.batch_size, config.deterministic) as peers:
        net, images = net.to(peers.device), images.to(peers.device)
        optimizer = capture.adam(net, config.lr, config.weight_decay)
        model = peers.parallel(net)
        model = torch.compile(model) if config.compile else model

        def train_step(pictures):
            optimizer.zero_grad()
            with torch.autocast(peers.device.type, torch.bfloat16, enabled=config.amp):
                features = model(pictures)  # (2B, outputs), an object's two sides in a row
            first, second = peers.gather(features).unflatten(0, (-1, 2)).unbind(1)
            loss = contrastive_loss(first, second, config.temperature)
            loss.backward()
            optimizer.step()
            return loss.detach()

        train_step = capture.captured(train_step, optimizer, peers, config)

        def load(step, rows):
            drawn = zip(*(draw(config, step, row) for row in rows.tolist()), strict=True)
            views, numbers = (torch.from_numpy(np.stack(d)).to(peers.device) for d in drawn)
            pictures = images[rows[:, None, None], views].flatten(0, 2)  # (B 2 views, S, S, 3)
            pictures = pictures.movedim(-1, 1).float() / 255
            pictures = augment(pictures, numbers.flatten(0, 2), config.least_area)
            return (pictures.unflatten(0, (-1, config.views)),)

        with Training(config, peers, State(net, optimizer)) as training:
            for epoch in training.epochs():
                order = batches.of_epoch(rows, config.batch_size, config.seed, epoch)
                for step, batch in training.steps(peers.part(order), load):
                    lr = schedules.learning_rate(config, step, total)
                    optimizer.param_groups[0]["lr"].fill_(lr)
                    training.add(train_step(*batch))
                training.end_epoch(("loss",), lr=lr)


if __name__ == "__main__":
    main(train, Config, __doc__)
