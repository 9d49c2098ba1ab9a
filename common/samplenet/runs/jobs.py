"""Run commands that depend on each other: each once, several at a time, resuming an earlier call.

A finished job leaves a job.json in its folder, with a key computed from its command, its preset
file and the outputs that it used. If one of these or its own output has changed, the job runs
again. A change of the code is no reason to run again: `of_other_code` lists the results that it
affects, and `again` redoes those.
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
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import filelock

from samplenet.atomic import naming, write_json
from samplenet.errors import InputError
from samplenet.runs import sources
from samplenet.runs.checkpoint import load_checkpoint
from samplenet.runs.run import network_digest

LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
PR_SET_PDEATHSIG = 1
ORPHAN_SECONDS = 60.0  # time for a script whose parent was killed to write its last checkpoint


@dataclass(frozen=True)
class Job:
    """One run of a script.

    Attributes:
        name: its folder below the results.
        command: the words after "python".
        config: preset file.
        output: the file that it leaves in its folder.
        needs: jobs that must have succeeded.
        wants: jobs to wait for, whether they succeed or fail.
        runs: folder of training runs; the job reads the finished ones, so another one reruns it.
        reads: folders that it reads completely; a change in one reruns it.
        exclusive: whether no other job may run at the same time, as it measures time.
        python: the interpreter.
    """

    name: str
    command: list[str]
    config: Path
    output: str
    needs: Sequence[str] = ()
    wants: Sequence[str] = ()
    runs: Path | None = None
    reads: Sequence[Path] = ()
    exclusive: bool = False
    python: str = sys.executable


class Jobs:
    """The jobs of one results folder.

    Args:
        jobs: each after those that it needs or wants.
        folder: results; logs go to `logs/` in it.
        root: working folder of the commands.
        count: how many run at once.
        again: redo the jobs in `of_other_code`, and the runs that were trained for a redone one.
            The folder of each is moved below `old/` when its job starts.

    Attributes:
        digests: of the outputs of the finished jobs, by name.
        failed: the reason in one line, by name.
        stopped: the signal that stopped it; 0 before.

    Raises:
        ValueError: a job precedes one that it needs or wants.
    """

    def __init__(
        self, jobs: list[Job], folder: Path, root: Path, count: int = 1, again: bool = False
    ):
        self.folder, self.root, self.count, self.again = folder, root, count, again
        self.jobs: dict[str, Job] = {}
        for job in jobs:
            if missing := {*job.needs, *job.wants} - self.jobs.keys():
                raise ValueError(f"{job.name} must come after {', '.join(sorted(missing))}")
            self.jobs[job.name] = job
        self.digests, self.failed, self.stopped = {}, {}, 0
        self._children, self._redone = set(), {}

    def run(self) -> None:
        """Run every job whose needs succeed; InputError if another process uses this folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with filelock.FileLock(self.folder / ".lock", timeout=0):
                if self.again:
                    self._redone = self.of_other_code()
                    numbered = (self.folder / "old" / str(i) for i in itertools.count(1))
                    self._old = next(path for path in numbered if not path.exists())
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
                    if failed := [need for need in job.needs if need in self.failed]:
                        self.failed[name] = f"not run: it needs {failed[0]}"
                        del left[name]
                    elif self._may_start(job, running):
                        running[pool.submit(self._run, left.pop(name))] = job
                if not running:  # stopped, or the last ones failed
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    del running[future]
                    future.result()  # raises what `_run` did not expect

    def stop(self, number: int = signal.SIGTERM, _frame=None) -> None:
        """Terminate the children and start no more; may be the handler of a signal.

        `run` returns when they have ended; trainings first write a checkpoint.
        """
        self.stopped = self.stopped or number
        for child in list(self._children):
            child.terminate()

    def _may_start(self, job: Job, running: dict) -> bool:
        """Return whether a job may start beside those that run."""
        if self.stopped or len(running) >= self.count:
            return False
        if running and (job.exclusive or any(other.exclusive for other in running.values())):
            return False
        return all(name in self.digests or name in self.failed for name in (*job.needs, *job.wants))

    def _run(self, job: Job) -> None:
        """Run a job and keep its digest, or the reason of its failure."""
        try:
            self.digests[job.name] = self._output(job)
        except (OSError, RuntimeError) as error:  # of the disk, or of the command
            self.failed[job.name] = " ".join(str(error).split())

    def of_other_code(self) -> dict[str, list[str] | None]:
        """List the jobs that `run` keeps or resumes although the code behind them has changed.

        Returns:
            The changed files by the job's name; None if the run has no record of its files.
        """
        kept, changed = {}, {}
        for job in self.jobs.values():
            folder = self.folder / job.name
            try:
                output = finished_digest(folder, _key(job, kept), job.output)
            except OSError:  # an input cannot be read, so the job cannot run
                continue
            if output is not None:
                kept[job.name] = output
            elif not _trained(folder):
                continue
            recorded = _sources(folder, job.output)
            files = None if recorded is None else sources.changed(recorded, self.root)
            if files != []:
                changed[job.name] = files
        return changed

    def _output(self, job: Job) -> str:
        """Run the job unless it has finished; return the digest of its output."""
        folder, key = self.folder / job.name, _key(job, self.digests)
        redone = job.name in self._redone
        output = None if redone else finished_digest(folder, key, job.output)
        if output is not None:
            print(f"== {job.name} is finished", flush=True)
            return output
        self._wait_for_orphan(folder)
        if self.again and not redone:
            redone = any(_for_another(folder, self.folder / need) for need in job.needs)
        if redone:
            self._set_aside(folder)
        begin = time.time()
        self._execute(job)
        output, seconds = _digest(folder / job.output), round(time.time() - begin, 1)
        record = {"command": ["python", *job.command], "key": key}
        write_json(folder / "job.json", record | {"output": output, "seconds": seconds})
        return output

    def _set_aside(self, folder: Path) -> None:
        """Move a job's folder below `old/`; RuntimeError if another process uses it."""
        name = folder.relative_to(self.folder)
        target = self._old / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with filelock.FileLock(folder / ".lock", timeout=0):
                os.rename(folder, target)
        except filelock.Timeout as error:
            raise RuntimeError(f"{folder} is in use by another process; wait for it") from error
        print(f"== {name} is redone; the old run is in {target}", flush=True)

    @staticmethod
    def _wait_for_orphan(folder: Path) -> None:
        """Wait for a script whose parent was killed: it ends its step and writes a checkpoint."""
        lock = folder / ".lock"
        if lock.exists():
            waiting = filelock.FileLock(lock, timeout=ORPHAN_SECONDS)
            with contextlib.suppress(filelock.Timeout), waiting:
                pass  # if it does not end, the script to be started reports the folder's lock

    def _execute(self, job: Job) -> None:
        """Run the command, show and log its output; RuntimeError with its last line if it fails."""
        print(f"== python {' '.join(job.command)}", flush=True)
        log, last = self.folder / "logs" / f"{job.name.replace('/', '.')}.log", ""
        log.parent.mkdir(parents=True, exist_ok=True)
        # PyTorch's idle threads would spin on the cores that the other jobs need
        sharing = {"OMP_WAIT_POLICY": "PASSIVE"} if self.count > 1 else {}
        with (
            naming(log),
            open(log, "a") as file,
            subprocess.Popen(
                [job.python, *job.command],
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={**sharing, **os.environ},
                preexec_fn=_die_with_parent if LIBC else None,
            ) as child,
        ):
            self._children.add(child)
            if self.stopped:  # `stop` was called before this child was in the set
                child.terminate()
            for line in child.stdout:
                file.write(line)
                last = line.strip() or last
                print(line if self.count == 1 else f"[{job.name}] {line}", end="", flush=True)
        self._children.discard(child)
        if child.returncode:
            raise RuntimeError(f"{last or f'ended with status {child.returncode}'} (see {log})")


def _die_with_parent() -> None:
    """Have the kernel send this child SIGTERM if its parent is killed, so that it does not run on.

    Training scripts write a checkpoint then.
    """
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _key(job: Job, digests: dict[str, str]) -> str:
    """Compute a digest of everything that a job depends on: command, preset and inputs."""
    used = {name: digests[name] for name in job.needs if name in digests}
    content = [job.command, job.config.read_text(), used]
    if job.runs:
        content.append(_finished_runs(job.runs))
    if job.reads:
        paths = itertools.chain.from_iterable(folder.rglob("*") for folder in job.reads)
        content.append({str(path): _digest(path) for path in paths if path.is_file()})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _finished_runs(folder: Path) -> dict[str, str]:
    """Compute the digest of each finished sampler's run directly inside a folder, by its name."""
    digests = {}
    for path in sorted(folder.glob("*/last.safetensors")):
        with contextlib.suppress(InputError):  # evaluations skip a damaged run too
            meta = load_checkpoint(path)[1]
            if meta.get("done") and meta.get("task"):
                digests[path.parent.name] = _digest(path)
    return digests


def finished_digest(folder: Path, key: str, output: str) -> str | None:
    """Return the digest of a finished job's output.

    None if the job has not finished, had another key, or its output has changed or is gone.
    """
    with contextlib.suppress(
        OSError, ValueError, TypeError, KeyError
    ):  # no record, or a damaged one
        record = json.loads((folder / "job.json").read_text())
        if record["key"] == key and record["output"] == _digest(folder / output):
            return record["output"]
    return None


def _trained(folder: Path) -> bool:
    """Return whether a training run was begun there: it is resumed, never overwritten."""
    return (folder / "environment.json").exists()


def _for_another(folder: Path, task: Path) -> bool:
    """Return whether a run was trained for another network than `task` holds now.

    Such a run cannot be resumed.
    """
    try:
        wanted = load_checkpoint(folder / "last.safetensors")[1].get("task")
        return wanted is not None and wanted != network_digest(task)
    except InputError:  # one of the two is no training run, or has no intact checkpoint
        return False


def _sources(folder: Path, output: str) -> dict[str, str] | None:
    """Read which source files a run had, as `samplenet.runs.sources.loaded`; None if unrecorded."""
    path = folder / ("environment.json" if _trained(folder) else output)
    try:
        content = json.loads(path.read_text())
        return dict(content.get("environment", content)["sources"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def note(outdated: dict[str, list[str] | None]) -> str:
    """Say in one line which jobs are `of_other_code`, and what to do about it."""
    files = dict.fromkeys(itertools.chain.from_iterable(filter(None, outdated.values())))
    unknown = list(outdated.values()).count(None)
    reasons = [f"changed since: {sources.some(files)}"] if files else []
    if unknown:
        reasons.append(f"the code of {unknown} is not on record, so it cannot be compared")
    return (
        f"these runs were made by other code and are kept: {sources.some(outdated)} "
        f"({'; '.join(reasons)}). "
        "Add --again to redo them, or --out DIR to redo everything in another folder"
    )
