"""The files of pictures, in the layout of the renderings released with Differentiable Point Clouds.

The layout is that of their published code; no released file has been read here.
A model's folder `<root>/<synset>/<model>/` has, of each view k:

    render_k.png   RGBA, 8 bits
    depth_k.png    grey, 16 bits: 65535 / 10 times the depth, the background 65535; may be missing
    labels_k.png   grey, 8 bits: 0 the background, 1 more than the part elsewhere; may be missing
    camera_k.mat   extrinsic (4, 4), pos (3), quat (4), K (3, 3), see `cameras.to_blender`

and `view.txt`, a line "azimuth elevation tilt distance" a view, which is written and not read.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samplenet.data import cameras
from samplenet.data.views.meshes import Truth
from samplenet.data.views.rays import FAR, Views
from samplenet.errors import InputError, needs_extra

with needs_extra("render"):
    import scipy.io
    from PIL import Image  # matplotlib writes no grey of 16 bits

STEPS = 65535 / FAR  # of depth_k.png, in a unit of depth
FAST = {"compress_level": 1}  # a tenth larger than the default, in half of the time
UNREADABLE = (OSError, SyntaxError, Image.DecompressionBombError)  # what Pillow raises at bad files


@dataclass(frozen=True)
class Pictures:
    """V pictures of one model, as read; S pixels a side.

    Attributes:
        images: (V, S, S, 3) float32 in [0, 1], on white.
        masks: (V, S, S) float32 in [0, 1], share of a pixel that is covered.
        depths: (V, S, S) float32 along the optical axis, 10 in the background; None without files.
        labels: (V, S, S) uint8, 0 the background, 1 more than the part; None without files.
        extrinsics: (V, 4, 4), see `cameras`.
        intrinsics: K (V, 3, 3), in pixels of these pictures.
    """

    images: NDArray[np.float32]
    masks: NDArray[np.float32]
    depths: NDArray[np.float32] | None
    labels: NDArray[np.uint8] | None
    extrinsics: NDArray[np.float64]
    intrinsics: NDArray[np.float64]


def write(folder: Path, views: Views, extrinsics: NDArray[np.float64], has_parts: bool) -> None:
    """Write the views of one model into a new folder, with labels if it `has_parts`."""
    folder.mkdir()
    rgba = to_bytes(np.concatenate([views.rgb, views.alpha[..., None]], -1))
    depths = np.round(views.depth * STEPS).clip(0, 65535).astype(np.uint16)
    K = cameras.intrinsics(rgba.shape[1])
    for k, extrinsic in enumerate(extrinsics):
        Image.fromarray(rgba[k]).save(folder / f"render_{k}.png", **FAST)
        Image.fromarray(depths[k]).save(folder / f"depth_{k}.png", **FAST)
        if has_parts:
            Image.fromarray(views.label[k]).save(folder / f"labels_{k}.png", **FAST)
        scipy.io.savemat(folder / f"camera_{k}.mat", cameras.to_blender(extrinsic) | {"K": K})
    azimuth, elevation, distance = cameras.angles(cameras.centre(extrinsics))
    table = np.stack([azimuth, elevation, 0 * azimuth, distance], 1)
    np.savetxt(folder / "view.txt", table, "%.6g")


def read(folder: str | Path, num_views: int | None = None, size: int | None = None) -> Pictures:
    """Read the views of one model's folder, in the order of their numbers.

    Differs from the released reader, which sorts names, so that render_10 precedes render_2.

    Args:
        num_views: how many, the first ones; all by default.
        size: pixels a side; pictures of another size are resized, RGB and alpha bicubically, depth
            and labels to the nearest pixel, and K with them.

    Raises:
        InputError: too few views, a bad size, a missing or damaged file, or pictures that are not
            square or differ in size.
    """
    for name, value in (("num_views", num_views), ("size", size)):
        if value is not None and value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
    folder = Path(folder)
    numbers = sorted(
        int(match[1])
        for path in folder.glob("render_*.png")
        if (match := re.fullmatch(r"render_(\d+)\.png", path.name))
    )
    if len(numbers) < (num_views or 1):
        raise InputError(f"{folder} has {len(numbers)} of {num_views or 1} views, render_k.png")
    numbers = numbers[:num_views]
    rgba = _images(folder, "render", numbers, "RGBA", size)
    rgba = rgba.astype(np.float32) / 255
    masks = rgba[..., 3]
    depths, labels = (
        _images(folder, kind, numbers, mode, size)
        if (folder / f"{kind}_{numbers[0]}.png").is_file()
        else None
        for kind, mode in (("depth", "I;16"), ("labels", "L"))
    )
    for kind, other in (("depth", depths), ("labels", labels)):
        if other is not None and other.shape != masks.shape:
            raise InputError(f"{folder} has {kind}_k.png of another size than render_k.png")
    extrinsics, intrinsics = zip(*(_camera(folder, k, size) for k in numbers), strict=True)
    return Pictures(
        rgba[..., :3] * masks[..., None] + (1 - masks[..., None]),
        masks,
        None if depths is None else depths.astype(np.float32) / np.float32(STEPS),
        labels,
        np.stack(extrinsics),
        np.stack(intrinsics),
    )


def write_cloud(path: Path, truth: Truth) -> None:
    """Write the ground truth as the released one: a .mat file with the key `points`.

    `colors` (M, 3) and `labels` (1, M), where they are known, are ours.
    """
    scipy.io.savemat(path, {k: v for k, v in truth._asdict().items() if v is not None})


def read_cloud(path: str | Path) -> Truth:
    """Read what `write_cloud` wrote, or a released file; InputError if it has no points."""
    path = Path(path)
    arrays = _mat(path)
    truth = [_array(path, arrays, key) if key in arrays else None for key in Truth._fields]
    points, colors, labels = truth
    if points is None:
        raise InputError(f"{path} holds no array of numbers 'points'")
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise InputError(f"{path}: points must be finite, of shape (M, 3), got {points.shape}")
    if colors is not None and colors.shape != points.shape:
        raise InputError(f"{path}: colors must be of shape {points.shape}, got {colors.shape}")
    if labels is not None and labels.size != len(points):
        raise InputError(f"{path}: labels must be {len(points)} numbers, got {labels.size}")
    return Truth(
        points.astype(np.float32),
        None if colors is None else colors.astype(np.float32),
        None if labels is None else labels.reshape(-1).astype(np.uint8),
    )


def to_bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return values in [0, 1] as whole numbers in [0, 255]."""
    return np.round(255 * values).astype(np.uint8)


def _images(
    folder: Path, kind: str, numbers: list[int], mode: str, size: int | None
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Read `<kind>_k.png` of these views as one array (V, S, S) or (V, S, S, 4).

    Args:
        mode: the kind of picture, as Pillow calls it.
    """
    images = []
    for k in numbers:
        path = folder / f"{kind}_{k}.png"
        try:
            with Image.open(path) as image:
                if image.mode == "I":  # grey of 16 bits in older versions
                    image = image.convert("I;16")
                if image.mode != mode:
                    raise InputError(f"{path} is a picture of the kind {image.mode}, not {mode}")
                if image.width != image.height:
                    raise InputError(f"{path} must be square, got {image.width} x {image.height}")
                if size and image.size != (size, size):
                    rule = Image.Resampling.BICUBIC if mode == "RGBA" else Image.Resampling.NEAREST
                    image = image.resize((size, size), rule)
                images.append(np.array(image))
        except UNREADABLE as error:
            raise InputError(f"{path} cannot be read: {error}") from error
    if any(image.shape != images[0].shape for image in images):
        raise InputError(f"{folder} has {kind}_k.png of several sizes: name one size for all")
    return np.stack(images)


def _camera(folder: Path, k: int, size: int | None) -> tuple[NDArray, NDArray]:
    """Read a view's extrinsic, and its K at `size`; if it has none, that of the released lens."""
    path = folder / f"camera_{k}.mat"
    arrays = _mat(path)
    with Image.open(folder / f"render_{k}.png") as image:
        stored = image.width
    extrinsic, K = _array(path, arrays, "extrinsic"), cameras.intrinsics(stored)
    if "K" in arrays:
        K = _array(path, arrays, "K")
    for key, matrix, side in (("extrinsic", extrinsic, 4), ("K", K, 3)):
        if matrix.shape != (side, side) or not np.isfinite(matrix).all():
            raise InputError(f"{path}: {key} must be finite, of shape ({side}, {side})")
    scale = (size or stored) / stored
    return cameras.from_blender(extrinsic), np.diag([scale, scale, 1]) @ K


def _mat(path: Path) -> dict:
    try:
        return scipy.io.loadmat(path)
    except Exception as error:  # SciPy raises whatever a damaged file leads to
        raise InputError(f"{path} cannot be read: {type(error).__name__} {error}") from error


def _array(path: Path, arrays: dict, key: str) -> NDArray[np.float64]:
    """Return an array of numbers of a .mat file's content."""
    try:
        return np.asarray(arrays[key], float)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} holds no array of numbers {key!r}") from error
