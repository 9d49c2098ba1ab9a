"""The ModelNet40 layout: a data set is read as written, and faults are reported with the file."""

import functools
import json
import logging
import os
import shutil
import sys
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import h5py
import numpy as np
import pytest

from samplenet.data import download as transfer
from samplenet.data import modelnet40, modelnet40_archive
from samplenet.data.download import md5_of
from samplenet.errors import InputError

NAMES = ["chair", "table"]
P = 16


def clouds(n, split, seed=0):
    points = np.random.default_rng(seed).normal(size=(n, P, 3)).astype(np.float32)
    labels = np.arange(n) % 2
    return points, labels, [f"{NAMES[label]}/{split}_{row:04d}" for row, label in enumerate(labels)]


@pytest.fixture
def root(tmp_path):
    return modelnet40.write(tmp_path / "small", NAMES, clouds(5, "train"), clouds(3, "test", 1))


def rewrite(file, **datasets):
    """Replace the content of an h5 file; None leaves a dataset out."""
    with h5py.File(file, "w") as h5:
        for key, value in datasets.items():
            if value is not None:
                h5[key] = value


def test_round_trip(root):
    for split, expected in (("train", clouds(5, "train")), ("test", clouds(3, "test", 1))):
        got = modelnet40.load(root, split, num_points=10)
        assert np.array_equal(got.points, expected[0][:, :10]) and got.points.dtype == np.float32
        assert np.array_equal(got.labels, expected[1]) and got.labels.dtype == np.int64
        assert (got.names, got.ids, len(got)) == (tuple(NAMES), expected[2], len(expected[0]))


def test_layout_on_disk(root, tmp_path):
    assert sorted(p.name for p in root.iterdir()) == [
        "ply_data_test0.h5",
        "ply_data_test_0_id2file.json",
        "ply_data_train0.h5",
        "ply_data_train_0_id2file.json",
        "shape_names.txt",
        "test_files.txt",
        "train_files.txt",
    ]
    assert (root / "train_files.txt").read_text().split() == ["data/small/ply_data_train0.h5"]
    assert json.loads((root / "ply_data_test_0_id2file.json").read_text())[0] == "chair/test_0000"
    with h5py.File(root / "ply_data_train0.h5") as h5:
        data, label = h5["data"], h5["label"]
        assert (data.dtype, label.dtype, label.shape) == (np.float32, np.uint8, (5, 1))
        assert (h5["data"].compression, h5["data"].shuffle) == ("gzip", True)
    assert os.listdir(tmp_path) == ["small"]


def test_files_hold_2048_clouds(tmp_path):
    points, labels = np.zeros((2050, 1, 3), np.float32), np.arange(2050) % 2
    ids = [str(i) for i in range(2050)]
    points[:, 0, 0] = np.arange(2050)
    root = modelnet40.write(tmp_path / "big", NAMES, (points, labels, ids), clouds(1, "test"))
    with h5py.File(root / "ply_data_train1.h5") as h5:
        assert len(h5["data"]) == 2
    got = modelnet40.load(root, "train", 1)
    assert np.array_equal(got.points, points) and got.ids == ids


def test_write_keeps_what_another_process_finished(root, tmp_path):
    modelnet40.write(root, NAMES, clouds(1, "train"), clouds(1, "test"))
    assert len(modelnet40.load(root, "train", P)) == 5
    assert os.listdir(tmp_path) == ["small"]


def test_write_does_not_pass_over_something_else(tmp_path):
    (tmp_path / "small").mkdir()
    (tmp_path / "small/notes").write_text("mine")
    with pytest.raises(OSError):
        modelnet40.write(tmp_path / "small", NAMES, clouds(1, "train"), clouds(1, "test"))
    assert os.listdir(tmp_path) == ["small"] and os.listdir(tmp_path / "small") == ["notes"]


@pytest.mark.parametrize(
    "train",
    [
        (np.zeros((2, P, 2)), [0, 1], ["a", "b"]),
        (np.zeros((2, P, 3)), [0], ["a", "b"]),
        (np.zeros((2, P, 3)), [0, 1], ["a"]),
        (np.zeros((0, P, 3)), [], []),
        (np.zeros((2, P, 3)), [0, 2], ["a", "b"]),
        (np.zeros((2, P, 3)), [-1, 0], ["a", "b"]),
    ],
)
def test_write_rejects(train, tmp_path):
    with pytest.raises(InputError, match="train"):
        modelnet40.write(tmp_path / "small", NAMES, train, clouds(1, "test"))
    assert os.listdir(tmp_path) == []


def test_other_prefix_and_no_ids(root):
    (root / "train_files.txt").write_text("data/other_name/ply_data_train0.h5\n\n")
    (root / "ply_data_train_0_id2file.json").unlink()
    got = modelnet40.load(root, "train", P)
    assert got.ids == [f"ply_data_train0.h5[{row}]" for row in range(5)]


def test_flat_labels_and_double_precision(root):
    points, labels, _ = clouds(5, "train")
    rewrite(root / "ply_data_train0.h5", data=points.astype(np.float64), label=labels)
    got = modelnet40.load(root, "train", P)
    assert got.points.dtype == np.float32 and np.array_equal(got.labels, labels)


def test_entry_cannot_leave_the_root(root, tmp_path):
    shutil.copy(root / "ply_data_train0.h5", tmp_path / "outside.h5")
    for entry in ("../outside.h5", str(tmp_path / "outside.h5"), "..\\outside.h5", "data/.."):
        (root / "train_files.txt").write_text(entry)
        with pytest.raises(InputError, match=r"train_files\.txt"):
            modelnet40.load(root, "train", P)


def h5_fault(**change):
    points, labels, _ = clouds(5, "train")
    return lambda root: rewrite(
        root / "ply_data_train0.h5", **({"data": points, "label": labels} | change)
    )


def with_value(value):
    points = clouds(5, "train")[0]
    points[3, 7, 1] = value
    return points


def remove(name):
    return lambda root: (root / name).unlink()


def text(name, content):
    return lambda root: (root / name).write_bytes(content)


def cut(root):
    content = (root / "ply_data_train0.h5").read_bytes()
    (root / "ply_data_train0.h5").write_bytes(content[: len(content) // 2])


def huge(root):
    """A small file that says it holds more than any memory."""
    with h5py.File(root / "ply_data_train0.h5", "w") as h5:
        h5.create_dataset("data", (10**12, P, 3), "f4", chunks=(1, P, 3))
        h5.create_dataset("label", (10**12,), "u1", chunks=(1,))


H5, IDS = "ply_data_train0.h5", "ply_data_train_0_id2file.json"
FAULTS = {
    "no list": (remove("train_files.txt"), "train_files.txt", "missing"),
    "empty list": (text("train_files.txt", b"\n"), "train_files.txt", "empty"),
    "list not text": (text("train_files.txt", b"\xff\xfe\xfa"), "train_files.txt", "text"),
    "no names": (remove("shape_names.txt"), "shape_names.txt", "missing"),
    "no h5": (remove(H5), H5, "holds no file"),
    "cut h5": (cut, H5, "cut off"),
    "huge h5": (huge, H5, "cannot be read as HDF5 .*allocate"),
    "not h5": (text(H5, b"hello"), H5, "HDF5"),
    "no data": (h5_fault(data=None), H5, "no dataset 'data'"),
    "no label": (h5_fault(label=None), H5, "no dataset 'label'"),
    "rank 2": (h5_fault(data=np.zeros((5, 3), np.float32)), H5, r"\(5, 3\)"),
    "last axis": (h5_fault(data=np.zeros((5, P, 6), np.float32)), H5, r"\(5, 16, 6\)"),
    "scalar": (h5_fault(data=np.float32(1)), H5, r"float32 \(\)"),
    "null": (h5_fault(data=h5py.Empty("f")), H5, r"float32 \(\)"),
    "integers": (h5_fault(data=np.zeros((5, P, 3), np.int32)), H5, "int32"),
    "float labels": (h5_fault(label=np.zeros(5, np.float32)), H5, "'label' of float32"),
    "label count": (h5_fault(label=np.zeros((4, 1), np.uint8)), H5, r"'label' of uint8 \(4, 1\)"),
    "label too high": (h5_fault(label=np.array([0, 1, 0, 1, 2])), H5, r"0\.\.2"),
    "label negative": (h5_fault(label=np.array([0, 1, 0, 1, -1])), H5, r"-1\.\.1"),
    "nan": (h5_fault(data=with_value(np.nan)), H5, "cloud 3"),
    "infinity": (h5_fault(data=with_value(-np.inf)), H5, "cloud 3"),
    "beyond float32": (h5_fault(data=with_value(0).astype(float) + 1e300), H5, "cloud 0"),
    "few points": (h5_fault(data=np.zeros((5, P - 1, 3), np.float32)), H5, "15 points"),
    "no clouds": (
        h5_fault(data=np.zeros((0, P, 3), np.float32), label=np.zeros((0, 1), int)),
        H5,
        r"\(0, 16, 3\).*at least one cloud",
    ),
    "ids not json": (text(IDS, b"["), IDS, "JSON"),
    "ids count": (text(IDS, b'["a"]'), IDS, "5 strings"),
    "ids not strings": (text(IDS, b"[1, 2, 3, 4, 5]"), IDS, "5 strings"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_load_rejects(fault, root):
    spoil, file, words = FAULTS[fault]
    modelnet40.load(root, "train", P)
    spoil(root)
    with pytest.raises(InputError, match=words) as caught:
        modelnet40.load(root, "train", P)
    assert file in str(caught.value)


def test_load_rejects_arguments(root, tmp_path):
    for split, num_points, folder, words in (
        ("valid", P, root, "'valid'"),
        ("train", 0, root, "got 0"),
        ("train", P, tmp_path / "nowhere", "nowhere is not a folder"),
    ):
        with pytest.raises(InputError, match=words):
            modelnet40.load(folder, split, num_points)


def test_parent_of_the_folder_is_hinted_at(root, tmp_path):
    root.rename(tmp_path / modelnet40.FOLDER)
    with pytest.raises(InputError, match=f"did you mean .*{modelnet40.FOLDER}"):
        modelnet40.load(tmp_path, "train")


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A served archive in the layout of ModelNet40: .url, .md5, .file_md5, .archive, .requests."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(transfer, "PAUSE", 0.0)
    folder = modelnet40.write(
        tmp_path / "made" / modelnet40.FOLDER, NAMES, clouds(5, "train"), clouds(3, "test")
    )
    served = tmp_path / "served"
    served.mkdir()
    with zipfile.ZipFile(served / "a.zip", "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{modelnet40.FOLDER}/{file.name}")

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            self.server.requests.append(self.path)
            super().do_GET()

    handler = functools.partial(Handler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.requests = []
        server.archive, server.md5 = served / "a.zip", md5_of(served / "a.zip")
        server.file_md5 = {file.name: md5_of(file) for file in folder.glob("*.h5")}
        server.url = f"http://127.0.0.1:{server.server_port}/a.zip"
        thread = threading.Thread(target=functools.partial(server.serve_forever, 0.02))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def get(mirror, tmp_path):
    return lambda: modelnet40.download(tmp_path / "root", [mirror.url], mirror.md5, mirror.file_md5)


def visible(root):
    return sorted(p.name for p in root.iterdir() if p.suffix != ".lock")


def test_download_then_reuse(get, mirror, tmp_path):
    folder = get()
    assert folder == tmp_path / "root" / modelnet40.FOLDER
    assert len(modelnet40.load(folder, "train", P)) == 5
    assert get() == folder
    assert mirror.requests == ["/a.zip"]
    assert visible(tmp_path / "root") == [modelnet40.FOLDER, f"{modelnet40.FOLDER}.zip"]


def test_archive_put_by_hand_is_used(get, mirror, tmp_path):
    (tmp_path / "root").mkdir()
    shutil.copy(mirror.archive, tmp_path / "root" / f"{modelnet40.FOLDER}.zip")
    assert get().is_dir()
    assert mirror.requests == []


@pytest.mark.parametrize("name", ["ply_data_train0.h5", "shape_names.txt"])
def test_damaged_copy_is_reported_and_replaced(name, get, tmp_path, caplog):
    folder = get()
    (folder / name).unlink()
    with caplog.at_level(logging.WARNING):
        get()
    assert name in caplog.text
    assert len(modelnet40.load(folder, "train", P)) == 5
    assert visible(tmp_path / "root") == [modelnet40.FOLDER, f"{modelnet40.FOLDER}.zip"]


def test_damaged_copy_stays_while_there_is_no_better(get, mirror, tmp_path):
    folder = get()
    (tmp_path / "root" / f"{modelnet40.FOLDER}.zip").unlink()
    (folder / "ply_data_train0.h5").write_bytes(b"half")
    mirror.archive.unlink()
    with pytest.raises(InputError, match="404"):
        get()
    assert (folder / "ply_data_train0.h5").read_bytes() == b"half"


def test_failed_swap_puts_the_old_copy_back(get, tmp_path, monkeypatch):
    folder = get()
    (folder / "ply_data_train0.h5").write_bytes(b"half")
    rename = os.rename

    def fail_at_the_last(source, target):
        if target == folder and ".old." not in str(source):
            raise OSError("no")
        rename(source, target)

    monkeypatch.setattr(modelnet40.os, "rename", fail_at_the_last)
    with pytest.raises(OSError, match="no"):
        get()
    assert (folder / "ply_data_train0.h5").read_bytes() == b"half"
    assert visible(tmp_path / "root") == [modelnet40.FOLDER, f"{modelnet40.FOLDER}.zip"]


def test_archive_without_the_files_is_refused(mirror, tmp_path):
    wanted = mirror.file_md5 | {"ply_data_train9.h5": "0" * 32}
    with pytest.raises(InputError, match=r"ply_data_train9\.h5"):
        modelnet40.download(tmp_path / "root", [mirror.url], mirror.md5, wanted)
    assert visible(tmp_path / "root") == [f"{modelnet40.FOLDER}.zip"]


def test_link_to_a_damaged_copy_loses_nothing_behind_it(get, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/mine").write_text("kept")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / modelnet40.FOLDER).symlink_to(tmp_path / "elsewhere")
    assert not get().is_symlink()
    assert (tmp_path / "elsewhere/mine").read_text() == "kept"


def test_command_prints_the_folder(monkeypatch, capsys, tmp_path):
    calls = []
    monkeypatch.setattr(
        modelnet40, "download", lambda *args: calls.append(args) or tmp_path / "there"
    )
    modelnet40.main(["--root", "somewhere", "--url", "http://a/", "http://b/"])
    modelnet40.main(["--root", "somewhere"])
    assert calls == [("somewhere", ["http://a/", "http://b/"]), ("somewhere", modelnet40.MIRRORS)]
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "there")] * 2


def test_command_reports_a_fault_without_traceback(mirror, tmp_path):
    with pytest.raises(SystemExit) as caught:
        modelnet40.main(["--root", str(tmp_path / "root"), "--url", "http://127.0.0.1:1/a.zip"])
    assert "error: " in str(caught.value) and modelnet40_archive.ARCHIVE_MD5 in str(caught.value)
    assert sys.exc_info() == (None, None, None)
