"""samplenet sample with many clouds: together, in processes, in parts, from and to tar files."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest

from samplenet.console import cli, pick, shards
from samplenet.data import shapes


@pytest.fixture(scope="module")
def clouds():
    """Ten clouds of 300 points; the fourth has 299."""
    drawn = [shapes.generate("chair", i, num_points=300 - (i == 3)) for i in range(10)]
    return {f"c{i}": cloud for i, cloud in enumerate(drawn)}


@pytest.fixture
def folder(clouds, tmp_path):
    (tmp_path / "in").mkdir()
    for name, cloud in clouds.items():
        np.save(tmp_path / "in" / f"{name}.npy", cloud)
    return tmp_path / "in"


def run(*words):
    return cli.main([str(word) for text in words for word in str(text).split()])


def content(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def packed(path, files):
    """Write a tar file of these names and contents."""
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def unpacked(path):
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("sampler", ["fps", "random", "grid", "samplenet"])
def test_clouds_are_sampled_together_as_one_by_one(folder, tmp_path, sampler):
    if sampler == "samplenet":
        pytest.importorskip("torch", reason="a trained sampler needs a framework")
    flags = f"-m 20 --sampler {sampler}"
    assert run("sample", folder, "-o", tmp_path / "together", flags) == 0
    for i, path in enumerate(sorted(folder.iterdir())):
        number = i if sampler == "random" else 0
        if number == 0:  # a cloud by itself has the number 0
            run("sample", path, "-o", tmp_path / "alone" / path.name, flags)
            alone = (tmp_path / "alone" / path.name).read_bytes()
            assert (tmp_path / "together" / path.name).read_bytes() == alone


def test_farthest_points_of_several_clouds_are_those_of_each():
    rng = np.random.default_rng(0)
    clouds = rng.integers(0, 3, (5, 40, 3)).astype(np.float32)  # with points that coincide
    for m in (1, 7, 40):
        expected = [pick.farthest_points(cloud, m) for cloud in clouds]
        np.testing.assert_array_equal(pick.farthest_of_each(clouds, m), expected)


def test_parts_and_processes_write_what_one_call_writes(folder, tmp_path):
    flags = ["-m", 20, "--sampler", "random"]
    run("sample", folder, "-o", tmp_path / "one", *flags)
    for i in (1, 2, 3):
        assert run("sample", folder, "-o", tmp_path / "parts", *flags, f"--shard {i}/3") == 0
        written = len(content(tmp_path / "parts"))
        assert written == sum(len(range(k, 10, 3)) for k in range(i))
    assert run("sample", folder, "-o", tmp_path / "two", *flags, "--jobs", 2) == 0
    assert content(tmp_path / "one") == content(tmp_path / "parts") == content(tmp_path / "two")


def test_existing_samples_are_left_alone(folder, tmp_path, capsys):
    out = tmp_path / "out"
    run("sample", folder, "-o", out, "-m 9")
    (out / "c1.npy").write_bytes(b"mine")
    (out / "c2.npy").unlink()
    assert run("sample", folder, "-o", out, "-m 9 --skip-existing") == 0
    assert capsys.readouterr().out.endswith("1 of 1 clouds sampled, 9 were there\n")
    assert (out / "c1.npy").read_bytes() == b"mine" and (out / "c2.npy").exists()
    assert run("sample", folder, "-o", out, "-m 9 --skip-existing") == 0


def test_a_manifest_lists_the_clouds_and_a_second_call_continues_from_it(folder, tmp_path, capsys):
    (folder / "c5.npy").write_bytes(b"damaged")
    out, manifest = tmp_path / "out", tmp_path / "done.jsonl"
    flags = ["sample", folder, "-o", out, "-m 9 --manifest", manifest]
    assert run(*flags) == 2
    head, *rest = lines(manifest)
    assert head["settings"] == {
        "m": 9,
        "cell": None,
        "sampler": "fps",
        "weights": None,
        "up": None,
        "seed": 0,
        "indices": False,
        "tile": None,
    }
    by_name = {line["file"]: line for line in rest}
    assert len(rest) == 10 and "c5.npy is damaged" in by_name[str(folder / "c5.npy")]["error"]
    good = by_name[str(folder / "c3.npy")]
    assert (good["m"], good["points"], good["error"]) == (9, 299, None) and good["seconds"] > 0
    np.save(folder / "c5.npy", np.eye(3).repeat(4, 0))
    with open(manifest, "a") as file:
        file.write('{"file": "cut o')  # as a kill leaves it
    capsys.readouterr()
    assert run(*flags) == 0
    assert capsys.readouterr().out.endswith("1 of 1 clouds sampled, 9 were there\n")
    assert len(lines(manifest)) == 12 and (out / "c5.npy").exists()
    assert run("sample", folder, "-o", out, "-m 8 --manifest", manifest) == 2
    assert "was made with m 9: name another file" in capsys.readouterr().err
    manifest.write_text("[]\n")
    assert run(*flags) == 2 and "is no manifest of samplenet" in capsys.readouterr().err


@pytest.mark.parametrize("flags", ["--shard 0/2", "--shard 3/2", "--shard 1", "--jobs 0"])
def test_wrong_flags_are_one_sentence(folder, tmp_path, capsys, flags):
    assert run("sample", folder, "-o", tmp_path / "out", "-m 9", flags) == 2
    captured = capsys.readouterr().err
    assert captured.count("\n") == 1 and flags.split()[0] in captured


def shard(folder, path):
    files = {}
    for cloud in sorted(folder.iterdir()):
        files[f"deep/{cloud.stem}.npy"] = cloud.read_bytes()
        files[f"deep/{cloud.stem}.json"] = f'{{"name": "{cloud.stem}"}}'.encode()
    packed(path, files)
    return files


def test_a_tar_file_keeps_what_belongs_to_a_cloud(folder, tmp_path, capsys):
    files = shard(folder, tmp_path / "a.tar")
    assert run("sample", tmp_path / "a.tar", "-o", tmp_path / "b.tar", "-m 9") == 0
    assert capsys.readouterr().out.endswith("b.tar: 10 of 10 clouds sampled\n")
    run("sample", folder, "-o", tmp_path / "out", "-m 9")
    found = unpacked(tmp_path / "b.tar")
    assert list(found) == list(files)
    for name, data in found.items():
        if name.endswith(".json"):
            assert data == files[name]
        else:
            assert data == (tmp_path / "out" / name.removeprefix("deep/")).read_bytes()


# the package leaves the file to the garbage collector
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_package_webdataset_reads_the_tar_files(folder, tmp_path):
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed")
    shard(folder, tmp_path / "a.tar")
    run("sample", tmp_path / "a.tar", "-o", tmp_path / "b.tar", "-m 9")
    items = list(webdataset.WebDataset(str(tmp_path / "b.tar"), shardshuffle=False).decode())
    assert [item["json"]["name"] for item in items] == [f"c{i}" for i in range(10)]
    assert items[0]["npy"].shape == (9, 3)


def test_files_without_a_key_are_left_out(clouds, tmp_path):
    stream = io.BytesIO()
    np.save(stream, clouds["c0"])
    names = "._c0.npy", "deep/.hidden", "README", "deep/c0.npy"  # the first as macOS's tar adds it
    packed(tmp_path / "a.tar", dict.fromkeys(names, stream.getvalue()))
    assert run("sample", tmp_path / "a.tar", "-o", tmp_path / "b.tar", "-m 9") == 0
    assert [*unpacked(tmp_path / "b.tar")] == ["deep/c0.npy"]


def test_a_bad_cloud_of_a_tar_file_stops_no_other(folder, tmp_path, capsys):
    files = shard(folder, tmp_path / "a.tar")
    files["deep/c4.npy"] = b"damaged"
    (tmp_path / "tars").mkdir()
    packed(tmp_path / "tars" / "a.tar", files)
    manifest = tmp_path / "m.jsonl"
    flags = ["sample", tmp_path / "tars", "-o", tmp_path / "out", "-m 9 --manifest", manifest]
    assert run(*flags) == 2
    assert "a.tar/deep/c4.npy" in capsys.readouterr().err
    assert "deep/c4.json" not in unpacked(tmp_path / "out" / "a.tar")
    assert lines(manifest)[-1] == {
        "file": str(tmp_path / "tars" / "a.tar"),
        "clouds": 9,
        "error": None,
    }
    assert run(*flags) == 0  # the tar file is complete: its bad cloud is not tried again
    packed(tmp_path / "tars" / "b.tar", {"x.json": b"{}"})
    (tmp_path / "tars" / "c.tar").write_bytes(b"no tar file" * 100)
    assert run(*flags) == 2
    errors = capsys.readouterr().err
    assert "x has 0 clouds; it must have one" in errors and "c.tar is damaged or no tar" in errors


def test_a_killed_tar_file_is_continued(folder, tmp_path):
    shard(folder, tmp_path / "a.tar")
    flags = ["sample", tmp_path / "a.tar", "-o", tmp_path / "b.tar", "-m 9 --sampler random"]
    run(*flags)
    whole = (tmp_path / "b.tar").read_bytes()
    for size in (0, 5, 700, 4096, len(whole) // 2, len(whole)):
        (tmp_path / "b.tar").unlink(missing_ok=True)
        (tmp_path / "b.tar.part").write_bytes(whole[:size])
        kept, _ = shards._complete(tmp_path / "b.tar.part")
        # a key takes four blocks of 512 bytes; the last key is not trusted
        assert len(kept) == min(9, max(0, (size - 1024) // 2048))
        assert run(*flags, "--skip-existing") == 0
        assert (tmp_path / "b.tar").read_bytes() == whole
        assert not (tmp_path / "b.tar.part").exists()


@pytest.mark.slow
def test_a_kill_loses_at_most_a_batch(clouds, tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(3000):
        np.save(tmp_path / "in" / f"{i:04d}.npy", clouds[f"c{i % 3}"])
    command = [sys.executable, "-m", "samplenet", "sample", tmp_path / "in", "-o", tmp_path / "out"]
    command += ["-m", "64", "--jobs", "2", "--manifest", tmp_path / "m.jsonl"]
    command = [str(word) for word in command]
    running = subprocess.Popen(command, start_new_session=True)
    while not (tmp_path / "m.jsonl").exists() or len(lines(tmp_path / "m.jsonl")) < 100:
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    listed = len([line for line in lines(tmp_path / "m.jsonl") if "file" in line])
    written = len([*(tmp_path / "out").glob("*.npy")])
    assert listed <= written <= listed + 3 * 64  # two at work, one not yet written down
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.endswith(
        f"{3000 - listed} of {3000 - listed} clouds sampled, {listed} were there\n"
    )
    assert len([*(tmp_path / "out").glob("*.npy")]) == 3000


def test_a_tar_file_needs_a_tar_file_or_a_folder_for_its_samples(folder, tmp_path, capsys):
    shard(folder, tmp_path / "a.tar")
    assert run("sample", tmp_path / "a.tar", "-o", tmp_path / "b.ply", "-m 9") == 2
    assert "b.ply must end in .tar, as the input does" in capsys.readouterr().err
