"""A run folder that explains itself: settings, environment, metrics and checkpoints."""

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

from samplenet.atomic import naming, write_atomic, write_json
from samplenet.errors import InputError
from samplenet.runs import settings
from samplenet.runs.checkpoint import digest, load_checkpoint, save_checkpoint
from samplenet.runs.environment import command, environment
from samplenet.runs.interrupt import Interrupt

MAY_CHANGE = ("resume", "out", "capture")  # settings that change no number of a run


def finite(value: float, name: str, step: int) -> float:
    """Return `value`; raise InputError if it is NaN or infinite, which would spoil the weights."""
    if not math.isfinite(value):
        raise InputError(
            f"{name} became {value} at step {step}; try a lower --lr, or look for broken clouds"
        )
    return value


class Run:
    """The folder of one training run, locked while open so that it has one owner at a time.

    SIGTERM and SIGINT do not end an open run: the loop checks `stopping` before each step and calls
    `leave`. Several processes would not all leave at the same step, so a signal ends those at once;
    they resume from the last epoch's checkpoint.

    Args:
        folder: created if missing. If it holds a run, `config.resume` must be set and the settings
            must be the same, but for `MAY_CHANGE`.
        config: the script's dataclass, written to config.yaml.
        task: run folder of the frozen network that this run needs. A run to be resumed is refused
            if that network has changed since.
        single_process: whether no other process trains with this one.

    Attributes:
        arrays, meta: of the last checkpoint when resuming, else empty. After a stop within an epoch
            arrays["within"] holds that epoch's measurements, one row a step.
        done: whether the run had finished.
    """

    def __init__(self, folder: str, config, task: str = "", single_process: bool = True):
        if not folder:
            raise InputError("--out is needed: the folder to write the run to")
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._open = contextlib.ExitStack()  # closes the logs first, then releases the folder
        try:
            self._open.enter_context(filelock.FileLock(self.folder / ".lock", timeout=0))
        except filelock.Timeout as error:
            raise InputError(
                f"{folder} is in use by another process; choose another --out"
            ) from error
        self.arrays, self.meta, self.done = {}, {}, False
        self._last = self.folder / "last.safetensors"
        self._previous = self.folder / "previous.safetensors"
        self._events = self._interrupt = None
        self._task_folder = task
        try:
            if single_process:
                self._interrupt = Interrupt()
                self._open.callback(self._interrupt.restore)
            self._task = network_digest(task) if task else None
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
            write_json(self.folder / "environment.json", {"command": command(), **environment()})
            write_atomic(written, settings.dump(config).encode())
        if self._last.exists() or self._previous.exists():
            self.arrays, self.meta = self._load()
            self.done = self.meta["done"]
            if self.meta.get("task", self._task) != self._task:
                raise InputError(
                    f"{self.folder} was trained for another network than {self._task_folder} holds "
                    "now; choose another --out"
                )
        if not self.done:
            self._cut_metrics()
            self._open_logs()

    def _same_settings(self, old, new) -> None:
        old, new, changes = dataclasses.asdict(old), dataclasses.asdict(new), []
        for name, value in new.items():
            if name not in MAY_CHANGE and value != old[name]:
                changes.append(f"{name}: {old[name]!r} -> {value!r}")
        if changes:
            raise InputError(
                f"{self.folder} holds a run with other settings ({', '.join(changes)}); "
                "choose another --out"
            )

    def _load(self) -> tuple[dict, dict]:
        """Load the last checkpoint; if it is damaged or missing, put the previous in its place."""
        try:
            return _load(self._last)
        except InputError as error:
            try:
                arrays, meta = _load(self._previous)
            except InputError as another:
                raise InputError(
                    f"{error}, and {another}; remove {self.folder} and train again"
                ) from another
            former = f"{self._previous.name}, after epoch {meta['epoch']}"
            print(f"{error}; continuing from {former}", flush=True)
        # otherwise the next checkpoint would keep the damaged file as the previous one
        os.replace(self._previous, self._last)
        return arrays, meta

    def _cut_metrics(self) -> None:
        """Drop what a killed run logged after its last checkpoint: it repeats those steps."""
        path = self.folder / "metrics.jsonl"
        if path.exists():
            write_atomic(path, path.read_bytes()[: self.meta.get("metrics_bytes", 0)])

    def _open_logs(self) -> None:
        """Open the metrics, and events if TensorBoard is installed, for the whole run."""
        self._metrics = open(self.folder / "metrics.jsonl", "a")  # noqa: SIM115
        self._logs = [self._open.enter_context(self._metrics)]
        if importlib.util.find_spec("tensorboard"):
            self._events = Events(self.folder / "events")
            self._logs.append(self._open.enter_context(self._events.file))

    def log(self, step: int, values: dict[str, float], timing: dict[str, float]) -> None:
        """Add a line to metrics.jsonl and a point to each TensorBoard curve.

        Two runs of one seed have equal `values`; whatever differs between them goes under "time".
        """
        now = time.time()
        line = {"step": step, **values, "time": {"unix": round(now, 3), **timing}}
        with naming(self._metrics.name):
            self._metrics.write(json.dumps(line) + "\n")
        if self._events:
            self._events.add(step, values, now)

    def checkpoint(self, arrays: dict[str, np.ndarray], meta: dict, done: bool = False) -> None:
        """Write the checkpoint "last"; a kill after it loses nothing.

        The former "last" becomes "previous", the fallback if the new file is damaged.
        """
        # metrics first: the checkpoint says how many of their bytes a resumed run can trust
        for file in self._logs:
            with naming(file.name):
                file.flush()
                os.fsync(file.fileno())
        meta = {**meta, "done": done, "metrics_bytes": self._metrics.tell(), "task": self._task}
        save_checkpoint(self._last, arrays, meta, self._previous)
        self.meta, self.done = meta, done

    @property
    def stopping(self) -> bool:
        """Return whether a signal asked the run to stop."""
        return bool(self._interrupt and self._interrupt.number)

    def leave(self, arrays: dict[str, np.ndarray], meta: dict, within: np.ndarray) -> NoReturn:
        """Write a checkpoint within an epoch and exit as after a signal, with status 143 or 130.

        Args:
            arrays, meta: as for `checkpoint`; the meta's "epoch" counts whole epochs.
            within: the measurements of this epoch's steps, one row a step.
        """
        self.checkpoint({**arrays, "within": within}, meta)
        advice = "the same command with --resume goes on from there"
        print(f"stopped before step {meta['step'] + 1}; {advice}", flush=True)
        sys.exit(128 + self._interrupt.number)

    def close(self) -> None:
        """Release the folder."""
        self._open.close()  # all of it, even if a part fails

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        # closing flushes, which fails again on a full disk: do not hide the error under way
        with contextlib.suppress(OSError) if kind else contextlib.nullcontext():
            self.close()


class Events:
    """A file of curves for TensorBoard.

    TensorBoard's own file writer is not used: it runs into a full disk in its own thread, where the
    error cannot be caught.
    """

    def __init__(self, folder: Path):
        # TensorBoard imports TensorFlow, which takes seconds, unless it sees a module of this name
        sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("notf"))
        folder.mkdir(exist_ok=True)
        now = time.time()
        name = f"events.out.tfevents.{now:.6f}.{platform.node()}.{os.getpid()}"
        self.file = open(folder / name, "ab")  # noqa: SIM115
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


def network_digest(folder: str) -> str:
    """Compute the digest of the network in a run folder, by which a sampler's run knows it.

    The library's networks are rounded copies: each has the digest of the run that it was made from,
    so that one serves the samplers of the other.
    """
    arrays, meta = load_checkpoint(Path(folder) / "last.safetensors")
    return meta.get("rounded_from") or digest(arrays)


def _load(path: Path) -> tuple[dict, dict]:
    """Load a checkpoint of a training run."""
    arrays, meta = load_checkpoint(path)
    if not {"epoch", "done"} <= meta.keys():
        raise InputError(f"checkpoint {path} is not of a training run")
    return arrays, meta


def saved_config(folder: str, **kinds) -> types.SimpleNamespace:
    """Read the settings that a run was started with.

    Args:
        kinds: types of the fields that the run's script must have, by name.

    Raises:
        InputError: the file is missing, damaged or another script's, or a value has the wrong type.
    """
    path = Path(folder) / "config.yaml"
    if not path.is_file():
        raise InputError(f"{folder} is no run folder: it has no config.yaml")
    try:
        saved = yaml.safe_load(path.read_text())
        lacking = [name for name in kinds if name not in saved]  # TypeError: not a mapping
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is damaged or of another kind of run ({error})") from error
    if lacking or not isinstance(saved, dict):
        lacking = ", ".join(lacking) or "settings"
        raise InputError(f"{path} is damaged or of another kind of run (it lacks {lacking})")
    kinds = {**typing.get_type_hints(settings.DataConfig), **kinds}
    for name in saved:
        if name in kinds:
            saved[name] = settings.convert(f"{path}: {name}", kinds[name], saved[name])
    return types.SimpleNamespace(**saved)


def finished_run(folder: str, **kinds) -> tuple[types.SimpleNamespace, dict, dict]:
    """Read the settings of a finished run, and its last checkpoint's arrays and meta.

    It never falls back on the previous checkpoint. For `kinds` see `saved_config`.
    """
    if not folder:
        raise InputError(
            "--task is needed: the run folder of the trained task network, or the library's by name"
        )
    config = saved_config(folder, **kinds)
    try:
        arrays, meta = _load(Path(folder) / "last.safetensors")
    except InputError as error:
        raise InputError(f"{error}; continue the run with --resume") from error
    if not meta["done"]:
        epochs = f"epoch {meta['epoch']} of {config.epochs}"
        raise InputError(f"{folder} stands at {epochs}; continue it with --resume")
    return config, arrays, meta
