"""Run a list of commands that need each other: each once, several at a time, going on where an earlier call ended.

What has finished is remembered in the job.json of its folder, with a key made of its command, its preset file and the
outputs of the jobs it was made from: when one of these has changed, or its own output has, it is run again.
"""

import contextlib
import ctypes
import hashlib
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

from samplenet.checkpoint import naming, write_atomic
from samplenet.errors import InputError

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
    """

    name: str
    command: list[str] | Callable[[dict], list[str]]
    config: Path
    output: str
    needs: list[str] = field(default_factory=list)
    wants: list[str] = field(default_factory=list)
    alone: bool = False


class Jobs:
    """The jobs of one results folder.

    Args:
        jobs: those that a job needs or wants are among them.
        folder: results; logs go to `logs/` in it.
        root: where the commands run.
        count: how many at once.

    Attributes:
        finished: name -> digest of the output.
        failed: name -> why, one line.
        stopped: whether `stop` was called.
    """

    def __init__(self, jobs: list[Job], folder: Path, root: Path, count: int = 1):
        self.jobs, self.folder, self.root, self.count = {job.name: job for job in jobs}, folder, root, count
        self.finished, self.failed, self.stopped, self._children = {}, {}, False, set()

    def run(self) -> None:
        """Run all that can be; what needs a job that failed is left out. InputError where another call is at it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with filelock.FileLock(self.folder / ".lock", timeout=0):
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

    def _output(self, job: Job) -> str:
        """Run the job unless it has finished before; the digest of its output."""
        command = job.command(self.finished) if callable(job.command) else job.command
        made_from = {n: self.finished[n] for n in (*job.needs, *job.wants) if n in self.finished}
        content = json.dumps([command, job.config.read_text(), made_from], sort_keys=True)
        key, folder = hashlib.sha256(content.encode()).hexdigest(), self.folder / job.name
        if (output := finished(folder, key, job.output)) is not None:
            print(f"== {job.name} is finished", flush=True)
            return output
        self._wait_for_orphan(folder)
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
            "env": {"TF_CPP_MIN_LOG_LEVEL": "3", **sharing, **os.environ},
            "preexec_fn": _die_with_parent if LIBC else None,
        }
        with naming(log), open(log, "a") as file, subprocess.Popen([sys.executable, *command], **how) as child:
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


def finished(folder: Path, key: str, output: str) -> str | None:
    """The digest of the output of the job that finished in `folder`; None if none did, it had another key, or the
    output has changed since."""
    try:
        record = json.loads((folder / "job.json").read_text())
        if record["key"] == key and record["output"] == _digest(folder / output):
            return record["output"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None
