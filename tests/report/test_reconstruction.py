"""Reconstruction's tables and pictures from numbers made by hand."""

import json

import numpy as np
import pytest

from samplenet import report
from samplenet.report import reconstruction

NAMES = ("nre.png", "gallery.png", "histogram.png")


def row(sampler, m, value, metric="nre", protocol="matched", seed=0):
    return {
        "sampler": sampler, "m": m, "protocol": protocol, "metric": metric, "value": value, "n": 100, "seed": seed,
    }  # fmt: skip


ROWS = [
    row("none", 64, 1),
    row("random", 8, 5.123),
    row("fps", 8, 3),
    row("fps", 16, 2),
    row("snet", 8, 2.5, protocol="generated"),
    row("samplenet", 8, 2, seed=0),
    row("samplenet", 8, 3, seed=1),
    row("none", 64, 0.00054, "chamfer"),
    row("fps", 8, 0.00162, "chamfer"),
    row("none", 64, 1, "nre_chair"),
    row("fps", 8, 4, "nre_chair"),
    row("fps", 8, 1.5, "nre_std"),
    row("samplenet", 8, 9.0, "nre_std", "generated"),
]
HEAD = {"schema": 1, "experiment": "reconstruction", "data": "chair of shapes", "command": "python evaluate.py"}
RESULTS = {**HEAD, "rows": ROWS}


@pytest.fixture
def folder(tmp_path):
    """An evaluation of a chair and a car of 20 points, fps and random at m = 3."""
    rng = np.random.default_rng(0)
    arrays = {"points": rng.normal(size=(2, 20, 3)).astype(np.float32), "names": np.array(["chair", "car"])}
    for sampler in ("none", "random", "fps"):
        arrays |= {f"reconstruction_{sampler}": arrays["points"] + 0.1, f"nre_{sampler}": np.array([1.0, 2.0, 4.0])}
        arrays[f"shown_nre_{sampler}"] = np.array([1.0, 2.0])
        if sampler != "none":
            arrays[f"idx_{sampler}"] = np.array([[0, 1, 2], [3, 4, 5]])
    np.savez(tmp_path / "gallery.npz", **arrays)
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))
    return tmp_path


def test_the_tables_hold_the_rows_in_their_units():
    text = reconstruction.text(RESULTS)
    for words in (
        "**Mean NRE**\n\n| m | ratio | random | FPS | S-NET, generated | SampleNet |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        "| 16 | 4 |  | 2.00 |  |  |\n| 8 | 8 | 5.12 | 3.00 | 2.50 | 2.50 ± 0.71 |\n\n",
        "**Mean Chamfer distance, 1e-4** (full cloud 5.40)\n\n| m | ratio | FPS |\n| --- | --- | --- |\n"
        "| 8 | 8 | 16.20 |",
        "**Mean NRE, chair**\n\n| m | ratio | FPS |\n| --- | --- | --- |\n| 8 | 8 | 4.00 |",
    ):
        assert words in text
    assert text.index("Mean NRE**") < text.index("Mean Chamfer") < text.index("Mean NRE, chair")


def test_the_tables_of_the_other_distance_say_so():
    metrics = ("nre_emd", "nre_emd_median", "nre_emd_std", "nre_emd_chair", "emd", "emd_median")
    text = reconstruction.text({**HEAD, "rows": [*ROWS, *(row("fps", 8, 1, metric) for metric in metrics)]})
    by = " by earth mover's distance"
    for title in (
        f"Mean NRE{by}",
        f"Median NRE{by}",
        f"Standard deviation of NRE{by} over shapes",
        f"Mean NRE{by}, chair",
    ):
        assert f"**{title}**" in text
    assert "**Median earth mover's distance, thousandths**" in text and "emd_" not in text


def test_the_text_states_data_seeds_command_and_the_standard_error():
    head = reconstruction.text(RESULTS).split("**Mean NRE")[0]
    for words in ("chair of shapes, 100 test clouds of 64 points", "SampleNet [0, 1]", "    python evaluate.py"):
        assert words in head
    assert "at most 0.15 in a matched column" in head  # 1.5 over the root of 100


def test_the_report_writes_what_its_data_is_there_for(folder):
    printed = report.write(folder)
    for name in NAMES:
        assert (folder / name).read_bytes().startswith(b"\x89PNG") and str(folder / name) in printed
    (folder / "gallery.npz").unlink()
    report.write(folder)
    assert [(folder / name).exists() for name in NAMES] == [True, False, False]


def test_a_gallery_of_random_samples_alone(folder):
    with np.load(folder / "gallery.npz") as gallery:
        kept = {name: array for name, array in gallery.items() if not name.endswith("fps")}
    assert reconstruction.draw_gallery(RESULTS, kept).startswith(b"\x89PNG")
    assert reconstruction.draw_histogram(RESULTS, kept).startswith(b"\x89PNG")
