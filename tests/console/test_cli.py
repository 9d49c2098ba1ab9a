"""The console command: samplenet sample, samplenet view."""

import errno
import gzip
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from samplenet import InputError, scans
from samplenet.console import cli, pick, work
from samplenet.data import shapes


@pytest.fixture
def cloud(tmp_path):
    """Write chair.ply: 600 points, with a colour and far from the origin."""
    points = shapes.generate("chair", 0, split="test", num_points=600)
    rows = np.zeros(
        600, [("x", "f8"), ("y", "f8"), ("z", "f8"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
    )
    for axis, column in zip("xyz", points.T, strict=True):
        rows[axis] = 3 * column.astype(float) + 1000.123
    rows["red"] = np.arange(600) % 256
    path = tmp_path / "chair.ply"
    scans.write(path, scans.Scan(rows))
    return path


def run(*words):
    return cli.main(" ".join(map(str, words)).split())


def refused(capsys, *words):
    """Return the sentence that a command ends with."""
    assert run(*words) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("samplenet: error: ") and captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize("sampler", ["fps", "random", "grid"])
def test_samples_are_rows_of_the_input(cloud, tmp_path, sampler, capsys):
    out = tmp_path / "out.ply"
    assert run(f"sample {cloud} --sampler {sampler} -m 50 -o {out}") == 0
    assert "50 of 600 points" in capsys.readouterr().out
    assert run(f"sample {cloud} --sampler {sampler} -m 50 -o {tmp_path / 'idx.npy'} --indices") == 0
    idx = np.load(tmp_path / "idx.npy")
    assert len(set(idx.tolist())) == 50
    np.testing.assert_array_equal(scans.read(out).rows, scans.read(cloud).rows[idx])


def test_the_output_has_the_format_of_its_extension(cloud, tmp_path):
    run(f"sample {cloud} -m 5 -o {tmp_path / 'a.xyz'}")
    idx = pick.farthest_points(scans.read(cloud).points, 5)
    np.testing.assert_array_equal(
        scans.read(tmp_path / "a.xyz").points, scans.read(cloud).points[idx]
    )
    run(f"sample {cloud} -m 5 --indices -o {tmp_path / 'a.txt'}")
    assert (tmp_path / "a.txt").read_text().split() == [str(i) for i in idx]


def test_random_draws_follow_the_seed(cloud, tmp_path):
    for seed, name in ((0, "a"), (0, "b"), (1, "c")):
        run(f"sample {cloud} --sampler random -m 9 --seed {seed} -o {tmp_path / name}.npz")
    a, b, c = (scans.read(tmp_path / f"{name}.npz").points.tolist() for name in "abc")
    assert a == b != c


def test_a_folder_is_sampled_into_a_folder_and_one_bad_file_stops_no_other(cloud, tmp_path, capsys):
    folder, out = tmp_path / "in", tmp_path / "out"
    (folder / "deep").mkdir(parents=True)
    cloud.rename(folder / "deep" / "chair.ply")
    np.save(folder / "b.npy", np.random.default_rng(0).normal(size=(90, 3)))
    (folder / "cut.ply").write_bytes((folder / "deep" / "chair.ply").read_bytes()[:-1])
    (folder / "notes.md").write_text("no cloud")
    assert run(f"sample {folder} -m 40 -o {out}") == 2
    captured = capsys.readouterr()
    assert "cut.ply is cut off" in captured.err and "2 of 3 clouds sampled" in captured.out
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*.*")) == ["b.npy", "deep/chair.ply"]
    assert len(scans.read(out / "b.npy").rows) == 40
    assert (
        run(
            "sample",
            folder / "b.npy",
            folder / "deep" / "chair.ply",
            "-m",
            4,
            "--indices",
            "-o",
            tmp_path / "i",
        )
        == 0
    )
    assert sorted(p.name for p in (tmp_path / "i").iterdir()) == ["b.npy", "chair.npy"]


def test_a_folder_of_one_file_is_sampled_into_a_new_folder(cloud, tmp_path):
    for name in ("one/a.ply", "two/deep/a.ply"):
        source = tmp_path / "in" / name
        source.parent.mkdir(parents=True)
        source.write_bytes(cloud.read_bytes())
        folder = tmp_path / "in" / name[:3]
        assert run(f"sample {folder} -m 4 -o {tmp_path / 'out' / name[:3]}") == 0
        assert len(scans.read(tmp_path / "out" / name).rows) == 4


def test_a_second_run_does_not_sample_what_the_first_wrote(cloud, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for m in (40, 20):
        assert run(f"sample . -m {m} -o samples") == 0
    assert [str(path) for path in (tmp_path / "samples").rglob("*")] == [
        str(tmp_path / "samples" / "chair.ply")
    ]
    assert len(scans.read(tmp_path / "samples" / "chair.ply").rows) == 20
    assert run("sample samples -m 10 -o fewer") == 0
    assert "is the input" in refused(capsys, "sample samples -m 10 -o samples")
    (tmp_path / "samples" / "deep").mkdir()
    (tmp_path / "samples" / "deep" / "a.ply").write_bytes(cloud.read_bytes())
    assert run("sample samples/deep -m 10 -o samples") == 0  # asked for by name
    assert len(scans.read(tmp_path / "samples" / "a.ply").rows) == 10


def test_faults_are_reported_in_a_sentence(cloud, tmp_path, capsys):
    out = tmp_path / "out.ply"
    assert "has 600 points; -m asks for 601" in refused(capsys, f"sample {cloud} -m 601 -o {out}")
    assert "-m must be at least 1, got 0" in refused(capsys, f"sample {cloud} -m 0 -o {out}")
    assert "-m is needed" in refused(capsys, f"sample {cloud} -o {out}")
    assert "extension must be one of" in refused(
        capsys, f"sample {cloud} -m 5 -o {tmp_path / 'out.obj'}"
    )
    assert "one of .npy .txt" in refused(capsys, f"sample {cloud} -m 5 --indices -o {out}")
    assert "out.ply cannot be written: cannot create the folder" in refused(
        capsys, f"sample {cloud} -m 5 -o {cloud / 'out.ply'}"
    )
    assert "nothing can be written there" in refused(
        capsys, f"sample {cloud.parent} -m 5 -o {cloud / 'a'}"
    )
    said = refused(capsys, f"view {cloud} --sampler grid --cell 1e-09 --no-open")
    assert f"{cloud}: cells of 1e-09 are too small" in said
    assert "is the input" in refused(capsys, f"sample {cloud} -m 5 -o {cloud}")
    assert "must be a folder here" in refused(capsys, f"sample {cloud} {cloud} -m 5 -o {out}")
    assert "would both become" in refused(
        capsys, f"sample {cloud} {cloud} -m 5 -o {tmp_path / 'both'}"
    )
    assert "there is no file" in refused(capsys, f"sample {tmp_path / 'gone.ply'} -m 5 -o {out}")
    assert "--cell is for" in refused(capsys, f"sample {cloud} --cell 0.1 -o {out}")
    options = ("--sampler", "samplenet", "--weights", "wrong")
    assert "no weights 'wrong'; known: classification-32" in refused(
        capsys, f"sample {cloud}", *options, f"-m 5 -o {out}"
    )
    options = ("--sampler", "samplenet", "--weights", "classification-32")
    said = refused(capsys, f"sample {cloud}", *options, f"-m 5 -o {out}")
    assert "sample 32 points, not 5" in said and "classification-progressive" in said
    for weights in ("cars", "a/sampler.safetensors", "classification-32"):
        options = ("--sampler", "greedy", "--weights", weights)
        said = refused(capsys, f"sample {cloud}", *options, f"-m 5 -o {out}")
        known = "(classification, reconstruction, registration)"
        assert f"a task network of the library {known}, not by --weights {weights}" in said
    assert [file.name for file in tmp_path.iterdir()] == [cloud.name]


def holed(path, n=60, holes=20):
    """Write a cloud of n points of which the first ones have a coordinate that is not finite."""
    points = np.random.default_rng(0).normal(size=(n, 3))
    points[:holes, 1] = np.where(np.arange(holes) % 2, np.nan, np.inf)
    np.save(path, points)
    return path


@pytest.mark.parametrize("sampler", ["fps", "random", "grid"])
def test_points_that_are_not_finite_are_left_out_and_still_counted_by_indices(
    tmp_path, capsys, sampler
):
    cloud = holed(tmp_path / "depth.npy")
    assert run(f"sample {cloud} --sampler {sampler} -m 40 --indices -o {tmp_path / 'idx.npy'}") == 0
    captured = capsys.readouterr()
    assert sorted(np.load(tmp_path / "idx.npy").tolist()) == list(range(20, 60))
    assert captured.err.count("\n") == 1 and "depth.npy: left out 20 points" in captured.err
    assert "40 of 60 points" in captured.out
    said = refused(capsys, f"sample {cloud} --sampler {sampler} -m 41 -o {tmp_path / 'out.ply'}")
    assert "has 60 points, of which 40 are finite; -m asks for 41" in said


def test_no_input_is_overwritten_and_paths_of_another_kind_are_named(tmp_path, capsys):
    (tmp_path / "out" / "in").mkdir(parents=True)
    (tmp_path / "more" / "in").mkdir(parents=True)
    np.save(tmp_path / "out" / "in" / "a.npy", np.eye(3))
    np.save(tmp_path / "more" / "in" / "a.npy", np.eye(3))
    two = (tmp_path / "out" / "in" / "a.npy", tmp_path / "more")
    said = refused(capsys, "sample", *two, f"-m 1 -o {tmp_path / 'out'}")
    assert "a.npy is the input" in said and len(np.load(two[0])) == 3
    said = refused(capsys, f"sample {tmp_path / 'more'} -m 1 -o {tmp_path / 'more'}")
    assert "more is the input folder" in said
    assert "is a folder; view shows one file" in refused(capsys, f"view {tmp_path / 'more'}")
    assert "File name too long" in refused(
        capsys, f"sample {'a' * 300} -m 1 -o {tmp_path / 'b.npy'}"
    )


def test_coordinates_whose_distances_would_be_infinite_are_refused(tmp_path, capsys):
    np.save(tmp_path / "huge.npy", np.full((9, 3), 1e20, np.float32))
    assert "has coordinates up to 1e+20" in refused(
        capsys, f"sample {tmp_path / 'huge.npy'} -m 3 -o {tmp_path / 'o.ply'}"
    )


def test_in_a_folder_points_that_are_not_finite_are_added_up(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name, holes in (("a.npy", 1), ("b.npy", 2), ("c.npy", 0)):
        holed(tmp_path / "in" / name, holes=holes)
    assert run(f"sample {tmp_path / 'in'} -m 5 -o {tmp_path / 'out'}") == 0
    assert f"{tmp_path / 'in' / 'a.npy'} and 1 more: left out 3 points" in capsys.readouterr().err


def test_the_page_shows_the_finite_points(tmp_path, capsys):
    pytest.importorskip("plotly", reason="pages need plotly")
    cloud, page = holed(tmp_path / "depth.npy"), tmp_path / "a.html"
    assert (
        run(f"view {cloud} --sample {holed(tmp_path / 'sample.npy', 7, 3)} -o {page} --no-open")
        == 0
    )
    assert "40 points" in page.read_text() and "4 sampled" in page.read_text()
    assert "depth.npy and 1 more: left out 23 points" in capsys.readouterr().err
    assert run(f"view {cloud} -m 9 -o {page} --no-open") == 0
    assert "9 by fps" in page.read_text()


def test_text_that_holds_no_points_is_left_out_of_a_folder_but_not_if_it_is_named(
    cloud, tmp_path, capsys
):
    cloud.with_name("README.txt").write_text("Scanned on Monday.\n")
    cloud.with_name("chair.csv").write_text("name,price\nchair,3\n")  # does not take chair.ply away
    cloud.with_name("pose.txt").write_text("1 0 0 3\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    assert run(f"sample {tmp_path} -m 5 -o {tmp_path / 'out'}") == 0
    captured = capsys.readouterr()
    assert "1 of 1 clouds sampled" in captured.out
    assert captured.err.count("\n") == 1
    assert all(
        f"{tmp_path / name}" in captured.err for name in ("README.txt", "chair.csv", "pose.txt")
    )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["chair.ply"]
    for name in ("README.txt", "pose.txt"):
        assert name in refused(capsys, f"sample {tmp_path / name} -m 5 -o {tmp_path / 'a.ply'}")
    cloud.with_name("damaged.txt").write_text("0 0 0\n1 1 1\n2 two 2\n")
    assert run(f"sample {tmp_path} -m 2 -o {tmp_path / 'out'}") == 2
    assert "samplenet: error: " in capsys.readouterr().err


def test_formats_that_are_read_only_become_ply_in_a_folder(cloud, tmp_path, capsys):
    for name in ("a.csv", "b.pts", "c.XYZ.gz"):
        content = b"0 0 0\n1 0 0\n2 0 0\n"
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert run(f"sample {tmp_path} -m 2 -o {tmp_path / 'out'}") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.ply",
        "b.ply",
        "c.ply",
        "chair.ply",
    ]
    (tmp_path / "a.pts").write_text("0 0 0\n1 0 0\n2 0 0\n")
    said = refused(capsys, f"sample {tmp_path} -m 2 -o {tmp_path / 'new'}")
    assert (
        "a.csv and " in said
        and "a.pts would both become" in said
        and not (tmp_path / "new").exists()
    )


def test_links_to_folders_are_followed_and_each_folder_is_visited_once(cloud, tmp_path, capsys):
    scanned, elsewhere = tmp_path / "in" / "deep", tmp_path / "elsewhere"
    scanned.mkdir(parents=True)
    elsewhere.mkdir()
    for path in (scanned / "a.ply", elsewhere / "b.ply"):
        path.write_bytes(cloud.read_bytes())
    (tmp_path / "in" / "again").symlink_to(scanned)
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(elsewhere)
    (scanned / "gone.ply").symlink_to(tmp_path / "nowhere.ply")
    (tmp_path / "in" / "out").symlink_to(tmp_path / "out")
    for _ in range(2):  # the second call does not sample what the first wrote
        assert run(f"sample {tmp_path / 'in'} -m 5 -o {tmp_path / 'out'}") == 2
        captured = capsys.readouterr()
        assert "2 of 3 clouds sampled" in captured.out and "there is no file" in captured.err
        written = sorted(
            str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.ply")
        )
        assert written == ["deep/a.ply", "linked/b.ply"]


def test_whatever_is_wrong_with_a_file_the_others_are_sampled(cloud, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        pick, "farthest_points", lambda points, m: np.arange(m) if len(points) == 600 else 1 / 0
    )
    holed(tmp_path / "a.npy", holes=0)
    assert run(f"sample {tmp_path} -m 5 -o {tmp_path / 'out'}") == 2
    captured = capsys.readouterr()
    assert (
        "a.npy could not be sampled (ZeroDivisionError" in captured.err
        and "1 of 2 clouds" in captured.out
    )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["chair.ply"]
    assert "could not be sampled" in refused(
        capsys, f"sample {tmp_path / 'a.npy'} -m 5 -o {tmp_path / 'a.ply'}"
    )


def test_a_folder_that_cannot_be_read_is_an_error_and_the_others_are_sampled(
    cloud, tmp_path, capsys, monkeypatch
):
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refuse(path):
        if path == str(tmp_path / "locked"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read any folder
    assert run(f"sample {tmp_path} -m 5 -o {tmp_path / 'out'}") == 2
    captured = capsys.readouterr()
    assert (
        "locked cannot be read (Permission denied)" in captured.err
        and "1 of 1 clouds sampled" in captured.out
    )


def test_a_folder_that_cannot_be_written_is_reported_once(cloud, tmp_path, capsys):
    (tmp_path / "b.ply").write_bytes(cloud.read_bytes())
    (tmp_path / "taken").write_text("")
    assert "nothing can be written there" in refused(
        capsys, f"sample {tmp_path} -m 5 -o {tmp_path / 'taken' / 'a'}"
    )


def test_changes_by_readers_and_writers_are_reported_once(cloud, tmp_path, capsys):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("e,n,h\n0,0,0\n1,0,0\n2,0,0\n")
    assert run(f"sample {tmp_path} -m 2 -o {tmp_path / 'out'}") == 0
    captured = capsys.readouterr()
    assert (
        captured.err.count("\n") == 1
        and "a.csv and 1 more: its columns e, n, h are taken" in captured.err
    )
    assert run(f"sample {cloud} -m 2 -o {tmp_path / 'a.pcd'}") == 0
    captured = capsys.readouterr()
    assert f"samplenet: note: {tmp_path / 'a.pcd'}: red, green, blue" in captured.err


def test_z_points_up_in_las_files_unless_up_is_given(tmp_path, capsys, monkeypatch):
    laspy = pytest.importorskip("laspy", reason="las files need laspy")

    class First(pick.Picker):
        def __init__(self, *_):
            pass

        def __call__(self, points, number, up):
            ups.append(up)
            return np.arange(5)

    monkeypatch.setattr(pick, "SampleNetPicker", First)
    (tmp_path / "in").mkdir()
    for name in ("a.las", "b.las"):
        las = laspy.create()
        las.x, las.y, las.z = np.random.default_rng(0).normal(size=(3, 30))
        las.write(tmp_path / "in" / name)
    for options, expected, notes in (
        (["samplenet"], "z", 1),
        (["samplenet", "--up", "y"], "y", 0),
        (["fps"], None, 0),
    ):
        ups = []
        work.picker.cache_clear()
        assert run(f"sample {tmp_path / 'in'} -m 5 -o {tmp_path / 'out'} --sampler", *options) == 0
        assert ups == [expected, expected] * (expected is not None)
        assert capsys.readouterr().err.count("z is taken to point up") == notes
    pytest.importorskip("plotly", reason="pages need plotly")
    page = tmp_path / "a.html"
    for path, up in ((tmp_path / "in" / "a.las", "z"), (holed(tmp_path / "b.npy"), "y")):
        run(f"view {path} -o {page} --no-open")
        camera = json.loads(re.search(r'"camera":\{.*?"up":(\{[^}]*\})', page.read_text())[1])
        assert camera[up] == 1


@pytest.mark.parametrize("framework, package", [("torch", "torch"), ("tf", "tensorflow")])
def test_a_trained_sampler_picks_as_it_does_from_python(cloud, tmp_path, framework, package):
    pytest.importorskip(package, reason=f"--framework {framework} needs {package}")
    import samplenet

    options = ("--sampler", "samplenet", "--framework", framework, "--indices")
    for m in (20, 200):  # within the sizes it was trained for, and beyond
        assert run(f"sample {cloud}", *options, f"-m {m} -o {tmp_path / 'idx.npy'}") == 0
        sampler = samplenet.load_pretrained("classification-progressive", m, framework)
        normal = samplenet.normalise(scans.read(cloud).points[None])
        if framework == "torch":
            import torch

            with torch.no_grad():
                expected = sampler(torch.from_numpy(normal)).idx
        else:
            expected = sampler(normal).idx
        # farthest points continue in the file's precision there, in float32 here
        assert np.mean(np.load(tmp_path / "idx.npy") == np.asarray(expected)[0]) > 0.9


def test_large_scans_are_sampled_patch_by_patch(monkeypatch):
    pytest.importorskip("torch", reason="--framework torch needs torch")
    monkeypatch.setattr(pick, "MAX_WHOLE_CLOUD", 300)
    points = shapes.generate("car", 0, split="test", num_points=2000).astype(float)
    learned = pick.SampleNetPicker("classification-progressive", 300, framework="torch")
    assert learned.largest_m == 128
    patches = learned._patches(points, 128)
    assert len(patches) == 2 and sorted(np.concatenate(patches).tolist()) == list(range(2000))
    seen = []
    monkeypatch.setattr(
        learned, "_match", lambda p, m, up: seen.append(p.shape) or np.arange(m)[None]
    )
    idx = learned(points)
    assert seen == [(1, 300, 3)] * 2  # thinned
    assert len(set(idx.tolist())) == 300
    assert set(idx[:128]) <= set(patches[0].tolist()) and set(idx[128:256]) <= set(
        patches[1].tolist()
    )


def test_weights_of_one_size_sample_more_of_large_scans_only(monkeypatch):
    pytest.importorskip("torch", reason="--framework torch needs torch")
    monkeypatch.setattr(pick, "MAX_WHOLE_CLOUD", 300)
    points = shapes.generate("car", 0, split="test", num_points=2000).astype(float)
    learned = pick.SampleNetPicker("classification-32", 100, framework="torch")
    patches = learned._patches(points, 32)
    idx = learned(points)
    assert len(patches) == 3 and len(set(idx.tolist())) == 100
    for i, patch in enumerate(patches):
        assert set(idx[32 * i : 32 * i + 32]) <= set(patch.tolist())
    with pytest.raises(
        InputError,
        match="classification-32 sample 32 points of a cloud of 250, not 100; take a progr",
    ):
        learned(points[:250])
    assert len(pick.SampleNetPicker("classification-32", 32, framework="torch")(points[:250])) == 32
    with pytest.raises(InputError, match="classification-32 sample 32 points, not 31"):
        pick.SampleNetPicker("classification-32", 31, framework="torch")


@pytest.mark.parametrize("weights", ["classification", "reconstruction", "registration"])
def test_greedy_takes_as_many_farthest_points_as_the_network_was_trained_on(weights):
    points = shapes.generate("car", 0, split="test", num_points=2000).astype(float)
    picker = pick.GreedyPicker(weights, 12)
    pool = pick.farthest_points(points, picker.largest_pool)
    assert len(pool) == picker.largest_pool < 2000
    idx = picker(points)
    assert len(set(idx.tolist())) == 12 and set(idx) <= set(pool)
    np.testing.assert_array_equal(pool[picker(points[pool])], idx)
    x, y, z = points.T
    np.testing.assert_array_equal(picker(np.stack([x, -z, y], 1), up="z"), idx)
    assert not np.array_equal(picker(np.stack([x, -z, y], 1)), idx)
    far = 1000 + 7 * points  # normalised
    assert len(set(picker(far)) & set(idx)) >= 11


def test_greedy_is_completed_by_farthest_points(cloud, tmp_path, monkeypatch):
    for m in (9, 100):
        words = f"sample {cloud} --sampler greedy -m {m} -o {tmp_path / 'idx.npy'} --indices"
        assert run(words) == 0
        idx = np.load(tmp_path / "idx.npy")
        assert len(set(idx.tolist())) == m
        if m == 9:
            first = idx
    np.testing.assert_array_equal(idx[:9], first)
    picker = pick.GreedyPicker("classification", 100)
    picker.largest_pool = 9
    points = scans.read(cloud).points
    pool = pick.farthest_points(points, 9)
    idx = picker(points)
    assert set(idx[:9]) == set(pool)
    np.testing.assert_array_equal(idx, pick.farthest_points(points, 100, idx[:9]))


def test_greedy_picks_as_it_does_from_python():
    torch = pytest.importorskip("torch", reason="GreedySampler of PyTorch needs it")
    import pcrnet
    import samplenet
    from samplenet.torch import GreedySampler

    points = shapes.generate("car", 0, split="test", num_points=512).astype(float)
    network, _ = pcrnet.load_task(str(samplenet.pretrained.task_folder("registration")))
    normal = torch.from_numpy(samplenet.normalise(points[None], "box_side"))
    expected = GreedySampler(network, 16)(normal).idx[0]
    np.testing.assert_array_equal(pick.GreedyPicker("registration", 16)(points), expected)


def test_clouds_with_z_up_are_turned():
    pytest.importorskip("torch", reason="--framework torch needs torch")
    points = shapes.generate("chair", 0, split="test", num_points=600).astype(float)
    x, y, z = points.T
    upright = pick.SampleNetPicker("classification-progressive", 30, "torch")(points)
    turned = pick.SampleNetPicker("classification-progressive", 30, "torch")(
        np.stack([x, -z, y], 1), up="z"
    )
    np.testing.assert_array_equal(upright, turned)


def test_the_page_shows_the_cloud_and_its_sample(cloud, tmp_path, capsys, monkeypatch):
    pytest.importorskip("plotly", reason="pages need plotly")
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setenv("DISPLAY", ":0")
    page = tmp_path / "a.html"
    assert run(f"view {cloud} -m 20 -o {page} --no-open") == 0
    text = page.read_text()
    assert "600 points" in text and "20 by fps" in text and "plotly.js v" in text and not opened
    run(f"sample {cloud} -m 7 -o {tmp_path / 's.ply'}")
    assert run(f"view {cloud} --sample {tmp_path / 's.ply'} -o {page}") == 0
    assert "7 sampled" in page.read_text() and opened == [page.as_uri()]
    assert "must end in .html" in refused(capsys, f"view {cloud} -o {tmp_path / 'a.png'}")


def test_a_large_cloud_is_thinned_on_the_page(cloud, tmp_path, monkeypatch):
    pytest.importorskip("plotly", reason="pages need plotly")
    monkeypatch.setattr("samplenet.console.view.MAX_SHOWN", 100)
    from samplenet.console import view

    scan = scans.read(cloud)
    assert b"600 points, 100 of them shown" in view.page(scan, scan.points[:0], "chair", "y")


def test_colours_are_found_as_the_formats_store_them(tmp_path):
    from samplenet.console import view

    colors = np.array([[255, 0, 1], [2, 128, 3]], np.uint8)
    np.savez(tmp_path / "a.npz", points=np.zeros((2, 3)), colors=colors)
    np.testing.assert_array_equal(view._shown(scans.read(tmp_path / "a.npz"), 9)[1], colors)
    np.savez(
        tmp_path / "b.npz", points=np.zeros((2, 3)), colors=np.c_[colors / 255, [1, 1]]
    )  # RGBA, 0 to 1
    np.testing.assert_array_equal(view._shown(scans.read(tmp_path / "b.npz"), 9)[1], colors)
    packed = np.uint32(0xAB000000) + colors.astype(np.uint32) @ np.array(
        [1 << 16, 1 << 8, 1], np.uint32
    )
    for name, numbers in (
        ("rgb", packed.view(np.float32)),
        ("rgb", packed),
        ("rgba", packed.view(np.int32)),
    ):
        rows = np.zeros(2, [("x", "f4"), ("y", "f4"), ("z", "f4"), (name, numbers.dtype)])
        rows[name] = numbers
        np.testing.assert_array_equal(view._shown(scans.Scan(rows), 9)[1], colors)


def test_a_window_needs_a_display(cloud, capsys, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert "needs a display" in refused(capsys, f"view {cloud} -m 5 --open3d")


@pytest.mark.parametrize("sampler", ["fps", "greedy"])
def test_the_command_loads_no_framework_for_other_samplers(cloud, tmp_path, sampler):
    code = "import sys; from samplenet.console.cli import main; main(sys.argv[1:]); "
    code += "print([m for m in ('tensorflow', 'torch', 'plotly') if m in sys.modules])"
    words = [
        sys.executable,
        "-c",
        code,
        "sample",
        str(cloud),
        "-m",
        "5",
        "--sampler",
        sampler,
        "-o",
        str(tmp_path / "o.ply"),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_window_holds_the_cloud_and_a_ball_for_each_sampled_point(cloud):
    open3d = pytest.importorskip("open3d", reason="windows need Open3D")
    from samplenet.console import view

    scan = scans.read(cloud)
    points, balls = view.geometries(open3d, scan, scan.points[[3, 5]])
    np.testing.assert_array_equal(np.asarray(points.points), scan.points)
    np.testing.assert_allclose(np.asarray(points.colors)[:, 0] * 255, scan.rows["red"])
    centres = np.asarray(balls.vertices).reshape(2, -1, 3).mean(1)
    np.testing.assert_allclose(centres, scan.points[[3, 5]], atol=1e-6)
