"""Writing HDF5 files. Made in memory first: on a disk that is full, libhdf5 can end the process by a crash."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py


def write(path: Path, datasets: Mapping[str, Any], attributes: Mapping[str, Any] | None = None, **options) -> None:
    """Write a file of these datasets; `options` are h5py's for each of them, such as compression."""
    with h5py.File(path, "w", driver="core", backing_store=False) as file:
        for key, array in datasets.items():
            file.create_dataset(key, data=array, **options)
        file.attrs.update(attributes or {})
        file.flush()
        content = file.id.get_file_image()
    path.write_bytes(content)
