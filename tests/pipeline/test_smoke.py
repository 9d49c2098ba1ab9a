"""Experiments from the first run to the tables, on the smoke preset, as users start them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from samplenet.runs import settings
from samplenet.runs.experiments import PRESETS, TRAINED_SAMPLERS, discover

ROOT = Path(__file__).parents[2]
EXPERIMENTS = discover(ROOT)
sys.path.insert(0, str(ROOT))
import plan as plans  # noqa: E402
import reproduce  # noqa: E402


def made(folder, *flags, program=(sys.executable, ROOT / "reproduce.py")):
    """Run the smoke preset in a folder; return the names of the runs that it started."""
    command = [*program, *flags, "--preset", "smoke", "--jobs", "2", "--out", folder / "out"]
    path = f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    env = {**os.environ, "PYTHONPATH": path, "SAMPLENET_DATA": str(folder / "data")}
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    started = (line for line in done.stdout.splitlines() if line.startswith("== python"))
    return [Path(line.split("--out ")[1].split()[0]).name for line in started]


def samplers(evaluation):
    rows = json.loads((evaluation / "results.json").read_text())["rows"]
    return {row["method"]["sampler"] for row in rows}


@pytest.mark.parametrize(
    "experiment, figures, other",
    [
        pytest.param(  # its scripts run without PyTorch in tests/faults/test_kills.py
            "reconstruction",
            ["nre.png", "histogram.png", "gallery.png"],
            "torch",
            marks=pytest.mark.slow,
        ),
        (
            "registration",
            ["rotation_error.png", "precision.png", "pairs.png", "pair.html"],
            "tensorflow",
        ),
    ],
)
def test_a_table_is_made_without_the_other_framework_and_only_once(
    tmp_path, experiment, figures, other
):
    (tmp_path / other).mkdir()
    (tmp_path / other / "__init__.py").write_text(
        f"raise ImportError('{experiment} imported {other}')"
    )
    flags = [experiment, "--samplers", "samplenet", "--sizes", "8"]
    assert made(tmp_path, *flags)[1:] == ["samplenet-8-seed0", "evaluation"]
    folder = tmp_path / "out" / experiment
    assert {"none", "random", "fps", "samplenet"} <= samplers(folder / "evaluation")
    for file in ("table.md", *figures):
        assert (folder / "evaluation" / file).stat().st_size > 100
    assert not made(tmp_path, *flags)
    (folder / "samplenet-8-seed0" / "job.json").unlink()
    assert made(tmp_path, *flags) == [
        "samplenet-8-seed0"
    ]  # its weights are what they were: so is the table


@pytest.mark.parametrize("preset", PRESETS)
def test_the_scripts_take_the_planned_flags(preset, import_scripts, tmp_path, monkeypatch):
    """Those of all experiments and the ablations, with what the smoke preset leaves out."""
    others = [e for e in EXPERIMENTS.values() if not e.in_all]
    others = [e for e in others if (e.folder / f"configs/{preset}.yaml").is_file()]
    words = ["all", *(word for e in others for word in (e.name, *e.extras))]
    if preset == "paper":
        readers = [e for e in EXPERIMENTS.values() if e.data_set and (e.in_all or e in others)]
        words += [word for e in readers for word in (e.data_flag, "/d/data")]
    else:
        words.append("ablation")
    flags = [*words, "--preset", preset]
    scripts = {name: import_scripts(name) for name in EXPERIMENTS}
    monkeypatch.chdir(ROOT)
    flags = reproduce.arguments(flags, EXPERIMENTS)
    jobs = {}
    for plan in plans.make(flags.experiments, EXPERIMENTS, flags, tmp_path):
        jobs |= plan.jobs
    for name, job in jobs.items():
        command = job.command
        script = Path(command[0])
        assert (ROOT / script).is_file()
        monkeypatch.setattr("sys.argv", [str(ROOT / script)])
        config = settings.load(
            getattr(scripts[script.parent.name], script.stem).Config, command[1:]
        )
        assert name.split("/")[0].startswith(script.parent.name) and Path(
            config.out
        ).is_relative_to(tmp_path)


@pytest.mark.slow
def test_everything_is_made(tmp_path):
    """Of every experiment with samplers, and the ablation: by the command that users give."""
    made(tmp_path, "all", "ablation", program=("bash", ROOT / "reproduce.sh"))
    for experiment in (name for name, e in EXPERIMENTS.items() if e.in_all):
        found = samplers(tmp_path / "out" / experiment / "evaluation")
        assert found - {"fps_same_start", "icp"} == {"none", "random", "fps", *TRAINED_SAMPLERS}
    variants = {
        f.parent.parent.name
        for f in (tmp_path / "out" / "classification" / "ablation").glob("*/*/results.json")
    }
    assert variants == {"k-2", "lambda-0", "pointnet", "vanilla-to-pointnet", "pointnet-to-vanilla"}
