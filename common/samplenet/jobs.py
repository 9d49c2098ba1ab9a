"""Run a list of commands that need each other: each once, several at a time, going on where an earlier call ended.

What has finished is remembered in the job.json of its folder, with a key made of its command, its preset file and the
jobs it was made from: when one of these has changed, it is run again.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from samplenet.checkpoint import write_atomic


@dataclass
class Job:
    """One script to run.

    Attributes:
        name: its folder below the results.
        command: what follows "python"; or a function of the finished jobs that gives it.
        config: preset file.
        needs: jobs that must have finished.
        wants: jobs to wait for, finished or failed.
    """

    name: str
    command: list[str] | Callable[[dict], list[str]]
    config: Path
    needs: list[str] = field(default_factory=list)
    wants: list[str] = field(default_factory=list)


class Jobs:
    """The jobs of one results folder.

    Args:
        jobs: in an order in which they can run. One may want a job that is not among them, if it finished earlier.
        folder: results; logs go to `logs/` in it.
        root: where the commands run.
        count: how many at once.

    Attributes:
        finished: name -> key.
        failed: name -> why, one line.
        stopped: whether `stop` was called.
    """

    def __init__(self, jobs: list[Job], folder: Path, root: Path, count: int = 1):
        self.jobs, self.folder, self.root, self.count = {job.name: job for job in jobs}, folder, root, count
        self.finished, self.failed, self.stopped, self._children = {}, {}, False, set()

    def run(self) -> None:
        """Run all that can be; what needs a job that failed is left out."""
        left, running = dict(self.jobs), {}
        for name in {n for job in left.values() for n in job.wants if n not in left}:
            self.finished[name] = finished(self.folder / name)
        with ThreadPoolExecutor(self.count) as pool:
            while left or running:
                for name, job in list(left.items()):
                    if lacking := [n for n in job.needs if n in self.failed]:
                        self.failed[name] = f"not run: it needs {lacking[0]}"
                        del left[name]
                    elif len(running) < self.count and not self.stopped and self._ready(job):
                        running[pool.submit(self._run, left.pop(name))] = name
                if not running and (self.stopped or left):
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    del running[future]
                    future.result()

    def stop(self) -> None:
        """End what runs, start nothing more: `run` returns when the children have, training ones with a checkpoint."""
        self.stopped = True
        for child in list(self._children):
            child.terminate()

    def _ready(self, job: Job) -> bool:
        return all(n in self.finished or n in self.failed for n in (*job.needs, *job.wants))

    def _run(self, job: Job) -> None:
        command = job.command(self.finished) if callable(job.command) else job.command
        made_from = [self.finished[n] for n in (*job.needs, *job.wants) if n in self.finished]
        content = json.dumps([command, job.config.read_text(), made_from])
        key = hashlib.sha256(content.encode()).hexdigest()
        if finished(self.folder / job.name) == key:
            print(f"== {job.name} is finished", flush=True)
            self.finished[job.name] = key
            return
        begin = time.time()
        if why := self._execute(job.name, command):
            self.failed[job.name] = why
            return
        record = {"command": ["python", *command], "key": key, "seconds": round(time.time() - begin, 1)}
        write_atomic(self.folder / job.name / "job.json", (json.dumps(record, indent=1) + "\n").encode())
        self.finished[job.name] = key

    def _execute(self, name: str, command: list[str]) -> str:
        """Run a command, show and keep what it prints; empty, or why it failed."""
        print(f"== python {' '.join(command)}", flush=True)
        log, last = self.folder / "logs" / f"{name.replace('/', '.')}.log", ""
        log.parent.mkdir(parents=True, exist_ok=True)
        child = subprocess.Popen(
            [sys.executable, *command],
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ},
        )
        self._children.add(child)
        if self.stopped:  # just before this one was known
            child.terminate()
        with child, open(log, "w") as file:
            for line in child.stdout:
                file.write(line)
                last = line.strip() or last
                print(line if self.count == 1 else f"[{name}] {line}", end="", flush=True)
        self._children.discard(child)
        return f"{last or f'ended with status {child.returncode}'} (see {log})" if child.returncode else ""


def finished(folder: Path) -> str:
    """The key of the job that finished in `folder`, empty if none did."""
    try:
        return json.loads((folder / "job.json").read_text())["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
