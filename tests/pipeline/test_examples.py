"""The examples run as their README says and print what they should."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
ACCURACIES = r"""all 128 points: accuracy (0\.\d\d|1\.00)
4 points, random: accuracy (0\.\d\d|1\.00)
4 points, FPS: accuracy (0\.\d\d|1\.00)
4 points, SampleNet: accuracy (0\.\d\d|1\.00)
"""
TUNED = r"loss (\d\.\d\d), accuracy (0\.\d\d|1\.00) on 4 matched points\n"


@pytest.fixture
def printed(serve_scripts):
    """Return a function that runs an example for the numbers it prints, the pattern's groups."""

    def run(name, pattern, framework="torch"):
        pytest.importorskip({"tf": "tensorflow"}.get(framework, framework))
        text = serve_scripts(framework).run(FOLDER / f"{name}.py")
        found = re.fullmatch(pattern, text)
        assert found, text
        return [float(number) for number in found.groups()]

    return run


def test_a_sampler_in_front_of_a_keras_model(printed):
    lines = r"loss (\d+\.\d\d) -> (\d+\.\d\d)\n" + ACCURACIES
    first, last, whole, random, _, learned = printed("keras_model", lines, "tf")
    assert last < first / 4
    assert whole > 0.9 and learned > random


def test_a_sampler_in_a_set_abstraction_layer(printed):
    losses = r"{0}, step 0: cross entropy (\d\.\d\d)\n{0}, step 30: cross entropy (\d\.\d\d)\n"
    losses += r"{0}: 16 distinct input points are the centres at inference\n"
    found = printed("pointnet2", losses.format("FPS") + losses.format("SampleNet"))
    assert found[1] < found[0] / 3 and found[3] < found[2] / 3


def test_joint_fine_tuning(printed):
    frozen, _, tuned, correct = printed(
        "joint_finetuning", f"sampler trained, classifier frozen: {TUNED}both fine-tuned: {TUNED}"
    )
    assert tuned < frozen and correct > 0.8


def test_features_carried_through_the_projection(printed):
    (share,) = printed(
        "features",
        r"projected: points \(2, 32, 3\), features \(2, 32, 2\)\nsame weights: True\n"
        r"the temperature learns from features: True\n"
        r"matched: features \(2, 32, 2\), those of the points: True\n"
        r"back on all points: \(2, 1024, 3\), right part for (\d+)%\n",
    )
    assert share > 60


def test_the_table_names_every_example():
    named = re.findall(r"^\| `[^`]*examples/([\w.]+)", (FOLDER / "README.md").read_text(), re.M)
    assert sorted(named) == sorted(
        path.name for path in FOLDER.iterdir() if path.suffix in (".py", ".ipynb")
    )


def test_colours_and_parts_carried_to_sampled_points(printed):
    pytest.importorskip("embreex", reason="embreex is not installed: no mesh has colours")
    line = r"{}: {} points; off the nearest point's colour by (\d\.\d+), its part for (\d+)%\n"
    names = {"1,024 points": 1024, "FPS": 128, "SampleNet, matched": 128}
    lines = [line.format(*named) for named in (names | {"SampleNet, projected": 128}).items()]
    *picked, off, right = printed("coloured_points", "".join(lines), "tf")
    assert picked == 3 * [0, 100]  # input points keep what they have
    assert 0 < off < 0.05 and right > 90
