"""Fetch the pictures and clouds released with Differentiable Point Clouds (Insafutdinov 2018).

python -m samplenet.data.views.published --root VIEWS --synsets 03001627   # chairs

Nobody published a checksum of these archives, so none is compared.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from samplenet.data.archive import ensure_folder
from samplenet.data.download import fetch
from samplenet.data.views.drawing import splits_of, write_lists
from samplenet.errors import InputError
from samplenet.runs.parser import Parser

ADDRESS = "https://datasets.d2.mpi-inf.mpg.de/unsupervised-shape-pose"
SYNSETS = {"03001627": "chair", "02958343": "car", "02691156": "airplane"}
MAX_BYTES = 20_000_000_000  # of an unpacked archive
KINDS = {"renders": ("", "*/render_0.png"), "gt": ("gt", "*.mat")}  # folder, and what it must hold

log = logging.getLogger(__name__)


def download(
    root: str | os.PathLike,
    synsets: Sequence[str] = tuple(SYNSETS),
    address: str = ADDRESS,
    lists: Sequence[Path] = (),
    seed: int = 0,
) -> Path:
    """Return `root` with the pictures and clouds of these classes, in the layout of `views.make`.

    What is there is kept unchecked. Archives that lie in `root` are used:
    `<synset>-renders.tar.gz`, 0.4 GB for cars, and `<synset>-gt.tar.gz`.

    Args:
        address: of the folder of the archives.
        lists: files `<synset>_<split>.txt` to take splits from, as the published ones are not in
            the archives. A class that has no list, here or in `root`, is split at random.

    Raises:
        InputError: no download, another archive, a bad list, one of absent models alone, or `root`
            cannot be written.
    """
    root = Path(root)
    for synset in synsets:
        if synset not in SYNSETS:
            known = ", ".join(f"{key} {name}" for key, name in SYNSETS.items())
            raise InputError(f"synsets must be of {known}; got {synset!r}")
    for synset in synsets:
        for kind in KINDS:
            _fetch(root, synset, kind, address)
    models = {
        synset: sorted(path.parent.name for path in (root / synset).glob("*/render_0.png"))
        for synset in synsets
    }
    for synset, parts in splits_of(models, lists, seed).items():
        given = any(path.name.startswith(f"{synset}_") for path in lists)
        if given or not [*root.glob(f"splits/{synset}_*.txt")]:
            there = {*models[synset]}
            write_lists(
                root,
                synset,
                {
                    split: _present(f"{synset}_{split}", names, there)
                    for split, names in parts.items()
                },
            )
    return root


def _present(title: str, names: list[str], there: set[str]) -> list[str]:
    """Return the names of a list that are there; report the others."""
    missing = sorted({*names} - there)
    if missing:
        few = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        found = (
            f"{title}.txt names {len(missing)} of {len(names)} models that have no pictures ({few})"
        )
        if len(missing) == len(names):
            raise InputError(f"{found}: it is the list of another data set")
        log.warning("%s: they are left out", found)
    return sorted({*names} & there)


def _fetch(root: Path, synset: str, kind: str, address: str) -> None:
    """Download and unpack one archive, unless its folder is there."""
    place, content = KINDS[kind]
    name = f"{synset}-{kind}.tar.gz"

    def accept(archive: Path, new: Path) -> None:
        if not any(new.glob(content)):
            raise InputError(f"{archive} holds no {synset}/{content}: it is another archive")

    ensure_folder(
        root / place / synset,
        lambda folder: [] if folder.is_dir() else ["everything"],
        lambda: fetch([f"{address}/{name}"], root / name, max_bytes=MAX_BYTES),
        accept,
        MAX_BYTES,
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(
        prog="python -m samplenet.data.views.published", description=__doc__.split("\n")[0]
    )
    add = parser.add_argument
    add("--root", required=True, help="folder of the pictures, also of several classes")
    add("--synsets", nargs="+", default=[*SYNSETS], help=f"of {', '.join(SYNSETS)}; all by default")
    add("--url", default=ADDRESS, help="address of the folder of the archives")
    add("--split", nargs="+", type=Path, default=[], help="lists <synset>_<split>.txt of models")
    add("--seed", type=int, default=0, help="of the splits where no list is given")
    args = parser.parse_args(argv)
    from samplenet.runs import script  # here: reading data needs no run folders

    def run() -> None:
        print(download(args.root, args.synsets, args.url, args.split, args.seed))

    script.main(run)


if __name__ == "__main__":
    main()
