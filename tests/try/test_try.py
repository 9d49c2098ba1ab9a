"""The page of docs/try in headless Chromium, against the console command."""

import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from samplenet import InputError, frozen, normalise, scans
from samplenet.console import cli, serve
from samplenet.data import shapes

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("browser", Path(__file__).with_name("browser.py"))
browser = importlib.util.module_from_spec(spec)
spec.loader.exec_module(browser)


def drawn(canvas: str) -> str:
    """Return an expression: the number of pixels of a canvas that are not empty."""
    return f"""(async () => {{
        const copy = document.createElement("canvas");
        const from = document.querySelector("{canvas}");
        [copy.width, copy.height] = [from.width, from.height];
        const context = copy.getContext("2d");
        context.drawImage(from, 0, 0);
        const {{ data }} = context.getImageData(0, 0, copy.width, copy.height);
        return data.filter((value, i) => i % 4 === 3 && value > 0).length;
    }})()"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build the page."""
    if not browser.CHROMIUM:
        pytest.skip("no chromium or google-chrome to open the page in")
    if not shutil.which("npm"):
        pytest.skip("no npm to fetch the page's parts")
    for package in ("torch", "onnx", "onnxruntime"):
        pytest.importorskip(package, reason=f"building the page needs {package}")
    folder = tmp_path_factory.mktemp("try") / "built"
    command = ["bash", ROOT / "docs/try/build.sh", folder]
    done = subprocess.run(
        command, env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True
    )
    for fault in ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT"):
        if fault in done.stderr:
            pytest.skip(f"npm cannot fetch the page's parts: {fault}")
    assert not done.returncode, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def page(built):
    """Open the page and wait for its first sample."""
    with serve.server(built) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        opened = browser.Browser()
        try:
            opened.open(f"http://127.0.0.1:{server.server_port}/")
            opened.wait("window.page?.state.ready")
            yield opened
        finally:
            opened.close()
            server.shutdown()


def sample(page, path, m=None):
    """Drop a file and return the indices of SampleNet and FPS."""
    page.drop(path)
    page.wait(f"document.querySelector('#status').textContent.startsWith('{path.name}: ')")
    if m:
        page.run(f"page.state.m = {m}")
    return [np.array(page.run(f"page.chosen('{name}')")) for name in ("samplenet", "fps")]


def command(path, sampler, m, folder):
    out = folder / "idx.npy"
    words = f"sample {path} --sampler {sampler} -m {m} -o {out} --indices"
    assert (
        cli.main([*words.split(), *(["--framework", "torch"] if sampler == "samplenet" else [])])
        == 0
    )
    return np.load(out)


def near_tie(path, ours, theirs, m):
    """Return whether two orders first part where two points are as good but for rounding.

    Good is: as near to one of the simplified points, or as far from the points picked before.
    """
    import torch

    import samplenet

    scan = scans.read(path)
    cloud = normalise(scan.points[scan.finite][None])
    at = int(np.flatnonzero(ours != theirs)[0])
    rank = np.cumsum(scan.finite) - 1
    pair = cloud[0, rank[[ours[at], theirs[at]]]].astype(float)
    sampler = samplenet.load_pretrained("classification-progressive", framework="torch")
    with torch.no_grad():
        queries = sampler.simplify(torch.from_numpy(cloud))[0].numpy().astype(float)
    for centres in (queries, cloud[0, rank[ours[:at]]].astype(float)):
        distances = np.linalg.norm(pair[:, None] - centres, axis=2)
        if (np.abs(distances[0] - distances[1]) < 1e-5).any():
            return True
    return False


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Write a cloud with colours and normals in each format that the page reads."""
    folder = tmp_path_factory.mktemp("clouds")
    points = shapes.generate("table", 3, split="test", num_points=3000)
    kinds = [(name, "f4") for name in ("x", "y", "z", "nx", "ny", "nz")]
    kinds += [(name, "u1") for name in ("red", "green", "blue")]
    rows = np.zeros(3000, kinds)
    for axis, column in zip("xyz", points.T, strict=True):
        rows[axis] = 7 * column + 100
    rows["x"][[5, 70]] = np.nan  # left out, but counted by indices
    rows["red"], rows["ny"] = np.arange(3000) % 256, 1
    scan = scans.Scan(rows)
    for name in ("a.ply", "a.pcd"):
        scans.write(folder / name, scan)
    words = [" ".join(map(str, row)) for row in rows.tolist()]
    names = [f"property {'uchar' if kind == 'u1' else 'float'} {name}" for name, kind in kinds]
    head = ["ply", "format ascii 1.0", f"element vertex {len(rows)}", *names, "end_header"]
    (folder / "ascii.ply").write_text("\n".join([*head, *words, ""]))
    (folder / "a.xyz").write_text("\n".join(words))
    np.save(folder / "a.npy", np.stack([rows[axis] for axis in "xyz"], 1))
    np.save(folder / "double.npy", np.asfortranarray(points.astype(float) * 3 + 1000.1))
    return folder


FILES = ["a.ply", "ascii.ply", "a.pcd", "a.xyz", "a.npy", "double.npy"]


@pytest.mark.parametrize("name", FILES)
def test_the_page_picks_the_points_of_the_command(page, files, tmp_path, name):
    for m in (32, 200):
        ours, farthest = sample(page, files / name, m)
        np.testing.assert_array_equal(farthest, command(files / name, "fps", m, tmp_path))
        theirs = command(files / name, "samplenet", m, tmp_path)
        assert len(set(ours.tolist())) == m
        assert (ours == theirs).all() or near_tie(files / name, ours, theirs, m)
    assert not page.messages


def test_a_saved_sample_keeps_every_column(page, files, tmp_path):
    for name in ("a.ply", "a.pcd"):
        idx, _ = sample(page, files / name, 40)
        packed = page.run("""page.writePly(page.state.cloud, page.chosen("samplenet")).arrayBuffer()
            .then((buffer) => Array.from(new Uint8Array(buffer)))""")
        (tmp_path / "saved.ply").write_bytes(bytes(packed))
        saved, whole = (
            scans.read(tmp_path / "saved.ply").rows,
            scans.read(files / "a.ply").rows[idx],
        )
        assert saved.dtype == whole.dtype
        np.testing.assert_array_equal(saved, whole)


def test_the_slider_changes_what_is_drawn_and_said(page, built):
    page.run("[...document.querySelectorAll('#shapes button')].at(-1).click()")
    page.wait("document.querySelector('#status').textContent.startsWith('table: ')")
    network = frozen.load("classification")
    cloud = np.load(built / "shapes/table.npy")
    for value in (100, 900):
        page.run(f"""document.querySelector("#slider").value = {value};
            document.querySelector("#slider").dispatchEvent(new Event("input"))""")
        page.wait("document.querySelector('#m').textContent === String(page.state.m)")
        page.wait("page.state.shown === page.state.m")
        for sampler in ("samplenet", "fps", "random"):
            idx = page.run(f"page.chosen('{sampler}')")
            features = network.late_features(network.early_features(cloud[idx]))
            answer = shapes.CLASSES[network.answer(features.max(0)).argmax()].replace("_", " ")
            said = page.run(f"document.querySelector('.{sampler} .label b').textContent")
            assert said == answer
            assert page.run(drawn(f".{sampler} canvas")) > 500
    few, many = 4 * 256**0.1, 4 * 256**0.9
    assert round(many) == page.run("page.state.m") and round(few) < 10
    assert not page.messages


def test_the_views_turn_together(page):
    picture = "[...document.querySelectorAll('canvas')].map((canvas) => canvas.toDataURL())"
    before = page.run(picture)
    page.run("""document.querySelector(".fps canvas").dispatchEvent(
        new KeyboardEvent("keydown", { key: "ArrowLeft" }))""")
    page.run("new Promise((resolve) => setTimeout(resolve, 300))")
    for old, new in zip(before, page.run(picture), strict=True):
        assert old != new


def test_faults_are_sentences(page, files, tmp_path):
    whole = (files / "a.ply").read_bytes()
    faults = {
        "cut.ply": (whole[: len(whole) // 2], "is cut off: it holds"),
        "empty.xyz": (b"", "is empty"),
        "words.xyz": (b"1 2 3\n4 five 6\n", "line 2 holds 'five', which is not a number"),
        "few.xyz": (b"1 2 3\n" * 9, "has 9 points"),
        "not.ply": (b"hello", "is not a PLY file"),
        "scan.las": (b"LASF", "reads .ply, .xyz, .npy and .pcd"),
        "short.npy": (b"\x93NUM", "is not a .npy file"),
    }
    for name, (content, sentence) in faults.items():
        (tmp_path / name).write_bytes(content)
        page.drop(tmp_path / name)
        page.wait("document.querySelector('#status.bad')")
        page.wait(f"document.querySelector('#status').textContent.includes({sentence!r})", 5)
        assert name in page.run("document.querySelector('#status').textContent")
    sample(page, files / "a.npy")  # and it goes on
    assert not page.run("document.querySelector('#status').className") and not page.messages


def test_large_clouds_are_thinned_and_the_page_says_so(page, tmp_path):
    np.save(tmp_path / "large.npy", shapes.generate("car", 1, num_points=20000))
    ours, _ = sample(page, tmp_path / "large.npy", 128)
    assert len(set(ours.tolist())) == 128 and ours.max() > 16384
    assert "16,384 drawn at random" in page.run("document.querySelector('#note').textContent")


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_it_all(page, dark):
    page.resize(390, 844, dark)
    page.run("new Promise((resolve) => setTimeout(resolve, 300))")
    assert page.run("document.documentElement.scrollWidth") <= 390
    page.resize(1366, 900)


@pytest.mark.slow
def test_the_largest_cloud_that_is_sampled_whole(page, tmp_path):
    np.save(tmp_path / "whole.npy", shapes.generate("sofa", 2, num_points=16384))
    ours, farthest = sample(page, tmp_path / "whole.npy", 1024)
    np.testing.assert_array_equal(farthest, command(tmp_path / "whole.npy", "fps", 1024, tmp_path))
    theirs = command(tmp_path / "whole.npy", "samplenet", 1024, tmp_path)
    assert (ours == theirs).all() or near_tie(tmp_path / "whole.npy", ours, theirs, 1024)


def test_a_page_that_is_not_built_is_named_with_the_command_that_builds_it(tmp_path, capsys):
    with pytest.raises(InputError, match="bash docs/try/build.sh"):
        serve.server(tmp_path)
    assert cli.main(["try", "--folder", str(tmp_path), "--no-open"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
