"""Files of other people's libraries and programs are sampled exactly, or refused in clear words.

By hand: python tests/experience/test_experience.py [FOLDER]. FOLDER keeps the files for the next
call.
"""

import collections
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import venv
import warnings
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ENVIRONMENT = Path(os.environ.get("SAMPLENET_DATA", HERE.parents[1] / "data")) / "experience"
GOOD = ("fine", "refused clearly")
SIZES = {"one point": 1, "shipped test data": 4}  # -m by clause, else 8


def producers():
    """Return the Python of an environment with the writing libraries; create it first (1.2 GB)."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "-r", HERE / "requirements.txt"], check=True
    )
    return python


def sample(*arguments):
    """Return the exit code and the messages of `samplenet sample`."""
    from samplenet.console import cli

    said = io.StringIO()
    with (
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("default")
        try:
            code = cli.main(["sample", "--sampler", "fps", *map(str, arguments)]) or 0
        except SystemExit as end:
            code = end.code or 0
        except Exception as error:
            code = f"{type(error).__name__}: {error}"
    return code, said.getvalue()


def experience(python, folder):
    """Write the files unless they exist, sample and judge each; return the verdicts of judge.py."""
    if not (folder / "manifest.json").exists():
        subprocess.run([python, HERE / "make.py", folder], check=True)
    runs = json.loads((folder / "manifest.json").read_text())
    for run in runs:
        path = folder / run["file"]
        output, index = path.with_name(f"out{run['out']}"), path.with_name("index.npy")
        output.unlink(missing_ok=True)
        size = SIZES.get(run["clause"], 8)
        run["code"], run["said"] = sample(path, "-m", size, "-o", output)
        sample(path, "-m", size, "-o", index, "--indices")
        run |= {"output": str(output.relative_to(folder)), "index": str(index.relative_to(folder))}
    (folder / "runs.json").write_text(json.dumps(runs, indent=1))
    subprocess.run([python, HERE / "judge.py", folder], check=True)
    return json.loads((folder / "verdicts.json").read_text())


def summary(verdicts):
    """Return a table of counts by writer and format, and the totals."""
    counts = collections.defaultdict(collections.Counter)
    for v in verdicts:
        counts[v["writer"], Path(v["file"]).suffix][v["verdict"]] += 1
    lines = []
    for (writer, suffix), outcomes in sorted(counts.items()):
        cell = ", ".join(f"{n} {name}" for name, n in sorted(outcomes.items()))
        lines.append(f"| {writer} | {suffix} | {cell} |")
    totals = collections.Counter(v["verdict"] for v in verdicts)
    end = f"{len(verdicts)} files: " + ", ".join(f"{n} {name}" for name, n in totals.most_common())
    return "\n".join(["| writer | format | files |", "| --- | --- | --- |", *lines, "", end])


def line(v):
    about = f"{v['verdict']}: {v['file']} to {v['out']}, {v['writer']}, {v['clause']}: {v['why']}"
    return f"{about}; exit {v['code']}, said: {v['said'].strip() or 'nothing'}"


@pytest.mark.slow
def test_files_of_other_programs_are_sampled_exactly_or_refused_clearly(tmp_path, capsys):
    try:
        python = producers()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"the libraries of {HERE / 'requirements.txt'} cannot be installed: {error}")
    with capsys.disabled():  # show the table, and the files that could not be made, in any case
        verdicts = experience(python, tmp_path / "files")
        print(summary(verdicts))
    assert len(verdicts) >= 150
    bad = [line(v) for v in verdicts if v["verdict"] not in GOOD]
    assert not bad, "\n".join(bad)


if __name__ == "__main__":
    where = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()) / "files"
    found = experience(producers(), where)
    print(summary(found), *[line(v) for v in found if v["verdict"] not in GOOD], sep="\n")
