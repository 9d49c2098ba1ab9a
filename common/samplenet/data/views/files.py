"""The files of pictures, in the layout of the renderings released with Differentiable Point Clouds.

The layout is that of their published code; no released file has been read here.
A model's folder `<root>/<synset>/<model>/` has, of each view k:

    render_k.png   RGBA, 8 bits; RGB where there is a mask or a depth
    mask_k.png     grey, 8 bits, in the place of alpha: 0 the background; 1, or 255, the object
    depth_k.png    grey, 16 bits: 65535 / 10 times the depth, the background 65535; may be missing
    labels_k.png   grey, 8 bits: 0 the background, 1 more than the part elsewhere; may be missing
    labels_k.npy   in their place, the same as an array (DIFFER)
    camera_k.mat   extrinsic (4, 4), pos (3), quat (4), K (3, 3), see `cameras.to_blender`

and `view.txt`, a line "azimuth elevation tilt distance" a view, which is written and not read.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samplenet.data import cameras
from samplenet.data.views.arrays import of_mat, read_mat, read_npy
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
        masks: (V, S, S) float32 in [0, 1], share of a pixel that is covered: alpha; without it the
            mask's file; without that the pixels whose depth is not the background's.
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
    renders = _images(folder, "render", numbers, ("RGBA", "RGB"), size).astype(np.float32) / 255
    images, alpha = renders[..., :3], renders[..., 3:]
    kinds = {"depth": ("I;16",), "labels": ("L",), "mask": () if alpha.size else ("L",)}
    depths, labels, covered = (
        _images(folder, kind, numbers, modes, size)
        if modes and (folder / f"{kind}_{numbers[0]}.png").is_file()
        else None
        for kind, modes in kinds.items()
    )
    if labels is None:
        labels = _label_arrays(folder, numbers, images.shape[2])
    for kind, other in (("depth", depths), ("labels", labels), ("mask", covered)):
        if other is not None and other.shape != images.shape[:3]:
            raise InputError(f"{folder} has {kind}_k.png of another size than render_k.png")
    if alpha.size:
        masks = alpha[..., 0]
    elif covered is not None:  # some write 1 for the object, others 255
        masks = covered.astype(np.float32) / (255 if covered.max() > 1 else 1)
    elif depths is not None:
        masks = (depths < FAR * STEPS).astype(np.float32)
    else:
        raise InputError(
            f"{folder} has pictures without alpha, so it needs mask_k.png or depth_k.png"
        )
    extrinsics, intrinsics = zip(*(_camera(folder, k, size) for k in numbers), strict=True)
    return Pictures(
        images * masks[..., None] + (1 - masks[..., None]),
        masks,
        None if depths is None else depths.astype(np.float32) / np.float32(STEPS),
        labels,
        np.stack(extrinsics),
        np.stack(intrinsics),
    )


def to_bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return values in [0, 1] as whole numbers in [0, 255]."""
    return np.round(255 * values).astype(np.uint8)


def _images(
    folder: Path, kind: str, numbers: list[int], modes: tuple[str, ...], size: int | None
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Read `<kind>_k.png` of these views as one array (V, S, S), (V, S, S, 3) or (V, S, S, 4).

    Args:
        modes: the kinds of picture that may be, as Pillow calls them.
    """
    images = []
    for k in numbers:
        path = folder / f"{kind}_{k}.png"
        try:
            with Image.open(path) as image:
                if image.mode == "I":  # grey of 16 bits in older versions
                    image = image.convert("I;16")
                if image.mode not in modes:
                    known = " or ".join(modes)
                    raise InputError(f"{path} is a picture of the kind {image.mode}, not {known}")
                if image.width != image.height:
                    raise InputError(f"{path} must be square, got {image.width} x {image.height}")
                if size and image.size != (size, size):
                    rule = Image.Resampling["BICUBIC" if kind == "render" else "NEAREST"]
                    image = image.resize((size, size), rule)
                images.append(np.array(image))
        except UNREADABLE as error:
            raise InputError(f"{path} cannot be read: {error}") from error
    if any(image.shape != images[0].shape for image in images):
        raise InputError(f"{folder} has {kind}_k.png of several sizes, or with and without alpha")
    return np.stack(images)


def _label_arrays(folder: Path, numbers: list[int], size: int) -> NDArray[np.uint8] | None:
    """Read `labels_k.npy` of these views as (V, size, size); None if the first view has none.

    Maps of another size are resized to the nearest pixel.
    """
    if not (folder / f"labels_{numbers[0]}.npy").is_file():
        return None
    maps = []
    for k in numbers:
        path = folder / f"labels_{k}.npy"
        labels = read_npy(path)
        if labels.ndim != 2 or labels.shape[0] != labels.shape[1] or not labels.size:
            raise InputError(f"{path} must be square, got shape {labels.shape}")
        if not (labels.min() >= 0 and labels.max() <= 255):
            low, high = labels.min(), labels.max()
            raise InputError(f"{path} must hold labels in [0, 255], got {low:g} to {high:g}")
        at = ((np.arange(size) + 0.5) * len(labels) / size).astype(int)
        maps.append(labels[at][:, at].astype(np.uint8))
    return np.stack(maps)


def _camera(folder: Path, k: int, size: int | None) -> tuple[NDArray, NDArray]:
    """Read a view's extrinsic, and its K at `size`; if it has none, that of the released lens."""
    path = folder / f"camera_{k}.mat"
    arrays = read_mat(path)
    with Image.open(folder / f"render_{k}.png") as image:
        stored = image.width
    extrinsic, K = of_mat(path, arrays, "extrinsic"), cameras.intrinsics(stored)
    if "K" in arrays:
        K = of_mat(path, arrays, "K")
    for key, matrix, side in (("extrinsic", extrinsic, 4), ("K", K, 3)):
        if matrix.shape != (side, side) or not np.isfinite(matrix).all():
            raise InputError(f"{path}: {key} must be finite, of shape ({side}, {side})")
    scale = (size or stored) / stored
    return cameras.from_blender(extrinsic), np.diag([scale, scale, 1]) @ K
