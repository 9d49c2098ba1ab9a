"""Time samplenet sample on many clouds, and on a large LAS file by tiles.

python benchmarks/bulk.py                       # 2,000 clouds of 2048 points to 64
python benchmarks/bulk.py --clouds 10000 --processes 2 --las-points 50000000

Each line is one run of the command, its start included. "one by one" calls the library's picker for
a cloud at a time in one process, from file to file.
"""

import io
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np

from samplenet import scans
from samplenet.console import pick
from samplenet.data import shapes
from samplenet.runs.parser import Parser

PER_SHARD = 500


def main() -> None:
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--clouds", type=int, default=2000)
    parser.add_argument("--points", type=int, default=2048)
    parser.add_argument("-m", type=int, default=64)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--las-points", type=int, default=0, help="0: no tiles")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bulk(Path(folder), args)
        if args.las_points:
            tiled(Path(folder), args.las_points)


def bulk(folder: Path, args) -> None:
    """Time samplers and inputs, in clouds a second."""
    names = [name for name in ("chair", "car", "lamp", "table") for _ in range(10)]
    drawn = [shapes.generate(name, i, num_points=args.points) for i, name in enumerate(names)]
    (folder / "files").mkdir()
    for i in range(args.clouds):
        np.save(folder / "files" / f"{i:06d}.npy", drawn[i % len(drawn)])
    pack(folder)
    jobs = ["--jobs", str(args.processes)]
    for sampler in ("fps", "samplenet"):
        alone = one_by_one(folder, sampler, args.m)
        print(f"{sampler}, one by one: {alone:.0f} clouds/s", flush=True)
        for source, flags in (("files", []), ("files", jobs), ("shards", jobs)):
            words = [folder / source, "-m", args.m, "--sampler", sampler, *flags]
            rate = args.clouds / seconds(words, folder / "out")
            words = " ".join([source, *flags])
            print(f"{sampler}, {words}: {rate:.0f} clouds/s, {rate / alone:.1f} times", flush=True)


def pack(folder: Path) -> None:
    """Write the files into tar files of PER_SHARD clouds."""
    (folder / "shards").mkdir()
    files = sorted((folder / "files").iterdir())
    for start in range(0, len(files), PER_SHARD):
        with tarfile.open(folder / "shards" / f"{start:06d}.tar", "w") as tar:
            for path in files[start : start + PER_SHARD]:
                member = tarfile.TarInfo(path.name)
                content = path.read_bytes()
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def one_by_one(folder: Path, sampler: str, m: int, count: int = 200) -> float:
    """Return clouds a second, after the first."""
    kind = pick.FarthestPicker if sampler == "fps" else pick.SampleNetPicker
    picker = kind(m) if sampler == "fps" else kind("classification-progressive", m)
    for i, path in enumerate(sorted((folder / "files").iterdir())[: count + 1]):
        if i == 1:
            start = time.perf_counter()
        scan = scans.read(path)
        scans.write(folder / "one.npy", scan.take(picker(scan.points)))
    return count / (time.perf_counter() - start)


def seconds(words: list, out: Path) -> float:
    """Time a call of the command."""
    command = [sys.executable, "-m", "samplenet", "sample", *words, "-o", out]
    start = time.perf_counter()
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return time.perf_counter() - start


def tiled(folder: Path, count: int) -> None:
    """Time a grid by tiles on a LAS file, and print the memory it needs."""
    import laspy

    rng, side = np.random.default_rng(0), np.sqrt(count) / 8  # 64 points a square metre
    header = laspy.LasHeader(point_format=6, version="1.4")
    header.scales = [0.001] * 3
    with laspy.open(folder / "a.las", "w", header=header) as writer:
        for start in range(0, count, 1_000_000):
            size = min(1_000_000, count - start)
            record = laspy.ScaleAwarePointRecord.zeros(size, header=header)
            record.x, record.y = rng.uniform(0, side, (2, size))
            record.z = 5 * np.sin(np.asarray(record.x) / 20) + rng.normal(0, 0.02, size)
            writer.write_points(record)
    flags = ["--sampler", "grid", "--cell", "0.5", "--tile", "50"]
    spent = seconds([folder / "a.las", *flags], folder / "b.las")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    kept = laspy.open(folder / "b.las").header.point_count
    print(f"{count} points to {kept}, cells of 0.5: {spent:.0f} s, {peak:.2f} GB at most")


if __name__ == "__main__":
    main()
