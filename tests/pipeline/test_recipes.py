"""The longer examples run as they say, on data that the tests make."""

import re
from pathlib import Path

import numpy as np
import pytest

from samplenet.data import convert

FOLDER = Path(__file__).parents[2] / "examples"
SHARE = r"(0\.\d\d|1\.00)"


def accuracies(text, n, m):
    """Return what an example prints of all points, of random and farthest ones, and of ours."""
    samplers = ("random", "(?:FPS|farthest points)", "SampleNet")
    names = [f"all {n} points", *(f"{m} points, {name}" for name in samplers)]
    lines = "".join(f"{name}: accuracy {SHARE}\n" for name in names)
    found = re.search(lines, text)
    assert found, text
    return [float(share) for share in found.groups()]


def test_a_classifier_of_ones_own(serve_scripts):
    pytest.importorskip("torch")
    text = serve_scripts("torch").run(FOLDER / "own_classifier.py", "--epochs 25")
    whole, random, farthest, learned = accuracies(text, 256, 16)
    assert whole > 0.9 and learned > farthest > random


def test_a_classifier_of_ones_own_on_scans_of_ones_own(tmp_path, serve_scripts):
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for name, scale in (("flat", (3, 3, 0.1)), ("round", (1, 1, 1))):
        (tmp_path / "scans" / name).mkdir(parents=True)
        for i in range(10):
            np.savetxt(tmp_path / "scans" / name / f"{i}.xyz", rng.normal(size=(80, 3)) * scale)
    convert.main([str(tmp_path / "scans"), "--out", str(tmp_path / "data"), "--num-points", "64"])
    flags = ["--num-points 64 -m 4 --task-epochs 20 --epochs 2 --data-root", tmp_path / "data"]
    whole, *_ = accuracies(serve_scripts("torch").run(FOLDER / "own_classifier.py", *flags), 64, 4)
    assert whole == 1
