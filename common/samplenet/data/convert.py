"""Make a data set in the ModelNet40 layout from your own scans, one folder for each class.

python -m samplenet.data.convert SCANS --out DATA   # reads SCANS/<class>/<scan>, below it too
python classification/train_classifier.py --data-root DATA --out RUN

Points are drawn at random, not by farthest points: ModelNet40's are, a script that reads fewer
takes the first ones, and samplers are to be compared on clouds that no sampler has chosen.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from samplenet import scans
from samplenet.atomic import beside
from samplenet.data import modelnet40
from samplenet.data.archive import replace_folder
from samplenet.errors import InputError
from samplenet.normalisation import unit_sphere
from samplenet.runs.parser import Parser


def convert(
    source: str | os.PathLike,
    out: str | os.PathLike,
    num_points: int = 2048,
    test: float = 0.2,
    seed: int = 0,
    overwrite: bool = False,
) -> list[str]:
    """Write the scans of `source`/<class>/ as a data set `out`, which appears when complete.

    Clouds are centred on their mean and scaled to the unit sphere. Ids are "<class>/<file>".

    Args:
        num_points: drawn from each scan without repeats.
        test: share of each class's scans in the test split; each split gets at least one.
        overwrite: replace `out` if it is a data set in this layout. A kill between the two
            renamings leaves the old one in a folder `out`.old.* beside it.

    Returns:
        A sentence on each file that was left out: unreadable, or of too few finite points.

    Raises:
        InputError: `out` exists, or a class has fewer than two scans that can be read.
    """
    source, out = Path(source), Path(out)
    if num_points < 1 or not 0 < test < 1:
        raise InputError(
            f"num_points must be at least 1 and test between 0 and 1, got {num_points} and {test}"
        )
    if out.exists() and not overwrite:
        raise InputError(f"{out} exists: name another folder, or replace it by --overwrite")
    if out.exists() and not (out / "test_files.txt").is_file():
        raise InputError(f"{out} is not a data set, so it is not replaced: name another folder")
    if not source.is_dir():
        raise InputError(f"{source} is not a folder: name the one that holds a folder per class")
    classes = sorted(path for path in source.iterdir() if path.is_dir())
    if not 1 <= len(classes) <= 256:
        raise InputError(f"{source} has {len(classes)} folders, one per class: make them 1 to 256")

    rng = np.random.default_rng(seed)
    splits, left_out = {"train": ([], [], []), "test": ([], [], [])}, []
    for label, folder in enumerate(classes):
        clouds = []
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            try:
                clouds.append((_read(path, num_points, rng), path.relative_to(source).as_posix()))
            except InputError as error:
                left_out.append(str(error))
        if len(clouds) < 2:
            reasons = "".join(f"\n  {reason}" for reason in left_out[:3])  # the rest is like them
            raise InputError(
                f"{folder} has too few usable scans, {len(clouds)}: give each class at least 2, "
                f"one to train and one to test{reasons}"
            )
        num_test = min(max(round(test * len(clouds)), 1), len(clouds) - 1)
        for i, row in enumerate(rng.permutation(len(clouds))):
            points, labels, ids = splits["test" if i < num_test else "train"]
            points.append(clouds[row][0])
            labels.append(label)
            ids.append(clouds[row][1])

    arrays = [(np.stack(points), np.array(labels), ids) for points, labels, ids in splits.values()]
    names = [folder.name for folder in classes]
    out.parent.mkdir(parents=True, exist_ok=True)
    with beside(out) as new:
        modelnet40.write(new, names, *arrays)
        replace_folder(out, new)
    return left_out


def _read(path: Path, num_points: int, rng: np.random.Generator) -> np.ndarray:
    """Read one scan as a cloud (num_points, 3) in the unit sphere, float32."""
    scan = scans.read(path)
    points = scan.points[scan.finite].astype(np.float64)  # map coordinates lose in float32
    if len(points) < num_points:
        raise InputError(
            f"{path} has {len(points)} finite points: --num-points must be at most that"
        )
    chosen = points[rng.choice(len(points), num_points, replace=False)]
    return unit_sphere(chosen).astype(np.float32)


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(description="Make a data set in the ModelNet40 layout from your own scans.")
    parser.add_argument("source", help="folder that holds a folder of scans for each class")
    parser.add_argument("--out", required=True, help="folder of the data set")
    parser.add_argument("--num-points", type=int, default=2048, help="points of each cloud (2048)")
    parser.add_argument(
        "--test", type=float, default=0.2, help="share of each class to test on (0.2)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the points drawn and the split (0)")
    parser.add_argument("--overwrite", action="store_true", help="replace the data set --out")
    args = parser.parse_args(argv)
    from samplenet.runs import script  # here: reading data needs no run folders

    def run() -> None:
        left_out = convert(**vars(args))
        for reason in left_out:
            print(reason, file=sys.stderr)
        print(f"{args.out}: written, {len(left_out)} files left out")

    script.main(run)


if __name__ == "__main__":
    main()
