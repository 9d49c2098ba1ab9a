"""The archive of ModelNet40 as clouds of 2048 points, verified by MD5."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from samplenet.data.archive import ensure_folder
from samplenet.data.download import fetch, md5_of
from samplenet.errors import InputError

FOLDER = "modelnet40_ply_hdf5_2048"
# The original address comes last, as it has been reported dead since 2023. On the first host,
# zhangtao-whu/point_cloud_datasets (folder pcm) is said to hold a copy, but nobody verified it.
MIRRORS = (
    "https://huggingface.co/datasets/Msun/modelnet40/resolve/main/modelnet40_ply_hdf5_2048.zip",
    "https://shapenet.cs.stanford.edu/media/modelnet40_ply_hdf5_2048.zip",
)
ARCHIVE_MD5 = "c9ab8e6dfb16f67afdab25e155c79e59"
FILE_MD5 = {
    "ply_data_train0.h5": "3176385ffc31a7b6b5af22191fd920d1",
    "ply_data_train1.h5": "e3f613fb500559403b34925112754dc4",
    "ply_data_train2.h5": "0c56e233a090ff87c3049d4ce08e7d8b",
    "ply_data_train3.h5": "9d2af465adfa33a3285c369f3ca66c45",
    "ply_data_train4.h5": "dff38de489b2c41bfaeded86c2208984",
    "ply_data_test0.h5": "e9732e6d83b09e79e9a7617df058adee",
    "ply_data_test1.h5": "aba4b12a67c34391cc3c015a6f08ed4b",
}
LISTS = ("train_files.txt", "test_files.txt", "shape_names.txt")
MAX_BYTES = 2_000_000_000  # of the unpacked archive


def download(
    root: str | os.PathLike,
    urls: Sequence[str] = MIRRORS,
    md5: str | None = ARCHIVE_MD5,
    file_md5: Mapping[str, str] = FILE_MD5,
) -> Path:
    """Return `root/modelnet40_ply_hdf5_2048`, verified; download it first if missing or damaged.

    An archive that is already at `root/modelnet40_ply_hdf5_2048.zip` is used. A damaged folder is
    replaced only once the new one is complete.

    Raises:
        InputError: all mirrors failed, files are missing from the archive, or `root` cannot be
            written.
    """
    folder = Path(root) / FOLDER

    def find_damage(folder: Path) -> list[str]:
        """List the files that are missing or have another MD5."""
        missing = [name for name in (*LISTS, *file_md5) if not (folder / name).is_file()]
        return missing or [name for name, md5 in file_md5.items() if md5_of(folder / name) != md5]

    def get_archive() -> Path:
        return fetch(urls, folder.with_name(f"{FOLDER}.zip"), md5, MAX_BYTES)

    def accept(archive: Path, new: Path) -> None:
        if damage := find_damage(new):
            raise InputError(
                f"{archive} lacks {', '.join(damage)}, or they are damaged: delete it and try again"
            )

    return ensure_folder(folder, find_damage, get_archive, accept, MAX_BYTES)
