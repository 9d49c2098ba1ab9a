"""The slider over m on the page of samplenet view."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from samplenet import pretrained
from samplenet.console import cli, flags, pick, view
from samplenet.data import shapes

pytest.importorskip("plotly", reason="pages need plotly")
BROWSER = Path(__file__).parents[1] / "try" / "browser.py"
SLIDER = 'type="range"'


@pytest.fixture(scope="module")
def chair(tmp_path_factory):
    """Write 1000 points of a chair, the first of them not a number."""
    points = shapes.generate("chair", 0, split="test", num_points=1000)
    points[0] = np.nan
    path = tmp_path_factory.mktemp("clouds") / "chair.npy"
    np.save(path, points)
    return path


def page(path, *words):
    """Return the file of the page that `samplenet view` writes."""
    out = path.with_name("page.html")
    assert cli.main(["view", str(path), "-o", str(out), "--no-open", *map(str, words)]) == 0
    return out


def picked(path, sampler, m):
    """Return the indices that `samplenet sample` writes."""
    out = path.with_name("idx.npy")
    words = ["sample", path, "--sampler", sampler, "-m", m, "-o", out, "--indices"]
    assert cli.main([*map(str, words)]) == 0
    return np.load(out)


@pytest.mark.parametrize("sampler", ["fps", "random", "greedy", "samplenet"])
def test_the_first_points_are_the_sample_of_fewer_where_there_is_a_slider(chair, sampler):
    if sampler == "samplenet":
        pytest.importorskip("torch", reason="sampling by a network needs PyTorch")
    most = picked(chair, sampler, 200)
    for m in (1, 5, 128, 199):
        np.testing.assert_array_equal(picked(chair, sampler, m), most[:m])
    text = page(chair, "--sampler", sampler, "-m", 200).read_text()
    by = "classification-progressive" if sampler == "samplenet" else sampler
    assert SLIDER in text and f"200 by {by}" in text
    assert ("200 farthest points" in text) == (sampler in flags.BY_NETWORK)


def test_other_samples_have_none(chair):
    pytest.importorskip("torch", reason="sampling by a network needs PyTorch")
    sample = chair.with_name("sample.npy")
    np.save(sample, np.load(chair)[5:9])
    for words in (
        ["--sampler", "grid", "-m", "20"],
        ["--sampler", "grid", "--cell", "0.3"],
        ["--sample", sample],
        ["-m", "1"],
        ["--weights", "classification-progressive", "-m", "1"],
        [],
    ):
        assert SLIDER not in page(chair, *words).read_text()


def test_a_sampler_is_nested_only_where_its_smaller_samples_are_prefixes(monkeypatch):
    pytest.importorskip("torch", reason="sampling by a network needs PyTorch")
    monkeypatch.setattr(pick, "MAX_WHOLE_CLOUD", 300)
    points = shapes.generate("car", 1, split="test", num_points=400)
    for weights, n, m, fewer in (
        ("classification-progressive", 300, 200, 30),
        ("classification-progressive", 400, 200, 130),  # one patch, thinned
        ("classification-progressive", 400, 256, 100),  # two patches
        ("classification-progressive", 100, 100, 10),  # all points, in their own order
        ("classification-32", 400, 63, 40),
    ):
        large, small = (pick.SampleNetPicker(weights, size, "torch") for size in (m, fewer))
        same = np.array_equal(large(points[:n])[:fewer], small(points[:n]))
        assert large.nested(n) == (same and not large.fixed_size)


def test_trained_weights_sample_their_own_m_unless_another_is_asked_for(chair, capsys):
    pytest.importorskip("torch", reason="sampling by a network needs PyTorch")
    for weights in pretrained.list_weights():
        text = page(chair, "--weights", weights).read_text()
        assert f"{pretrained.card(weights)['m']} by {weights}" in text
        assert (SLIDER in text) == weights.endswith("-progressive")
    capsys.readouterr()
    words = ["view", str(chair), "--no-open", "-o", "a.html"]
    for sampler in ("greedy", "fps", "random", "grid"):
        assert cli.main([*words, "--sampler", sampler]) == 2
        assert "-m is needed" in capsys.readouterr().err
    assert cli.main([*words, "--sample", "s.ply", "--weights", "classification-32"]) == 2
    assert "give either --sample, or -m" in capsys.readouterr().err


def test_progressive_weights_show_all_points_of_a_smaller_cloud(chair, capsys):
    pytest.importorskip("torch", reason="sampling by a network needs PyTorch")
    small = chair.with_name("small.npy")
    np.save(small, np.load(chair)[:100])
    text = page(small, "--weights", "classification-progressive").read_text()
    assert "99 by classification-progressive" in text  # the first is not a number
    assert cli.main(["view", str(small), "--weights", "classification-progressive", "-m128"]) == 2
    assert "of which 99 are finite; -m asks for 128" in capsys.readouterr().err


def test_the_name_of_a_task_network_chooses_greedy(chair):
    assert "8 by greedy" in page(chair, "--weights", "classification", "-m", 8).read_text()
    out = chair.with_name("named.npy")
    words = ["--weights", "registration", "-m", "8", "-o", str(out), "--indices"]
    assert cli.main(["sample", str(chair), *words]) == 0


@pytest.fixture(scope="module")
def opened(chair):
    """Open the page of a progressive sampler, whose slider ends at 128."""
    pytest.importorskip("torch", reason="sampling by a network needs PyTorch")
    spec = importlib.util.spec_from_file_location("browser", BROWSER)
    browser = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(browser)
    if not browser.CHROMIUM:
        pytest.skip("no chromium or google-chrome to open the page in")
    opened = browser.Browser()
    try:
        opened.open(page(chair, "--weights", "classification-progressive").as_uri())
        opened.wait("document.querySelector('input[type=range]')")
        yield opened
    finally:
        opened.close()


def slide(opened, m):
    opened.run(f"""(() => {{
        const slider = document.querySelector("input[type=range]");
        slider.value = {m};
        slider.dispatchEvent(new Event("input"));
    }})()""")
    opened.wait(f"document.querySelector('output').textContent === '{m}'")


def pixels(opened, color):
    """Count the figure's pixels that are nearly of a colour."""
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return opened.run(f"""(async () => {{
        const image = new Image();
        image.src = await Plotly.toImage("figure", {{ format: "png", width: 800, height: 800 }});
        await image.decode();
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [800, 800];
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        const {{ data }} = context.getImageData(0, 0, 800, 800);
        const near = (i) => {rgb}.every((value, c) => Math.abs(data[i + c] - value) < 40);
        return [...Array(640000).keys()].filter((i) => near(4 * i)).length;
    }})()""")


def test_the_slider_starts_at_few_points(opened):
    assert opened.run("document.querySelector('input[type=range]').value") == "32"
    assert opened.run("document.querySelector('output').textContent") == "32"
    opened.wait("document.querySelector('.legend').textContent.includes('32 by classification-')")


def test_the_slider_changes_what_is_drawn(chair, opened):
    cloud, counts = np.load(chair), []
    low, high = np.nanmin(cloud, 0), np.nanmax(cloud, 0)
    placed = (cloud - (low + high) / 2) / ((high - low).max() / 2)
    for m in (1, 20, 128):
        slide(opened, m)
        for trace, sampler in ((1, "samplenet"), (2, "fps")):
            drawn = opened.run(f"""(() => {{
                const {{ x, y, z }} = document.getElementById("figure")._fullData[{trace}];
                return [x, y, z];
            }})()""")
            expected = placed[picked(chair, sampler, m)]
            np.testing.assert_allclose(np.transpose(drawn), expected, atol=1e-3)
        legend = opened.run("document.querySelector('.legend').textContent")
        assert f"{m} by classification-progressive" in legend
        assert f"{m} farthest points (FPS)" in legend
        counts.append(pixels(opened, view.PICKED))
    assert counts == sorted({*counts})
    assert not opened.messages


def test_the_page_fits_a_screen_and_a_phone(opened):
    for width, height in ((1366, 900), (390, 844)):
        opened.resize(width, height)
        opened.wait(f"document.querySelector('.main-svg').getBoundingClientRect().width <= {width}")
        assert opened.run("document.documentElement.scrollWidth") <= width
        slider = opened.run("document.querySelector('input').getBoundingClientRect().toJSON()")
        assert slider["top"] > 0 and slider["bottom"] <= height and slider["width"] > 150
    assert not opened.messages


def seen(opened):
    """Return where the drawn cloud starts and ends, from the left, and the figure's width."""
    return opened.run("""(async () => {
        const figure = document.getElementById("figure");
        const { width, height } = figure.getBoundingClientRect();
        const image = new Image();
        image.src = await Plotly.toImage(figure, { format: "png", width, height });
        await image.decode();
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [width, height];
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        // without the title above and the legend below
        const [top, rows] = [Math.round(0.2 * height), Math.round(0.55 * height)];
        const { data } = context.getImageData(0, top, width, rows);
        const filled = [];
        for (let i = 0; i < data.length / 4; i++) {
          if (data[4 * i + 3] && data[4 * i] < 200) filled.push(i % Math.floor(width));
        }
        const ends = [Math.min, Math.max].map((end) => filled.reduce((a, b) => end(a, b)));
        return [...ends, width];
    })()""")


def test_a_narrow_screen_shows_the_whole_cloud(tmp_path, opened):
    np.save(tmp_path / "table.npy", shapes.generate("table", 3, split="test", num_points=1000))
    opened.resize(390, 844)
    opened.open(page(tmp_path / "table.npy", "-m", 32).as_uri())
    opened.wait("document.querySelector('input[type=range]')")
    left, right, width = seen(opened)
    assert 0.05 * width < left < right - 0.4 * width and right < 0.95 * width
