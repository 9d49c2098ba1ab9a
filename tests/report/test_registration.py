"""Registration's tables and pictures from numbers made by hand."""

import json
import re
import sys

import numpy as np
import pytest

from samplenet import report
from samplenet.report import pairs, registration

NAMES = ("rotation_error.png", "precision.png", "pairs.png", "pair.html")


def row(sampler, m, value, seed=0, protocol="matched", metric="rotation_error_deg"):
    row = {"sampler": sampler, "m": m, "protocol": protocol, "metric": metric, "value": value, "n": 100, "seed": seed}
    return row


def curve(sampler, m, protocol="matched", seed=0, under=(0.0, 0.5, 1.0)):
    curve = {"sampler": sampler, "m": m, "protocol": protocol, "seed": seed, "step_deg": 90}
    return {**curve, "precision": list(under)}


ROWS = [
    row("none", 64, 3.5),
    row("icp", 64, 6.25),
    row("random", 8, 30),
    row("fps", 8, 12),
    row("fps_same_start", 8, 10),
    row("fps", 16, 8),
    row("snet", 8, 9, protocol="generated"),
    row("samplenet", 8, 8, seed=0),
    row("samplenet", 8, 9, seed=1),
    row("none", 64, 7, metric="rotation_error_paper_deg"),
    row("fps", 8, 24, metric="rotation_error_paper_deg"),
    row("random", 8, 20, metric="rotation_error_std_deg"),
    row("samplenet", 8, 0.425, metric="share_under_5_deg"),
    row("fps", 8, 0.00123, metric="sampling_consistency"),
]
CURVES = [curve("none", 64), curve("icp", 64), curve("fps", 16), curve("fps", 8), curve("samplenet", 16)]
HEAD = {"schema": 1, "experiment": "registration", "data": "car <of> shapes", "command": "python evaluate.py"}
RESULTS = {**HEAD, "rows": ROWS, "curves": CURVES}


@pytest.fixture
def folder(tmp_path):
    """An evaluation of two pairs of 20 points, fps at m = 3."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=(2, 20, 3)).astype(np.float32) for name in ("template", "source")}
    arrays |= {"error_before": [40.04, 30], "error_none": [4, 3], "error_fps": [12.34, 5]}
    arrays |= {"moved_none": arrays["source"], "moved_fps": arrays["source"] + 1}
    arrays |= {"idx_template_fps": [[0, 1, 2], [3, 4, 5]], "idx_source_fps": [[7, 8, 9], [1, 2, 3]]}
    np.savez(tmp_path / "gallery.npz", **arrays)
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))
    return tmp_path


def test_the_tables_hold_the_rows_in_their_units():
    text = registration.text(RESULTS)
    for words in (
        "**Mean rotation error, degrees** (full cloud 3.50; ICP on full cloud 6.25)\n\n"
        "| m | ratio | random | FPS | FPS, same start | S-NET, generated | SampleNet |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
        "| 16 | 4 |  | 8.00 |  |  |  |\n"
        "| 8 | 8 | 30.00 | 12.00 | 10.00 | 9.00 | 8.50 ± 0.71 |\n\n",
        "an error under 5 degrees, %**\n\n| m | ratio | SampleNet |\n| --- | --- | --- |\n| 8 | 8 | 42.5 |",
        "| m | ratio | FPS |\n| --- | --- | --- |\n| 8 | 8 | 1.23 |",  # consistency, thousandths
        "twice the geodesic angle",
        "(full cloud 7.00)\n\n| m | ratio | FPS |\n| --- | --- | --- |\n| 8 | 8 | 24.00 |",
    ):
        assert words in text
    assert text.index("Mean rotation error, degrees") < text.index("under 5 degrees") < text.index("paper's convention")


def test_without_a_sampler_there_is_no_table():
    text = registration.text({**HEAD, "rows": [row("none", 64, 3.5), row("icp", 64, 6.25)]})
    assert "full cloud 3.50; ICP on full cloud 6.25" in text and "| m |" not in text


def test_the_text_states_data_full_clouds_seeds_and_the_standard_error():
    head = registration.text(RESULTS).split("**Mean rotation error")[0]
    for words in (
        "car <of> shapes, 100 pairs of clouds of 64 points",
        "full cloud 3.50; ICP on full cloud 6.25",
        "at most 2.00 here",
        "SampleNet [0, 1]",
        "    python evaluate.py",
    ):
        assert words in head


def test_a_metric_without_rows_has_no_table():
    assert "ranslation error" not in registration.text(RESULTS)
    moved = {**RESULTS, "rows": [*ROWS, row("fps", 8, 0.05, metric="translation_error")]}
    assert "| 8 | 8 | 0.0500 |" in registration.text(moved)
    alone = {**RESULTS, "rows": ROWS[:1]}  # nothing but the full cloud
    assert "(full cloud 3.50)" in registration.text(alone) and "standard error" not in registration.text(alone)


def test_all_pictures_are_written_and_old_ones_are_not_left(folder):
    printed = report.write(folder)
    for name in NAMES:
        assert printed.count(str(folder / name)) == 1
        assert (folder / name).read_bytes().startswith((b"<!doctype", b"<html") if name == "pair.html" else b"\x89PNG")
    (folder / "gallery.npz").unlink()
    (folder / "results.json").write_text(json.dumps({**HEAD, "rows": ROWS}))  # neither pairs nor curves this time
    printed = report.write(folder)
    left = {name for name in NAMES if (folder / name).exists()}
    assert left == {"rotation_error.png"} and "precision.png" not in printed and "pair.html" not in printed


@pytest.mark.parametrize(
    "curves, size", [(CURVES, 16), (CURVES[:4], 8), ([*CURVES, curve("snet", 4, "generated")], 16), (CURVES[:2], None)]
)
def test_precision_is_of_the_smallest_trained_size_else_of_the_smallest(monkeypatch, curves, size):
    drawn = []
    monkeypatch.setattr(registration, "png", lambda figure: drawn.append(figure.axes[0]))
    registration.draw_precision({"curves": curves}, {})
    assert drawn[0].get_title() == ("" if size is None else f"m = {size}")
    shown = {line.get_label() for line in drawn[0].lines}
    assert {"full cloud", "ICP on full cloud"} <= shown and ("SampleNet" in shown) == (size == 16)


def test_precision_is_the_mean_of_the_seeds_in_percent(monkeypatch):
    drawn = []
    monkeypatch.setattr(registration, "png", lambda figure: drawn.append(figure.axes[0]))
    curves = [curve("samplenet", 8), curve("samplenet", 8, seed=1, under=(0.5, 1, 1))]
    registration.draw_precision({"curves": curves}, {})
    (line,) = drawn[0].lines
    assert line.get_xdata().tolist() == [0, 90, 180] and line.get_ydata().tolist() == [25, 75, 100]


def test_an_alignment_has_the_points_that_were_sampled(folder):
    with np.load(folder / "gallery.npz") as gallery:
        before, full, fps = pairs.alignments(gallery, 1)
        assert (before.label, full.label, fps.label) == ("before", "full cloud", "FPS, m = 3")
        assert (before.error, full.error, fps.error) == (30, 3, 5) and len(full.source_sample) == 0
        assert (before.template == gallery["template"][1]).all()
        assert (fps.template_sample == gallery["moved_fps"][1, 3:6]).all()
        assert (fps.source_sample == gallery["source"][1, 1:4]).all()


def test_the_page_needs_nothing_from_elsewhere_and_a_button_shows_one_state(folder):
    report.write(folder)
    page = (folder / "pair.html").read_text()
    without_code = re.sub(r"(<script[^>]*>).*?</script>", r"\1", page, flags=re.S)
    tags = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", without_code)
    assert tags and not [tag for tag in tags if "src" in tag or "href" in tag]
    assert len(page) > 1_000_000  # plotly.js is inside
    call = page[page.rindex("Plotly.newPlot(") :]
    decode = json.JSONDecoder().raw_decode
    traces, end = decode(call, call.index("["))
    layout, _ = decode(call, call.index("{", end))
    buttons = layout["updatemenus"][0]["buttons"]
    assert [b["label"] for b in buttons] == ["before", "full cloud", "FPS, m = 3"]
    assert buttons[2]["args"][1]["title.text"] == "FPS, m = 3: rotation error 12.3°<br><sub>car &lt;of&gt; shapes</sub>"
    assert layout["title"]["text"].startswith("before: rotation error 40.0°")
    shown = [[i for i, on in enumerate(b["args"][0]["visible"]) if on] for b in buttons]
    assert shown == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert [i for i, trace in enumerate(traces) if trace["visible"]] == shown[0] and len(traces) == 12


def test_without_plotly_only_the_page_is_left_out_and_the_text_says_so(folder, monkeypatch):
    report.write(folder)
    monkeypatch.setitem(sys.modules, "plotly", None)
    printed = report.write(folder)
    assert "pair.html is left out: it needs plotly" in printed and "pip install plotly" in printed
    assert {name for name in NAMES if (folder / name).exists()} == {*NAMES} - {"pair.html"}
