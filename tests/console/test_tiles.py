"""samplenet sample --tile: LAS and LAZ files in pieces, against the whole file."""

import resource
import subprocess
import sys

import numpy as np
import pytest

from samplenet import scans
from samplenet.console import cli, tiles
from samplenet.scans import las

laspy = pytest.importorskip("laspy", reason=".las and .laz need laspy")

N = 4000


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(las, "PIECE", 700)


def survey(path, count=N, seed=0, version="1.4"):
    """Write hills of 60 by 40 metres, far from the origin, with an intensity."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 60, count), rng.uniform(0, 40, count)
    z = 3 * np.sin(x / 9) * np.cos(y / 7) + rng.normal(0, 0.05, count)
    cloud = laspy.create(point_format=6, file_version=version)
    cloud.header.offsets, cloud.header.scales = [500000, 5400000, 0], [0.01] * 3
    cloud.x, cloud.y, cloud.z = x + 500000, y + 5400000, z
    cloud.intensity = np.arange(count) % 65536
    cloud.write(path)
    return path


@pytest.fixture
def file(tmp_path):
    return survey(tmp_path / "a.laz")


def run(*words):
    return cli.main([str(word) for text in words for word in str(text).split()])


def indices(file, tmp_path, *flags):
    assert run("sample", file, "-o", tmp_path / "idx.npy", "--indices", *flags) == 0
    return np.load(tmp_path / "idx.npy")


def test_a_grid_by_tiles_is_that_of_the_whole_file(file, tmp_path):
    for cell in (0.7, 3, 100):
        flags = "--sampler grid --cell", cell
        whole = indices(file, tmp_path, *flags)
        for side in (0.1, 8, 13.37, 1000):  # less than a cell, several tiles, one tile
            tiled = indices(file, tmp_path, *flags, "--tile", side)
            assert len(tiled) == len(whole) and {*tiled} == {*whole}


def test_random_points_by_tiles_are_those_of_the_whole_file(file, tmp_path):
    flags = "--sampler random -m 300 --seed 4"
    whole = indices(file, tmp_path, flags)
    np.testing.assert_array_equal(indices(file, tmp_path, flags, "--tile 9"), whole)


def radius(points, idx):
    from scipy.spatial import cKDTree

    return cKDTree(points[idx]).query(points)[0].max()


def test_farthest_points_by_tiles_cover_the_file_and_keep_apart(file, tmp_path):
    pytest.importorskip("scipy", reason="distances need SciPy")
    points = scans.read(file).points
    whole = indices(file, tmp_path, "-m 300")
    for side in (9, 25):
        tiled = indices(file, tmp_path, "-m 300 --tile", side)
        assert len({*tiled.tolist()}) == 300
        assert radius(points, tiled) < 1.5 * radius(points, whole)
        alone = points[tiled][:, None] - points[tiled]
        apart = np.sqrt((alone**2).sum(-1)) + 1e9 * np.eye(300)
        assert apart.min() > 0.5 * radius(points, whole)  # also across the tiles' borders
    assert {*indices(file, tmp_path, "-m 300 --tile 1000")} == {*whole}  # one tile


@pytest.mark.parametrize("sampler", ["greedy", "samplenet"])
def test_networks_sample_each_tile(file, tmp_path, sampler):
    if sampler == "samplenet":
        pytest.importorskip("torch", reason="a trained sampler needs a framework")
    tiled = indices(file, tmp_path, f"-m 40 --tile 25 --sampler {sampler}")
    assert len({*tiled.tolist()}) == 40


@pytest.mark.parametrize("extension", [".las", ".laz"])
def test_records_are_those_of_the_file(file, tmp_path, extension):
    flags = "sample", file, "--sampler random -m 50"
    assert run(*flags, "-o", tmp_path / f"whole{extension}") == 0
    assert run(*flags, "-o", tmp_path / f"tiled{extension}", "--tile 10") == 0
    whole, tiled = (laspy.read(tmp_path / f"{name}{extension}") for name in ("whole", "tiled"))
    assert (whole.points.array == tiled.points.array).all() and len(whole.points) == 50
    assert whole.header.scales.tolist() == tiled.header.scales.tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["a.laz", f"whole{extension}", f"tiled{extension}"]
    )


def test_a_folder_is_sampled_tile_by_tile(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    survey(tmp_path / "in" / "a.laz")
    survey(tmp_path / "in" / "b.las", seed=1)
    (tmp_path / "in" / "c.las").write_bytes((tmp_path / "in" / "b.las").read_bytes()[:-3000])
    np.save(tmp_path / "in" / "d.npy", np.eye(3))
    flags = "sample", tmp_path / "in", "-o", tmp_path / "out", "-m 60"
    assert run(*flags, "--tile 20 --jobs 2") == 2
    captured = capsys.readouterr()
    assert "2 of 4 clouds sampled" in captured.out
    assert "c.las is damaged or cut off" in captured.err
    assert "d.npy: --tile is for .las and .laz files" in captured.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.laz", "b.las"]
    assert all(len(laspy.read(path).points) == 60 for path in (tmp_path / "out").iterdir())


def test_wrong_tiles_are_one_sentence(file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tiles, "MAX_TILES", 5)
    for flags, words in (
        ("-m 9 --tile 0", "--tile must be a length above 0, got 0"),
        ("-m 9 --tile 1", "tiles of that side are more than 5; give larger ones"),
        ("-m 9 --sampler grid --tile 9", "--tile needs --cell for --sampler grid"),
        (f"-m {N + 1} --tile 50", f"has {N} points; -m asks for {N + 1}"),
    ):
        assert run("sample", file, "-o", tmp_path / "b.laz", flags) == 2
        captured = capsys.readouterr().err
        assert captured.count("\n") == 1 and words in captured
    assert run("sample", file, "-o", tmp_path / "b.ply", "-m 9 --tile 50") == 2
    assert "b.ply: --tile writes .las, .laz or --indices" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.laz"]  # nothing is left


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path):
    peaks = []
    for count in (2_000_000, 8_000_000):
        survey(tmp_path / "a.las", count)
        command = [sys.executable, "-m", "samplenet", "sample", tmp_path / "a.las", "-o"]
        command += [tmp_path / "b.las", "--sampler", "grid", "--cell", "0.5", "--tile", "10"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        subprocess.run([str(word) for word in command], check=True)
        peaks.append(max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
    assert peaks[1] < 1.5 * peaks[0]
