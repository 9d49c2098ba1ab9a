"""The rooms that a detector learns from: opened, drawn from, moved at random, put into batches."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from boxes import turn
from samplenet.data import boxed
from samplenet.data.boxed import BoxedRoom, BoxedRooms
from samplenet.runs.streams import Stream, generator

FLOOR = 0.99  # percent of a room's points below its floor, as published
TURN, SCALE = np.pi / 6, 0.15  # either way, of a room whose boxes have headings
TURN_ALIGNED = np.pi / 36  # of one whose boxes are parallel to the axes


def open_rooms(config, split: str) -> BoxedRooms:
    """Open or generate the rooms of one split, "train" or "test"."""
    if config.data_root is not None:
        return boxed.load(config.data_root, split)
    count = config.rooms if split == "train" else max(1, config.rooms * 2 // 5)
    return boxed.generated(count, split, config.room_points, config.room_side)


def draw(room: BoxedRoom, num_points: int, rng: np.random.Generator) -> BoxedRoom:
    """Draw points, once each if there are enough, and lower the room until its floor is at 0."""
    rows = rng.choice(len(room.points), num_points, replace=len(room.points) < num_points)
    points, boxes = room.points[rows], room.boxes.copy()
    floor = np.percentile(points[:, 2], FLOOR).astype(np.float32)
    points[:, 2] -= floor
    boxes[:, 2] -= floor
    return BoxedRoom(points, room.votes[rows], room.inside[rows], boxes, room.labels)


def augment(room: BoxedRoom, rng: np.random.Generator, turned: bool) -> BoxedRoom:
    """Mirror, turn and scale a room at random, as published.

    Args:
        turned: whether boxes have headings: then x is mirrored, the room turned by up to 30° and
            scaled by up to 15 %. Without, x and y are mirrored, the room is turned by up to 5°, and
            boxes become those around the turned ones.
    """
    signs = np.where(rng.random(2) < 0.5, -1, 1)
    angle = rng.uniform(-1, 1) * (TURN if turned else TURN_ALIGNED)
    scale = rng.uniform(1 - SCALE, 1 + SCALE) if turned else 1.0
    signs[1] = 1 if turned else signs[1]

    def move(xyz):
        xy = turn(signs * xyz[..., :2], np.full(xyz.shape[:-1], angle))
        return (scale * np.concatenate([xy, xyz[..., 2:]], -1)).astype(np.float32)

    boxes = room.boxes.copy()
    boxes[:, :3] = move(boxes[:, :3])
    boxes[:, 3:6] *= scale
    if turned:
        boxes[:, 6] = angle + np.where(signs[0] < 0, np.pi - boxes[:, 6], boxes[:, 6])
    else:
        cos, sin = np.cos(angle), abs(np.sin(angle))
        boxes[:, 3:5] = boxes[:, 3:5] @ np.array([(cos, sin), (sin, cos)])
    return replace(room, points=move(room.points), votes=move(room.votes), boxes=boxes)


def training_batch(
    config, rooms: BoxedRooms, step: int, rows: list[int], most: int
) -> tuple[Tensor, ...]:
    """Return what `detection_losses.Learner` takes of these rooms; draws depend on step and row.

    Args:
        most: boxes that each room is filled up to, K.
    """
    batch = []
    for row in rows:
        rng = generator(config.seed, Stream.AUGMENTATION, step, row)
        room = augment(draw(rooms[row], config.num_points, rng), rng, rooms.turned)
        missing = most - len(room.boxes)
        there = np.arange(most) < len(room.boxes)
        boxes = np.pad(room.boxes, ((0, missing), (0, 0)))
        labels = np.pad(room.labels, (0, missing))
        batch.append((room.points, room.votes, room.inside, boxes, labels, there))
    arrays = (np.stack(arrays) for arrays in zip(*batch, strict=True))
    return tuple(torch.from_numpy(array) for array in arrays)


def seen_in_test(config, rooms: BoxedRooms, row: int) -> BoxedRoom:
    """Draw the points of a test room that the detector sees, which depend on the row alone."""
    return draw(rooms[row], config.num_points, generator(config.seed, Stream.BLOCKS, 1, row))
