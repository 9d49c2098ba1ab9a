"""HDF5 files, written from memory: on a full disk, libhdf5 itself can crash the process."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samplenet.errors import needs_extra

with needs_extra("data"):
    from h5py import Dataset, File

__all__ = ["UNREADABLE", "Dataset", "File", "write"]

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
