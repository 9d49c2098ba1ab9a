"""PLY files of several kinds, damaged ones, and a cache that is never out of date."""

import logging
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from samplenet import InputError
from samplenet.data import ply

P = 8
FIELDS = {"<f4": "float", ">f4": "float", "<f8": "double"}


def cloud(seed, count=P):
    return np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)


def header(count, form="binary_little_endian", kind="float", more=""):
    properties = "".join(f"property {kind} {axis}\n" for axis in "xyz")
    return (
        f"ply\nformat {form} 1.0\nelement vertex {count}\n{properties}{more}end_header\n".encode()
    )


def binary(points, dtype="<f4"):
    form = "binary_big_endian" if dtype[0] == ">" else "binary_little_endian"
    return header(len(points), form, FIELDS[dtype]) + points.astype(dtype).tobytes()


def text(points):
    rows = "".join(" ".join(repr(float(x)) for x in point) + "\n" for point in points)
    return header(len(points), "ascii") + rows.encode()


def with_colours(points):
    rows = np.zeros(len(points), [("xyz", "<f4", 3), ("red", "u1"), ("radius", "<f4")])
    rows["xyz"] = points
    return (
        header(len(points), more="comment a\nproperty uchar red\nproperty float radius\n")
        + rows.tobytes()
    )


@pytest.fixture
def folder(tmp_path):
    """Four clouds named b, a, d, c in the order of their making."""
    made = tmp_path / "clouds"
    made.mkdir()
    for seed, name in enumerate("badc"):
        (made / f"{name}.ply").write_bytes(binary(cloud(seed)))
    (made / ".hidden.ply").write_bytes(b"")
    (made / "notes.txt").write_text("no cloud")
    return made


@pytest.fixture
def parsed(monkeypatch):
    """The names of the files that were parsed, in order."""
    names, real = [], ply._points
    monkeypatch.setattr(ply, "_points", lambda path: names.append(path.stem) or real(path))
    return names


def read(folder):
    return ply.read_folder(folder, [folder.parent / "cache.h5", folder.parent / "other/cache.h5"])


def test_files_in_the_order_of_their_names(folder):
    got = read(folder)
    assert got.names == ["a", "b", "c", "d"] and got.counts.tolist() == [P] * 4 and got.bad == {}
    assert np.array_equal(got.points, np.concatenate([cloud(seed) for seed in (1, 0, 3, 2)]))
    assert np.array_equal(got.first([3, 1], 5), [cloud(2)[:5], cloud(0)[:5]])
    assert got.first([], 5).shape == (0, 5, 3)


@pytest.mark.parametrize(
    "write", [binary, lambda p: binary(p, ">f4"), lambda p: binary(p, "<f8"), text, with_colours]
)
def test_kinds_of_files(write, folder):
    (folder / "a.ply").write_bytes(write(cloud(9)))
    got = read(folder)
    assert got.bad == {} and got.points.dtype == np.float32
    assert np.array_equal(got.first([0], P)[0], cloud(9))


def spoilt(row, value, dtype="<f4"):
    points = cloud(9).astype(float)
    points[row, 1] = value
    return binary(points, dtype)


BAD = {
    "empty": (b"", "is not a PLY file"),
    "no ply": (b"OFF\n0 0 0\n", "is not a PLY file"),
    "page": (b"<html>" * 90, "is not a PLY file"),
    "bytes": (bytes(range(256)), "is not a PLY file"),
    "cut header": (header(P)[:60], "its header has no line 'end_header'"),
    "no points": (header(P), f"is cut off: it holds 0 of {P} points"),
    "cut": (binary(cloud(9))[:-1], f"is cut off: it holds {P - 1} of {P} points"),
    "cut to half": (binary(cloud(9))[:150], "is cut off"),
    "size that lies": (header(10**15) + bytes(96), f"is cut off: it holds 8 of {10**15} points"),
    "no z": (header(P).replace(b"property float z\n", b"") + bytes(8 * P), "has no z"),
    "no vertices": (header(0), "has 0 points"),
    "nan": (spoilt(3, np.nan), "not finite in point 3"),
    "infinity": (spoilt(0, -np.inf), "not finite in point 0"),
    "beyond float32": (spoilt(5, 1e300, "<f8"), "not finite in point 5"),
    "text that is none": (text(cloud(9)).replace(b"0.", b"x."), "which is not a number"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_reported_from_the_cache_too(case, folder, parsed):
    content, words = BAD[case]
    (folder / "c.ply").write_bytes(content)
    for got in (read(folder), read(folder)):
        assert list(got.bad) == ["c"] and words in got.bad["c"]
        assert got.counts.tolist() == [P, P, 0, P]
        assert np.array_equal(got.first([1, 3], P), [cloud(0), cloud(2)])
        assert got.unfit(P) == got.bad
    assert parsed == ["a", "b", "c", "d"]


def test_short_files_are_unfit_for_more_points_only(folder):
    (folder / "b.ply").write_bytes(binary(cloud(0, 5)))
    got = read(folder)
    assert got.bad == got.unfit(5) == {}
    assert got.unfit(6) == {"b": "has 5 points, asked for 6"}
    assert np.array_equal(got.first([3], P)[0], cloud(2))


def test_second_start_parses_nothing(folder, parsed):
    first, second = read(folder), read(folder)
    assert parsed == ["a", "b", "c", "d"]
    assert second.names == first.names and second.points.dtype == np.float32
    assert np.array_equal(second.points, first.points) and np.array_equal(
        second.counts, first.counts
    )
    assert sorted(os.listdir(folder.parent)) == ["cache.h5", "clouds"]


def later(path):
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def longer(path):
    """More points under the old time."""
    time = path.stat().st_mtime_ns
    path.write_bytes(binary(cloud(7, 9)))
    os.utime(path, ns=(0, time))


CHANGES = {
    "time": lambda folder: later(folder / "a.ply"),
    "size": lambda folder: longer(folder / "a.ply"),
    "name": lambda folder: (folder / "a.ply").rename(folder / "e.ply"),
    "name in its place": lambda folder: (folder / "a.ply").rename(folder / "aa.ply"),
    "one more": lambda folder: (folder / "e.ply").write_bytes(binary(cloud(7))),
    "one less": lambda folder: (folder / "a.ply").unlink(),
    "swapped": lambda folder: [
        (folder / "a.ply").rename(folder / "x"),
        (folder / "b.ply").rename(folder / "a.ply"),
        (folder / "x").rename(folder / "b.ply"),
    ],
}


@pytest.mark.parametrize("change", CHANGES)
def test_change_of_the_files_is_seen(change, folder, parsed):
    for seconds, name in enumerate("abcd"):
        os.utime(folder / f"{name}.ply", (seconds, seconds))
    read(folder)
    CHANGES[change](folder)
    parsed.clear()
    changed, cached = read(folder), read(folder)
    assert parsed == changed.names
    fresh = ply.read_folder(folder, [])
    for got in (changed, cached):
        assert got.names == fresh.names and np.array_equal(got.points, fresh.points)


def test_another_format_makes_a_cache_stale(folder, parsed, monkeypatch):
    read(folder)
    monkeypatch.setattr(ply, "FORMAT", ply.FORMAT + 1)
    read(folder)
    assert len(parsed) == 8


@pytest.mark.parametrize(
    "damage", [lambda c: c[: len(c) // 2], lambda c: b"", lambda c: b"text", lambda c: c[:-50]]
)
def test_damaged_cache_is_made_anew(damage, folder, parsed, caplog):
    expected = read(folder)
    cache = folder.parent / "cache.h5"
    cache.write_bytes(damage(cache.read_bytes()))
    for _ in range(2):
        assert np.array_equal(read(folder).points, expected.points)
    assert len(parsed) == 8
    assert str(cache) in caplog.text


def test_cache_goes_elsewhere_where_the_first_place_cannot_be_written(folder, parsed, caplog):
    (folder.parent / "cache.h5").mkdir()  # in the way also of root, whom no permission stops
    read(folder)
    assert f"{folder.parent} cannot be written" in caplog.text
    read(folder)
    assert len(parsed) == 4 and caplog.text.count("not cached there") == 1
    assert sorted(os.listdir(folder.parent)) == ["cache.h5", "clouds", "other"]


def test_no_place_for_a_cache(folder, parsed, caplog):
    (folder.parent / "cache.h5").mkdir()
    (folder.parent / "other").write_text("in the way")
    for _ in range(2):
        assert len(read(folder).names) == 4
    assert len(parsed) == 8 and caplog.text.count("not cached there") == 4


def test_failed_write_leaves_the_old_cache_and_no_rest(folder, monkeypatch):
    read(folder)
    old = (folder.parent / "cache.h5").read_bytes()
    later(folder / "a.ply")

    def fail(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ply.os, "fsync", fail)
        read(folder)
    assert (folder.parent / "cache.h5").read_bytes() == old
    assert sorted(os.listdir(folder.parent)) == ["cache.h5", "clouds"]


def test_cache_has_the_usual_permissions(folder):
    read(folder)
    assert (folder.parent / "cache.h5").stat().st_mode == (folder / "a.ply").stat().st_mode


def test_processes_that_write_at_once_do_not_mix(folder):
    """Threads stand for them: each writes a file of its own and renames it."""
    results = []
    threads = [threading.Thread(target=lambda: results.append(read(folder))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and all(
        np.array_equal(got.points, results[0].points) for got in results
    )
    assert sorted(os.listdir(folder.parent)) == ["cache.h5", "clouds"]


def test_what_cannot_be_opened_is_an_error_and_not_remembered(folder):
    (folder / "e.ply").symlink_to(folder / "nowhere")
    with pytest.raises(
        InputError, match=r"e\.ply cannot be read \(No such file.*correct or remove it"
    ):
        read(folder)
    (folder / "e.ply").unlink()
    (folder / "e.ply").mkdir()
    with pytest.raises(InputError, match=r"e\.ply cannot be read"):
        read(folder)
    (folder / "e.ply").rmdir()
    assert len(read(folder).names) == 4
    with pytest.raises(InputError, match="nowhere cannot be read"):
        ply.read_folder(Path(folder, "nowhere"), [])


def test_folder_without_files(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            got = ply.read_folder(tmp_path, [tmp_path / "cache.h5"])
            assert got.names == [] and got.points.shape == (0, 3) and got.unfit(3) == {}
    assert not caplog.records
