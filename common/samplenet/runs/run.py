"""A run folder that explains itself: settings, environment, metrics, checkpoints, one owner at a time."""

import contextlib
import dataclasses
import importlib.util
import json
import math
import os
import platform
import sys
import time
import types
import typing
from pathlib import Path
from typing import NoReturn

import filelock
import numpy as np
import yaml

from samplenet.atomic import naming, write_atomic
from samplenet.errors import InputError
from samplenet.runs import settings
from samplenet.runs.checkpoint import digest, load_checkpoint, save_checkpoint
from samplenet.runs.environment import command, environment
from samplenet.runs.interrupt import Interrupt


def finite(value: float, name: str, step: int) -> float:
    """Return `value`, or raise InputError when it is NaN or infinite: a run must not go on with it."""
    if not math.isfinite(value):
        raise InputError(
            f"{name} became {value} at step {step}; try a lower --lr, or look for broken clouds"
        )
    return value


class Run:
    """The folder of one training run, locked while open.

    SIGTERM and SIGINT do not end an open run: the loop asks `stopping` before each step and `leave`s. Several processes
    would not all leave at the same step, so there a signal ends them at once, and the last epoch's checkpoint is left.

    Args:
        folder: made if missing. One that holds a run is refused unless `config.resume` is set, and then the
            settings must be the same.
        config: the script's dataclass, written to config.yaml.
        task: run folder of the frozen network that this run needs; it is refused when that network has changed since.
        single_process: whether no other process trains with this one.

    Attributes:
        arrays, meta: of the last checkpoint when continuing, else empty. A run that was stopped within an epoch has
            arrays["within"], that epoch's measurements, one entry a step.
        done: whether the run had finished.
    """

    def __init__(self, folder: str, config, task: str = "", single_process: bool = True):
        if not folder:
            raise InputError("--out is needed: the folder to write the run to")
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = filelock.FileLock(self.folder / ".lock")
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise InputError(
                f"{folder} is in use by another process; choose another --out"
            ) from error
        self.arrays, self.meta, self.done = {}, {}, False
        self._metrics = self._events = None
        self._interrupt = Interrupt() if single_process else None
        try:
            self._task = (
                digest(load_checkpoint(Path(task) / "last.safetensors")[0]) if task else None
            )
            self._start(config)
        except BaseException:
            self.close()
            raise

    def _start(self, config) -> None:
        written = self.folder / "config.yaml"
        if written.exists():
            if not config.resume:
                raise InputError(
                    f"{self.folder} already holds a run; give --resume or another --out"
                )
            self._same_settings(settings.read(type(config), written), config)
        else:
            self._write_json("environment.json", {"command": command(), **environment()})
            write_atomic(written, settings.dump(config).encode())
        if self.path("last").exists() or self.path("previous").exists():
            self.arrays, self.meta = self._load()
            self.done = self.meta["done"]
            if self.meta.get("task", self._task) != self._task:
                raise InputError(
                    f"{self.folder} was trained for another network than {config.task} holds now; choose another --out"
                )
        if not self.done:
            self._cut_metrics()
            self._open_logs()

    def _same_settings(self, old, new) -> None:
        names = [f.name for f in dataclasses.fields(new) if f.name not in ("resume", "out")]
        pairs = [
            (n, getattr(old, n), getattr(new, n))
            for n in names
            if getattr(old, n) != getattr(new, n)
        ]
        if pairs:
            pairs = ", ".join(f"{name}: {was!r} -> {now!r}" for name, was, now in pairs)
            raise InputError(
                f"{self.folder} holds a run with other settings ({pairs}); choose another --out"
            )

    def _load(self) -> tuple[dict, dict]:
        """Load the last checkpoint. If it is damaged or missing, restore the previous one and load that."""
        last, previous = self.path("last"), self.path("previous")
        try:
            return _load(last)
        except InputError as error:
            try:
                arrays, meta = _load(previous)
            except InputError as another:
                raise InputError(
                    f"{error}, and {another}; remove {self.folder} and train again"
                ) from another
            print(
                f"{error}; continuing from {previous.name}, after epoch {meta['epoch']}", flush=True
            )
        os.replace(
            previous, last
        )  # else the next checkpoint would make the damaged one the previous one
        return arrays, meta

    def _cut_metrics(self) -> None:
        """Drop what a killed run logged after its last checkpoint: those steps will be done again."""
        path = self.folder / "metrics.jsonl"
        if path.exists():
            write_atomic(path, path.read_bytes()[: self.meta.get("metrics_bytes", 0)])

    def _open_logs(self) -> None:
        """Keep metrics, and events where TensorBoard is installed, open for the whole run."""
        self._metrics = open(self.folder / "metrics.jsonl", "a")  # noqa: SIM115
        if importlib.util.find_spec("tensorboard"):
            self._events = Events(self.folder / "events")

    def _write_json(self, name: str, content: dict) -> None:
        write_atomic(self.folder / name, (json.dumps(content, indent=1) + "\n").encode())

    def path(self, name: str) -> Path:
        """Name the file of the checkpoint "last" or "previous"."""
        return self.folder / f"{name}.safetensors"

    def log(self, step: int, values: dict[str, float], timing: dict[str, float]) -> None:
        """Add a line to metrics.jsonl and a point to each TensorBoard curve.

        Two runs of one seed have equal `values`; what differs between them goes under "time".
        """
        now = time.time()
        line = {"step": step, **values, "time": {"unix": round(now, 3), **timing}}
        with naming(self._metrics.name):
            self._metrics.write(json.dumps(line) + "\n")
        if self._events:
            self._events.add(step, values, now)

    def checkpoint(self, arrays: dict[str, np.ndarray], meta: dict, done: bool = False) -> None:
        """Write the last checkpoint; after it, a kill loses nothing.

        The last one until now becomes the previous one, from which a run continues whose last one is damaged.
        """
        for file in self._logs():
            with naming(file.name):
                file.flush()
                os.fsync(file.fileno())
        meta = {**meta, "done": done, "metrics_bytes": self._metrics.tell(), "task": self._task}
        save_checkpoint(self.path("last"), arrays, meta, self.path("previous"))
        self.meta, self.done = meta, done

    def _logs(self) -> list:
        return [file for file in (self._metrics, self._events and self._events.file) if file]

    @property
    def stopping(self) -> bool:
        """Whether a signal asked the run to stop."""
        return bool(self._interrupt and self._interrupt.number)

    def leave(self, arrays: dict[str, np.ndarray], meta: dict, within: np.ndarray) -> NoReturn:
        """Write a checkpoint within an epoch and end as a signal would: with status 143 or 130.

        Args:
            arrays, meta: as for `checkpoint`; the meta's "epoch" counts whole epochs.
            within: the measurements of this epoch's steps, one entry a step.
        """
        self.checkpoint({**arrays, "within": within}, meta)
        print(
            f"stopped before step {meta['step'] + 1}; the same command with --resume goes on from there",
            flush=True,
        )
        sys.exit(128 + self._interrupt.number)

    def close(self) -> None:
        """Release the folder."""
        if self._interrupt:
            self._interrupt.restore()
        with contextlib.ExitStack() as stack:  # all of it, whatever fails
            stack.callback(self._lock.release)
            for file in self._logs():
                stack.callback(file.close)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        with (
            contextlib.suppress(OSError) if kind else contextlib.nullcontext()
        ):  # a full disk was reported already
            self.close()


class Events:
    """A file of curves for TensorBoard.

    TensorBoard's writer of files is not used: it meets a full disk in a thread of its own, where nobody can catch it.
    """

    def __init__(self, folder: Path):
        # TensorBoard's own switch: without it, its imports bring TensorFlow where there is one, which takes seconds
        sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("notf"))
        folder.mkdir(exist_ok=True)
        now = time.time()
        self.file = open(
            folder / f"events.out.tfevents.{now:.6f}.{platform.node()}.{os.getpid()}", "ab"
        )  # noqa: SIM115
        self._write(wall_time=now, file_version="brain.Event:2")

    def add(self, step: int, values: dict[str, float], now: float) -> None:
        """Add a point to each curve."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        points = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(step=step, wall_time=now, summary=Summary(value=points))

    def _write(self, **event) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        with naming(self.file.name):
            RecordWriter(self.file).write(Event(**event).SerializeToString())


def _load(path: Path) -> tuple[dict, dict]:
    """Load a checkpoint of a training run."""
    arrays, meta = load_checkpoint(path)
    if not {"epoch", "done"} <= meta.keys():
        raise InputError(f"checkpoint {path} is not of a training run")
    return arrays, meta


def saved_config(folder: str, **kinds) -> types.SimpleNamespace:
    """Read the settings that a run was started with.

    Args:
        kinds: the fields that the run's script must have, and their types.

    Raises:
        InputError: the file is missing, damaged or of another script, or a value is of the wrong type.
    """
    path = Path(folder) / "config.yaml"
    if not path.is_file():
        raise InputError(f"{folder} is no run folder: it has no config.yaml")
    try:
        saved = yaml.safe_load(path.read_text())
        lacking = [name for name in kinds if name not in saved]
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is damaged or of another kind of run ({error})") from error
    if lacking or not isinstance(saved, dict):
        raise InputError(
            f"{path} is damaged or of another kind of run (it lacks {', '.join(lacking) or 'settings'})"
        )
    kinds = {**typing.get_type_hints(settings.DataConfig), **kinds}
    for name in saved:
        if name in kinds:
            saved[name] = settings.convert(f"{path}: {name}", kinds[name], saved[name])
    return types.SimpleNamespace(**saved)


def finished_run(folder: str, **kinds) -> tuple[types.SimpleNamespace, dict, dict]:
    """Read the settings, arrays and meta of a finished run's last checkpoint; never those of the one before.

    Takes the `kinds` of `saved_config`.
    """
    if not folder:
        raise InputError("--task is needed: the run folder of the trained task network")
    config = saved_config(folder, **kinds)
    try:
        arrays, meta = _load(Path(folder) / "last.safetensors")
    except InputError as error:
        raise InputError(f"{error}; continue the run with --resume") from error
    if not meta["done"]:
        raise InputError(
            f"{folder} stands at epoch {meta['epoch']} of {config.epochs}; continue it with --resume"
        )
    return config, arrays, meta
