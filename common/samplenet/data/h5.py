"""HDF5 files, written from memory: on a full disk, libhdf5 itself can crash the process."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samplenet.errors import InputError, needs_extra

with needs_extra("data"):
    from h5py import Dataset, File

__all__ = ["UNREADABLE", "Dataset", "File", "read", "read_clouds", "write"]

# raised by h5py, depending on which bytes of a file are damaged
UNREADABLE = (
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    MemoryError,
)


def write(
    path: Path, datasets: Mapping[str, Any], attributes: Mapping[str, Any] | None = None, **options
) -> None:
    """Write a file of these datasets.

    Args:
        options: passed to h5py's `create_dataset` for each of them, such as `compression`.
    """
    with File(path, "w", driver="core", backing_store=False) as file:
        for key, array in datasets.items():
            file.create_dataset(key, data=array, **options)
        file.attrs.update(attributes or {})
        file.flush()
        content = file.id.get_file_image()
    path.write_bytes(content)


def read(file: Path, *keys: str) -> list[np.ndarray]:
    """Read whole datasets of numbers; InputError if the file is damaged or lacks one."""
    with opened(file, keys) as datasets:
        return [dataset[()] for dataset in datasets]


def read_clouds(file: Path, num_points: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Read labelled clouds: points (n, num_points, 3) float32 and labels (n,), n at least 1.

    Args:
        num_points: points read of each cloud, its first; None: all.

    Raises:
        InputError: the file is damaged or holds anything else; the message names it.
    """
    with opened(file, ("data", "label")) as (data, label):
        _check(file, data, label, num_points)
        # a number too large for float32 becomes infinite, and is reported as such
        with np.errstate(over="ignore"):
            points = data[:, :num_points].astype(np.float32)
        labels = label[()].reshape(-1)
    finite = np.isfinite(points).all((1, 2))
    if not finite.all():
        row = int(finite.argmin())
        raise InputError(
            f"{file} has a coordinate that is not finite in cloud {row}: remove this cloud"
        )
    return points, labels


@contextlib.contextmanager
def opened(file: Path, keys: Sequence[str]) -> Iterator[list[Dataset]]:
    """Open the datasets of a file; errors in it, also while they are read, are InputErrors."""
    try:
        with File(file, "r") as source:
            for key in keys:
                if not isinstance(source.get(key), Dataset):
                    raise InputError(
                        f"{file} has no dataset {key!r}, only {sorted(source)}: fetch it again"
                    )
            yield [source[key] for key in keys]
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError(
            f"{file} cannot be read as HDF5 ({error}): it is cut off or damaged, fetch it again"
        ) from error


def _check(file: Path, data: Dataset, label: Dataset, num_points: int | None) -> None:
    """Raise InputError unless these are clouds of enough points and one label for each."""
    shape, labels = data.shape or (), label.shape or ()  # None for an empty data space
    are_clouds = len(shape) == 3 and shape[0] > 0 and shape[2] == 3 and data.dtype.kind == "f"
    are_labels = labels in (shape[:1], (*shape[:1], 1)) and label.dtype.kind in "iu"
    if not (are_clouds and are_labels):
        raise InputError(
            f"{file} has 'data' of {data.dtype} {shape} and 'label' of {label.dtype} {labels}: "
            "make them float32 (n, P, 3) and integer (n,) or (n, 1) with at least one cloud, n"
        )
    if num_points is not None and shape[1] < num_points:
        raise InputError(
            f"{file} has {shape[1]} points a cloud: "
            f"num_points must be at most that, got {num_points}"
        )
