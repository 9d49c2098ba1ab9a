"""The tables and figures of each experiment's evaluation, from numbers made by hand."""

import base64
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samplenet.report import figures, png, summary
from samplenet.report.figures import Pictures
from samplenet.report.interactive import draw
from samplenet.report.results import read
from samplenet.runs.experiments import discover

EXPERIMENTS = discover(Path(__file__).parents[2])


def row(metric, sampler, m, value, protocol="matched", seed=0):
    method = {"sampler": sampler, "m": m}
    return {
        "method": method,
        "protocol": protocol,
        "metric": metric,
        "value": value,
        "n": 100,
        "seed": seed,
    }


def curve(sampler, m, precision, seed=0, protocol="matched", **axis):
    axis = axis or {"step_deg": 90}
    method = {"sampler": sampler, "m": m}
    return {"method": method, "protocol": protocol, "seed": seed, "precision": precision, **axis}


def cloud(rng, *shape):
    return rng.normal(size=(*shape, 3)).astype(np.float32)


CLASSIFICATION = [
    row("accuracy", "none", 64, 0.9),
    row("accuracy", "fps", 32, 0.5),
    row("accuracy", "fps", 8, 0.25),
    row("accuracy", "samplenet", 8, 0.5, seed=0),
    row("accuracy", "samplenet", 8, 0.6, seed=1),
    row("accuracy", "samplenet", 8, 0.7, "soft"),
    row("accuracy", "mine", 8, 0.1234),
    row("accuracy_class_mean", "none", 64, 0.8),
    row("accuracy_class_mean", "fps", 8, 0.2),
    row("map_macro", "fps", 8, 0.45678),
]
REGISTRATION = [
    row("rotation_error_deg", "none", 64, 3.5),
    row("rotation_error_deg", "icp", 64, 6.25),
    row("rotation_error_deg", "random", 8, 30),
    row("rotation_error_deg", "fps", 16, 8),
    row("rotation_error_deg", "fps", 8, 12),
    row("rotation_error_deg", "fps_same_start", 8, 10),
    row("rotation_error_deg", "snet", 8, 9, "generated"),
    row("rotation_error_deg", "samplenet", 8, 8),
    row("rotation_error_deg", "samplenet", 8, 9, seed=1),
    row("rotation_error_std_deg", "random", 8, 20),
    row("share_under_5_deg", "samplenet", 8, 0.425),
    row("sampling_consistency", "fps", 8, 0.00123),
    row("rotation_error_paper_deg", "none", 64, 7),
    row("rotation_error_paper_deg", "fps", 8, 24),
]
RECONSTRUCTION = [
    row("nre", "none", 64, 1),
    row("nre", "random", 8, 5.123),
    row("nre", "fps", 16, 2),
    row("nre", "fps", 8, 3),
    row("nre", "snet", 8, 2.5, "generated"),
    row("nre", "samplenet", 8, 2),
    row("nre", "samplenet", 8, 3, seed=1),
    row("nre_std", "fps", 8, 1.5),
    row("chamfer", "none", 64, 0.00054),
    row("chamfer", "fps", 8, 0.00162),
    {**row("nre", "none", 64, 1), "class": "chair"},
    {**row("nre", "fps", 8, 4), "class": "chair"},
    {**row("nre_emd", "fps", 8, 1), "class": "chair"},
]
ROWS = {
    "classification": CLASSIFICATION,
    "registration": REGISTRATION,
    "reconstruction": RECONSTRUCTION,
}
TABLES = {
    "classification": (
        "90.0", "at most 5.0", "under 14.1", "SampleNet [0, 1]",
        "**Accuracy, % (full cloud 90.0)**\n\n"
        "| m | ratio | FPS | SampleNet | SampleNet, soft | mine |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        "| 32 | 2 | 50.0 |  |  |  |\n| 8 | 8 | 25.0 | 55.0 ± 7.1 | 70.0 | 12.3 |\n",
        "**Mean of the classes' accuracies, % (full cloud 80.0)**\n\n"
        "| m | ratio | FPS |\n| --- | --- | --- |\n| 8 | 8 | 20.0 |",
        "over classes, %**\n\n| m | ratio | FPS |\n| --- | --- | --- |\n| 8 | 8 | 45.7 |",
    ),
    "registration": (
        "(full cloud 3.50; ICP on full cloud 6.25)",
        "at most 2.00", "geodesic angle", "takes pairs as independent",
        "| m | ratio | random | FPS | FPS, same start | S-NET, generated | SampleNet |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n| 16 | 4 |  | 8.00 |  |  |  |\n"
        "| 8 | 8 | 30.00 | 12.00 | 10.00 | 9.00 | 8.50 ± 0.71 |\n",
        "under 5 degrees, %**\n\n| m | ratio | SampleNet |\n| --- | --- | --- |\n| 8 | 8 | 42.5 |",
        "| m | ratio | FPS |\n| --- | --- | --- |\n| 8 | 8 | 1.23 |",  # thousandths
        "(full cloud 7.00)**\n\n| m | ratio | FPS |\n| --- | --- | --- |\n| 8 | 8 | 24.00 |",
    ),
    "reconstruction": (
        "at most 0.15", "1 is as good as all points",
        "| 16 | 4 |  | 2.00 |  |  |\n| 8 | 8 | 5.12 | 3.00 | 2.50 | 2.50 ± 0.71 |\n",
        "**Mean Chamfer distance, 1e-4 (full cloud 5.40)**\n\n"
        "| m | ratio | FPS |\n| --- | --- | --- |\n| 8 | 8 | 16.20 |",
        "**Mean NRE: chair (full cloud 1.00)**\n\n"
        "| m | ratio | FPS |\n| --- | --- | --- |\n| 8 | 8 | 4.00 |",
        "**Mean NRE by earth mover's distance: chair**",
    ),
}  # fmt: skip


def gallery(experiment):
    """A gallery of two clouds of 20 points, fps at m = 3."""
    rng = np.random.default_rng(0)
    idx = np.array([[0, 1, 2], [3, 4, 5]])
    if experiment == "registration":
        arrays = {
            "template": cloud(rng, 2, 20),
            "source": cloud(rng, 2, 20),
            "error_before": [40.04, 30],
        }
        arrays |= {
            "moved_none": arrays["source"],
            "error_none": [4, 3],
            "moved_fps": arrays["source"] + 1,
        }
        return arrays | {
            "error_fps": [12.34, 5],
            "idx_template_fps": idx,
            "idx_source_fps": idx + 6,
        }
    arrays = {"points": cloud(rng, 2, 20), "names": np.array(["chair", "<b>car"]), "idx_fps": idx}
    if experiment == "classification":
        return arrays | {"predicted_fps": arrays["names"][::-1]}
    for sampler in ("none", "fps"):
        arrays |= {
            f"reconstruction_{sampler}": arrays["points"] + 0.1,
            f"nre_{sampler}": np.array([1.0, 2.0, 4.0]),
        }
        arrays[f"shown_nre_{sampler}"] = np.array([1.0, 1.5])
    return arrays


@pytest.fixture(params=sorted(ROWS))
def evaluation(request, tmp_path):
    """Experiment and folder of an evaluation with everything in it."""
    head = {
        "schema": 2,
        "experiment": request.param,
        "data": "car <of> shapes",
        "command": "python evaluate.py",
    }
    axis = {"recall": [0, 0.5, 1]} if request.param == "classification" else {"step_deg": 90}
    curves = [curve("none", 64, [1, 0.9, 0.8], **axis), curve("fps", 8, [0.9, 0.5, 0.1], **axis)]
    (tmp_path / "results.json").write_text(
        json.dumps({**head, "rows": ROWS[request.param], "curves": curves})
    )
    np.savez(tmp_path / "gallery.npz", **gallery(request.param))
    return EXPERIMENTS[request.param], tmp_path


def test_tables_hold_every_number_in_its_unit_and_the_text_says_what_they_are_of(evaluation):
    experiment, folder = evaluation
    summary.write(folder, experiment)
    text = (folder / "table.md").read_text()
    for words in (
        *TABLES[experiment.name],
        "car &lt;of&gt; shapes, 100 test",
        "of 64 points",
        "    python evaluate.py",
    ):
        assert words in text, words
    titles = [metric.title for metric in experiment.metrics.values() if f"**{metric.title}" in text]
    places = [text.index(f"**{title}") for title in titles]
    assert places == sorted(places) and len(titles) < len(
        experiment.metrics
    )  # none of a metric without rows


def test_all_figures_are_written_and_old_ones_are_not_left(evaluation):
    experiment, folder = evaluation
    printed = summary.write(folder, experiment)
    for name in experiment.figures:
        start = (folder / name).read_bytes()[:15].lower()
        assert str(folder / name) in printed and start.startswith(
            (b"<html", b"<!doc") if ".html" in name else b"\x89png"
        )
    (folder / "gallery.npz").unlink()
    content = json.loads((folder / "results.json").read_text())
    (folder / "results.json").write_text(json.dumps({**content, "curves": []}))
    summary.write(folder, experiment)
    assert [name for name in experiment.figures if (folder / name).exists()] == [
        next(iter(experiment.figures))
    ]


def test_only_full_clouds_make_a_text_and_no_table_or_figure(evaluation):
    experiment, folder = evaluation
    content = json.loads((folder / "results.json").read_text())
    (folder / "gallery.npz").unlink()
    (folder / "results.json").write_text(
        json.dumps({**content, "curves": [], "rows": content["rows"][:1]})
    )
    summary.write(folder, experiment)
    assert (
        "full cloud" in (folder / "table.md").read_text()
        and "| m |" not in (folder / "table.md").read_text()
    )
    assert not [name for name in experiment.figures if (folder / name).exists()]


def test_without_plotly_only_the_page_is_left_out_and_the_text_says_so(evaluation, monkeypatch):
    experiment, folder = evaluation
    monkeypatch.setitem(sys.modules, "plotly", None)
    printed = summary.write(folder, experiment)
    pages = {name for name in experiment.figures if name.endswith(".html")}
    assert {name for name in experiment.figures if (folder / name).exists()} == {
        *experiment.figures
    } - pages
    assert all(
        f"{name} is left out: plotly is not installed; pip install plotly" in printed
        for name in pages
    )


def test_every_figure_is_one_that_plotly_accepts(evaluation):
    graph_objects = pytest.importorskip("plotly.graph_objects")
    experiment, folder = evaluation
    results, arrays = read(folder, EXPERIMENTS), summary.read_gallery(folder)
    for make in summary.makers(experiment).values():
        drawn = draw(make(results, arrays))
        graph_objects.Figure(drawn)
        for menu in drawn["layout"]["updatemenus"]:
            for button in menu["buttons"]:
                assert all(
                    len(values) == len(drawn["data"]) for values in button["args"][0].values()
                )
        assert json.dumps(drawn, allow_nan=False)


def results_of(experiment, rows=(), curves=()):
    flat = [[{**item["method"], **item} for item in items] for items in (rows, curves)]
    return figures.Results(EXPERIMENTS[experiment], "", flat[0], curves=flat[1])


def test_curves_are_the_mean_of_the_seeds_at_each_ratio():
    headline, *_ = figures.by_ratio(results_of("classification", CLASSIFICATION), {}).variants
    lines = {line.name: line for line in headline.lines}
    assert (
        headline.y.kind == "linear"
        and lines["SampleNet"].y == [pytest.approx(55)]
        and lines["FPS"].x == [2, 8]
    )
    assert lines["full cloud, 90"].y == [90, 90] and not lines["SampleNet, soft"].shown
    rotation, *_ = figures.by_ratio(results_of("registration", REGISTRATION), {}).variants
    assert rotation.y.kind == "log" and rotation.y.span == pytest.approx(
        (2.8, 37.5)
    )  # whatever ICP reaches


@pytest.mark.parametrize(
    "axis, x", [({"recall": [0, 0.5, 1]}, [0, 50, 100]), ({"step_deg": 90}, [0, 90, 180])]
)
def test_precision_is_the_mean_of_the_seeds_at_each_size_the_shown_one_first(axis, x):
    curves = [curve("none", 64, [1, 1, 1], **axis)]
    curves += [curve("samplenet", 8, [1, s, 0.5], s, **axis) for s in (0, 1)]
    curves += [
        curve("fps", 16, [1, 0, 0], **axis),
        curve("samplenet", 16, [1, 1, 1], protocol="soft", **axis),
    ]
    drawn = figures.precision_curves(results_of("registration", curves=curves), {})
    assert [variant.label for variant in drawn.variants] == ["m = 8", "m = 16"]
    full, ours = drawn.variants[0].lines
    assert (
        (full.name, ours.name) == ("full cloud", "SampleNet")
        and ours.x == x
        and ours.y == [100, 50, 50]
    )
    assert png.draw(drawn).startswith(b"\x89PNG")


def test_scenes_show_what_each_sampler_picked():
    make = {name: summary.makers(EXPERIMENTS[name]) for name in ROWS}
    scene = make["classification"]["gallery.png"](None, gallery("classification"))
    view = scene.clouds[1].views[0]
    assert view.note == "classified as chair, wrong" and scene.clouds[1].name == "<b>car"
    assert (view.layers[1].points == gallery("classification")["points"][1, 3:6]).all()
    full, fps = (
        make["reconstruction"]["gallery.png"](None, gallery("reconstruction")).clouds[1].views
    )
    assert fps.note.endswith("NRE 1.50") and fps.layers[2].aside and full.layers[1].aside
    arrays = gallery("registration")
    before, full, fps = make["registration"]["pairs.png"](None, arrays).clouds[1].views
    assert (before.name, full.name, fps.name) == ("before", "full cloud", "FPS, m = 3")
    assert (before.note, fps.note) == ("rotation error 30.0°", "rotation error 5.0°") and len(
        full.layers
    ) == 2
    assert (fps.layers[2].points == arrays["source"][1, 9:12]).all()
    assert (fps.layers[3].points == arrays["moved_fps"][1, 3:6]).all()
    drawn = make["reconstruction"]["histogram.png"](None, gallery("reconstruction"))
    assert (
        drawn.variants[0].lines[0].name == "FPS, median 2.00"
        and sum(drawn.variants[0].lines[0].y) == 2 * 3
    )


def test_menus_choose_the_cloud_and_the_view():
    scene = summary.makers(EXPERIMENTS["registration"])["pairs.png"](None, gallery("registration"))
    drawn = draw(scene)
    clouds, views = drawn["layout"]["updatemenus"]
    assert [button["label"] for button in clouds["buttons"]] == ["pair 1", "pair 2"]
    assert [button["label"] for button in views["buttons"]] == [
        "before",
        "full cloud",
        "FPS, m = 3",
    ]
    shown = []
    for button in views["buttons"]:
        traces = zip(drawn["data"], button["args"][0]["visible"], strict=True)
        shown.append([trace["name"] for trace, visible in traces if visible])
    assert [len(names) for names in shown] == [2, 2, 4] and len(
        drawn["data"]
    ) == 1 + 1 + 1 + 3  # the source once
    assert shown[2][-1] == "template: sampled: rotation error 12.3°"
    assert clouds["buttons"][1]["args"][0]["name"][-1] == "template: sampled: rotation error 5.0°"


def pictures():
    mask = np.array([[0, 1], [0.5, 2]])
    red = np.broadcast_to(np.array([255, 0, 0], np.uint8), (2, 2, 3))
    return Pictures(
        "Masks", ["chair <1>", "car"], ["predicted", "true"], [[mask, red], [None, mask]]
    )


def test_pictures_are_bytes_in_their_places():
    placed = pictures().placed()
    assert [(r, c) for r, c, _ in placed] == [(0, 0), (0, 1), (1, 1)]
    assert placed[0][2][..., 1].tolist() == [[0, 255], [128, 255]]  # 2 is cut to 1
    assert placed[1][2][0, 0].tolist() == [255, 0, 0]


def test_pictures_are_drawn_as_png_and_for_the_page():
    assert png.draw(pictures()).startswith(b"\x89PNG")
    layout = draw(pictures())["layout"]
    assert [(image["x"], image["y"]) for image in layout["images"]] == [(0, 0), (1, 0), (1, -1)]
    kind, content = layout["images"][1]["source"].split(",")
    assert kind == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(content)))
    assert np.asarray(image).tolist() == [[[255, 0, 0]] * 2] * 2
    names = [note["text"] for note in layout["annotations"]]
    assert names == ["predicted", "true", "chair &lt;1&gt;", "car"]


def test_points_of_a_layer_have_a_colour_each_in_every_figure():
    clouds = []
    for shade in ("#ff0000", "#0000ff"):
        points = np.eye(3)
        layers = [
            figures.Layer("all", points, "#888888"),
            figures.Layer("each", points, [shade] * 3),
        ]
        clouds.append(figures.Cloud(shade, [figures.View("view", "", layers)]))
    scene = figures.Scene("Clouds", clouds)
    assert png.draw(scene)[:4] == b"\x89PNG"
    drawn = draw(scene)
    assert [trace["marker"]["color"] for trace in drawn["data"]] == ["#888888", ["#ff0000"] * 3]
    (menu,) = drawn["layout"]["updatemenus"]
    second = menu["buttons"][1]["args"][0]
    assert second["marker.color"] == ["#888888", ["#0000ff"] * 3]
