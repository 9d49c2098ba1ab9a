"""A model's true points: `<root>/gt/<synset>/<model>.mat`, or released files beside its pictures.

The layouts are those of published code, of Differentiable Point Clouds for .mat files; no released
file has been read here. Where there is no .mat file, `<root>/<synset>/<model>/` has one of

    pcl_1024_fps_trimesh_colors.npy   (1024, 6): points and colours in [0, 1] (DIFFER)
    pcl_1024_fps_trimesh.npy          (1024, 3) (DIFFER, CAPNet)
    pointcloud_1024.npy               (1024, 3); pointcloud_labels.npy (1024,) is 1 more than the
                                      part of each point, and may be missing (3D-PSRNet)
    pointcloud_2048.npy               (2048, 3) (3D-LMNet)
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samplenet.data.views.arrays import of_mat, read_mat, read_npy
from samplenet.data.views.meshes import Truth
from samplenet.errors import InputError, needs_extra

with needs_extra("render"):
    import scipy.io

RELEASED = (  # the first that exists counts
    "pcl_1024_fps_trimesh_colors.npy",
    "pcl_1024_fps_trimesh.npy",
    "pointcloud_1024.npy",
    "pointcloud_2048.npy",
)
LABELLED, LABELS = "pointcloud_1024.npy", "pointcloud_labels.npy"


def read_truth(root: Path, synset: str, model: str) -> Truth | None:
    """Read a model's true points from whichever file there is; None if there is none.

    Raises:
        InputError: a damaged file.
    """
    path = root / "gt" / synset / f"{model}.mat"
    if path.is_file():
        return read_cloud(path)
    folder = root / synset / model
    for path in (folder / name for name in RELEASED):
        if path.is_file():
            cloud, labels = read_npy(path), None
            if path.name == LABELLED and (folder / LABELS).is_file():
                labels = read_npy(folder / LABELS)
            colors = cloud[:, 3:] if cloud.ndim == 2 and cloud.shape[1] == 6 else None
            return _checked(path, cloud if colors is None else cloud[:, :3], colors, labels)
    return None


def write_cloud(path: Path, truth: Truth) -> None:
    """Write the ground truth as the released one: a .mat file with the key `points`.

    `colors` (M, 3) and `labels` (1, M), where they are known, are ours.
    """
    scipy.io.savemat(path, {k: v for k, v in truth._asdict().items() if v is not None})


def read_cloud(path: str | Path) -> Truth:
    """Read what `write_cloud` wrote, or a released file; InputError if it has no points."""
    path = Path(path)
    arrays = read_mat(path)
    truth = [of_mat(path, arrays, key) if key in arrays else None for key in Truth._fields]
    points, colors, labels = truth
    if points is None:
        raise InputError(f"{path} holds no array of numbers 'points'")
    return _checked(path, points, colors, labels)


def _checked(path: Path, points: NDArray, colors: NDArray | None, labels: NDArray | None) -> Truth:
    """Return what a file holds of M points.

    InputError if shapes differ, points are not finite, or colours or labels are out of range.

    Args:
        labels: M numbers in any shape.
    """
    shape = points.shape
    if len(shape) != 2 or shape[1] != 3 or not len(points) or not np.isfinite(points).all():
        raise InputError(f"{path}: points must be finite, of shape (M, 3), got {shape}")
    if colors is not None and colors.shape != points.shape:
        raise InputError(f"{path}: colors must be of shape {points.shape}, got {colors.shape}")
    if colors is not None and not ((colors >= 0) & (colors <= 1)).all():
        found = f"{colors.min():g} to {colors.max():g}"
        raise InputError(f"{path}: colors must be in [0, 1], got {found}")
    if labels is not None and labels.size != len(points):
        raise InputError(f"{path}: labels must be {len(points)} numbers, got {labels.size}")
    if labels is not None and labels.size and not 1 <= labels.min() <= labels.max() <= 255:
        found = f"{labels.min():g} to {labels.max():g}"
        raise InputError(f"{path}: labels must be in [1, 255], 1 more than the part; got {found}")
    return Truth(
        points.astype(np.float32),
        None if colors is None else colors.astype(np.float32),
        None if labels is None else labels.reshape(-1).astype(np.uint8),
    )
