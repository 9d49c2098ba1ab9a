"""VoteNet: seeds vote for the middle of their object, votes that gather become boxes (Qi, 2019)."""

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from boxes import Found, holds, suppress
from samplenet.ops import torch as ops
from seeds import describe
from segmentation import layers
from set_abstraction import Level, SetAbstraction

HIDDEN = 128  # features of a proposal
RADIUS, NEAREST = 0.3, 16  # metres around a cluster, and how many of its votes are seen
LEAST_OBJECTNESS, LEAST_POINTS = 0.05, 5  # of a box that is kept


class Proposals(NamedTuple):
    """What VoteNet makes of a batch: S seeds and P proposals a room; C classes, H bins of headings.

    Attributes:
        seeds: (B, S) int64, which points vote.
        votes: (B, S, 3), what they vote for.
        clusters: (B, P, 3), the votes that gather others around them.
        objectness: (B, P, 2), scores of "no object" and "an object".
        centres: (B, P, 3).
        bins: (B, P, H), scores of the bins; the first one's middle is heading 0.
        turns: (B, P, H), from a bin's middle to the heading, in halves of a bin.
        templates: (B, P, C), scores of the classes' mean sizes.
        stretches: (B, P, C, 3), what the size is larger than a template by, as a share of it.
        labels: (B, P, C), scores of the classes.
    """

    seeds: Tensor
    votes: Tensor
    clusters: Tensor
    objectness: Tensor
    centres: Tensor
    bins: Tensor
    turns: Tensor
    templates: Tensor
    stretches: Tensor
    labels: Tensor


class VoteNet(nn.Module):
    """Find the boxes of a room's objects.

    Args:
        trunk: the backbone, see `seeds.describe`.
        inputs: features that it gives a seed.
        width: features of a seed that votes; another layer makes them of others.
        seeds: S, of each room.
        sizes: (C, 3), the mean size of each class's boxes.
        bins: of the heading, H; 1 where boxes have none.
        proposals: P, of each room.
    """

    def __init__(
        self,
        trunk: nn.Module,
        inputs: int,
        width: int,
        seeds: int,
        sizes: Tensor,
        bins: int,
        proposals: int,
    ):
        super().__init__()
        self.trunk, self.width, self.seeds, classes = trunk, width, seeds, len(sizes)
        self.register_buffer("sizes", sizes)
        self.widen = nn.Linear(inputs, width) if inputs != width else nn.Identity()
        self.voting = layers([width] * 3, 3 + width)
        level = Level(proposals, RADIUS, NEAREST, (HIDDEN,) * 3)
        self.gathering = SetAbstraction(level, width)
        self.parts = [2, 3, bins, bins, classes, 3 * classes, classes]
        self.proposing = layers([HIDDEN] * 3, sum(self.parts))

    def forward(self, points: Tensor) -> Proposals:
        """(B, N, 3), z up, the floor at 0."""
        seeds, features = describe(self.trunk, points, self.seeds)
        features = self.widen(features)
        shift, change = self.voting(features).split((3, self.width), 2)
        votes = ops.gather(points, seeds) + shift.float()
        clusters = self.gathering(votes, F.normalize(features + change, dim=2))
        found = self.proposing(clusters.features).float().split(self.parts, 2)
        objectness, shift, bins, turns, templates, stretches, labels = found
        centres, stretches = clusters.points + shift, stretches.unflatten(2, (-1, 3))
        found = objectness, centres, bins, turns, templates, stretches, labels
        return Proposals(seeds, votes, clusters.points, *found)

    def decode(self, found: Proposals) -> tuple[Tensor, Tensor, Tensor]:
        """Return the boxes (B, P, 7), their objectness (B, P) and class shares (B, P, C)."""
        bins = found.bins.argmax(2, keepdim=True)
        turn = 2 * bins + found.turns.take_along_dim(bins, 2)
        heading = math.pi / found.bins.shape[2] * turn  # (B, P, 1)
        template = found.templates.argmax(2)
        stretch = found.stretches.take_along_dim(template[..., None, None], 2)[:, :, 0]
        size = self.sizes[template] * (1 + stretch).clamp(min=0)
        boxes = torch.cat([found.centres, size, heading], 2)
        return boxes, found.objectness.softmax(2)[..., 1], found.labels.softmax(2)


@torch.no_grad()
def detect(net: VoteNet, points: Tensor) -> list[Found]:
    """Find the boxes in rooms (B, N, 3), in evaluation mode, without doubles and empty ones.

    As published, each box that is left counts for every class.
    """
    net.eval()
    decoded = net.decode(net(points))
    net.train()
    arrays = (array.double().cpu().numpy() for array in (points, *decoded))
    return [keep(*room) for room in zip(*arrays, strict=True)]


def keep(points: NDArray, boxes: NDArray, objectness: NDArray, shares: NDArray) -> Found:
    """Choose the boxes (P, 7) of a room that likely hold an object and no better box does.

    Args:
        points: (N, 3).
        objectness: (P,).
        shares: (P, C), how sure each class is.
    """
    rows = np.flatnonzero(objectness > LEAST_OBJECTNESS)
    rows = rows[holds(boxes[rows], points).sum(1) >= LEAST_POINTS]
    rows = rows[suppress(boxes[rows], objectness[rows], shares[rows].argmax(1))]
    return Found(boxes[rows], objectness[rows, None] * shares[rows])
