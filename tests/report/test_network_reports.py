"""Reports of experiments that compare networks and sample nothing."""

import json
from pathlib import Path

import pytest

from samplenet import InputError
from samplenet.report import page, published
from samplenet.report.results import read
from samplenet.runs.experiments import Metric, discover, load

EXPERIMENTS = discover(Path(__file__).parents[2])
NAME = "feature_rendering"


@pytest.fixture
def experiment(tmp_path):
    folder = tmp_path / "code" / "shape_from_rooms"
    folder.mkdir(parents=True)
    (folder / "experiment.py").write_text(
        'QUESTION, FRAMEWORK, ITEMS = "Which?", "tf", "rooms"\n'
        'LINES, COLUMNS, MAIN = "class", "network", ["angle"]\n'
        'METRICS = {name: dict(title=name.capitalize()) for name in ("error", "angle", "rest")}\n'
        "def runs(plan): pass\n"
    )
    return load(folder)


def evaluation(folder, values):
    """Write an evaluation: by network and seed the values of error and angle, and their runs."""
    rows, runs = [], []
    for (network, seed), numbers in values.items():
        key = {"method": {"network": network}, "seed": seed}
        for metric, value in zip(("error", "angle", "rest"), numbers, strict=False):
            row = {**key, "metric": metric, "value": value, "n": 4}
            rows += [row, {**row, "class": "hall", "value": value + 100}]
        runs.append({**key, "folder": f"../{network}", "command": f"train {network}"})
    folder.mkdir(parents=True)
    head = {"schema": 2, "experiment": "shape_from_rooms", "data": "halls", "command": "evaluate"}
    (folder / "results.json").write_text(json.dumps({**head, "rows": rows, "runs": runs}))


@pytest.fixture
def tables(experiment, tmp_path):
    """The content of tables.md, and of the page."""
    preset = tmp_path / "quick"
    home = preset / "shape_from_rooms"
    values = {("large", 0): (1, 2, 3), ("small", 0): (4, 5), ("small", 1): (6, 7)}
    evaluation(home / "evaluation", values)
    evaluation(home / "ablation" / "layers-2" / "evaluation", {("small", 0): (8, 9)})
    evaluation(home / "ablation" / "layers-10" / "evaluation", {("small", 0): (8.5, 9.5)})
    evaluation(home / "ablation" / "no-student" / "evaluation", {("small", 0): (10, 11)})
    index = page.write(preset, experiments={experiment.name: experiment})
    return (preset / "tables.md").read_text(), index.read_text()


def test_main_metrics_stand_open_by_class_and_the_others_are_folded(tables):
    text, index = tables
    assert "## Shape from rooms: halls" in text
    first, *_ = text.split("**Ablations**")
    assert "**Error**" in first and "**Angle**" in first and "**Rest**" not in first
    assert "| class | large | small |" in first
    assert "| all | 1.00 | 5.00 ± 1.41 |" in first and "| hall | 101.00 | 105.00 ± 1.41 |" in first
    assert "**Rest**" in text and index.count("<h3>Angle</h3>") == 2
    for word in ("sampler", "matched", "of the N points"):
        assert word not in text


def test_ablations_are_lines_beside_the_networks_that_they_change(tables):
    lines = tables[0].split("**Ablations**")[1].splitlines()
    lines = [line for line in lines if line.startswith("|")][:6]
    assert lines == [
        "| what differs | network | Error | Angle |",
        "| --- | --- | --- | --- |",
        "| unchanged | small | 5.00 ± 1.41 | 6.00 ± 1.41 |",
        "| layers = 2 | small | 8.00 | 9.00 |",
        "| layers = 10 | small | 8.50 | 9.50 |",
        "| no student | small | 10.00 | 11.00 |",
    ]


def test_main_metrics_are_declared():
    for experiment in EXPERIMENTS.values():
        assert {*experiment.main} <= {*experiment.metrics} - {experiment.headline}
        assert all(isinstance(metric, Metric) for metric in experiment.metrics.values())


def row(network, metric, value):
    method = {"network": network}
    return {"method": method, "metric": metric, "value": value, "n": 80, "seed": 0}


def write_chamfer(folder, values, **more):
    folder.mkdir(parents=True)
    rows = [row(name, "chamfer", value) for name, value in values.items()]
    rows += [row(name, "chamfer_std", 0.01) for name in values]
    head = {"schema": 2, "experiment": NAME, "data": "chair of the built-in shapes"}
    head |= {"command": "python evaluate.py", "points": 256, "rows": rows, "runs": []}
    (folder / "results.json").write_text(json.dumps({**head, **more}))
    return folder


@pytest.fixture
def preset(tmp_path):
    values = {"mean cloud": 0.15, "CAPNet": 0.1, "true points": 0.05}
    write_chamfer(tmp_path / "quick" / NAME / "evaluation", values)
    return tmp_path / "quick"


def test_it_has_no_word_of_samples_and_no_rank(preset):
    page.write(preset, experiments=EXPERIMENTS)
    text = (preset / "tables.md").read_text()
    assert "80 test objects" in text and "matched" not in text and "SampleNet" not in text
    assert NAME.replace("_", " ") not in (preset / "leaderboard.html").read_text().lower()
    index = (preset / "index.html").read_text()
    assert "At one sample size" not in index and "leaderboard.html" not in index


def test_the_truth_itself_is_no_rival(preset):
    page.write(preset, experiments=EXPERIMENTS)
    line = next(x for x in (preset / "tables.md").read_text().splitlines() if "all |" in x)
    assert "| 15.00 | **10.00** | 5.00 |" in line


def test_published_numbers_stand_beside_and_are_not_compared(preset):
    results = read(preset / NAME / "evaluation", EXPERIMENTS)
    assert results.size == (80, 256)
    tables = published.beside(EXPERIMENTS[NAME], "")
    assert {table.metric for table in tables} == {"chamfer", "emd", "part_iou"}
    hindrances = tables[0].hindrances(results, "quick")
    assert "80 test objects of 256 points" in hindrances and "the preset quick" in hindrances
    assert "the data is chair of the built-in shapes" in hindrances
    with pytest.raises(InputError, match="points must be a whole number, got 'many'"):
        read(write_chamfer(preset / "x", {"mean cloud": 1}, points="many"), EXPERIMENTS)
