"""Reading results, whatever the experiment."""

import json
import subprocess
import sys

import pytest

from samplenet import InputError, report

ROW = {"sampler": "none", "m": 64, "protocol": "matched", "metric": "accuracy", "value": 0.9, "n": 100, "seed": 0}
RESULTS = {
    "schema": 1,
    "experiment": "classification",
    "data": "shapes",
    "command": "python evaluate.py",
    "rows": [ROW],
}
CURVE = {"sampler": "none", "m": 64, "protocol": "matched", "seed": 0, "precision": [0, 1]}


@pytest.mark.parametrize(
    "content, words",
    [
        ("{", "not a results file"),
        ("[]", "not a results file"),
        (json.dumps({**RESULTS, "schema": 3}), "schema 3"),
        (json.dumps({**RESULTS, "schema": 2}), "not a results file .*method"),
        (json.dumps({**RESULTS, "rows": [{**ROW, "sampler": "fps"}]}), "no row for the full cloud .*accuracy"),
        (json.dumps({**RESULTS, "experiment": "registration"}), "no row for the full cloud .*rotation_error_deg"),
        (json.dumps({**RESULTS, "experiment": "cooking"}), "classification or .* or registration, got 'cooking'"),
        (json.dumps({**RESULTS, "rows": [{"sampler": "none"}]}), "lacks m, metric"),
        (json.dumps({**RESULTS, "curves": [CURVE]}), "in curves, .*'seed': 0} lacks recall"),
        (json.dumps({**RESULTS, "experiment": "registration", "curves": [CURVE]}), "in curves, .* lacks step_deg"),
        (None, "No such file"),
    ],
)
def test_a_bad_results_file_is_named(tmp_path, content, words):
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(InputError, match=rf"results\.json.*{words}"):
        report.read(tmp_path)


def test_a_damaged_gallery_is_named(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))
    (tmp_path / "gallery.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InputError, match=r"gallery\.npz is damaged"):
        report.write(tmp_path)


def test_without_matplotlib_the_table_is_written_and_the_error_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match="figures need matplotlib.*viz extra"):
        report.write(tmp_path)
    assert "90.0 % right" in (tmp_path / "table.md").read_text()


def test_the_command_names_itself_and_the_fault(tmp_path):
    command = [sys.executable, "-m", "samplenet.report", tmp_path / "absent"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("report: error: cannot read")
