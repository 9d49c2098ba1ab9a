"""Runs handed over to a cluster: the list of runs, one run of it, and Slurm's job scripts."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from samplenet.runs import cluster
from samplenet.runs.experiments import PRESETS

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
import reproduce  # noqa: E402

SMOKE = ["classification", "--preset", "smoke", "--samplers", "snet", "samplenet"]


@pytest.fixture
def call(monkeypatch, capsys):
    """Return a function that calls reproduce.py here, for its status and what it prints."""
    monkeypatch.setattr(reproduce.signal, "signal", lambda *_: None)

    def run(*words):
        monkeypatch.setattr("sys.argv", ["reproduce.py", *map(str, words)])
        try:
            status = reproduce.main()
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return run


def test_the_list_is_the_plan_and_last_the_page(call, tmp_path):
    status, printed, _ = call(*SMOKE, "--out", tmp_path, "--list")
    entries = [json.loads(line) for line in printed.splitlines()]
    names = [entry["name"] for entry in entries]
    ours = ["classifier", "snet-8-seed0", "samplenet-8-seed0", "evaluation", "cost"]
    assert status == 0 and names == [*(f"classification/{name}" for name in ours), "page"]
    classifier, snet, _, evaluation, cost, page = entries
    assert snet["needs"] == [classifier["name"]] == evaluation["needs"] and not snet["wants"]
    assert evaluation["wants"] == names[1:3] and page["wants"] == names[:-1]
    words = [sys.executable, str(ROOT / "reproduce.py"), *SMOKE, "--out", str(tmp_path)]
    assert all(entry["command"] == [*words, "--only", entry["name"]] for entry in entries)
    assert snet["script"][:2] == ["python", "classification/train_samplenet.py"]
    assert snet["resumes"] and not evaluation["resumes"]
    assert cost["resources"]["exclusive"] and not snet["resources"]["exclusive"]
    assert snet["resources"].keys() == {"gpus", "cpus", "mem_mb", "minutes", "exclusive"}
    assert Path(snet["config"]).is_file() and not any(tmp_path.iterdir())


def test_every_preset_has_its_resources():
    assert cluster.RESOURCES.keys() == PRESETS.keys()


def test_one_run_and_the_page_are_refused_or_reported_in_sentences(call, tmp_path):
    out = [*SMOKE, "--out", tmp_path]
    status, _, said = call(*out, "--only", "classification/snet-8-seed0")
    need = "classification/snet-8-seed0 needs classification/classifier, which has not finished"
    assert status == 1 and said == f"reproduce.sh: error: {need}; run that first\n"
    assert "no run 'snet'" in call(*out, "--only", "snet")[0]
    for words in (["--list", "--only", "page"], ["--sbatch", "a", "--again"]):
        status, _, said = call(*out, *words)
        assert status == 2 and "exclude each other" in said
    (tmp_path / "file").touch()
    status, _, said = call(*out, "--sbatch", tmp_path / "file")
    assert status == 1 and str(tmp_path / "file") in said and said.count("\n") == 1
    status, _, said = call(*out, "--only", "page")
    assert status == 1 and said.count("failed: it has not finished\n") == 5


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """Put an sbatch and an scontrol on the path that only note how they are called."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, answer in (("sbatch", "wc -l <$NOTES/sbatch"), ("scontrol", ":")):
        (programs / name).write_text(f'#!/bin/sh\necho "$*" >>$NOTES/{name}\n{answer}\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("NOTES", str(tmp_path))
    return lambda name: (tmp_path / name).read_text().splitlines()


def test_slurm_gets_the_runs_in_order_with_their_dependencies(call, tmp_path, stand_ins):
    folder = tmp_path / "some scripts"
    status, printed, _ = call(*SMOKE, "--out", tmp_path / "out", "--sbatch", folder)
    assert status == 0 and str(folder / "submit.sh") in printed
    subprocess.run([folder / "submit.sh", "--partition=gpu"], check=True)
    submitted = [line.split()[1:] for line in stand_ins("sbatch")]
    evaluation = "--dependency=afterok:1,afterany:2:3"
    depend = [None, *["--dependency=afterok:1"] * 2, evaluation, evaluation]
    depend += ["--dependency=afterany:1:2:3:4:5"]
    for number, (words, dependency) in enumerate(zip(submitted, depend, strict=True)):
        script = folder / words[-1]
        assert words[-1].startswith(f"{number:03}-")
        assert words[:-1] == [*filter(None, [dependency]), "--partition=gpu"]
        subprocess.run(["bash", "-n", script], check=True)
        assert "#SBATCH --requeue\n" in script.read_text()
    text = (folder / "004-classification.cost.sh").read_text()
    assert "#SBATCH --exclusive\n" in text and "--signal" not in text


@pytest.mark.parametrize("number, requeued", [(signal.SIGUSR1, True), (signal.SIGTERM, False)])
def test_a_job_script_passes_the_end_of_its_time_on_and_is_requeued(
    tmp_path, stand_ins, monkeypatch, number, requeued
):
    """SIGTERM comes from a requeue or a cancellation, which must not be undone."""
    code = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(143)); print(1)\n"
    code += "sys.stdout.flush(); time.sleep(60)"
    entry = {"name": "a/b c", "command": [sys.executable, "-c", code], "resumes": True}
    entry |= {"needs": [], "wants": [], "resources": {**cluster.RESOURCES["paper"]._asdict()}}
    entry["resources"]["exclusive"] = False
    cluster.write_slurm(tmp_path / "scripts", [entry], tmp_path)
    script = tmp_path / "scripts" / "000-a.b.c.sh"
    assert {"#SBATCH --gpus=1", "#SBATCH --signal=B:USR1@300"} <= {*script.read_text().splitlines()}
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    job = subprocess.Popen(
        ["bash", script], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    with job:
        assert job.stdout.readline() == "1\n"
        if requeued:
            job.send_signal(number)  # to the script alone, as B: says
        else:
            os.killpg(job.pid, number)
        assert job.wait(timeout=60) == 143
    assert (tmp_path / "scontrol").exists() == requeued
    assert not requeued or stand_ins("scontrol") == ["requeue 17"]


def test_the_flags_of_handing_over_are_taken_out():
    words = "all --list --seeds 0 1 --sbatch some/folder --out x --sbatch=y"
    assert cluster.without(shlex.split(words)) == ["all", "--seeds", "0", "1", "--out", "x"]
