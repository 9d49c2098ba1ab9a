"""The pictures and the ground truth of a data set's models, in memory, for training from them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from samplenet.data import cameras, shapes
from samplenet.data.batches import own_folder
from samplenet.data.views.drawing import SPLITS, Drawing, read_split
from samplenet.data.views.meshes import BuiltIn, Truth
from samplenet.errors import InputError
from samplenet.runs.settings import RunConfig, option


@dataclass
class ViewsConfig(RunConfig):
    """Settings of a script that learns from pictures of models."""

    data_root: str | None = option(
        None,
        "folder of <synset>/<model>/render_k.png, gt and splits; default: built-in shapes, which "
        "are drawn on first use",
        path=True,
    )
    classes: list[str] = option(
        ["chair"], "built-in classes, or synsets in --data-root", filled=True
    )
    shapes_per_class: int = option(
        400, "built-in shapes a class: 70 % train, 10 % validate, 20 % test", at_least=10
    )
    image_size: int = option(128, "pixels a side of the pictures; others are resized", at_least=8)
    num_views: int = option(5, "pictures of each model, the first ones", at_least=1)
    lit: bool = option(True, "built-in shapes: whether light falls on them")


@dataclass(frozen=True)
class Models:
    """n models of one split with V pictures each, S pixels a side.

    Attributes:
        images: (n, V, S, S, 3) uint8 on white.
        masks: (n, V, S, S) uint8, 255 times the share of a pixel that is covered.
        labels: (n, V, S, S) uint8, 0 the background, 1 more than the part; None if a model has
            none.
        extrinsics: (n, V, 4, 4) float32, see `cameras`.
        truths: (n) ground truth; None of a model that has no file.
        classes: (n,) int64, indices into `names`.
        names: the classes.
        ids: (n), as "chair/chair_0012".
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None
    extrinsics: NDArray[np.float32]
    truths: list[Truth | None]
    classes: NDArray[np.int64]
    names: tuple[str, ...]
    ids: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    def on_black(self) -> NDArray[np.uint8]:
        """Return the images on black."""
        uncovered = 255 - self.masks[..., None]
        return self.images - np.minimum(self.images, uncovered)


def open_models(config: ViewsConfig, split: str) -> Models:
    """Read one split of the data set in the settings, class by class; see `read`.

    Built-in shapes are drawn on first use, below `samplenet.data.batches.own_folder`; a killed call
    is continued by the next.
    """
    root = config.data_root
    root = built_in(config) if root is None else Path(root)
    return read(root, split, config.classes, config.num_views, config.image_size)


def built_in(config: ViewsConfig) -> Path:
    """Draw the built-in shapes in the settings unless it was done before; return their folder."""
    from samplenet.data.views.make import make  # here: files are read without Embree

    source = BuiltIn(config.classes, config.shapes_per_class)
    drawing = Drawing(config.num_views, config.image_size, lit=config.lit)
    words = ["views", *config.classes, f"{config.shapes_per_class}x{config.num_views}"]
    words += [f"{config.image_size}px", "lit" if config.lit else "flat", shapes.VERSION]
    folder = own_folder() / "-".join(words)
    lists = [folder / "splits" / f"{name}_test.txt" for name in config.classes]
    if not all(path.is_file() for path in lists):  # `make` writes them last
        make(source, folder, drawing)
    return folder


def read(
    root: Path,
    split: str,
    classes: Sequence[str],
    num_views: int | None = None,
    size: int | None = None,
) -> Models:
    """Read the models of a split, as `views.make` writes them or in a released layout.

    Args:
        split: "train", "val" or "test".
        classes: names of folders; "chair" is "03001627" too, ShapeNet's synset.
        num_views: the first ones; all by default.
        size: pixels a side, see `files.read`.

    Raises:
        InputError: a missing folder or list, an empty split, a bad file, or models of different
            sizes.
    """
    # here, where a missing package is one sentence
    from samplenet.data.shapenet_archive import SYNSETS
    from samplenet.data.views import files, truths

    if split not in SPLITS:
        raise InputError(f"split must be one of {', '.join(SPLITS)}; got {split!r}")
    if not root.is_dir():
        raise InputError(
            f"{root} is not a folder: correct it, or fetch the pictures by "
            f"'python -m samplenet.data.views.published --root {root}'"
        )
    pictures, clouds, labels, ids = [], [], [], []
    for label, name in enumerate(classes):
        if not (root / name).is_dir() and (root / SYNSETS.get(name, name)).is_dir():
            name = SYNSETS[name]
        models = read_split(root, name, split)
        if not models:
            raise InputError(f"{root} has no model of {name!r} for its {split} split")
        for model in tqdm(models, f"read {name}, {split}", unit="model", disable=None):
            picture = files.read(root / name / model, num_views, size)
            # bytes at once: all in float32, with their depths, are 8 GB of the published chairs
            small = {kind: files.to_bytes(getattr(picture, kind)) for kind in ("images", "masks")}
            pictures.append(replace(picture, **small, depths=None))
            clouds.append(truths.read_truth(root, name, model))
            labels.append(label)
            ids.append(f"{name}/{model}")
    shape = pictures[0].images.shape
    for picture, name in zip(pictures, ids, strict=True):
        if picture.images.shape != shape:
            raise InputError(
                f"{name} has pictures of shape {picture.images.shape}, {ids[0]} of {shape}: "
                "give a number of views and an image size that hold for all"
            )
        if not np.allclose(picture.intrinsics, cameras.intrinsics(shape[1]), rtol=1e-3):
            raise InputError(
                f"{name} has another lens than that of samplenet.data.cameras: K is "
                f"{picture.intrinsics[0].round(3).tolist()}"
            )
    known = all(picture.labels is not None for picture in pictures)
    return Models(
        np.stack([picture.images for picture in pictures]),
        np.stack([picture.masks for picture in pictures]),
        np.stack([picture.labels for picture in pictures]) if known else None,
        np.stack([picture.extrinsics for picture in pictures]).astype(np.float32),
        clouds,
        np.array(labels, np.int64),
        tuple(classes),
        ids,
    )
