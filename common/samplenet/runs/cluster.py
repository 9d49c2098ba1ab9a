"""Describe a plan of runs to the engines of clusters, and write it as job scripts for Slurm."""

import argparse
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from samplenet.atomic import write_atomic
from samplenet.runs.keys import Job

PAGE = "page"  # the last entry of a list: the page of results
GRACE_SECONDS = 300  # before the time is up, a training is asked to write its checkpoint


class Resources(NamedTuple):
    """What is asked of a cluster for one run; a training that takes longer is continued."""

    gpus: int
    cpus: int
    mem_mb: int
    minutes: int


# by preset; generous, as a run that exceeds its memory is killed
RESOURCES = {
    "smoke": Resources(0, 1, 4_000, 30),
    "quick": Resources(0, 2, 8_000, 240),
    "full": Resources(0, 2, 8_000, 1_440),
    "paper": Resources(1, 4, 16_000, 1_440),
}

SCRIPT = """\
#!/usr/bin/env bash
# {title}; written by reproduce.py --sbatch
{options}
cd {folder} || exit
{command} &
run=$! again=''
trap '' TERM # of a requeue or scancel: Slurm sends it to the run too, which writes a checkpoint
trap 'again=yes; kill -TERM "$run"' USR1 # the time is nearly up
while kill -0 "$run" 2>/dev/null; do wait "$run"; done
wait "$run"
status=$?
[ -z "$again" ] || [ "$status" = 0 ] || scontrol requeue "$SLURM_JOB_ID"
exit "$status"
"""

SUBMIT = """\
#!/usr/bin/env bash
# Submit these runs to Slurm, in their order. Flags go to sbatch: submit.sh --partition=gpu
# Again, once all have ended: finished runs end at once, the others go on from their checkpoints.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p logs
after() { # after afterok N ...: that dependency on the jobs of these numbers
    local kind=$1 number list=''
    shift
    for number in "$@"; do list+=:${ids[number]}; done
    [ -z "$list" ] || depends+=${depends:+,}$kind$list
}
submit() {
    local id
    id=$(sbatch --parsable ${depends:+--dependency="$depends"} "${flags[@]}" "$1")
    ids+=("${id%%;*}") depends=''
    echo "${id%%;*} $1"
}
flags=("$@") ids=() depends=''
"""


def hand_over(jobs: Sequence[Job], flags: argparse.Namespace, call: Sequence[str]) -> str:
    """Do what --list or --sbatch of reproduce.py asks for; return what there is to print.

    Args:
        call: the words of that call.
    """
    entries = describe(jobs, flags.preset, without(call))
    if flags.list:
        return "\n".join(map(json.dumps, entries))
    submit = write_slurm(Path(flags.sbatch), entries, Path.cwd())
    return f"{len(entries)} job scripts; to submit them all: {submit.resolve()}"


def describe(jobs: Sequence[Job], preset: str, call: Sequence[str]) -> list[dict]:
    """Describe each job, and last the page, as an engine needs it.

    Args:
        call: the words that run `reproduce.py` with the flags of this plan.

    Returns:
        Dictionaries that JSON can hold. Of each run: `name`; `needs`, the runs that must have
        succeeded; `wants`, those that must have ended; `command`, the words that run it; `script`,
        the script that these words run; `config`, the preset's file, a change of which reruns it;
        `resumes`, whether a second attempt goes on from a checkpoint; `resources`.
    """
    entries = [
        {
            "name": job.name,
            "needs": list(job.needs),
            "wants": list(job.wants),
            "command": [*call, "--only", job.name],
            "script": ["python", *job.command],
            "config": str(job.config),
            "resumes": "--resume" in job.command,
            "resources": {**RESOURCES[preset]._asdict(), "exclusive": job.exclusive},
        }
        for job in jobs
    ]
    page = {"name": PAGE, "needs": [], "wants": [job.name for job in jobs]}
    page |= {"command": [*call, "--only", PAGE], "script": [], "config": "", "resumes": False}
    small = RESOURCES["smoke"]._asdict() | {"exclusive": False}
    return [*entries, page | {"resources": small}]


def without(words: Sequence[str]) -> list[str]:
    """Return the words of a command line but for --list and --sbatch with its folder."""
    kept = []
    for before, word in zip(["", *words], words, strict=False):
        if word not in ("--list", "--sbatch") and before != "--sbatch":
            kept += [] if word.startswith("--sbatch=") else [word]
    return kept


def write_slurm(folder: Path, entries: Sequence[dict], working: Path) -> Path:
    """Write a job script for each entry of `describe`, and `submit.sh`, which submits them all.

    Args:
        working: folder that the commands run in.

    Returns:
        The path of `submit.sh`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    numbers, lines = {}, [SUBMIT]
    for number, entry in enumerate(entries):
        numbers[entry["name"]] = str(number)
        file = f"{number:03}-{_plain(entry['name'])}.sh"
        write_atomic(folder / file, _script(entry, working).encode())
        for kind, names in (("afterok", entry["needs"]), ("afterany", entry["wants"])):
            if names:
                lines.append(f"after {kind} {' '.join(numbers[name] for name in names)}\n")
        lines.append(f"submit {shlex.quote(file)}\n")
    submit = folder / "submit.sh"
    write_atomic(submit, "".join(lines).encode())
    submit.chmod(0o755)
    return submit


def _script(entry: dict, working: Path) -> str:
    """Return the job script of an entry."""
    asked = entry["resources"]
    options = {
        "job-name": _plain(entry["name"]),
        "output": "logs/%x.%j.log",
        "open-mode": "append",
        "requeue": "",
        "kill-on-invalid-dep": "yes",
        "time": asked["minutes"],
        "mem": f"{asked['mem_mb']}M",
        "cpus-per-task": asked["cpus"],
    }
    if asked["gpus"]:
        options["gpus"] = asked["gpus"]
    if asked["exclusive"]:
        options["exclusive"] = ""
    if entry["resumes"]:
        options["signal"] = f"B:USR1@{GRACE_SECONDS}"
    lines = [f"#SBATCH --{name}={value}".rstrip("=") for name, value in options.items()]
    return SCRIPT.format(
        title=entry["name"],
        options="\n".join(lines),
        folder=shlex.quote(str(working)),
        command=shlex.join(entry["command"]),
    )


def _plain(name: str) -> str:
    """Return a run's name as a file's, in characters that no shell or scheduler minds."""
    return "".join(c if c.isalnum() or c in "._-" else "." for c in name)
