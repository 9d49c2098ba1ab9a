"""Run a list of commands that need each other: each once, several at a time, going on where an earlier call ended.

What has finished is remembered in the job.json of its folder, with a key made of its command, its preset file and the
outputs of the jobs it was made from: when one of these has changed, or its own output has, it is run again. A change of
the code is no reason to: `of_other_code` says which results it concerns, and `again` makes those anew.
"""

import contextlib
import ctypes
import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import filelock

from samplenet.atomic import naming, write_atomic
from samplenet.errors import InputError
from samplenet.runs import sources
from samplenet.runs.checkpoint import digest, load_checkpoint

LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
PR_SET_PDEATHSIG = 1
PATIENCE = 60.0  # seconds that a script which outlived its killed parent has for its last checkpoint


@dataclass
class Job:
    """One script to run.

    Attributes:
        name: its folder below the results.
        command: what follows "python"; or a function of the finished jobs that gives it.
        config: preset file.
        output: what it leaves in its folder.
        needs: jobs that must have finished.
        wants: jobs to wait for, finished or failed.
        alone: nothing else may run beside it: it takes times.
        reads: folders whose files it reads besides; when one has changed, it is run again.
        python: the interpreter.
    """

    name: str
    command: list[str] | Callable[[dict], list[str]]
    config: Path
    output: str
    needs: list[str] = field(default_factory=list)
    wants: list[str] = field(default_factory=list)
    alone: bool = False
    reads: list[Path] = field(default_factory=list)
    python: str = sys.executable


class Jobs:
    """The jobs of one results folder.

    Args:
        jobs: those that a job needs or wants are among them.
        folder: results; logs go to `logs/` in it.
        root: where the commands run.
        count: how many at once.
        again: make anew what is `of_other_code`, and the runs that were trained for what is made anew. Their folders
            are kept below `old/`, each until the moment when its job begins in its own place.

    Attributes:
        finished: name -> digest of the output.
        failed: name -> why, one line.
        stopped: whether `stop` was called.
    """

    def __init__(self, jobs: list[Job], folder: Path, root: Path, count: int = 1, again: bool = False):
        self.jobs, self.folder, self.root, self.count = {job.name: job for job in jobs}, folder, root, count
        self.finished, self.failed, self.stopped, self._children = {}, {}, False, set()
        self.again, self._anew, self._aside = again, {}, folder / "old"

    def run(self) -> None:
        """Run all that can be; what needs a job that failed is left out. InputError where another call is at it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with filelock.FileLock(self.folder / ".lock", timeout=0):
                if self.again:
                    self._anew = self.of_other_code()
                    self._aside = _next_free(self.folder / "old")
                self._run_all()
        except filelock.Timeout as error:
            raise InputError(
                f"{self.folder} is in use by another process; wait for it or choose another --out"
            ) from error

    def _run_all(self) -> None:
        left, running = dict(self.jobs), {}
        with ThreadPoolExecutor(self.count) as pool:
            while left or running:
                for name, job in list(left.items()):
                    if lacking := [n for n in job.needs if n in self.failed]:
                        self.failed[name] = f"not run: it needs {lacking[0]}"
                        del left[name]
                    elif self._may_start(job, running):
                        running[pool.submit(self._run, left.pop(name))] = job
                if not running:
                    if any(n in self.failed for job in left.values() for n in job.needs):
                        continue  # what failed just now is needed by one that stands before it
                    if left and not self.stopped:
                        raise ValueError(f"jobs that wait for each other or for none in the list: {', '.join(left)}")
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    del running[future]
                    future.result()

    def stop(self) -> None:
        """End what runs, start nothing more: `run` returns when the children have, training ones with a checkpoint."""
        self.stopped = True
        for child in list(self._children):
            child.terminate()

    def _may_start(self, job: Job, running: dict) -> bool:
        if self.stopped or len(running) >= self.count or any(other.alone for other in running.values()):
            return False
        ready = all(n in self.finished or n in self.failed for n in (*job.needs, *job.wants))
        return ready and not (job.alone and running)

    def _run(self, job: Job) -> None:
        try:
            self.finished[job.name] = self._output(job)
        except (OSError, RuntimeError) as error:  # of the disk, or RuntimeError: what the command said last
            self.failed[job.name] = " ".join(str(error).split())

    def of_other_code(self) -> dict[str, list[str] | None]:
        """The jobs that `run` keeps or continues although files that they were made with have changed since.

        Returns:
            These files by the job's name; None where it is not recorded which files there were.
        """
        kept, found = {}, {}
        for job in self.jobs.values():  # each after those it needs
            folder = self.folder / job.name
            try:
                _, key = _asked(job, kept)
            except (OSError, RuntimeError):  # it cannot be run
                continue
            if (output := finished(folder, key, job.output)) is not None:
                kept[job.name] = output
            elif not _trained(folder):
                continue
            recorded = _sources(folder, job.output)
            files = None if recorded is None else sources.changed(recorded, self.root)
            if files != []:
                found[job.name] = files
        return found

    def _output(self, job: Job) -> str:
        """Run the job unless it has finished before; the digest of its output."""
        command, key = _asked(job, self.finished)
        folder = self.folder / job.name
        if job.name not in self._anew and (output := finished(folder, key, job.output)) is not None:
            print(f"== {job.name} is finished", flush=True)
            return output
        self._wait_for_orphan(folder)
        if job.name in self._anew or (self.again and any(_for_another(folder, self.folder / n) for n in job.needs)):
            self._set_aside(folder)
        begin = time.time()
        self._execute(job.name, command)
        output = _digest(folder / job.output)
        record = {
            "command": ["python", *command],
            "key": key,
            "output": output,
            "seconds": round(time.time() - begin, 1),
        }
        write_atomic(folder / "job.json", (json.dumps(record, indent=1) + "\n").encode())
        return output

    def _set_aside(self, folder: Path) -> None:
        """Move a job's folder below `old/`, so that the job begins anew; RuntimeError while a process is at it."""
        target = self._aside / folder.relative_to(self.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with filelock.FileLock(folder / ".lock", timeout=0):
                os.rename(folder, target)
        except filelock.Timeout as error:
            raise RuntimeError(f"{folder} is in use by another process; wait for it") from error
        print(f"== {folder.relative_to(self.folder)} is made anew; what it was is in {target}", flush=True)

    @staticmethod
    def _wait_for_orphan(folder: Path) -> None:
        """A script whose parent was killed stops as well, but first ends its step and writes a checkpoint."""
        lock = folder / ".lock"
        if lock.exists():
            with contextlib.suppress(filelock.Timeout), filelock.FileLock(lock, timeout=PATIENCE):
                pass  # if it is still there, the script that is started now says so

    def _execute(self, name: str, command: list[str]) -> None:
        """Run a command, show and keep what it prints; RuntimeError with its last line when it fails."""
        print(f"== python {' '.join(command)}", flush=True)
        log, last = self.folder / "logs" / f"{name.replace('/', '.')}.log", ""
        log.parent.mkdir(parents=True, exist_ok=True)
        # PyTorch's idle threads would hold the cores that the other jobs need
        sharing = {"OMP_WAIT_POLICY": "PASSIVE"} if self.count > 1 else {}
        how = {
            "cwd": self.root,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "text": True,
            "errors": "replace",
            "env": {**sharing, **os.environ},
            "preexec_fn": _die_with_parent if LIBC else None,
        }
        with naming(log), open(log, "a") as file, subprocess.Popen([self.jobs[name].python, *command], **how) as child:
            self._children.add(child)
            if self.stopped:  # just before this one was known
                child.terminate()
            for line in child.stdout:
                file.write(line)
                last = line.strip() or last
                print(line if self.count == 1 else f"[{name}] {line}", end="", flush=True)
        self._children.discard(child)
        if child.returncode:
            raise RuntimeError(f"{last or f'ended with status {child.returncode}'} (see {log})")


def _die_with_parent() -> None:
    """In a child: SIGTERM, which a training script answers with a checkpoint, when the parent is killed."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _asked(job: Job, done: dict[str, str]) -> tuple[list[str], str]:
    """The command of a job when those of `done` have finished, and the key of all that it depends on."""
    command = job.command(done) if callable(job.command) else job.command
    made_from = {n: done[n] for n in (*job.needs, *job.wants) if n in done}
    content = [command, job.config.read_text(), made_from]
    content += [{str(path): _digest(path) for folder in job.reads for path in _files(folder)}] if job.reads else []
    content = json.dumps(content, sort_keys=True)
    return command, hashlib.sha256(content.encode()).hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _record(folder: Path) -> dict:
    """The job.json of a folder; {} where there is none or it is damaged."""
    try:
        return dict(json.loads((folder / "job.json").read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def finished(folder: Path, key: str, output: str) -> str | None:
    """The digest of the output of the job that finished in `folder`; None if none did, it had another key, or the
    output has changed since."""
    record = _record(folder)
    with contextlib.suppress(OSError):
        if record.get("key") == key and record.get("output") == _digest(folder / output):
            return record["output"]
    return None


def _trained(folder: Path) -> bool:
    """Whether a training run was begun there: it is continued, and what it holds is not overwritten."""
    return (folder / "environment.json").exists()


def _for_another(folder: Path, task: Path) -> bool:
    """Whether the run in `folder` was trained for another network than the run `task` holds now: it is refused then."""
    try:
        wanted = load_checkpoint(folder / "last.safetensors")[1].get("task")
        return wanted is not None and wanted != digest(load_checkpoint(task / "last.safetensors")[0])
    except InputError:  # neither is a training run, or one has no whole checkpoint
        return False


def _sources(folder: Path, output: str) -> dict[str, str] | None:
    """The files that made what is in a folder, as `samplenet.runs.sources.loaded`; None where they are not recorded."""
    try:
        content = json.loads((folder / ("environment.json" if _trained(folder) else output)).read_text())
        return dict(content.get("environment", content)["sources"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _next_free(folder: Path) -> Path:
    """The first of folder/1, folder/2 and so on that is not there."""
    return next(place for number in itertools.count(1) if not (place := folder / str(number)).exists())


def note(found: dict[str, list[str] | None]) -> str:
    """One line on what is `of_other_code`, and what to do about it."""
    files = dict.fromkeys(file for changed in found.values() for file in changed or [])
    unknown = list(found.values()).count(None)
    why = [f"changed since: {sources.some(files)}"] if files else []
    why += [f"the code of {unknown} is not on record, so it cannot be compared"] if unknown else []
    return (
        f"these runs were made by other code and are kept: {sources.some(found)} ({'; '.join(why)}). "
        "Add --again to redo them, or --out DIR to redo everything in another folder"
    )
