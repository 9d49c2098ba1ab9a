"""Where numbers come from: revisions, commands, libraries and machines."""

from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

from samplenet.report.evaluations import Evaluation
from samplenet.report.results import Results, code_of, read_log
from samplenet.report.rows import label
from samplenet.report.tables import Head, Table
from samplenet.runs.sources import some


def facts(preset: str, folder: Path, results: list[Results]) -> list[tuple[str, str]]:
    """List name and text of what is known of the evaluations of a preset."""
    libraries, steps = {}, []
    environments = [evaluated.environment for evaluated in results]
    pythons = [f"Python {found['python']}" for found in environments if "python" in found]
    for environment in environments:
        for name, version in environment.get("libraries", {}).items():
            libraries[f"{name} {version}"] = None
    # the date is that of the last training step: copying the files does not change it
    for path in folder.rglob("metrics.jsonl"):
        steps += [entry["unix"] for entry in read_log(path.parent)]
    until = f"{datetime.fromtimestamp(max(steps), UTC):%-d %B %Y}" if steps else ""
    machines = [found["machine"] for found in environments if "machine" in found]
    revisions = [code_of(environment)["revision"] for environment in environments]
    found = [
        ("Preset", preset),
        ("Data", "; ".join(dict.fromkeys(evaluated.data for evaluated in results))),
        ("Trained until", until),
        ("Evaluated at revision", ", ".join(dict.fromkeys(filter(None, revisions)))),
        ("Libraries", ", ".join(dict.fromkeys([*pythons, *libraries]))),
        ("Machine", "; ".join(dict.fromkeys(machines))),
    ]
    return [(name, text) for name, text in found if text]


def revisions(evaluations: list[Evaluation]) -> list[str]:
    """Name the runs of each revision if the code changed between the runs; else return []."""
    made, digests = defaultdict(dict), defaultdict(set)
    for evaluation in evaluations:
        itself = {"folder": evaluation.path, **code_of(evaluation.results.environment)}
        for run in [*evaluation.runs, itself]:
            if run["revision"]:
                made[run["revision"]][run["folder"]] = None
            for file, digest in run["sources"].items():
                digests[file].add(digest)
    # files too, as two uncommitted states of one revision have the same name
    files = [file for file, found in digests.items() if len(found) > 1]
    if len(made) < 2 and not files:
        return []
    listed = "; ".join(f"{name} made {', '.join(folders)}" for name, folders in made.items())
    uncommitted = " (+changes: and what was not committed)" if "+changes" in listed else ""
    differing = f" Files that differ between them: {some(files, 5)}." if files else ""
    return [f"The code changed between these numbers. Revision {listed}{uncommitted}.{differing}"]


def commands(evaluations: list[Evaluation]) -> Table:
    """List the commands of the trainings and of the evaluation, then those of each ablation."""
    keys = ("seed", "revision", "folder", "command")
    lines, listed = [], set()
    for words, path, results, runs in evaluations:
        columns = results.experiment.columns
        for run in runs:
            if run["folder"] not in listed:
                m = ", ".join(map(str, run.get("sizes") or [run.get("m", "")]))
                names = filter(None, [label(str(run.get(columns, ""))), words])
                lines.append([", ".join(names), m, *(str(run.get(key, "")) for key in keys)])
        listed |= {run["folder"] for run in runs}
        trained = {str(run.get(columns)) for run in runs}
        scored = dict.fromkeys(row.get(columns, "") for row in results.rows)
        untrained = "; ".join(label(name) for name in scored if name not in trained)
        name = ", ".join(filter(None, ["evaluation", words]))
        name += f": {untrained}" if untrained else ""
        revision = code_of(results.environment)["revision"]
        lines.append([name, "", "", revision, path, results.command])
    return Table("From the checkout's folder", [Head(text) for text in ("", "m", *keys)], lines)
