"""Run folders and checkpoints: continue, refuse, never half-written."""

import json
import os
import re
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from samplenet import InputError
from samplenet.atomic import write_atomic
from samplenet.runs.checkpoint import load_checkpoint, save_checkpoint
from samplenet.runs.environment import environment
from samplenet.runs.run import Run, finished_run, finite, saved_config

ARRAYS = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "t": np.float32(0.5),
    "n": np.zeros(0, np.int64),
}


@dataclass
class Config:
    epochs: int = 2
    out: str = ""
    resume: bool = False


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_run_made_for_a_network_is_refused_when_that_has_changed(tmp_path):
    task, run = tmp_path / "task", tmp_path / "run"
    task.mkdir()
    config = Config(resume=True)
    config.task = str(task)
    save_checkpoint(task / "last.safetensors", ARRAYS, {})
    with Run(run, config, task) as first:
        first.log(1, {"loss": 1.0}, {})
        first.checkpoint(ARRAYS, {"epoch": 1})
    save_checkpoint(task / "last.safetensors", ARRAYS, {"written": "again"})  # the same weights
    with Run(run, config, task) as second:
        assert second.meta["epoch"] == 1
    save_checkpoint(task / "last.safetensors", {**ARRAYS, "t": np.float32(0.6)}, {})
    with pytest.raises(
        InputError, match=r"run was trained for another network than .*task holds now"
    ):
        Run(run, config, task)


def test_checkpoint_round_trip(tmp_path):
    save_checkpoint(tmp_path / "c", ARRAYS, {"epoch": 3})
    arrays, meta = load_checkpoint(tmp_path / "c")
    assert meta == {"epoch": 3}
    for name, want in ARRAYS.items():
        assert arrays[name].dtype == want.dtype and arrays[name].shape == want.shape
        np.testing.assert_array_equal(arrays[name], want)


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped bit", "garbage", "other file"])
def test_a_damaged_checkpoint_is_named(tmp_path, damage):
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, ARRAYS, {})
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[:-5]
    elif damage == "flipped bit":
        content[-5] ^= 1
    elif damage == "other file":
        from safetensors.numpy import save

        content = save({"w": np.zeros(3)})
    else:
        content = b"" if damage == "empty" else b"hello" * 30
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"last\.safetensors is damaged"):
        load_checkpoint(path)


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no checkpoint .*last\.safetensors"):
        load_checkpoint(tmp_path / "last.safetensors")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_folder_explains_itself(tmp_path):
    with Run(tmp_path / "run", Config(out=str(tmp_path))) as run:
        run.log(1, {"loss": 0.5}, {"step_ms": 3.0})
        run.checkpoint(ARRAYS, {"epoch": 1})
    names = {p.name for p in (tmp_path / "run").iterdir()}
    want = {
        "config.yaml",
        "environment.json",
        "metrics.jsonl",
        "events",
        "last.safetensors",
        ".lock",
    }
    assert names == want
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert {"command", "revision", "python", "libraries", "machine"} <= set(environment)
    line = lines(tmp_path / "run")[0]
    assert (line["step"], line["loss"], line["time"]["step_ms"]) == (1, 0.5, 3.0)
    assert saved_config(tmp_path / "run").epochs == 2


def test_the_environment_tells_the_processor():
    cpuinfo = Path("/proc/cpuinfo")
    names = (
        re.findall(r"^model name\s*: (.+)$", cpuinfo.read_text(), re.MULTILINE)
        if cpuinfo.exists()
        else []
    )
    if not names:
        pytest.skip("the system does not tell the processor's name")
    assert environment()["machine"].endswith(f", {names[0].strip()}, {os.cpu_count()} cores")


def test_outside_of_git_the_environment_tells_the_revision(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "script.py")])
    monkeypatch.delenv("SAMPLENET_REVISION", raising=False)
    assert environment()["revision"] == "unknown"
    monkeypatch.setenv("SAMPLENET_REVISION", "0123abc")
    assert environment()["revision"] == "0123abc"


def test_an_existing_run_is_not_overwritten(tmp_path):
    Run(tmp_path, Config()).close()
    with pytest.raises(InputError, match="already holds a run; give --resume"):
        Run(tmp_path, Config())


def test_continuing_drops_what_was_logged_after_the_checkpoint(tmp_path):
    with Run(tmp_path, Config()) as run:
        run.log(1, {"loss": 1.0}, {})
        run.checkpoint(ARRAYS, {"epoch": 1})
        run.log(2, {"loss": 2.0}, {})
    with Run(tmp_path, Config(resume=True)) as run:
        assert run.meta["epoch"] == 1
        np.testing.assert_array_equal(run.arrays["w"], ARRAYS["w"])
        assert not run.done
        run.log(2, {"loss": 3.0}, {})
        run.checkpoint(ARRAYS, {"epoch": 2}, done=True)
    assert [line["loss"] for line in lines(tmp_path)] == [1.0, 3.0]
    with Run(tmp_path, Config(resume=True)) as run:
        assert run.done
    assert [line["loss"] for line in lines(tmp_path)] == [1.0, 3.0]


def test_other_settings_are_refused_and_named(tmp_path):
    Run(tmp_path, Config()).close()
    with pytest.raises(InputError, match="epochs: 2 -> 3"):
        Run(tmp_path, Config(epochs=3, resume=True))


def test_a_folder_has_one_owner(tmp_path):
    with Run(tmp_path, Config()), pytest.raises(InputError, match="in use by another process"):
        Run(tmp_path, Config(resume=True))
    Run(tmp_path, Config(resume=True)).close()


def test_a_file_in_the_way_is_an_error_of_the_file_system(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        Run(tmp_path / "file" / "run", Config())


@pytest.mark.parametrize("content", ["- 1", "a: [", "epochs: banana", "\x00"])
def test_a_damaged_config_is_named(tmp_path, content):
    Run(tmp_path, Config()).close()
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(InputError, match=r"config\.yaml"):
        Run(tmp_path, Config(resume=True))
    with pytest.raises(InputError, match=r"config\.yaml is damaged"):
        saved_config(tmp_path, seed=int)


def test_out_is_needed():
    with pytest.raises(InputError, match="--out is needed"):
        Run("", Config())


def test_another_folder_is_no_run(tmp_path):
    with pytest.raises(InputError, match="no run folder"):
        saved_config(tmp_path)
    (tmp_path / "config.yaml").write_text("banana: 1")
    with pytest.raises(InputError, match=r"another kind of run.*lacks apple, cherry"):
        saved_config(tmp_path, apple=int, banana=int, cherry=int)


@pytest.mark.parametrize(
    "content, message",
    [
        ("epochs: banana", "epochs must be int, got 'banana'"),
        ("num_points: [8]", r"num_points must be int, got \[8\]"),
        ("sample_sizes: [8, many]", "sample_sizes must be int, got 'many'"),
        ("sample_sizes: 8", "sample_sizes must be a list, got 8"),
    ],
)
def test_a_saved_setting_of_the_wrong_type_is_refused(tmp_path, content, message):
    (tmp_path / "config.yaml").write_text(f"sample_sizes: [8]\nepochs: 2\n{content}\n")
    with pytest.raises(InputError, match=rf"config\.yaml: {message}"):
        finished_run(tmp_path, sample_sizes=list[int])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_non_finite_loss_stops_and_names_the_step(value):
    with pytest.raises(InputError, match=r"the loss became (nan|inf) at step 17"):
        finite(value, "the loss", 17)


def test_tensorboard_reads_the_curves(tmp_path):
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    with Run(tmp_path, Config()) as run:
        run.log(4, {"loss": 0.5, "lr": 0.25}, {})
        run.checkpoint(ARRAYS, {"epoch": 1})
    (file,) = (tmp_path / "events").iterdir()
    first, second = loader.LegacyEventFileLoader(str(file)).Load()
    assert first.file_version == "brain.Event:2"
    assert second.step == 4 and {v.tag: v.simple_value for v in second.summary.value} == {
        "loss": 0.5,
        "lr": 0.25,
    }


def test_without_tensorboard_the_metrics_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with Run(tmp_path, Config()) as run:
        run.log(4, {"loss": 0.5}, {})
        run.checkpoint(ARRAYS, {"epoch": 1})
    assert lines(tmp_path)[0]["loss"] == 0.5 and not (tmp_path / "events").exists()


def test_a_stop_writes_a_checkpoint_within_the_epoch(tmp_path, capsys):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, Run(tmp_path, Config()) as run:
        assert not run.stopping
        signal.raise_signal(signal.SIGTERM)
        assert run.stopping
        run.leave(ARRAYS, {"epoch": 1, "step": 7}, np.array([0.1, 0.2], np.float32))
    assert ended.value.code == 143 and signal.getsignal(signal.SIGTERM) is before
    assert (
        capsys.readouterr().out
        == "stopped before step 8; the same command with --resume goes on from there\n"
    )
    with Run(tmp_path, Config(resume=True)) as run:
        within = run.arrays["within"]
        assert (
            not run.done
            and within.dtype == np.float32
            and within.tolist() == [np.float32(0.1), np.float32(0.2)]
        )


def test_a_run_of_several_processes_does_not_handle_signals(tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with Run(tmp_path, Config(), single_process=False) as run:
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
        assert not run.stopping
