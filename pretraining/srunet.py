"""SR-UNet: a residual U-Net of sparse convolutions, Res16UNet34C of MinkowskiEngine's authors.

    net = SRUNet(inputs=3)
    x, inverse = voxelise(points, colors - 0.5, size=0.05)  # points (B, N, 3), colours in [0, 1]
    of_points = net(x)[inverse]                             # (B, N, net.width): each its voxel's

Points of one voxel have the same features. Clouds of different sizes are one after the other, with
the number of each point's cloud: `samplenet.torch.sparse.voxelise`.
"""

import re

import torch
from torch import Tensor, nn

from samplenet.errors import InputError
from samplenet.torch.sparse import Convolution, SparseTensor, TransposedConvolution, Voxels, relu

# residual blocks of each stage, four down and four up
BLOCKS = {34: (2, 3, 4, 6, 2, 2, 2, 2), 14: (1, 1, 1, 1, 1, 1, 1, 1)}
DOWN, UP = (1, 2, 4, 8), (8, 4, 3, 3)  # the stages' features, in widths of the stem


class Layer(nn.Module):
    """A convolution and batch norm over the voxels of the whole batch."""

    def __init__(self, conv: Convolution):
        super().__init__()
        self.conv, self.norm = conv, nn.BatchNorm1d(conv.weight.shape[2])

    def forward(self, x: SparseTensor, *to: Voxels) -> SparseTensor:
        x = self.conv(x, *to)
        if self.training and len(x.voxels) < 2:
            raise InputError(
                f"batch norm needs 2 voxels, got {len(x.voxels)}: give larger clouds, or smaller "
                "voxels, which are 16 times as wide on the lowest stage"
            )
        return x._replace(features=self.norm(x.features))


class Block(nn.Module):
    """Two layers and a way past them: 1 x 1 x 1 where the number of features changes."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first, self.second = (Layer(Convolution(n, outputs)) for n in (inputs, outputs))
        self.past = Layer(Convolution(inputs, outputs, kernel=1)) if inputs != outputs else None

    def forward(self, x: SparseTensor) -> SparseTensor:
        past = x if self.past is None else self.past(x)
        x = self.second(relu(self.first(x)))
        return relu(x._replace(features=x.features + past.features))


class Stage(nn.Module):
    """To voxels of twice the size, or back to those of a skip; then blocks.

    Args:
        skip: features that join those from below; 0 on the way down.
    """

    def __init__(self, inputs: int, outputs: int, blocks: int, skip: int = 0):
        super().__init__()
        middle = outputs if skip else inputs
        kind = TransposedConvolution if skip else Convolution
        self.change = Layer(kind(inputs, middle, kernel=2, stride=2))
        widths = [middle + skip, *[outputs] * blocks]
        self.blocks = nn.Sequential(
            *(Block(*pair) for pair in zip(widths, widths[1:], strict=False))
        )

    def forward(self, x: SparseTensor, skip: SparseTensor | None = None) -> SparseTensor:
        if skip is None:
            return self.blocks(relu(self.change(x)))
        x = relu(self.change(x, skip.voxels))
        return self.blocks(x._replace(features=torch.cat([x.features, skip.features], 1)))


class SRUNet(nn.Module):
    """Describe voxels: SparseTensor of `inputs` features -> (V, outputs), of the same voxels.

    With the defaults and 20 outputs it is Res16UNet34C, of 37.85 M parameters.

    Args:
        inputs: features of a voxel, such as 3 of its colour less 0.5, or a single 1.
        outputs: of a last linear layer; None: no such layer, but the `width` features before it.
        depth: 34, or 14 with one block a stage.
        stem: features of the first layer, from which all widths follow; published: 32.
        kernel: cells along each axis of the first layer.
        momentum: share of batch norm's running statistics that a step replaces, as published.
    """

    def __init__(
        self,
        inputs: int = 3,
        outputs: int | None = None,
        depth: int = 34,
        stem: int = 32,
        kernel: int = 3,
        momentum: float = 0.02,
    ):
        super().__init__()
        if depth not in BLOCKS:
            raise InputError(f"depth must be one of {', '.join(map(str, BLOCKS))}, got {depth}")
        down, up = [stem, *(n * stem for n in DOWN)], [DOWN[-1] * stem, *(n * stem for n in UP)]
        self.stem = Layer(Convolution(inputs, stem, kernel))
        self.down = nn.ModuleList(
            Stage(down[i], down[i + 1], BLOCKS[depth][i]) for i in range(len(DOWN))
        )
        self.up = nn.ModuleList(
            Stage(up[i], up[i + 1], BLOCKS[depth][i + 4], skip=down[3 - i]) for i in range(len(UP))
        )
        self.width = up[-1] if outputs is None else outputs
        self.out = nn.Identity() if outputs is None else nn.Linear(up[-1], outputs)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.momentum = momentum

    def forward(self, x: SparseTensor) -> Tensor:
        x, skips = relu(self.stem(x)), []
        for stage in self.down:
            skips.append(x)
            x = stage(x)
        for stage in self.up:
            x = stage(x, skips.pop())
        return self.out(x.features)


NAMES = (  # of MinkowskiEngine's Res16UNets -> here
    (r"conv0p1s1\.", "stem.conv."),
    (r"bn0\.", "stem.norm."),
    (r"conv(\d)p\d+s2\.", "{stage}.change.conv."),
    (r"bn(\d)\.", "{stage}.change.norm."),
    (r"convtr(\d)p\d+s2\.", "{next}.change.conv."),
    (r"bntr(\d)\.", "{next}.change.norm."),
    (r"block(\d)\.(\d+)\.conv1\.", "{stage}.blocks.{block}.first.conv."),
    (r"block(\d)\.(\d+)\.norm1\.", "{stage}.blocks.{block}.first.norm."),
    (r"block(\d)\.(\d+)\.conv2\.", "{stage}.blocks.{block}.second.conv."),
    (r"block(\d)\.(\d+)\.norm2\.", "{stage}.blocks.{block}.second.norm."),
    (r"block(\d)\.(\d+)\.downsample\.0\.", "{stage}.blocks.{block}.past.conv."),
    (r"block(\d)\.(\d+)\.downsample\.1\.", "{stage}.blocks.{block}.past.norm."),
    (r"final\.", "out."),
)


def from_minkowski(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename and reorder the weights of a published Res16UNet, for `SRUNet.load_state_dict`.

    Its names are those of MinkowskiEngine: conv0p1s1.kernel, bn0.bn.weight, conv1p1s2.kernel,
    block1.0.conv1.kernel, block1.0.norm1.bn.weight, block2.0.downsample.0.kernel,
    convtr4p16s2.kernel, bntr4.bn.weight and so on, final.kernel, final.bias.

    Assumed, from MinkowskiEngine 0.5's source: a kernel is (cells, inputs, outputs) with x fastest,
    that of a single cell (inputs, outputs), and an even kernel begins at its voxel. No published
    file has been read here.

    Raises:
        InputError: a name that no Res16UNet has, or a kernel that is no cube.
    """
    converted = {}
    for name, tensor in state.items():
        own = _own_name(name.removeprefix("module."))
        if name.endswith(".kernel"):
            tensor = tensor if tensor.ndim == 3 else tensor[None]
            side = round(len(tensor) ** (1 / 3))
            if side**3 != len(tensor):
                raise InputError(
                    f"{name} must be of a cube of cells, such as 27, got {len(tensor)}"
                )
            tensor = tensor.unflatten(0, (side,) * 3).permute(2, 1, 0, 3, 4).flatten(0, 2)
        if own == "out.weight":  # of a linear layer here
            tensor = tensor[0].t()
        converted[own] = tensor.flatten() if own == "out.bias" else tensor.contiguous()
    return converted


def _own_name(name: str) -> str:
    for pattern, own in NAMES:
        if found := re.match(pattern, name):
            number, block = ([*map(int, found.groups()), 0, 0])[:2]
            # their stages are numbered from 1; those up are also named for what they come from
            places = [f"down.{i}" for i in range(4)] + [f"up.{i}" for i in range(4)]
            stage, after = places[(number - 1) % 8], places[number % 8]
            rest = name[found.end() :].removeprefix("bn.").replace("kernel", "weight")
            return own.format(stage=stage, next=after, block=block) + rest
    raise InputError(f"{name!r} is no weight of a Res16UNet, such as conv0p1s1.kernel")
