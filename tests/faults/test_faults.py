"""Faults of disk and folder: errors name the file, the last checkpoint is whole, runs go on."""

import json
import os
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from samplenet import InputError
from samplenet.data import ply, saved_samples, shapes
from samplenet.data.archive import extract
from samplenet.data.clouds import Clouds
from samplenet.data.saved_layouts import MODELNET40, SHAPENET
from samplenet.data.saved_samples import Originals
from samplenet.runs import evaluation
from samplenet.runs.checkpoint import load_checkpoint, save_checkpoint
from samplenet.runs.entries import Entry
from samplenet.runs.jobs import Job, Jobs
from samplenet.runs.run import Run, finished_run
from samplenet.runs.script import main

WEIGHTS = np.arange(2900, dtype=np.float32)  # 12 kB with the header: three pages of a disk


@dataclass
class Config:
    epochs: int = 3
    out: str = ""
    resume: bool = True


def train(folder, before=lambda number: None):
    """A run of three epochs from where it stands; `before` each it is told the number."""
    with Run(folder, Config()) as run:
        for number in range(run.meta.get("epoch", 0) + 1, 4):
            before(number)
            run.log(number, {"loss": 1 / number}, {})
            run.checkpoint({"w": WEIGHTS + number}, {"epoch": number}, done=number == 3)


def stands(folder):
    """The epoch of the last checkpoint, which is whole."""
    if not (folder / "last.safetensors").exists():
        return 0
    arrays, meta = load_checkpoint(folder / "last.safetensors")
    np.testing.assert_array_equal(arrays["w"], WEIGHTS + meta["epoch"])
    return meta["epoch"]


@pytest.fixture
def says():
    """Call what must end a script; returns the one sentence it ends with."""

    def call(script):
        with pytest.raises(SystemExit) as ended:
            main(script)
        assert (
            isinstance(ended.value.code, str) and "\n" not in ended.value.code
        )  # Python prints it; status 1
        return ended.value.code

    return call


@pytest.fixture
def assert_ends(metrics):
    """Check that the run, continued, ends as one without a fault."""

    def check(folder):
        train(folder)
        assert stands(folder) == 3 and [line["step"] for line in metrics(folder)] == [1, 2, 3]
        assert load_checkpoint(folder / "previous.safetensors")[1]["epoch"] == 2

    return check


@pytest.fixture
def disk(tmp_path):
    """A file system of 256 kB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"a small disk needs the right to mount one: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


# a full disk


@pytest.mark.parametrize("pages", range(10))
def test_a_disk_that_fills_up_after_an_epoch(disk, says, assert_ends, pages):
    """With room left for nothing, for a part of a checkpoint, for one, for two."""

    def fill(number):
        if number == 2:
            room = os.statvfs(disk)
            (disk / "filler").write_bytes(bytes((room.f_bavail - pages) * room.f_bsize))

    # A checkpoint takes three pages, and the one before is kept until a new one is whole.
    if pages < 6:
        said = says(lambda: train(disk / "run", fill))
        assert str(disk / "run") in said and said.endswith(".safetensors: No space left on device")
        assert stands(disk / "run") == (1 if pages < 3 else 2)
        assert not list((disk / "run").glob("*.part"))
    else:
        train(disk / "run", fill)
    (disk / "filler").unlink()
    assert_ends(disk / "run")


def test_a_disk_that_is_full_from_the_start(disk, says, assert_ends):
    (disk / "filler").write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize))
    assert "No space left on device" in says(lambda: train(disk / "run"))
    (disk / "filler").unlink()
    assert_ends(disk / "run")


@pytest.mark.parametrize("file", ["metrics.jsonl", "events", "last.safetensors"])
def test_a_file_that_does_not_fit_is_named(tmp_path, says, assert_ends, file):
    """The kernel's own full file stands in for the disk, where none can be mounted."""
    with Run(tmp_path, Config()) as run:
        run.log(1, {"loss": 1.0}, {})
        run.checkpoint({"w": WEIGHTS + 1}, {"epoch": 1})
        if "safetensors" in file:
            (tmp_path / f"{file}.part").symlink_to("/dev/full")

        def script():
            with run:
                if "safetensors" not in file:
                    log = {"metrics.jsonl": run._metrics, "events": run._events.file}[file]
                    os.dup2(os.open("/dev/full", os.O_WRONLY), log.fileno())
                run.log(2, {"loss": 0.5}, {})
                run.checkpoint({"w": WEIGHTS + 2}, {"epoch": 2})

        said = says(script)
    assert str(tmp_path / file) in said and said.endswith(": No space left on device")
    assert stands(tmp_path) == 1
    assert_ends(tmp_path)


CLOUDS = Clouds(
    np.random.default_rng(0).normal(size=(60, 1024, 3)).astype(np.float32),
    np.zeros(60, np.int64),
    ("car",),
    [f"car/{i}" for i in range(60)],
)
PICKED = [np.tile(np.arange(512), (60, 1))]


def unpack(disk):
    """An archive from elsewhere, of more than the disk holds."""
    with zipfile.ZipFile(disk.parent / "a.zip", "w") as archive:
        archive.writestr("a", CLOUDS.points.tobytes())
    extract(disk.parent / "a.zip", disk / "out", 10**9)


WRITERS = {  # more than the disk holds
    "built-in shapes": lambda disk: shapes.ensure(disk, 3, 2),
    "archive": unpack,
    "samples in HDF5": lambda disk: saved_samples.write(
        disk, "fps", 0, Originals({"": CLOUDS}, MODELNET40), PICKED
    ),
    "samples in PLY": lambda disk: saved_samples.write(
        disk, "fps", 0, Originals({"": CLOUDS}, SHAPENET), PICKED
    ),
}


@pytest.mark.parametrize("what", WRITERS)
def test_a_data_set_that_does_not_fit_the_disk(disk, says, what):
    said = says(lambda: WRITERS[what](disk))
    assert str(disk) in said and "No space left on device" in said
    assert not [path for path in disk.rglob("*") if path.suffix != ".lock"]


def test_a_cache_that_does_not_fit_the_disk_is_done_without(disk, tmp_path, caplog):
    for i, cloud in enumerate(CLOUDS.points):
        (tmp_path / f"{i}.ply").write_bytes(ply.encode(cloud))
    assert len(ply.read_folder(tmp_path, [disk / "cache.h5"]).names) == 60
    assert f"{disk} cannot be written" in caplog.text and "No space left on device" in caplog.text
    assert not list(disk.iterdir())


@pytest.mark.parametrize("file", ["results.json", "gallery.npz"])
def test_results_that_do_not_fit_the_disk(tmp_path, says, file):
    """What an earlier evaluation wrote stays whole."""

    def write(value):
        none = [Entry("none", 8, None, 0)]
        evaluation.write(
            tmp_path, "classification", "x", none, [{"value": value}], {"points": CLOUDS.points}
        )

    write(1)
    (tmp_path / f"{file}.part").symlink_to("/dev/full")
    assert says(lambda: write(2)).endswith(f"{tmp_path / file}: No space left on device")
    assert not (tmp_path / f"{file}.part").is_symlink()
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert rows == [{"value": 1 if file == "results.json" else 2}]
    np.testing.assert_array_equal(np.load(tmp_path / "gallery.npz")["points"], CLOUDS.points)
    write(3)


def test_the_log_of_a_job_that_does_not_fit_the_disk(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.log").symlink_to("/dev/full")
    (tmp_path / "config").touch()
    jobs = Jobs([Job("a", ["-c", "print(1)"], tmp_path / "config", "out")], tmp_path, tmp_path)
    jobs.run()
    assert jobs.failed == {
        "a": f"[Errno 28] No space left on device: '{tmp_path / 'logs' / 'a.log'}'"
    }


# the folder


def test_a_folder_that_cannot_be_written(disk, says, assert_ends):
    with pytest.raises(KeyboardInterrupt):
        train(disk / "run", lambda number: number < 3 or interrupt())
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    said = says(lambda: train(disk / "run"))
    assert str(disk / "run") in said and said.endswith(": Read-only file system")
    assert "Read-only file system" in says(lambda: train(disk / "another"))
    assert stands(disk / "run") == 2
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    assert_ends(disk / "run")


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("when", [1, 2, 3])
def test_a_folder_that_vanishes(tmp_path, says, assert_ends, when):
    said = says(
        lambda: train(
            tmp_path / "run", lambda n: n == when and (tmp_path / "run").rename(tmp_path / "gone")
        )
    )
    assert str(tmp_path / "run") in said and said.endswith(": No such file or directory")
    assert stands(tmp_path / "gone") == when - 1
    (tmp_path / "gone").rename(tmp_path / "run")
    assert_ends(tmp_path / "run")


def test_a_folder_in_use_is_refused_and_the_run_in_it_goes_on(tmp_path, says, assert_ends):
    def second(number):
        assert says(lambda: Run(tmp_path, Config())).endswith(
            "is in use by another process; choose another --out"
        )

    train(tmp_path, second)
    assert_ends(tmp_path)


# damaged checkpoints


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(at):
    def damage(path):
        content = bytearray(path.read_bytes())
        content[at(content)] ^= 1
        path.write_bytes(content)

    return damage


DAMAGE = {
    "cut": cut,
    "empty": lambda path: path.write_bytes(b""),
    "flipped bit": flip(lambda _: -100),
    "flipped number": flip(lambda content: content.index(b"metrics_bytes") + 18),
    "missing": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("epoch", [2, 3])
def test_a_damaged_last_checkpoint_is_replaced_by_the_one_before(
    tmp_path, assert_ends, capsys, damage, epoch
):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, lambda number: number <= epoch or interrupt())
        interrupt()
    DAMAGE[damage](tmp_path / "last.safetensors")
    with Run(tmp_path, Config()) as run:
        assert run.meta["epoch"] == epoch - 1 and not run.done
    said = capsys.readouterr().out
    assert str(tmp_path / "last.safetensors") in said
    assert said.endswith(f"; continuing from previous.safetensors, after epoch {epoch - 1}\n")
    assert stands(tmp_path) == epoch - 1 and not (tmp_path / "previous.safetensors").exists()
    assert_ends(tmp_path)


def test_two_damaged_checkpoints_are_both_named(tmp_path, says):
    train(tmp_path)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    for name in ("last", "previous"):
        cut(tmp_path / f"{name}.safetensors")
    said = says(lambda: train(tmp_path))
    assert all(f"{name}.safetensors is damaged" in said for name in ("last", "previous"))
    assert said.endswith(f"; remove {tmp_path} and train again")
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_finished_run_is_never_read_from_the_checkpoint_before(tmp_path, assert_ends, damage):
    train(tmp_path)
    DAMAGE[damage](tmp_path / "last.safetensors")
    with pytest.raises(InputError, match=r"last\.safetensors.*; continue the run with --resume"):
        finished_run(tmp_path)
    assert_ends(tmp_path)
    assert finished_run(tmp_path)[2]["epoch"] == 3


def test_a_kill_between_the_two_renames_loses_one_epoch(tmp_path, monkeypatch, assert_ends):
    replace = os.replace

    def killed(source, target):
        replace(source, target)
        if Path(target).name == "previous.safetensors":
            monkeypatch.setattr(os, "replace", replace)
            interrupt()

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path)
    assert not (tmp_path / "last.safetensors").exists()
    assert load_checkpoint(tmp_path / "previous.safetensors")[1]["epoch"] == 1
    assert_ends(tmp_path)


def test_a_checkpoint_of_an_earlier_version_is_read(tmp_path, assert_ends):
    """It has no checkpoint before it and counts whole epochs."""
    Run(tmp_path, Config()).close()
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0, "time": {}}\n')
    size = (tmp_path / "metrics.jsonl").stat().st_size
    meta = {"epoch": 1, "done": False, "metrics_bytes": size, "task": None}
    save_checkpoint(tmp_path / "last.safetensors", {"w": WEIGHTS + 1}, meta)
    assert_ends(tmp_path)
