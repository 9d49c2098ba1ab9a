"""What networks for scenes learn from, and how they are scored: blocks of rooms, or whole rooms.

PointNet and DGCNN take columns of equally many points; SR-UNet takes all voxels of whole rooms.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import finetune
import scores
from samplenet.data import blocks, rooms, s3dis, scannet
from samplenet.data.cameras import TO_BLENDER
from samplenet.errors import InputError
from samplenet.runs.streams import Stream, generator
from samplenet.torch.sparse import SparseTensor, voxelise
from scene_augmentation import augment

SHOWN_POINTS = 5000  # of a room in the picture, at most


def classes_of(config) -> tuple[str, ...]:
    """Return the names of the classes in the data that `train_scenes.Config` names."""
    if config.data_root is None:
        return rooms.CLASSES
    return scannet.CLASSES if scannet.is_scans(config.data_root) else s3dis.CLASSES


def open_rooms(config, split: str) -> list[rooms.Room]:
    """Read or generate the rooms of one split, "train" or "test"."""
    if config.data_root is None:
        count = config.rooms if split == "train" else max(1, config.rooms * 2 // 5)
        return rooms.generated(count, split, config.room_points)
    if scannet.is_scans(config.data_root):
        return scannet.load_rooms(config.data_root, split)
    return s3dis.load_rooms(config.data_root, split, config.test_area)


def check_test(config) -> None:
    """Refuse a data set without its test rooms, which are not read before the last epoch is over.

    Raises:
        InputError: no test room, or a missing list or file; the files are not opened.
    """
    if config.data_root is None:
        return
    root = Path(config.data_root)
    if s3dis.is_blocks(root):
        s3dis.rows_of_blocks(root, "test", config.test_area)
        return
    if scannet.is_scans(root):
        scans = scannet.files(root, "test")
        files = [*scans, *(file.with_suffix(".labels.ply") for file in scans)]
    else:
        files = s3dis.files(root, "test", config.test_area)
    for file in files:
        if not file.is_file():
            raise InputError(f"{file} of a test room is missing")


def open_blocks(config, split: str) -> tuple[NDArray, NDArray, NDArray]:
    """Return features (K, N, 9) and labels (K, N) of blocks, and which points (K, N) count.

    For training they overlap. For the test they hold each point of a room; points that fill the
    last block of a column do not count.
    """
    if config.data_root is not None and s3dis.is_blocks(config.data_root):
        found = s3dis.load_blocks(config.data_root, split, config.test_area, config.num_points)
        return *found, np.ones(found[1].shape, bool)
    parts, counted = [], []
    for number, room in enumerate(open_rooms(config, split)):
        rng = generator(config.seed, Stream.BLOCKS, split == "test", number)
        cut = blocks.draw if split == "train" else blocks.cover
        parts.append(cut(room, config.num_points, rng))
        first = np.zeros(parts[-1].rows.size, bool)
        first[np.unique(parts[-1].rows, return_index=True)[1]] = True
        counted.append(first.reshape(parts[-1].rows.shape))
    features, labels, _ = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if not len(features):
        raise InputError("no column of a room has 100 points: give more, such as --room-points")
    return features, labels, np.concatenate(counted)


def inputs(features: NDArray, device) -> tuple[Tensor, Tensor]:
    """Return the points (B, N, 3) of blocks (B, N, 9) as a trunk knows them, and the features.

    These points are y up, with mean 0 and largest norm 1, as those of pre-training.
    """
    features = torch.from_numpy(features)
    points = features[..., :3] @ torch.from_numpy(TO_BLENDER).float()  # z up to y up
    points = points - points.mean(1, keepdim=True)
    points = points / points.norm(dim=2).amax(1)[:, None, None].clamp(min=1e-6)
    return points.to(device), features.to(device)


class Blocks:
    """Blocks to train on; the test's are read when they are scored."""

    one_size = True

    def __init__(self, config):
        self.config, self.classes = config, classes_of(config)
        self.features, self.labels, _ = open_blocks(config, "train")

    def __len__(self) -> int:
        return len(self.features)

    def batch(self, step: int, rows: NDArray, device) -> tuple[Tensor, ...]:
        """Return the labels (B, N) of blocks, and their `inputs`."""
        labels = torch.from_numpy(self.labels[rows]).to(device)
        return labels, *inputs(self.features[rows], device)

    def score(self, net: nn.Module, device) -> tuple[dict[str, float], int, dict[str, NDArray]]:
        """Score all points of the test rooms, each once.

        Returns:
            the scores; the number of blocks; no picture.
        """
        features, labels, counted = open_blocks(self.config, "test")
        counts, size = 0, self.config.batch_size
        for first in range(0, len(features), size):
            part = slice(first, first + size)
            logits = finetune.predict(net, size, *inputs(features[part], device))
            predicted, own = logits.argmax(2).cpu().numpy(), counted[part]
            counts += scores.confusion(predicted[own], labels[part][own], len(self.classes))
        return scores.of_scenes(counts), len(features), {}


class WholeRooms:
    """Rooms whole, as voxels with the mean colour of their points, less 0.5."""

    one_size = False

    def __init__(self, config):
        if config.data_root is not None and s3dis.is_blocks(config.data_root):
            raise InputError("SR-UNet needs whole rooms, not blocks: see --data-root")
        self.config, self.classes = config, classes_of(config)
        self.rooms = open_rooms(config, "train")

    def __len__(self) -> int:
        return len(self.rooms)

    def batch(self, step: int, rows: NDArray, device) -> tuple[Tensor, ...]:
        """Return the labels (V,), features (V, 3) and keys (V,) of the voxels of rooms."""
        places, colors = [], []
        for row in rows.tolist():
            room = self.rooms[row]
            own = room.points, room.colors.astype(np.float32) / 255
            if self.config.augmentation == "scene":
                own = augment(*own, generator(self.config.seed, Stream.SCENES, step, row))
            places.append(own[0])
            colors.append(own[1])
        cloud = np.repeat(np.arange(len(rows)), [len(points) for points in places])
        x, inverse = self.voxels(np.concatenate(places), np.concatenate(colors), cloud)
        labels = np.concatenate([self.rooms[row].labels for row in rows.tolist()])
        labels = labels_of_voxels(torch.from_numpy(labels), inverse, len(self.classes))
        return tuple(a.to(device) for a in (labels, x.features, x.voxels.keys))

    def voxels(self, points, colors, cloud) -> tuple[SparseTensor, Tensor]:
        """Voxelise points (P, 3) with colours (P, 3) in [0, 1] of clouds (P,)."""
        arrays = map(torch.from_numpy, (points, colors - np.float32(0.5)))
        return voxelise(*arrays, self.config.voxel_size, torch.from_numpy(cloud))

    @torch.no_grad()
    def score(self, net: nn.Module, device) -> tuple[dict[str, float], int, dict[str, NDArray]]:
        """Score the points of whole test rooms, by their voxel's class, and the voxels.

        Returns:
            the scores, those of voxels named so; the number of rooms; and for a picture some points
            of a few rooms, their classes and the predicted ones.
        """
        of_points, of_voxels, count = 0, 0, len(self.classes)
        gallery = {"classes": np.array(self.classes)}
        net.eval()
        for number, room in enumerate(open_rooms(self.config, "test")):
            nothing = np.zeros(len(room.points), np.int64)
            x, inverse = self.voxels(room.points, room.colors.astype(np.float32) / 255, nothing)
            logits, _ = net(x.features.to(device), x.voxels.keys.to(device))
            predicted, labels = logits.argmax(1).cpu(), torch.from_numpy(room.labels)
            own = labels_of_voxels(labels, inverse, count)
            found = predicted[inverse].numpy()
            of_points += scores.confusion(found, room.labels, count)
            of_voxels += scores.confusion(predicted.numpy(), own.numpy(), count)
            if number < scores.SHOWN:
                some = slice(None, None, -(-len(room.points) // SHOWN_POINTS))
                arrays = {"points": room.points, "true": room.labels, "found": found}
                gallery |= {f"{name}_{number}": array[some] for name, array in arrays.items()}
        net.train()
        scored = scores.of_scenes(of_points) | scores.of_voxels(of_voxels)
        return scored, number + 1, gallery


def labels_of_voxels(labels: Tensor, inverse: Tensor, classes: int) -> Tensor:
    """Return the commonest class (V,) of each voxel's labelled points; UNLABELLED without any.

    Of classes that are equally common it is the first. Differs from PointContrast, where a voxel
    with points of two classes has no label.

    Args:
        labels: (P,) of the points.
        inverse: (P,), the voxel of each point; every voxel has one.
    """
    count, known = int(inverse.max()) + 1, labels >= 0
    pairs = inverse[known] * classes + labels[known]
    votes = torch.bincount(pairs, minlength=count * classes).view(count, classes)
    most = votes.max(1)
    return torch.where(most.values > 0, most.indices, rooms.UNLABELLED)
