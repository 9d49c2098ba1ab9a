"""The image network: a ResNet for small pictures, and what it says of an object and of a pixel."""

from types import SimpleNamespace

import torch
from torch import Tensor, nn

from heads import GlobalHead
from samplenet.errors import InputError
from samplenet.ops import torch as ops
from samplenet.runs.run import finished_run
from samplenet.torch.state import State

WIDTH = 1024  # features of a view
# residual blocks of each of the four stages, and whether they are bottlenecks
DEPTHS = {
    10: ((1, 1, 1, 1), False),
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
}
EXPANSION = 4  # of a bottleneck


class Block(nn.Module):
    """A residual block of ResNet (arXiv 1512.03385): two 3x3 convolutions, or a bottleneck."""

    def __init__(self, inputs: int, width: int, stride: int, bottleneck: bool):
        super().__init__()
        outputs = width * EXPANSION if bottleneck else width
        if bottleneck:  # side of the kernel, channels, stride
            convolutions = ((1, width, 1), (3, width, stride), (1, outputs, 1))
        else:
            convolutions = ((3, width, stride), (3, width, 1))
        layers, channels = [], inputs
        for side, width, step in convolutions:
            layers += [_convolution(channels, width, side, step), nn.ReLU()]
            channels = width
        self.residual = nn.Sequential(*layers[:-1])
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else _convolution(inputs, outputs, 1, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """(n, inputs, s, s) -> (n, outputs, s / stride, s / stride)."""
        return torch.relu(self.residual(maps) + self.shortcut(maps))


def _convolution(inputs: int, outputs: int, side: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


class ResNet(nn.Sequential):
    """Map images (n, 3, S, S) to features (n, channels, S/8, S/8).

    The first layer is a 3x3 convolution without stride, and there is no pooling after it: pictures
    are small.

    Args:
        depth: one of `DEPTHS`.
        width: channels of the first stage, 64 in the published networks.
    """

    def __init__(self, depth: int = 50, width: int = 64):
        if depth not in DEPTHS:
            known = ", ".join(map(str, DEPTHS))
            raise InputError(f"a ResNet's depth must be one of {known}, got {depth}")
        blocks, bottleneck = DEPTHS[depth]
        stages, channels = [_convolution(3, width, 3, 1), nn.ReLU()], width
        for stage, count in enumerate(blocks):
            for number in range(count):
                own, stride = width * 2**stage, 2 if stage and not number else 1
                stages.append(Block(channels, own, stride, bottleneck))
                channels = own * EXPANSION if bottleneck else own
        super().__init__(*stages)
        self.channels = channels


class ImageNetwork(nn.Module):
    """Describe an object by one or several pictures of it.

    Args:
        depth, width: of the ResNet.
        outputs: features of an object.
    """

    def __init__(self, depth: int = 50, width: int = 64, outputs: int = 128):
        super().__init__()
        self.trunk = ResNet(depth, width)
        self.to_view = nn.Linear(self.trunk.channels, WIDTH, bias=False)
        self.global_head = GlobalHead(WIDTH, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Describe objects by their views: images (B, V, 3, S, S) in [0, 1] -> (B, outputs)."""
        return self.of_maps(self.maps(images))

    def maps(self, images: Tensor) -> Tensor:
        """Return the feature maps (B, V, C, S/8, S/8) of the images."""
        return self.trunk(images.flatten(0, 1)).unflatten(0, images.shape[:2])

    def of_maps(self, maps: Tensor) -> Tensor:
        """Describe objects by the feature maps of their views, as `forward` does."""
        views = self.to_view(maps.mean((3, 4)))  # (B, V, WIDTH)
        return self.global_head(views.max(1).values)


def load_images(folder: str) -> tuple[ImageNetwork, SimpleNamespace]:
    """Open the frozen image network of a finished run, and the run's settings."""
    config, arrays, _ = finished_run(folder, depth=int, width=int, outputs=int)
    net = ImageNetwork(config.depth, config.width, config.outputs)
    State(net).restore(arrays, folder)
    return net.requires_grad_(False).eval(), config


class PixelHead(nn.Module):
    """Project the features at some pixels: a 1x1 convolution, then bilinear between its values.

    The map's corners are those of the image (align_corners). Equal to enlarging the whole map and
    picking pixels, which costs more.
    """

    def __init__(self, channels: int, outputs: int):
        super().__init__()
        self.linear = nn.Linear(channels, outputs)

    def forward(self, maps: Tensor, view: Tensor, row: Tensor, column: Tensor, size: int) -> Tensor:
        """Return the features (B, P, outputs) of P pixels of each object.

        Args:
            maps: (B, V, C, s, s).
            view, row, column: (B, P) int64; the pixels.
            size: S, pixels a side of the images.
        """
        side = maps.shape[-1]
        values = self.linear(maps.permute(0, 1, 3, 4, 2)).flatten(1, 3)  # (B, V s s, outputs)
        pixels = 0
        for at_row, row_share in _between(row, side, size):
            for at_column, column_share in _between(column, side, size):
                place = (view * side + at_row) * side + at_column  # (B, P)
                pixels = pixels + (row_share * column_share)[..., None] * ops.gather(values, place)
        return pixels


def _between(pixel: Tensor, side: int, size: int) -> list[tuple[Tensor, Tensor]]:
    """Return the two places of a map's `side` around a pixel (B, P), and the share of each."""
    place = pixel * ((side - 1) / (size - 1))
    low = place.long().clamp(max=side - 1)
    share = place - low
    return [(low, 1 - share), ((low + 1).clamp(max=side - 1), share)]
