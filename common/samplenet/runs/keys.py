"""A job, and the key by which a later call knows whether it has finished."""

import contextlib
import hashlib
import itertools
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from samplenet.errors import InputError
from samplenet.runs.checkpoint import load_checkpoint


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
        runs: folder of samplers' training runs; the job reads the finished ones, so another one
            reruns it.
        networks: folder of the training runs of networks that no sampler is trained for, likewise.
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
    networks: Path | None = None
    reads: Sequence[Path] = ()
    exclusive: bool = False
    python: str = sys.executable


def file_digest(path: Path) -> str:
    """Compute the digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def key_of(job: Job, digests: dict[str, str]) -> str:
    """Compute a digest of everything that a job depends on: command, preset and inputs."""
    used = {name: digests[name] for name in job.needs if name in digests}
    content = [job.command, job.config.read_text(), used]
    if job.runs:
        content.append(_finished_runs(job.runs, samplers=True))
    if job.networks:
        content.append(_finished_runs(job.networks, samplers=False))
    if job.reads:
        paths = itertools.chain.from_iterable(folder.rglob("*") for folder in job.reads)
        content.append({str(path): file_digest(path) for path in paths if path.is_file()})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _finished_runs(folder: Path, samplers: bool) -> dict[str, str]:
    """Compute the digest of each finished run directly inside a folder, by its name.

    Args:
        samplers: whether the runs of samplers count, which have a task network, or the others.
    """
    digests = {}
    for path in sorted(folder.glob("*/last.safetensors")):
        with contextlib.suppress(InputError):  # evaluations skip a damaged run too
            meta = load_checkpoint(path)[1]
            if meta.get("done") and bool(meta.get("task")) == samplers:
                digests[path.parent.name] = file_digest(path)
    return digests


def finished_digest(folder: Path, key: str, output: str) -> str | None:
    """Return the digest of a finished job's output.

    None if the job has not finished, had another key, or its output has changed or is gone.
    """
    with contextlib.suppress(
        OSError, ValueError, TypeError, KeyError
    ):  # no record, or a damaged one
        record = json.loads((folder / "job.json").read_text())
        if record["key"] == key and record["output"] == file_digest(folder / output):
            return record["output"]
    return None
