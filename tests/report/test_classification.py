"""Accuracy tables from rows made by hand."""

import json

import numpy as np

from samplenet import report
from samplenet.report import classification
from samplenet.report.rows import select, table


def row(sampler, m, value, seed=0, protocol="matched", metric="accuracy"):
    row = {"sampler": sampler, "m": m, "protocol": protocol, "metric": metric, "value": value, "n": 100, "seed": seed}
    return row


ROWS = [
    row("none", 64, 0.9),
    row("fps", 32, 0.5),
    row("fps", 8, 0.25),
    row("samplenet", 8, 0.5, seed=0),
    row("samplenet", 8, 0.6, seed=1),
    row("samplenet", 8, 0.7, seed=0, protocol="soft"),
    row("mine", 8, 0.1234),
    row("none", 64, 0.8, metric="accuracy_class_mean"),
    row("fps", 8, 0.2, metric="accuracy_class_mean"),
    row("none", 64, 0.7, metric="map_macro"),
    row("fps", 8, 0.45678, metric="map_macro"),
    row("fps", 8, 0.4, metric="map_paper"),
]


def curve(sampler, m, precision, seed=0, protocol="matched"):
    line = {"sampler": sampler, "m": m, "protocol": protocol, "seed": seed}
    return {**line, "recall": [0, 0.5, 1], "precision": precision}


CURVES = [
    curve("none", 64, [1, 0.9, 0.8]),
    curve("fps", 8, [0.9, 0.5, 0.1]),
    curve("fps", 8, [0.7, 0.5, 0.3], seed=1),
    curve("fps", 32, [1, 1, 1]),
    curve("samplenet", 8, [0.5, 0.5, 0.5], protocol="soft"),
]
HEAD = {"schema": 1, "experiment": "classification", "data": "shapes", "command": "python evaluate.py"}
RESULTS = {**HEAD, "rows": ROWS}


def test_a_line_a_size_a_column_a_sampler_and_protocol():
    assert table(select(ROWS, metric="accuracy"), 64, scale=100).splitlines() == [
        "| m | ratio | FPS | SampleNet | SampleNet, soft | mine |",
        "| --- | --- | --- | --- | --- | --- |",
        "| 32 | 2 | 50.0 |  |  |  |",
        "| 8 | 8 | 25.0 | 55.0 ± 7.1 | 70.0 | 12.3 |",
    ]


def test_the_text_states_data_seeds_and_what_a_tie_is():
    text = classification.text(RESULTS)
    for words in (
        "shapes, 100 test clouds of 64 points",
        "90.0 % right",
        "at most 5.0",
        "under 14.1",
        "SampleNet [0, 1]",
        "| 8 | 8 | 25.0 | 55.0 ± 7.1 | 70.0 | 12.3 |",
        "**Mean of the classes' accuracies, %** (full cloud 80.0)\n\n| m | ratio | FPS |\n| --- | --- | --- |\n"
        "| 8 | 8 | 20.0 |",
        "over classes, %** (full cloud 70.0)\n\n| m | ratio | FPS |\n| --- | --- | --- |\n| 8 | 8 | 45.7 |",
        "at rank 1, mean over queries, %**\n\n| m | ratio | FPS |\n| --- | --- | --- |\n| 8 | 8 | 40.0 |",
    ):
        assert words in text
    assert "    python evaluate.py" in text
    assert text.count("mAP") == 2  # a metric without rows has no table


def test_everything_is_written_and_an_old_picture_is_not_left(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps({**RESULTS, "curves": CURVES}))
    for name in ("gallery.png", "retrieval.png"):
        (tmp_path / name).write_bytes(b"old")
    paths = report.write(tmp_path)
    assert not (tmp_path / "gallery.png").exists() and not (tmp_path / "retrieval.png").exists()
    cloud = np.random.default_rng(0).normal(size=(2, 64, 3)).astype(np.float32)
    names = np.array(["chair", "table"])
    np.savez(tmp_path / "gallery.npz", points=cloud, names=names, idx_fps=[[1, 2], [3, 4]], predicted_fps=names[::-1])
    assert "gallery.png" in report.write(tmp_path) and "gallery.png" not in paths
    for name in ("accuracy.png", "gallery.png", "retrieval.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_retrieval_is_of_matched_points_at_the_gallery_s_size_the_mean_of_the_seeds_in_percent(monkeypatch):
    drawn = []
    monkeypatch.setattr(classification, "png", lambda figure: drawn.append(figure.axes[0]))
    classification.draw_retrieval({"curves": CURVES}, {"idx_fps": np.zeros((2, 8), int)})
    full, fps = drawn[0].lines
    assert "m = 8" in drawn[0].get_title() and (full.get_label(), fps.get_label()) == ("full cloud", "FPS")
    assert full.get_ydata().tolist() == [100, 90, 80] and fps.get_xdata().tolist() == [0, 50, 100]
    np.testing.assert_allclose(fps.get_ydata(), [80, 50, 20])
    assert classification.draw_retrieval({"curves": CURVES}, {}) is None  # without a gallery there is no size
    assert classification.draw_retrieval({}, {"idx_fps": np.zeros((2, 8), int)}) is None
