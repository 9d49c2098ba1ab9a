"""The Snakefile on this machine, with a list of small commands in place of trainings."""

import json
import subprocess
from pathlib import Path

import pytest

from samplenet.runs import cluster

ROOT = Path(__file__).parents[2]
SNAKEMAKE = ROOT / ".venv-cluster" / "bin" / "snakemake"
pytestmark = pytest.mark.slow


@pytest.fixture
def snakemake(tmp_path):
    """Return a function that runs a list, given as name=(needs, wants, command), and its status."""
    if not SNAKEMAKE.exists():
        pytest.skip("there is no .venv-cluster: bash setup.sh cluster")
    resources = {**cluster.RESOURCES["smoke"]._asdict(), "exclusive": False}

    def run(**jobs):
        entries = [
            {"name": f"x/{name}", "needs": [f"x/{n}" for n in needs], "config": ""}
            | {"wants": [f"x/{n}" for n in wants], "resources": resources}
            | {"command": ["sh", "-c", f"echo {name} >>ran; {command}"]}
            for name, (needs, wants, command) in jobs.items()
        ]
        (tmp_path / "plan.jsonl").write_text("\n".join(map(json.dumps, entries)))
        (tmp_path / "ran").write_text("")
        command = [SNAKEMAKE, "-s", ROOT / "cluster/Snakefile", "--profile", ROOT / "cluster/local"]
        command += ["--config", "plan=plan.jsonl"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        marks = {path.name: path.read_text() for path in (tmp_path / "plan.marks").iterdir()}
        return done.returncode, (tmp_path / "ran").read_text().split(), marks

    return run


def test_a_failure_is_tried_again_and_stops_only_what_needs_it(snakemake, tmp_path):
    jobs = {
        "network": ([], [], "true"),
        "broken": (["network"], [], "test -e mended"),
        "sampler": (["network"], [], "test -e second || { touch second; exit 1; }"),
        "table": (["network"], ["broken", "sampler"], "true"),
        "crossed": (["broken"], [], "true"),
        "page": ([], ["network", "broken", "sampler", "table", "crossed"], "test -e mended"),
    }
    status, ran, marks = snakemake(**jobs)
    assert status == 1 and sorted(ran) == sorted(
        ["network", *["broken"] * 3, *["sampler"] * 2, "table", "page"]
    )
    finished, failed = "finished\n", "failed\n"
    expected = {"network": finished, "broken": failed, "sampler": finished, "table": finished}
    assert marks == {f"x.{name}": mark for name, mark in {**expected, "crossed": failed}.items()}
    (tmp_path / "mended").touch()
    status, ran, marks = snakemake(**jobs)
    assert status == 0 and sorted(ran) == ["broken", "crossed", "page", "table"]
    assert {*marks.values()} == {finished} and len(marks) == 6
    assert snakemake(**jobs)[:2] == (0, [])
