"""Damaged files of every kind are read or refused with one sentence, without a hang."""

import hashlib
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from samplenet import InputError, scans
from samplenet.data import modelnet40, ply
from samplenet.report.results import read as read_results
from samplenet.runs import settings
from samplenet.runs.checkpoint import load_checkpoint, save_checkpoint
from samplenet.runs.checkpoint import read as read_file
from samplenet.runs.experiments import discover
from samplenet.runs.keys import finished_digest
from samplenet.runs.settings import option

EXPERIMENTS = discover(Path(__file__).parents[2])
CASES = (100, 450)  # of each kind: by default, and with --slow
LONGEST = 20  # seconds for one case: far more than any takes, far less than for ever


@dataclass
class Config:
    """One field of each kind."""

    epochs: int = option(5, "whole number")
    lr: float = option(1e-3, "number")
    task: str = option("", "folder", path=True)
    sizes: list[int] = option([32, 16], "list")
    xla: bool = option(True, "switch")
    data_root: str | None = option(None, "folder or none", path=True)


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Change one to four places: set, cut, double or insert bytes, or cut off the end."""
    words = [
        b"",
        b"\0",
        b"\xff" * 8,
        b"-1",
        b"1e999",
        b"nan",
        b"[",
        b"{",
        b"'",
        b": ",
        b"\n",
        b"999999999999",
        b"!!python/object:os",
    ]
    made = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        where, length = int(rng.integers(len(made) + 1)), int(rng.integers(1, 40))
        change = rng.integers(5)
        if change == 0 and made:
            made[min(where, len(made) - 1)] = rng.integers(256)
        elif change == 1:
            del made[where : where + length]
        elif change == 2:
            made[where:where] = made[where : where + length]
        elif change == 3:
            made[where:where] = words[rng.integers(len(words))]
        else:
            del made[where:]
    return bytes(made)


def yaml_file(folder):
    text = settings.dump(Config(7, 2e-3, "runs/task", [8, 16], False, "data"))
    (folder / "preset.yaml").write_text(text)
    return folder / "preset.yaml", lambda path: settings.read(Config, path)


def sections_file(folder):
    (folder / "presets.yaml").write_text(
        "train:\n  epochs: 3\n  lr: 1e-2\nevaluate: {sizes: [1, 2]}\n"
    )
    (folder / "evaluate.py").touch()
    (folder / "train.py").touch()
    return folder / "presets.yaml", lambda path: settings.read(Config, path)


def flags_file(folder):
    (folder / "flags.txt").write_text(
        "--epochs\n7\n--lr\n2e-3\n--sizes\n8\n16\n--no-xla\n--task\nruns/a"
    )

    def read(path):
        try:
            settings.load(Config, path.read_bytes().decode(errors="replace").split("\n"))
        except SystemExit as error:  # argparse has told
            assert error.code in (0, 2)

    return folder / "flags.txt", read


def checkpoint_file(folder):
    arrays = {"w": np.arange(12, dtype=np.float32).reshape(3, 4), "n": np.int64(3)}
    save_checkpoint(folder / "last.safetensors", arrays, {"epoch": 3, "done": False})
    return folder / "last.safetensors", load_checkpoint


def weights_file(folder):
    arrays = {"conv1.weight": np.ones((4, 3, 1), np.float32)}
    save_checkpoint(folder / "sampler.safetensors", arrays, {})
    return folder / "sampler.safetensors", read_file


def h5_file(folder):
    (folder / "shape_names.txt").write_text("chair\ntable\n")
    points = np.random.default_rng(0).normal(size=(3, 16, 3)).astype(np.float32)
    modelnet40.write_split(folder, "test", points, np.array([0, 1, 0]), ["a", "b", "c"])
    return folder / "ply_data_test0.h5", lambda path: modelnet40.load(path.parent, "test", 8)


def list_file(folder):
    path, read = h5_file(folder)
    return folder / "test_files.txt", read


def ids_file(folder):
    path, read = h5_file(folder)
    return next(folder.glob("*id2file.json")), read


def ply_file(folder):
    inner = folder / "03001627"
    inner.mkdir()
    for name in ("a", "b"):
        (inner / f"{name}.ply").write_bytes(
            ply.encode(np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32))
        )

    def read(path):
        for reason in ply.read_folder(path.parent, ()).bad.values():  # told for each file
            raise InputError(reason)

    return inner / "a.ply", read


def ply_header(folder):
    path, read = ply_file(folder)
    return path, read


def results_file(folder):
    row = {
        "sampler": "none",
        "m": 16,
        "protocol": "matched",
        "metric": "accuracy",
        "value": 0.5,
        "n": 10,
        "seed": 0,
    }
    results = {
        "schema": 1,
        "experiment": "classification",
        "data": "x",
        "command": "y",
        "rows": [row],
    }
    (folder / "results.json").write_text(json.dumps(results))
    return folder / "results.json", lambda path: read_results(path.parent, EXPERIMENTS)


def job_file(folder):
    (folder / "out").write_bytes(b"")
    record = {
        "command": ["python", "x"],
        "key": "ab12",
        "output": hashlib.sha256(b"").hexdigest(),
        "seconds": 1.5,
    }
    (folder / "job.json").write_text(json.dumps(record))
    assert finished_digest(folder, "ab12", "out")
    return folder / "job.json", lambda path: finished_digest(path.parent, "ab12", "out")


def scan_file(extension):
    """Of a kind for each format that the console command reads."""

    def made(folder):
        path, rng = folder / f"a{extension}", np.random.default_rng(0)
        if extension == ".las":
            laspy = pytest.importorskip("laspy", reason=".las needs laspy")
            las = laspy.create(point_format=3, file_version="1.2")
            las.x, las.y, las.z = rng.normal(size=(3, 20))
            las.write(path)
        else:
            rows = np.zeros(
                20, [("x", "f4"), ("y", "f4"), ("z", "f4"), ("red", "u1"), ("time", "f8")]
            )
            rows["x"] = rng.normal(size=20)
            scans.write(path, scans.Scan(rows))
        return path, scans.read

    made.__name__ = f"scan_{extension[1:]}"
    return made


KINDS = [
    yaml_file,
    sections_file,
    flags_file,
    checkpoint_file,
    weights_file,
    h5_file,
    list_file,
    ids_file,
    ply_file,
    ply_header,
    results_file,
    job_file,
    *map(scan_file, (".ply", ".pcd", ".las", ".npz", ".npy", ".xyz")),
]


@pytest.mark.parametrize("cases", [CASES[0], pytest.param(CASES[1], marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_damage_is_read_or_told(kind, cases, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(tmp_path / "train.py")])
    path, read = kind(tmp_path)
    whole = path.read_bytes()
    read(path)  # undamaged, it is read
    head = 1 if kind is not ply_header else whole.index(b"end_header") / len(whole)
    told = 0
    for case in range(cases):
        rng = np.random.default_rng((case, KINDS.index(kind)))
        end = int(head * len(whole))
        path.write_bytes(damaged(whole[:end], rng) + whole[end:])
        begin = time.perf_counter()
        try:
            read(path)
        except InputError as error:
            told += 1
            assert re.search(r"\w+ \w+", str(error)), (case, error)
        except Exception as error:
            raise AssertionError(
                f"{kind.__name__}, case {case}: {type(error).__name__}: {error}"
            ) from error
        assert time.perf_counter() - begin < LONGEST, case
    with capfd.disabled():
        print(
            f"\n{kind.__name__}: {cases} damaged files, {told} told in a sentence, the others read",
            end="",
        )
