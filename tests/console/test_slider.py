"""The slider over m on the page of samplenet view."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from samplenet import pretrained
from samplenet.console import cli, pick, view
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
    assert SLIDER in text and "200 sampled" in text
    assert ("200 farthest points" in text) == (sampler in cli.BY_NETWORK)


def test_other_samples_have_none(chair):
    sample = chair.with_name("sample.npy")
    np.save(sample, np.load(chair)[5:9])
    for words in (
        ["--sampler", "grid", "-m", "20"],
        ["--sampler", "grid", "--cell", "0.3"],
        ["--sample", sample],
        ["-m", "1"],
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
        assert f"{pretrained.card(weights)['m']} sampled" in text
        assert (SLIDER in text) == weights.endswith("-progressive")
    capsys.readouterr()
    words = ["view", str(chair), "--no-open", "-o", "a.html"]
    assert cli.main([*words, "--sampler", "greedy"]) == 2
    assert "-m is needed" in capsys.readouterr().err
    assert cli.main([*words, "--sample", "s.ply", "--weights", "classification-32"]) == 2
    assert "give either --sample, or -m" in capsys.readouterr().err


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
        assert f"{m} sampled" in legend and f"{m} farthest points (FPS)" in legend
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
