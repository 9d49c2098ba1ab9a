"""The report of an experiment that compares networks and samples nothing."""

import json
from pathlib import Path

import pytest

from samplenet import InputError
from samplenet.report import page, published
from samplenet.report.results import read
from samplenet.runs.experiments import discover

EXPERIMENTS = discover(Path(__file__).parents[2])
NAME = "feature_rendering"


def row(network, metric, value):
    method = {"network": network}
    return {"method": method, "metric": metric, "value": value, "n": 80, "seed": 0}


def write(folder, values, **more):
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
    write(tmp_path / "quick" / NAME / "evaluation", values)
    return tmp_path / "quick"


def test_it_has_no_word_of_samples_and_no_rank(preset):
    page.write(preset, experiments=EXPERIMENTS)
    text = (preset / "tables.md").read_text()
    assert "80 test objects" in text and "matched" not in text and "SampleNet" not in text
    assert NAME.replace("_", " ") not in (preset / "leaderboard.html").read_text().lower()
    assert "At one sample size" not in (preset / "index.html").read_text()


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
        read(write(preset / "x", {"mean cloud": 1}, points="many"), EXPERIMENTS)
