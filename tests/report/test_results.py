"""Reading results, whatever the experiment, and the command that reports on them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from samplenet import InputError
from samplenet.greedy import VARIANTS
from samplenet.report import summary
from samplenet.report.results import read
from samplenet.report.rows import SAMPLERS, label, shown_size
from samplenet.report.tables import compared, every
from samplenet.runs.experiments import Experiment, Metric, discover

ROOT = Path(__file__).parents[2]
EXPERIMENTS = discover(ROOT)
ROW = {
    "sampler": "none",
    "m": 64,
    "protocol": "matched",
    "metric": "accuracy",
    "value": 0.9,
    "n": 100,
    "seed": 0,
}
RESULTS = {
    "schema": 1,
    "experiment": "classification",
    "data": "shapes",
    "command": "python evaluate.py",
    "rows": [ROW],
}
CURVE = {"sampler": "none", "m": 64, "protocol": "matched", "seed": 0, "precision": [0, 1]}
KEYED = {
    "method": {"sampler": "none", "m": 64},
    **{k: v for k, v in ROW.items() if k not in ("sampler", "m")},
}


def write(folder, content):
    (folder / "results.json").write_text(
        content if isinstance(content, str) else json.dumps(content)
    )
    return folder


@pytest.mark.parametrize(
    "content, words",
    [
        ("{", "not a results file"),
        ("[]", "not a results file"),
        ({**RESULTS, "schema": 3}, "schema 3"),
        ({**RESULTS, "schema": 2}, "not a results file .*method"),
        ({**RESULTS, "rows": 5}, "schema 1 or 2 and rows"),
        ({**RESULTS, "rows": [{**ROW, "sampler": "fps"}]}, "no row for the full cloud .*accuracy"),
        ({**RESULTS, "experiment": "registration"}, "no row of the metric rotation_error_deg"),
        (
            {**RESULTS, "experiment": "cooking"},
            "classification or .* or registration.*, got 'cooking'",
        ),
        ({**RESULTS, "experiment": ["x"]}, r"got \['x'\]"),
        ({**RESULTS, "rows": [{"sampler": "none"}]}, "lacks metric, n"),
        ({**RESULTS, "rows": [{**ROW, "value": float("nan")}]}, "value a finite one"),
        ({**RESULTS, "rows": [{**ROW, "m": "8"}]}, "whole numbers"),
        ({**RESULTS, "rows": [{**ROW, "sampler": [1]}]}, "whole numbers"),
        ({**RESULTS, "curves": [CURVE]}, "in curves, .*'seed': 0.* lacks .*recall or step_deg"),
        (
            {**RESULTS, "rows": [{k: v for k, v in ROW.items() if k != "protocol"}]},
            "in rows, .* lacks protocol",
        ),
        ({**RESULTS, "points": "many"}, "points must be a whole number, got 'many'"),
        (None, "No such file"),
    ],
)
def test_a_bad_results_file_is_named(tmp_path, content, words):
    if content is not None:
        write(tmp_path, content)
    with pytest.raises(InputError, match=rf"results\.json.*{words}"):
        read(tmp_path, EXPERIMENTS)


def test_both_schemas_are_read_alike(tmp_path):
    first = {**ROW, "metric": "nre_emd_chair"}
    rows = [
        {**ROW, "metric": "nre"},
        first,
        {**ROW, "metric": "nre_std"},
        {**ROW, "metric": "a_new_one"},
    ]
    keyed = [{**KEYED, "metric": "nre"}, {**KEYED, "metric": "nre_emd", "class": "chair"}]
    keyed += [{**KEYED, "metric": "nre_std"}, {**KEYED, "metric": "a_new_one"}]
    head = {**RESULTS, "experiment": "reconstruction"}
    old = read(
        write(tmp_path, {**head, "rows": rows, "curves": [{**CURVE, "recall": [0, 1]}]}),
        EXPERIMENTS,
    )
    curves = [
        {
            "method": {"sampler": "none", "m": 64},
            "protocol": "matched",
            "seed": 0,
            "precision": [0, 1],
        }
    ]
    curves[0]["recall"] = [0, 1]
    new = read(write(tmp_path, {**head, "schema": 2, "rows": keyed, "curves": curves}), EXPERIMENTS)
    assert old.rows == new.rows and old.curves == new.curves
    assert (
        new.rows[1]["class"] == "chair"
        and new.rows[1]["sampler"] == "none"
        and new.size == (100, 64)
    )


def test_greedy_samplers_are_named_and_stand_with_those_without_training():
    order = list(SAMPLERS)
    places = [order.index(name) for name in VARIANTS]
    assert order.index("fps_same_start") < min(places) and max(places) < order.index("snet")
    names, colors = zip(*SAMPLERS.values(), strict=True)
    assert len(set(names)) == len(set(colors)) == len(SAMPLERS)
    assert all("_" not in label(name) for name in VARIANTS)
    found = [{"sampler": name, "m": 8} for name in VARIANTS] + [{"sampler": "snet", "m": 16}]
    assert shown_size(found) == 16


def toy(tmp_path, **fields):
    """An experiment without samplers: classes in lines, backbones in columns."""
    metrics = {"error": Metric("Error", scale=10, digits=1, better="lower", spread="share")}
    stated = {
        "lines": "class",
        "columns": "backbone",
        "items": "views",
        "metrics": metrics,
    } | fields
    stated |= {
        "name": "toy",
        "folder": tmp_path,
        "question": "?",
        "framework": "tf",
        "in_all": False,
    }
    return Experiment(**stated, runs=None, module=None)


def test_a_table_may_have_other_lines_and_columns_than_sizes_and_samplers(tmp_path):
    rows = []
    for backbone, views, value in (("pointnet", 1, 0.5), ("pointnet", 2, 0.3), ("dgcnn", 1, 0.1)):
        for name in ("chair", "car"):
            method = {"backbone": backbone, "views": views}
            row = {
                "method": method,
                "class": name,
                "protocol": "matched",
                "metric": "error",
                "value": value,
            }
            rows.append({**row, "n": 400, "seed": 0})
    rows.append({**rows[0], "seed": 1, "value": 0.7})
    rows.append({**{key: value for key, value in rows[0].items() if key != "class"}, "value": 0.4})
    head = {"schema": 2, "experiment": "toy", "data": "renders", "command": "c", "rows": rows}
    experiment = toy(tmp_path)
    results = read(write(tmp_path, head), {"toy": experiment})
    table = compared(results, "error", "quick")
    assert [head.text for head in table.heads][0] == "class" and "ratio" not in str(table.heads)
    assert [head.text for head in table.heads][1:] == [
        "pointnet, views = 1", "pointnet, views = 2", "dgcnn, views = 1",
    ]  # fmt: skip
    assert table.lines[0] == ["chair", "6.0 ± 1.4", "3.0", "1.0"] and table.lines[1] == [
        "car",
        "5.0",
        "3.0",
        "1.0",
    ]
    assert (
        table.lines[2] == ["all", "4.0", "", ""]
        and (0, 3) in table.strong
        and (0, 1) not in table.strong
    )
    assert len(every(results)) == 1
    assert "renders, 400 test views." in summary.write(tmp_path, experiment)


def test_a_figure_without_a_maker_is_named(tmp_path):
    with pytest.raises(
        InputError,
        match=r"experiment\.py: no function nothing makes a\.png; write it to .*figures\.py",
    ):
        summary.makers(toy(tmp_path, figures={"a.png": "nothing"}))


def test_a_damaged_gallery_is_named(tmp_path):
    write(tmp_path, RESULTS)
    (tmp_path / "gallery.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InputError, match=r"gallery\.npz is damaged"):
        summary.write(tmp_path, EXPERIMENTS["classification"])


def test_without_matplotlib_the_table_is_written_and_the_error_says_what_to_install(
    tmp_path, monkeypatch
):
    write(tmp_path, {**RESULTS, "rows": [ROW, {**ROW, "sampler": "fps", "m": 8}]})
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match='matplotlib is not installed; .* its extra "viz"'):
        summary.write(tmp_path, EXPERIMENTS["classification"])
    assert "full cloud 90.0" in (tmp_path / "table.md").read_text()


def test_the_command_finds_the_experiments_and_names_itself_and_the_fault(tmp_path):
    command = [sys.executable, "-m", "samplenet.report"]
    done = subprocess.run([*command, tmp_path / "absent"], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("report: error: cannot read")
    np.savez(tmp_path / "gallery.npz", points=np.zeros((1, 4, 3)))
    done = subprocess.run(
        [*command, write(tmp_path, RESULTS)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0 and str(tmp_path / "table.md") in done.stdout, done.stderr
