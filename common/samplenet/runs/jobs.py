"""Run commands that depend on each other: each once, several at a time, continuing where an earlier call ended.

A finished job leaves a job.json in its folder, with a key made of its command, its preset file and the outputs that it
was made from. When one of these or its own output has changed, the job runs again. A change of the code is no reason
to: `of_other_code` names the results that it affects, and `again` redoes those.
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

from samplenet.atomic import naming, write_atomic
from samplenet.errors import InputError
from samplenet.runs import sources
from samplenet.runs.checkpoint import digest, load_checkpoint

LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
PR_SET_PDEATHSIG = 1
PATIENCE = (
    60.0  # seconds that a script which outlived its killed parent has for its last checkpoint
)


@dataclass(frozen=True)
class Job:
    """One run of a script.

    Attributes:
        name: its folder below the results.
        command: what follows "python".
        config: preset file.
        output: the file that it leaves in its folder.
        needs: jobs that must have finished.
        wants: jobs to wait for, finished or failed.
        runs: folder of training runs, of which it reads those that have finished; another one makes it run again.
        reads: folders that it reads all of; a change in one makes it run again.
        exclusive: whether nothing else may run beside it, as it measures time.
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
        jobs: those that a job needs or wants are among them.
        folder: results; logs go to `logs/` in it.
        root: where the commands run.
        count: how many at once.
        again: redo what is `of_other_code`, and the runs that were trained for what is redone. The folder of each is
            moved below `old/` when its job begins anew.

    Attributes:
        digests: of the outputs of the finished jobs, by name.
        failed: the reason in one line, by name.
        stopped: whether `stop` was called.
    """

    def __init__(
        self, jobs: list[Job], folder: Path, root: Path, count: int = 1, again: bool = False
    ):
        self.jobs, self.folder, self.root, self.count = (
            {job.name: job for job in jobs},
            folder,
            root,
            count,
        )
        self.digests, self.failed, self.stopped, self._children = {}, {}, False, set()
        self.again, self._anew, self._aside = again, {}, folder / "old"

    def run(self) -> None:
        """Run every job whose needs succeed. Raises InputError if another process uses this folder."""
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
                        raise ValueError(
                            f"jobs that wait for each other or for none in the list: {', '.join(left)}"
                        )
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    del running[future]
                    future.result()

    def stop(self) -> None:
        """Terminate the children and start no more; `run` returns when they have ended, trainings with a checkpoint."""
        self.stopped = True
        for child in list(self._children):
            child.terminate()

    def _may_start(self, job: Job, running: dict) -> bool:
        if (
            self.stopped
            or len(running) >= self.count
            or any(other.exclusive for other in running.values())
        ):
            return False
        ready = all(n in self.digests or n in self.failed for n in (*job.needs, *job.wants))
        return ready and not (job.exclusive and running)

    def _run(self, job: Job) -> None:
        try:
            self.digests[job.name] = self._output(job)
        except (
            OSError,
            RuntimeError,
        ) as error:  # of the disk, or RuntimeError with the command's last line
            self.failed[job.name] = " ".join(str(error).split())

    def of_other_code(self) -> dict[str, list[str] | None]:
        """List the jobs that `run` keeps or continues although the code that they were made with has changed.

        Returns:
            The changed files by the job's name; None where the run has no record of its files.
        """
        kept, changed = {}, {}
        for job in self.jobs.values():  # each after those it needs
            folder = self.folder / job.name
            try:
                output = finished_digest(folder, _key(job, kept), job.output)
            except OSError:  # it cannot be run
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
        """Run the job unless it has finished before -> the digest of its output."""
        folder, key = self.folder / job.name, _key(job, self.digests)
        output = None if job.name in self._anew else finished_digest(folder, key, job.output)
        if output is not None:
            print(f"== {job.name} is finished", flush=True)
            return output
        self._wait_for_orphan(folder)
        if job.name in self._anew or (
            self.again and any(_for_another(folder, self.folder / n) for n in job.needs)
        ):
            self._set_aside(folder)
        begin = time.time()
        self._execute(job)
        output = _digest(folder / job.output)
        record = {
            "command": ["python", *job.command],
            "key": key,
            "output": output,
            "seconds": round(time.time() - begin, 1),
        }
        write_atomic(folder / "job.json", (json.dumps(record, indent=1) + "\n").encode())
        return output

    def _set_aside(self, folder: Path) -> None:
        """Move a job's folder below `old/`, so that the job begins anew; RuntimeError while another process uses it."""
        target = self._aside / folder.relative_to(self.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with filelock.FileLock(folder / ".lock", timeout=0):
                os.rename(folder, target)
        except filelock.Timeout as error:
            raise RuntimeError(f"{folder} is in use by another process; wait for it") from error
        print(
            f"== {folder.relative_to(self.folder)} is made anew; the old run is in {target}",
            flush=True,
        )

    @staticmethod
    def _wait_for_orphan(folder: Path) -> None:
        """Wait for a script whose parent was killed: it stops too, but first ends its step and writes a checkpoint."""
        lock = folder / ".lock"
        if lock.exists():
            with contextlib.suppress(filelock.Timeout), filelock.FileLock(lock, timeout=PATIENCE):
                pass  # if it is still there, the script that is started now reports it

    def _execute(self, job: Job) -> None:
        """Run the command, show and log its output; RuntimeError with its last line when it fails."""
        print(f"== python {' '.join(job.command)}", flush=True)
        log, last = self.folder / "logs" / f"{job.name.replace('/', '.')}.log", ""
        log.parent.mkdir(parents=True, exist_ok=True)
        # PyTorch's idle threads would hold the cores that the other jobs need
        sharing = {"OMP_WAIT_POLICY": "PASSIVE"} if self.count > 1 else {}
        options = {
            "cwd": self.root,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "text": True,
            "errors": "replace",
            "env": {**sharing, **os.environ},
            "preexec_fn": _die_with_parent if LIBC else None,
        }
        with (
            naming(log),
            open(log, "a") as file,
            subprocess.Popen([job.python, *job.command], **options) as child,
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
    """Ask the kernel to send this child SIGTERM when its parent is killed; training scripts then write a checkpoint."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _key(job: Job, digests: dict[str, str]) -> str:
    """The digest of all that a job depends on: its command, its preset and what it is made from."""
    made_from = {name: digests[name] for name in job.needs if name in digests}
    content = [job.command, job.config.read_text(), made_from]
    if job.runs:
        content.append(_finished_runs(job.runs))
    if job.reads:
        content.append(
            {str(path): _digest(path) for folder in job.reads for path in _files(folder)}
        )
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _finished_runs(folder: Path) -> dict[str, str]:
    """The digest of each finished run for a task network that lies directly inside a folder, by the run's name."""
    digests = {}
    for path in sorted(folder.glob("*/last.safetensors")):
        with contextlib.suppress(InputError):  # a damaged one is not read by an evaluation either
            meta = load_checkpoint(path)[1]
            if meta.get("done") and meta.get("task"):
                digests[path.parent.name] = _digest(path)
    return digests


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _record(folder: Path) -> dict:
    """Read the job.json of a folder; {} where there is none or it is damaged."""
    try:
        return dict(json.loads((folder / "job.json").read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def finished_digest(folder: Path, key: str, output: str) -> str | None:
    """The digest of a finished job's output; None if it has not finished, had another key, or the output changed."""
    record = _record(folder)
    with contextlib.suppress(OSError):
        if record.get("key") == key and record.get("output") == _digest(folder / output):
            return record["output"]
    return None


def _trained(folder: Path) -> bool:
    """Whether a training run was begun there: it is continued, never overwritten."""
    return (folder / "environment.json").exists()


def _for_another(folder: Path, task: Path) -> bool:
    """Whether the run in `folder` was trained for another network than `task` holds now, and so would be refused."""
    try:
        wanted = load_checkpoint(folder / "last.safetensors")[1].get("task")
        return wanted is not None and wanted != digest(
            load_checkpoint(task / "last.safetensors")[0]
        )
    except InputError:  # neither is a training run, or one has no whole checkpoint
        return False


def _sources(folder: Path, output: str) -> dict[str, str] | None:
    """The files that a run was made with, as `samplenet.runs.sources.loaded`; None where they are not recorded."""
    try:
        content = json.loads(
            (folder / ("environment.json" if _trained(folder) else output)).read_text()
        )
        return dict(content.get("environment", content)["sources"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _next_free(folder: Path) -> Path:
    """The first of folder/1, folder/2 and so on that does not exist."""
    numbered = (folder / str(number) for number in itertools.count(1))
    return next(path for path in numbered if not path.exists())


def note(outdated: dict[str, list[str] | None]) -> str:
    """Say in one line which jobs are `of_other_code`, and what to do about it."""
    files = dict.fromkeys(file for changed in outdated.values() for file in changed or [])
    unknown = list(outdated.values()).count(None)
    why = [f"changed since: {sources.some(files)}"] if files else []
    why += [f"the code of {unknown} is not on record, so it cannot be compared"] if unknown else []
    return (
        f"these runs were made by other code and are kept: {sources.some(outdated)} ({'; '.join(why)}). "
        "Add --again to redo them, or --out DIR to redo everything in another folder"
    )
