"""The losses of VoteNet (Qi, 2019), with its weights."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samplenet.ops import torch as ops
from votenet import Proposals, VoteNet

# metres: clusters nearer to an object's middle are of it, farther ones of none
NEAR, FAR = 0.3, 0.6
OBJECT_WEIGHTS = (0.8, 0.2)  # of "an object" and "no object"
ELSEWHERE = 1e6  # a squared distance, of boxes that are only there to fill a batch
SCALE = 10  # of the whole loss, as published
MEASURED = ("loss", "vote_loss", "objectness_loss", "box_loss", "class_loss", "objectness_accuracy")


class Objects(NamedTuple):
    """The objects of a batch's rooms, filled up to K.

    Attributes:
        boxes: (B, K, 7).
        labels: (B, K) int64.
        there: (B, K) bool, whether it is one.
    """

    boxes: Tensor
    labels: Tensor
    there: Tensor


class Learner(nn.Module):
    """VoteNet and its loss, for `learning.training_step`."""

    def __init__(self, net: VoteNet):
        super().__init__()
        self.net = net

    def forward(
        self, points: Tensor, votes: Tensor, inside: Tensor, *objects: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the loss, and without gradient what `MEASURED` lists.

        Args:
            points: (B, N, 3).
            votes: (B, N, V, 3), as of `samplenet.data.boxed.BoxedRoom`.
            inside: (B, N) bool.
            objects: as of `Objects`.
        """
        found = self.net(points)
        with torch.autocast(points.device.type, enabled=False):
            objects = Objects(*objects)
            vote = vote_loss(found, points, votes, inside)
            objectness, own, of_object, accuracy = objectness_loss(found, objects)
            box, label = box_losses(found, objects, own, of_object, self.net.sizes)
            loss = SCALE * (vote + 0.5 * objectness + box + 0.1 * label)
        return loss, torch.stack([loss, vote, objectness, box, label, accuracy]).detach()


def mean_of(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean of the chosen values, or 0 if there are none."""
    chosen = chosen.to(values.dtype)
    return (values * chosen).sum() / chosen.sum().clamp(min=1)


def cross_entropy(scores: Tensor, right: Tensor) -> Tensor:
    """Return the cross-entropy (B, P) of scores (B, P, C) and right answers (B, P)."""
    losses = F.cross_entropy(scores.flatten(0, 1), right.flatten(), reduction="none")
    return losses.view_as(right)


def vote_loss(found: Proposals, points: Tensor, votes: Tensor, inside: Tensor) -> Tensor:
    """Return the mean distance, of absolute differences, from a seed's vote to its nearest aim.

    Seeds that are of no object do not count.
    """
    aims = ops.gather((points[:, :, None] + votes).flatten(2), found.seeds).unflatten(2, (-1, 3))
    distance = (found.votes[:, :, None] - aims).abs().sum(3).amin(2)  # (B, S)
    return mean_of(distance, inside.gather(1, found.seeds))


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(B, P, 3), (B, K, 3) -> (B, P, K)."""
    return (a[:, :, None] - b[:, None]).square().sum(3)


def objectness_loss(found: Proposals, objects: Objects) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compare the objectness with how near clusters are to an object.

    Differs from the released code, where a box that fills a batch is an object at the origin.

    Returns:
        The loss; the object (B, P) nearest to each cluster; whether the proposal is of it (B, P);
        and the share of proposals that are judged right.
    """
    distance = squared_distances(found.clusters.detach(), objects.boxes[..., :3])
    distance = distance.masked_fill(~objects.there[:, None], ELSEWHERE)
    distance, own = distance.min(2)
    near, far = distance < NEAR**2, distance > FAR**2
    scores, counted = found.objectness, near | far
    loss = torch.where(near, *OBJECT_WEIGHTS) * cross_entropy(scores, near.long())
    right = (scores.argmax(2) == near).float()
    return mean_of(loss, counted), own, near, mean_of(right, counted)


def box_losses(
    found: Proposals, objects: Objects, own: Tensor, of_object: Tensor, sizes: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the losses of the boxes and of the classes of proposals that are of an object.

    Args:
        own: (B, P), which object.
        of_object: (B, P), whether it is of one.
        sizes: (C, 3), the templates.
    """
    boxes, labels = ops.gather(objects.boxes, own), objects.labels.gather(1, own)  # (B, P, ...)
    # each proposal of an object to its nearest object, and each object to its nearest proposal
    distance = squared_distances(found.centres, objects.boxes[..., :3])
    to_object = distance.masked_fill(~objects.there[:, None], ELSEWHERE).amin(2)
    centre = mean_of(to_object, of_object) + mean_of(distance.amin(1), objects.there)

    half = math.pi / found.bins.shape[2]
    turns = boxes[..., 6] / half
    bins = torch.round(turns / 2).long()
    turns = turns - 2 * bins  # in [-1, 1]
    bins = bins % found.bins.shape[2]
    turned = found.turns.take_along_dim(bins[..., None], 2)[..., 0]
    heading = mean_of(F.huber_loss(turned, turns, reduction="none"), of_object)

    stretches = boxes[..., 3:6] / sizes[labels] - 1
    stretched = found.stretches.take_along_dim(labels[..., None, None], 2)[:, :, 0]
    size = mean_of(F.huber_loss(stretched, stretches, reduction="none").mean(2), of_object)

    choice = cross_entropy(found.bins, bins) + cross_entropy(found.templates, labels)
    box = centre + heading + size + 0.1 * mean_of(choice, of_object)
    return box, mean_of(cross_entropy(found.labels, labels), of_object)
