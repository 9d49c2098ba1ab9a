"""HDF5 files. Made in memory before they are written: on a full disk, libhdf5 can crash the process."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samplenet.errors import needs_extra

with needs_extra("data"):
    from h5py import Dataset, File

__all__ = ["Dataset", "File", "write"]


def write(
    path: Path, datasets: Mapping[str, Any], attributes: Mapping[str, Any] | None = None, **options
) -> None:
    """Write a file of these datasets; `options` are h5py's for each of them, such as compression."""
    with File(path, "w", driver="core", backing_store=False) as file:
        for key, array in datasets.items():
            file.create_dataset(key, data=array, **options)
        file.attrs.update(attributes or {})
        file.flush()
        content = file.id.get_file_image()
    path.write_bytes(content)
