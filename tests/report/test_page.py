"""The page of a preset's results, from evaluations made by hand."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from samplenet import InputError
from samplenet.report import evaluations, page, published, tables
from samplenet.report.results import Results
from samplenet.runs.experiments import discover

ROOT = Path(__file__).parents[2]
EXPERIMENTS = discover(ROOT)

ENVIRONMENT = {
    "revision": "abcdef0123456789+changes",
    "python": "3.11.7",
    "libraries": {"numpy": "2.4.6"},
    "machine": "M",
}
MODELNET40 = "modelnet40_ply_hdf5_2048"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
# The browser returns the page as soon as it is loaded, before anything has come into view: with
# this script everything is in view at once.
SEEN = """<script>
window.errors = [];
window.addEventListener("error", (event) => window.errors.push(event.message));
window.IntersectionObserver = class {
  constructor(call) { this.call = call; }
  observe(target) { this.call([{ target, isIntersecting: true }]); }
};
window.addEventListener("load", () => { document.title = `errors: ${window.errors.join("; ")}`; });
</script>"""


def row(sampler, m, value, seed=0, protocol="matched", metric="accuracy", n=100):
    return {
        "sampler": sampler,
        "m": m,
        "protocol": protocol,
        "metric": metric,
        "value": value,
        "n": n,
        "seed": seed,
    }


ACCURACY = [
    row("none", 1024, 0.9),
    row("fps", 64, 0.512),
    row("random", 64, 0.2345),
    row("samplenet", 64, 0.81),
    row("samplenet", 64, 0.83, seed=1),
    row("samplenet", 64, 0.876, protocol="soft"),
    row("none", 1024, 0.89, metric="accuracy_class_mean"),
    row("fps", 64, 0.507, metric="accuracy_class_mean"),
    row("fps", 64, 0.1234, metric="a_new_metric"),
]
ROTATION = [
    row(sampler, m, scale * value, metric=metric, n=200)
    for metric, scale in (
        ("rotation_error_deg", 1),
        ("rotation_error_paper_deg", 2),
        ("rotation_error_std_deg", 1),
    )
    for sampler, m, value in (("none", 512, 3), ("fps", 32, 8.25), ("samplenet", 32, 5.5))
]
NRE = [
    row("none", 512, 1, metric="nre"),
    row("fps", 32, 1.44, metric="nre"),
    row("fps", 32, 0.21, metric="nre_chair"),
]


def evaluation(folder, experiment, rows, data="shapes", **more):
    folder.mkdir(parents=True, exist_ok=True)
    head = {
        "schema": 1,
        "experiment": experiment,
        "data": data,
        "command": "python evaluate.py --out x",
    }
    (folder / "results.json").write_text(
        json.dumps({**head, "environment": ENVIRONMENT, "rows": rows, **more})
    )
    return folder


@pytest.fixture
def preset(tmp_path):
    """Three experiments; classification's has pictures, runs and costs."""
    folder = tmp_path / "quick"
    runs = [
        {
            "sampler": "samplenet",
            "m": 64,
            "seed": 0,
            "folder": "../samplenet-64-seed0",
            "command": "python train.py -x",
        }
    ]
    shown = evaluation(
        folder / "classification" / "evaluation", "classification", ACCURACY, runs=runs
    )
    cloud = np.random.default_rng(0).normal(size=(2, 40, 3)).astype(np.float32)
    names = np.array(["chair", "<b>table"])
    np.savez(
        shown / "gallery.npz",
        points=cloud,
        names=names,
        idx_fps=[[1, 2], [3, 4]],
        predicted_fps=names[::-1],
    )
    trained = shown.parent / "samplenet-64-seed0"
    trained.mkdir()
    lines = [{"step": s, "projection_loss": 1 / s, "time": {"unix": 1.8e9 + s}} for s in (1, 2)]
    (trained / "metrics.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines) + '{"step": 3, "proj'
    )
    (trained / "environment.json").write_text(json.dumps({"revision": "0123456789abcdef"}))
    (shown.parent / "cost").mkdir()
    cost = {
        "sampler": "fps",
        "m": 64,
        "metric": "ms_per_cloud",
        "value": 0.123456,
        "device": "CPU <x>",
    }
    alone = {**cost, "sampler": "none", "m": 1024, "value": 0.2}
    costs = [alone, {**alone, "metric": "parameters", "value": 3480000, "device": "any"}, cost]
    measured = {
        "environment": {"machine": "A <mill>", "native_ops": ["tf"]},
        "gpu": None,
        "batch_size": 32,
        "repeats": 7,
    }
    measured |= {"command": "python cost.py --task <x>", "task": "pointnet", "rows": costs}
    (shown.parent / "cost" / "cost.json").write_text(json.dumps(measured))
    evaluation(folder / "registration-cars" / "evaluation", "registration", ROTATION, "car of cars")
    evaluation(
        folder / "reconstruction" / "evaluation-short", "reconstruction", NRE, "chair of shapes"
    )
    return folder


def test_ablations_stand_below_the_unchanged_sampler(preset):
    home = preset / "classification"

    def variant(name, sampler, value, full=0.9, steps=()):
        folder = home / "ablation" / name
        runs = [
            {
                "sampler": sampler,
                "m": 64,
                "seed": 0,
                "folder": f"../{sampler}",
                "command": "python train.py",
            }
        ]
        rows = [
            row("none", 1024, full),
            row(sampler, 64, value),
            row(sampler, 64, value + 0.01, protocol="soft"),
        ]
        evaluation(folder / "evaluation", "classification", rows, runs=runs)
        (folder / sampler).mkdir()
        lines = [
            {"step": s, "projection_loss": v, "time": {"unix": 1.8e9}} for s, v in enumerate(steps)
        ]
        (folder / sampler / "metrics.jsonl").write_text(
            "".join(json.dumps(line) + "\n" for line in lines)
        )

    variant("vanilla-to-pointnet", "snet", 0.3, 0.8)
    variant("lambda-10", "samplenet", 0.5)
    variant("lambda-0.1", "samplenet", 0.6, steps=(1, 0.25))
    variant("k-2", "samplenet", 0.7)
    main = evaluations.read_evaluation(home / "evaluation", preset, EXPERIMENTS)
    changed = evaluations.ablations(home / "evaluation", preset, EXPERIMENTS)
    found = evaluations.table(preset, main, changed)
    assert found.lines == [
        ["unchanged", "SampleNet", "64", "90.0", "82.0 ± 1.4", "87.6", "", "0.5"],  # of two seeds
        ["k = 2", "SampleNet", "64", "90.0", "70.0", "71.0", "", ""],
        ["λ = 0.1", "SampleNet", "64", "90.0", "60.0", "61.0", "", "0.25"],
        ["λ = 10", "SampleNet", "64", "90.0", "50.0", "51.0", "", ""],
        ["trained for vanilla, judged by pointnet", "S-NET", "64", "80.0", "30.0", "31.0", "", ""],
    ]
    assert "λ = 0.1" in bare(written(preset)) and "λ = 0.1" in (preset / "tables.md").read_text()
    listed = (preset / "tables.md").read_text()
    place, evaluate = "classification/ablation/k-2", "python evaluate.py --out x"
    name, revision = "evaluation, k = 2: full cloud", "abcdef0123+changes"
    for line in (
        f"| SampleNet, k = 2 | 64 | 0 |  | {place}/samplenet | python train.py |",
        f"| {name} |  |  | {revision} | {place}/evaluation | {evaluate} |",
    ):
        assert listed.count(line) == 1
    without = preset / "registration-cars" / "evaluation"
    assert not evaluations.ablations(without, preset, EXPERIMENTS)


def test_greedy_ablations_have_a_table_by_size(preset):
    home = preset / "classification"

    def variant(name, full, *rows):
        folder = home / "ablation" / name / "evaluation"
        evaluation(folder, "classification", [row("none", 1024, full), *rows])

    variant("greedy", 0.9, row("greedy", 16, 0.8), row("greedy_refresh_2", 8, 0.5))
    variant("greedy-vanilla-to-pointnet", 0.8, row("greedy", 16, 0.7), row("fps", 16, 0.1))
    variant("greedy-seed-0-to-seed-1", 0.7, row("greedy", 16, 0.6))
    text = bare(written(preset))
    assert "Ablations. Accuracy" not in text  # no trained sampler was changed
    listed = (preset / "tables.md").read_text()
    for line in (
        "**Ablations of greedy samplers. Accuracy, %**",
        "| what differs | sampler | all points | m = 16 | m = 8 |",
        "| settings of greedy | greedy, all points | 90.0 | 80.0 |  |",
        "| settings of greedy | greedy, gradient every 2nd turn | 90.0 |  | 50.0 |",
        "| chosen by vanilla, judged by pointnet | greedy, all points | 80.0 | 70.0 |  |",
        "| chosen by seed 0, judged by seed 1 | greedy, all points | 70.0 | 60.0 |  |",
    ):
        assert listed.count(line) == 1, line


def written(folder):
    return page.write(folder, experiments=EXPERIMENTS).read_text()


def bare(text):
    """The page without its scripts and style."""
    return re.sub(r"<(script|style)[^>]*>.*?</\1>", "", text, flags=re.S)


def figures(text):
    return [
        json.loads(found)
        for found in re.findall(r'<script type="application/json">(.*?)</script>', text, re.S)
    ]


def test_every_number_stands_in_a_table_in_its_unit(preset):
    text = bare(written(preset))
    for cell in (
        "51.2",
        "23.4",
        "82.0 ± 1.4",
        "87.6",
        "50.7",
        "0.1234",
        "8.25",
        "16.50",
        "11.00",
        "1.44",
        "0.21",
        "0.123 (−38 %)",
    ):
        assert re.search(rf"<td[^>]*>(<b>)?{re.escape(cell)}<", text), cell
    for title in (
        "Accuracy, % (full cloud 90.0)",
        "Mean NRE: chair",
        "Mean rotation error, degrees (full cloud 3.00)",
    ):
        assert f"<h3>{title}</h3>" in text
    for words in (
        "preset quick",
        "abcdef0123+changes",
        "numpy 2.4.6",
        "15 January 2027",
        "Reconstruction: chair of shapes, short",
    ):
        assert words in text


def test_the_best_and_what_ties_with_it_are_bold(preset):
    text = bare(written(preset))
    assert (
        "<b>82.0 ± 1.4</b>" in text and "<b>51.2</b>" not in text
    )  # 100 clouds: a tie reaches 13 points
    assert "<b>5.50</b>" in text and "<b>8.25</b>" not in text and "<b>11.00</b>" in text
    assert "<b>1.44</b>" not in text  # alone in its line
    assert (
        "a difference under 2√(a² + b²)" in text
        and "100 test clouds. Number of training seeds: SampleNet 2." in text
    )


@pytest.mark.parametrize(
    "fps, tied",
    [
        (0.75, True),
        (0.65, False),
    ],  # standard errors 4.3 and 4.8 of 0.75 and 0.65; of 0.82 3.8, of its seeds 1
)
def test_a_tie_is_under_two_standard_errors_of_the_difference(fps, tied):
    rows = [
        row("none", 64, 1),
        row("fps", 8, fps),
        row("samplenet", 8, 0.81),
        row("samplenet", 8, 0.83, seed=1),
    ]
    table = tables.compared(Results(EXPERIMENTS["classification"], "", rows), "accuracy", "quick")
    assert table.strong == ({(0, 2), (0, 3)} if tied else {(0, 3)})


def test_markdown_has_the_same_tables(preset):
    written(preset)
    text = (preset / "tables.md").read_text()
    assert (
        "| 64 | 16 | 23.4 | 51.2 | **82.0 ± 1.4** |" in text
        and "unverified" in text
        and "<" not in text
    )
    assert text.count("## ") == 3


def test_tables_say_which_revision_made_which_run_where_the_code_changed_between(preset):
    home = preset / "classification"
    sentence = (
        "The code changed between these numbers. Revision 0123456789 made "
        "classification/samplenet-64-seed0; abcdef0123+changes made classification/evaluation "
        "(+changes: and what was not committed)."
    )
    assert sentence in written(preset) and sentence in (preset / "tables.md").read_text()
    assert (
        written(preset).count("The code changed") == 1
    )  # the other experiments have one evaluation each

    def same_revision(**sources):
        environment = {"revision": ENVIRONMENT["revision"], "sources": sources}
        (home / "samplenet-64-seed0" / "environment.json").write_text(json.dumps(environment))

    results = json.loads((home / "evaluation" / "results.json").read_text())
    results["environment"]["sources"] = {
        "classification/pointnet.py": "a",
        "classification/evaluate.py": "b",
    }
    (home / "evaluation" / "results.json").write_text(json.dumps(results))
    same_revision(**{"classification/pointnet.py": "a", "classification/train_samplenet.py": "c"})
    assert "The code changed" not in written(preset)
    same_revision(**{"classification/pointnet.py": "z"})  # an edit that no commit tells apart
    assert "Files that differ between them: classification/pointnet.py." in written(preset)


def test_sections_of_one_data_set_are_told_apart_by_their_folders(preset):
    evaluation(
        preset / "classification-EdgeNet" / "evaluation",
        "classification",
        ACCURACY,
        network="EdgeNet",
    )
    text = bare(written(preset))
    assert "<h2>Classification: shapes (classification)</h2>" in text
    assert "<h2>Classification: shapes (classification-EdgeNet)</h2>" in text
    assert "the preset quick; the task network EdgeNet. They do not compare" in text


def test_anybodys_sampler_stands_on_the_page(preset):
    rows = [*ACCURACY, row("theirs", 64, 0.7777), row("theirs", 64, 0.71, protocol="generated")]
    evaluation(preset / "classification" / "evaluation", "classification", rows)
    text = bare(written(preset))
    assert "theirs</th>" in text and "<td>77.8</td>" in text and "theirs, generated</th>" in text
    assert "theirs" in (preset / "tables.md").read_text()


def test_what_comes_from_files_is_no_markup(tmp_path):
    evil = "<script>alert(1)</script>"
    rows = [*ACCURACY, row(evil, 64, 0.5), row("fps", 64, 0.5, metric=evil)]
    runs = [{"sampler": evil, "m": evil, "seed": evil, "folder": evil, "command": evil}]
    environment = {name: evil for name in ("revision", "python", "machine")} | {
        "libraries": {evil: evil}
    }
    folder = tmp_path / "quick" / "classification" / "evaluation"
    evaluation(folder, "classification", rows, evil, runs=runs, environment=environment)
    text = written(tmp_path / "quick")
    assert evil not in text and text.count("&lt;script&gt;") > 8
    names = [trace["name"] for trace in figures(text)[0]["data"]]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in names  # plotly reads a little HTML
    assert evil not in (tmp_path / "quick" / "tables.md").read_text()


def test_the_page_is_one_well_formed_file_that_loads_nothing(preset):
    text = written(preset)
    loads, opened = [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            loads.extend(
                v
                for k, v in attributes
                # a link is followed only by who clicks it
                if k in ("src", "srcset", "data", "action") or k == "href" and tag != "a"
            )
            loads.extend(v for k, v in attributes if k == "style" and "url" in v)
            if tag not in ("meta", "br", "img", "link"):
                opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    Reader().feed(text)
    assert loads == [] and opened == []
    css, js = (Path(page.__file__).with_name(name).read_text() for name in ("page.css", "page.js"))
    assert (
        "url(" not in css
        and "import" not in css
        and "http" not in js
        and text.count("plotly.js v") >= 1
    )
    assert len(text) < 7e6


def test_two_calls_write_the_same_bytes(preset):
    assert written(preset) == written(preset)


def test_figures_hold_curves_runs_and_clouds(preset):
    ratio, clouds, sigma = figures(written(preset))[:3]
    traces = {trace["name"]: trace for trace in ratio["data"] if trace["visible"]}
    assert traces["SampleNet"]["y"] == [82] and traces["FPS"]["customdata"] == [16]
    assert traces["SampleNet, soft"]["visible"] == "legendonly"
    assert (
        len(ratio["layout"]["updatemenus"][0]["buttons"]) == 2
    )  # accuracy, and its mean over classes
    (run,) = sigma["data"]
    assert (
        run["name"] == "samplenet-64" and run["x"] == [1, 2] and run["y"] == [1, 0.5]
    )  # not the half line
    (menu,) = clouds["layout"]["updatemenus"]
    assert [button["label"] for button in menu["buttons"]] == ["chair", "&lt;b&gt;table"]
    again = menu["buttons"][1]["args"][0]
    assert (
        again["name"] == ["input", "sampled: classified as chair, wrong"]
        and len(again["x"][1]) == 2
    )


@pytest.mark.skipif(
    not CHROMIUM, reason="the page's figures are drawn by Chromium, which is not installed"
)
def test_a_browser_draws_every_figure(preset, tmp_path):
    page = tmp_path / "seen.html"
    page.write_text(written(preset).replace("<head>", f"<head>{SEEN}", 1))
    flags = ["--headless", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    flags += [
        f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=20000",
        "--dump-dom",
    ]
    done = subprocess.run(
        [CHROMIUM, *flags, page.as_uri()], capture_output=True, text=True, timeout=120
    )
    assert "<title>errors: </title>" in done.stdout
    plots = re.findall(r'<figcaption>.*?</figcaption><div class="(plot.*?)"', done.stdout)
    assert len(plots) > 3 and all("js-plotly-plot" in name for name in plots)


def test_commands_and_costs_are_listed(preset):
    text = bare(written(preset))
    assert (
        "<td>0123456789</td><td>classification/samplenet-64-seed0</td><td>python train.py -x</td>"
        in text
    )
    assert "<dt>Evaluated at revision</dt><dd>abcdef0123+changes</dd>" in text
    assert "full cloud; FPS; random</th>" in text and "<td>python evaluate.py --out x</td>" in text
    costs = text[text.index("Cost at inference") :]
    assert "time a cloud, CPU &lt;X&gt;, ms</th>" in costs
    line = "<td>64</td><td>16</td><td></td><td>0.123 (−38 %)</td>"
    assert f'<th scope="row">FPS + task network</th>{line}' in costs
    assert (
        "the paper, as quoted, unverified</th><td></td><td>32</td><td>“memory” +6 %</td>" in costs
    )
    listed = (preset / "tables.md").read_text()
    for words in (
        "FPS + task network",
        "python cost.py --task &lt;x&gt;",
        "1024 points, 32 at once. The task network: PointNet with T-Nets. A &lt;mill&gt;;",
        "calls memory is taken to be the parameters",
    ):
        assert words in costs and words in listed


def test_only_full_clouds_no_runs_no_gallery_are_no_fault(tmp_path):
    evaluation(
        tmp_path / "quick" / "registration" / "evaluation",
        "registration",
        ROTATION[:1],
        environment={},
    )
    text = written(tmp_path / "quick")
    assert "all of 512 points" in text and figures(text) == []


def test_a_damaged_file_is_named(preset):
    path = preset / "reconstruction" / "evaluation-short" / "results.json"
    path.write_text("{")
    with pytest.raises(
        InputError, match=r"reconstruction/evaluation-short/results\.json is not a results file"
    ):
        written(preset)
    path.unlink()
    (preset / "classification" / "cost" / "cost.json").write_text('{"rows": [1]}')
    with pytest.raises(InputError, match=r"cost\.json is no file of costs"):
        written(preset)
    (preset / "classification" / "cost" / "cost.json").unlink()
    (preset / "classification" / "samplenet-64-seed0" / "metrics.jsonl").write_text("[]\n")
    with pytest.raises(InputError, match=r"metrics\.jsonl is damaged"):
        written(preset)
    (preset / "classification" / "samplenet-64-seed0" / "environment.json").write_text("{")
    with pytest.raises(InputError, match=r"environment\.json is damaged"):
        written(preset)


def test_a_folder_without_evaluations_says_what_is_expected(tmp_path):
    with pytest.raises(
        InputError, match="no evaluation below .*expected <experiment>/evaluation/results.json"
    ):
        written(tmp_path)


def test_without_plotly_the_tables_stand_and_a_sentence_says_so(preset, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    text = written(preset)
    assert "left out: plotly is not installed" in text and "pip install plotly" in text
    assert (
        "82.0 ± 1.4" in text and "<figure" not in text and "<script" not in text and len(text) < 1e5
    )


def test_published_numbers_bear_their_marks(preset):
    text = bare(written(preset))
    line = re.search(r'<tr><th scope="row">64</th>.*?</tr>', text).group()
    numbers = '<td class="edge">31.69</td><td>46.42</td><td>70.45</td><td>79.86</td>'
    assert line.endswith(f"{numbers}<td>unverified</td></tr>")
    assert "“unverified”: as later papers are recalled" in text and "“poster”: digitised" in text
    for reference in (
        r for experiment in EXPERIMENTS.values() for r in published.references(experiment)
    ):
        assert all(r["mark"] in published.MARKS for r in reference.rows) and reference.legend
    assert published.MARKS["guide"][0] == "unverified"


PUBLISHED = [{**r, "n": 2468} for r in ACCURACY]


@pytest.mark.parametrize(
    "preset_name, data, rows, hindrance",
    [
        ("paper", MODELNET40, PUBLISHED, None),
        ("paper", "modelnet10", PUBLISHED, "the data is modelnet10"),
        ("paper", MODELNET40, ACCURACY, "100 test clouds of 1024 points"),
        (
            "paper",
            MODELNET40,
            [{**r, "m": min(r["m"], 512)} for r in PUBLISHED],
            "2468 test clouds of 512 points",
        ),
        ("quick", MODELNET40, PUBLISHED, "the preset quick"),
    ],
)
def test_a_difference_is_only_given_on_the_published_data(
    tmp_path, preset_name, data, rows, hindrance
):
    folder = tmp_path / preset_name
    evaluation(folder / f"classification-{data}" / "evaluation", "classification", rows, data)
    text = bare(written(folder))
    line = re.search(r'<tr><th scope="row">64</th>.*?</tr>', text).group()
    if hindrance:
        assert (
            "ours − published" not in text
            and f"Here: {hindrance}. They do not compare" in text
            and "+2.1" not in line
        )
    else:
        assert '<th colspan="3" scope="colgroup">ours − published</th>' in text
        assert line.endswith('<td class="edge">−8.2</td><td>+4.8</td><td>+2.1</td></tr>')


def test_progressive_samplers_stand_beside_the_numbers_of_their_own_classifier(tmp_path):
    home = tmp_path / "paper" / f"classification-{MODELNET40}"
    evaluation(home / "evaluation", "classification", PUBLISHED, MODELNET40)
    rows = [
        row("none", 1024, 0.871, n=2468),
        row("fps", 32, 0.3, n=2468),
        row("progressivenet", 32, 0.6, n=2468),
    ]
    evaluation(home / "evaluation-vanilla", "classification", rows, MODELNET40)
    pointnet, vanilla = bare(written(tmp_path / "paper")).split("<section ")[1:3]
    line = re.search(r'<tr><th scope="row">32</th>.*?</tr>', vanilla).group()
    assert (
        "<td>61</td><td>poster</td>" in line
        and line.endswith("<td>−1.0</td></tr>")
        and "77.31" not in line
    )
    assert (
        "Published for all 1024 points: 87 (poster)" in vanilla
        and "88.16" in vanilla[vanilla.index("More publ") :]
    )
    line = re.search(r'<tr><th scope="row">32</th>.*?</tr>', pointnet).group()
    assert (
        "<td>77.31</td>" in line
        and "61" not in line
        and "vanilla" in pointnet[pointnet.index("More published") :]
    )


def test_two_task_networks_have_a_table_each(tmp_path):
    home = tmp_path / "full" / "classification"
    evaluation(home / "evaluation", "classification", ACCURACY, network="vanilla")
    rows = [row("none", 1024, 0.95), row("samplenet", 64, 0.91)]
    evaluation(home / "evaluation-pointnet", "classification", rows, network="pointnet")
    vanilla, pointnet = bare(written(tmp_path / "full")).split("<section ")[1:]
    assert "<h2>Classification: shapes</h2>" in vanilla and "82.0 ± 1.4" in vanilla
    assert "Task network: vanilla PointNet." in vanilla
    assert "<h2>Classification: shapes, PointNet with T-Nets</h2>" in pointnet
    assert "<td>91.0</td>" in pointnet and "Task network: PointNet with T-Nets." in pointnet
    markdown = (tmp_path / "full" / "tables.md").read_text()
    assert "## Classification: shapes, PointNet with T-Nets\n" in markdown and "91.0" in markdown


def test_an_experiments_note_stands_on_the_page_and_in_its_tables(preset):
    text = bare(written(preset))
    for name in ("reconstruction", "registration"):
        note = EXPERIMENTS[name].note
        assert note and note in text and note in (preset / "tables.md").read_text()


def test_what_differs_from_the_published_test_set_is_said(tmp_path):
    folder = tmp_path / "paper"
    rows = [row("none", 2048, 1, metric="nre", n=1234), row("fps", 64, 2.1, metric="nre", n=1234)]
    data = "chair, table, car, airplane of shape_net_core_uniform_samples_2048"
    evaluation(folder / "reconstruction-x" / "evaluation", "reconstruction", rows, data)
    rows = [{**r, "m": 1024 if r["sampler"] == "none" else r["m"], "n": 500} for r in ROTATION]
    evaluation(
        folder / "registration-x" / "evaluation", "registration", rows, f"car of {MODELNET40}"
    )
    text = bare(written(folder))
    for words in (
        "of ShapeNetCore (clouds of 2048 points), but ours are other test shapes, of another draw "
        "of the split; the difference",
        "about each axis (500 test pairs of 1024 points), but ours are other draws of the pairs; "
        "the difference",
    ):
        assert words in text
    assert (
        "of the same" not in text and "2684 test clouds of 2048 points)</h3>" in text
    )  # of another autoencoder


@pytest.mark.parametrize(
    "ours, theirs, words",
    [
        (82, "79.86", "+2.1"),
        (20, "17.4–20.0", "within"),
        (21, "17.4–20.0", "+1.0"),
        (7, "7.5", "−0.5"),
    ],
)
def test_a_difference_from_a_range_is_from_its_nearer_end(ours, theirs, words):
    assert published.difference(ours, theirs, 1) == words


def test_planned_cells_without_a_number_say_that_they_are_not_run(tmp_path, preset):
    assert "not run" not in bare(written(preset)).lower()
    home = evaluation(
        tmp_path / "paper" / "classification-x" / "evaluation", "classification", ACCURACY, "x"
    )
    planned = {
        ("classification", ""): {"fps": [64, 32], "snet": [64, 32]},
        ("classification", "vanilla"): {"progressivenet": [1024, 64, 4]},
        ("registration", ""): {"samplenet": [256]},
    }

    def sections():
        return bare(
            page.write(tmp_path / "paper", planned=planned, experiments=EXPERIMENTS).read_text()
        ).split("<section ")[1:]

    def line(text, m):
        return re.search(rf'<tr><th scope="row">{m}</th>.*?</tr>', text).group()

    pointnet, vanilla, registration = sections()
    assert line(pointnet, 64).count("not run") == 1 and "<td>51.2</td>" in line(
        pointnet, 64
    )  # S-NET's
    assert line(pointnet, 32).count("not run") == 2 and "not run" not in line(pointnet, 512)
    assert "Not run: retrieval, cost, ablations (bash reproduce.sh classification" in pointnet
    assert "Classification: not run, vanilla" in vanilla and "Not run: retrieval" not in vanilla
    assert "<small>not run</small>" in line(vanilla, 4) and "<td>74</td>" in line(vanilla, 64)
    assert line(vanilla, 64).endswith("<td>poster</td></tr>") and "poster" not in line(
        vanilla, 1024
    )  # a full cloud's
    assert "<small>not run</small>" in line(registration, 256) and "32.5–38" in registration
    assert "bash reproduce.sh registration --preset paper --data-root DIR" in registration
    evaluation(home, "classification", [*ACCURACY, row("fps", 64, 0.5, metric="map_macro")], "x")
    assert "Not run: cost, ablations (" in sections()[0]


def test_results_md_holds_the_tables_between_its_markers_and_nothing_else_changes(preset, tmp_path):
    home = tmp_path / "checkout" / "classification"
    home.mkdir(parents=True)
    own = {"classification": replace(EXPERIMENTS["classification"], folder=home)}
    for name in ("registration-cars", "reconstruction"):
        shutil.rmtree(preset / name)
    for _ in range(2):
        assert page.write_results(preset, own) == [home / "results.md"]
    text = (home / "results.md").read_text()
    assert text.startswith(
        f"# Classification: results\n\n{page.BEGIN}\n\n## Classification: shapes\n"
    )
    assert text.endswith(f"\n\n{page.END}\n") and text.count("82.0 ± 1.4") == 2
    (home / "results.md").write_text(f"above\n{page.BEGIN}\nstale\n{page.END}\nbelow\n")
    page.write_results(preset, own)
    again = (home / "results.md").read_text()
    assert again.startswith("above\n") and again.endswith("\nbelow\n") and "stale" not in again
    (home / "results.md").write_text("no markers")
    with pytest.raises(InputError, match=r"results\.md must have the lines"):
        page.write_results(preset, own)
