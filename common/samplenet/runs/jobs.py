"""Run commands that depend on each other: each once, several at a time, resuming an earlier call.

A finished job leaves a job.json in its folder, with a key computed from its command, its preset
file and the outputs that it used. If one of these or its own output has changed, the job runs
again. A change of the code is no reason to run again: `of_other_code` lists the results that it
affects, and `again` redoes those.
"""

import contextlib
import ctypes
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import filelock

from samplenet.atomic import naming, write_json
from samplenet.errors import InputError
from samplenet.runs import sources
from samplenet.runs.checkpoint import load_checkpoint
from samplenet.runs.keys import Job, file_digest, finished_digest, key_of
from samplenet.runs.run import network_digest

LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
PR_SET_PDEATHSIG = 1
ORPHAN_SECONDS = 60.0  # time for a script whose parent was killed to write its last checkpoint


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

    def run_only(self, name: str) -> None:
        """Run one job; others of this folder may run at the same time, in other processes.

        Raises:
            InputError: a job that it needs has not finished.
        """
        needed = {name}
        for job in reversed(self.jobs.values()):
            needed.update(job.needs if job.name in needed else ())
        others = [other for other in self.jobs if other in needed and other != name]
        self.digests = {job.name: output for job, output in self._outputs(others) if output}
        for need in self.jobs[name].needs:
            if need not in self.digests:
                raise InputError(f"{name} needs {need}, which has not finished; run that first")
        self._run(self.jobs[name])

    def unfinished(self) -> list[str]:
        """List the jobs that `run` would run."""
        finished = {job.name for job, output in self._outputs(self.jobs) if output}
        return [name for name in self.jobs if name not in finished]

    def log(self, name: str) -> Path:
        """Return the file that a job's output is added to."""
        return self.folder / "logs" / f"{name.replace('/', '.')}.log"

    def _outputs(self, names: Iterable[str]) -> Iterator[tuple[Job, str | None]]:
        """Yield those of these jobs that could run, with the output's digest; None: not finished.

        Args:
            names: each after those that it needs.
        """
        kept = {}
        for job in map(self.jobs.get, names):
            try:
                output = finished_digest(self.folder / job.name, key_of(job, kept), job.output)
            except OSError:  # an input cannot be read, so the job cannot run
                continue
            if output is not None:
                kept[job.name] = output
            yield job, output

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
        changed = {}
        for job, output in self._outputs(self.jobs):
            folder = self.folder / job.name
            if output is None and not _trained(folder):
                continue
            recorded = _sources(folder, job.output)
            files = None if recorded is None else sources.changed(recorded, self.root)
            if files != []:
                changed[job.name] = files
        return changed

    def _output(self, job: Job) -> str:
        """Run the job unless it has finished; return the digest of its output.

        RuntimeError if it fails, or if another process runs it.
        """
        lock = self.log(job.name)
        lock = lock.with_name(f".{lock.stem}.lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            with filelock.FileLock(lock, timeout=0):
                return self._locked_output(job)
        except filelock.Timeout as error:
            raise RuntimeError(f"another process runs {job.name}; wait for it") from error

    def _locked_output(self, job: Job) -> str:
        folder, key = self.folder / job.name, key_of(job, self.digests)
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
        output, seconds = file_digest(folder / job.output), round(time.time() - begin, 1)
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
        log, last = self.log(job.name), ""
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
