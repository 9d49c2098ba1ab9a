"""ScanObjectNN (Uy 2019), scanned objects of 15 classes, with or without their background.

python -m samplenet.data.scanobjectnn --root DIR                 # download (13 GB), print folder
python -m samplenet.data.scanobjectnn --root DIR --archive FILE  # from a downloaded archive

Its terms of use, and the form to agree to them, are at hkust-vgd.github.io/scanobjectnn.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from samplenet import normalisation
from samplenet.data import h5
from samplenet.data.archive import ensure_folder
from samplenet.data.clouds import Clouds
from samplenet.data.download import fetch
from samplenet.errors import InputError
from samplenet.runs.parser import Parser

CLASSES = (
    *("bag", "bin", "box", "cabinet", "chair", "desk", "display", "door"),
    *("shelf", "table", "bed", "pillow", "sink", "sofa", "toilet"),
)
VARIANTS = {"with_background": "main_split", "object_only": "main_split_nobg"}
FILES = {"train": "training_objectdataset.h5", "test": "test_objectdataset.h5"}
FOLDER = "h5_files"
MIRRORS = ("https://hkust-vgd.ust.hk/scanobjectnn/h5_files.zip",)
MD5 = "36876af479f9ad39abad5ebcd89038dd"  # as the same host publishes it
MAX_BYTES = 60_000_000_000  # of the unpacked archive, which was not unpacked here


def load(
    root: str | os.PathLike,
    split: str,
    variant: str = "object_only",
    num_points: int = 1024,
) -> Clouds:
    """Read one split, "train" or "test", of `<root>/main_split[_nobg]/`; the 2048 points are whole.

    Each cloud has mean 0 and largest norm 1 before its first points are taken.

    Args:
        root: the folder `h5_files` of the archive.
        variant: a key of `VARIANTS`.

    Raises:
        InputError: an unknown split or variant, or a missing or damaged file.
    """
    for name, value, known in (("split", split, FILES), ("variant", variant, VARIANTS)):
        if value not in known:
            raise InputError(f"{name} must be one of {', '.join(known)}; got {value!r}")
    file = Path(root) / VARIANTS[variant] / FILES[split]
    if not file.is_file():
        raise InputError(
            f"{file} is missing: name the folder {FOLDER} of ScanObjectNN, or fetch it by "
            "python -m samplenet.data.scanobjectnn --root DIR"
        )
    points, labels = h5.read_clouds(file, None)
    if not 1 <= num_points <= points.shape[1]:
        raise InputError(f"num_points must be in [1, {points.shape[1]}], got {num_points}")
    if labels.min() < 0 or labels.max() >= len(CLASSES):
        raise InputError(f"{file} has labels {labels.min()}..{labels.max()}: it must be 0..14")
    points = normalisation.unit_sphere(points)[:, :num_points].astype(np.float32)
    ids = [f"{file.name}[{row}]" for row in range(len(points))]
    return Clouds(points, labels.astype(np.int64), CLASSES, ids)


def download(
    root: str | os.PathLike,
    urls: Sequence[str] = MIRRORS,
    md5: str | None = MD5,
    archive: str | os.PathLike | None = None,
) -> Path:
    """Return `root/h5_files`; download and unpack it first if any of the four files is missing.

    Args:
        archive: a downloaded archive; nothing is downloaded.

    Raises:
        InputError: all mirrors failed, or the archive is another one.
    """
    folder = Path(root) / FOLDER

    def missing(folder: Path) -> list[str]:
        names = [f"{variant}/{file}" for variant in VARIANTS.values() for file in FILES.values()]
        return [name for name in names if not (folder / name).is_file()]

    def get_archive() -> Path:
        if archive is None:
            return fetch(urls, folder.with_name(f"{FOLDER}.zip"), md5, MAX_BYTES)
        if not Path(archive).is_file():
            raise InputError(f"{archive} is not a file: correct --archive")
        return Path(archive)

    def accept(archive: Path, new: Path) -> None:
        if lacks := missing(new):
            raise InputError(f"{archive} lacks {lacks[0]}: it is another archive")

    return ensure_folder(folder, missing, get_archive, accept, MAX_BYTES)


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(description="Download and extract ScanObjectNN; read its terms of use first.")
    parser.add_argument("--root", required=True, help=f"folder to hold {FOLDER}")
    parser.add_argument("--archive", help="use this archive instead of downloading it")
    parser.add_argument(
        "--url", nargs="+", default=MIRRORS, help="addresses of the archive, tried in order"
    )
    args = parser.parse_args(argv)
    from samplenet.runs import script  # here: reading data needs no run folders

    script.main(lambda: print(download(args.root, args.url, archive=args.archive)))


if __name__ == "__main__":
    main()
