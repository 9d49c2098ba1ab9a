"""The seeds of VoteNet: points of a room, with the features that a backbone gives them."""

from torch import Tensor, nn

from backbones import build_trunk
from samplenet.errors import InputError
from samplenet.ops import torch as ops
from set_abstraction import VOTENET, PointNet2

BACKBONES = ("pointnet2", "srunet")
SEEDS, WIDTH = VOTENET[1].m, 256  # published; the seeds are the centres of the second level


def build(config) -> tuple[nn.Module, int]:
    """Build the backbone that the settings name; return it and the features it gives a point.

    PointNet++ has VoteNet's levels, scaled to the settings' seeds, widths and points of a ball.

    Raises:
        InputError: more centres than points.
    """
    if config.backbone != "pointnet2":
        trunk = build_trunk(config)
        return trunk, trunk.width
    levels = []
    for level, k in zip(VOTENET, config.ball_points, strict=True):
        widths = tuple(max(1, width * config.width // WIDTH) for width in level.widths)
        m = max(1, level.m * config.num_seeds // SEEDS)
        levels.append(level._replace(m=m, k=k, widths=widths))
    return PointNet2(1, levels, width=config.width), config.width


def check(config) -> None:
    """Raise InputError if the settings have more seeds, or other centres, than points."""
    if len(config.ball_points) != len(VOTENET):
        raise InputError(f"--ball-points must be {len(VOTENET)} numbers, got {config.ball_points}")
    most = config.num_points // (2 if config.backbone == "pointnet2" else 1)
    if not config.proposals <= config.num_seeds <= most:
        raise InputError(
            f"--num-seeds must be at least --proposals and at most {most} with --num-points "
            f"{config.num_points}, got {config.num_seeds} for {config.proposals} proposals"
        )


def describe(trunk: nn.Module, points: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Choose seeds among points (B, N, 3): which (B, S), and their features (B, S, C).

    PointNet++ chooses those that it was built for, and sees their height; of other trunks, which
    describe every point, the `count` farthest points are seeds.
    """
    if isinstance(trunk, PointNet2):
        found = trunk(points, points[..., 2:])
        return found.idx, found.features
    idx = ops.farthest_points(points, count)
    return idx, ops.gather(trunk(points).points, idx)
