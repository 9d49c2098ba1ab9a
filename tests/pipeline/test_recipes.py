"""The longer examples run as they say, on data that the tests make."""

import ast
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from samplenet.data import convert

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples"
SHARE = r"(0\.\d\d|1\.00)"


def accuracies(text, n, m):
    """Return what an example prints of all points, of random and farthest ones, and of ours."""
    samplers = ("random", "(?:FPS|farthest points)", "SampleNet")
    names = [f"all {n} points", *(f"{m} points, {name}" for name in samplers)]
    lines = "".join(f"{name}: accuracy {SHARE}\n" for name in names)
    found = re.search(lines, text)
    assert found, text
    return [float(share) for share in found.groups()]


def test_the_notebook_runs(tmp_path, serve_scripts):
    nbformat = pytest.importorskip("nbformat")
    for package in ("torch", "plotly", "onnxruntime"):
        pytest.importorskip(package)
    notebook = nbformat.read(FOLDER / "try.ipynb", nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells)
    script = tmp_path / "try.py"
    script.write_text("\n".join(cell.source for cell in cells))
    text = serve_scripts("torch").run(script, prepare=f"os.chdir({str(tmp_path)!r})")
    whole, random, farthest, learned = accuracies(text, 256, 4)
    assert whole > 0.9 and learned > farthest > random
    (same,) = re.findall(r"picks the points that PyTorch picks for (\d+) of 120 clouds", text)
    assert int(same) > 115  # roundings may decide between two points
    assert (tmp_path / "sampler.onnx").is_file()


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


def test_a_sampler_of_ones_own_comes_into_the_table(
    tmp_path, serve_scripts, shapes_folder, read_results
):
    pytest.importorskip("tensorflow")
    prepare = f"os.chdir({str(tmp_path)!r})\nimport samplenet.report.png as png\n"
    prepare += "png.draw = lambda figure: bytes(200)"  # figures take seconds
    printed = ast.get_docstring(ast.parse((FOLDER / "own_sampler.py").read_text()))
    commands = re.findall(r"^ *python (\S+) (.*)$", printed.replace("\\\n", ""), re.M)
    assert len(commands) == 3
    for script, flags in commands:
        data = ["--data-root", shapes_folder] if "evaluate" in script else []
        serve_scripts("tf").run(ROOT / script, flags, *data, prepare=prepare)
    rows = read_results(tmp_path / "results" / "curvature")["rows"]
    scored = {(row["sampler"], row["m"], row["protocol"]) for row in rows}
    sampled = {(name, 32, "matched") for name in ("random", "fps", "curvature")}
    assert scored == {("none", 1024, "matched")} | sampled


def test_the_points_are_drawn_to_where_the_surface_bends():
    recipe = runpy.run_path(str(FOLDER / "own_sampler.py"))
    side = np.linspace(0, 1, 12)
    x, y = (values.ravel() for values in np.meshgrid(side, side))
    flat, roof = np.stack([x, y, 0 * x], 1), np.stack([x, y, -abs(x - 0.5)], 1)
    assert np.allclose(recipe["curvature"](flat), 0)
    ridge = abs(x - 0.5) < 0.1
    assert recipe["curvature"](roof)[ridge].min() > recipe["curvature"](roof)[x < 0.2].max()
    twice = np.repeat(flat[:3], 2, 0)  # fewer points than neighbours, each there twice
    assert sorted(recipe["choose"](twice, 6)) == [0, 1, 2, 3, 4, 5]
