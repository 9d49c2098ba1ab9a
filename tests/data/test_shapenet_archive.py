"""An archive without a published checksum: extracted whole, recorded, and held to the record."""

import functools
import json
import shutil
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from samplenet import InputError
from samplenet.data import archive, shapenet
from samplenet.data import download as transfer
from samplenet.data.download import md5_of

AXES = b"property float x\nproperty float y\nproperty float z\n"
PLY = b"ply\nformat ascii 1.0\nelement vertex 1\n" + AXES + b"end_header\n1 2 3\n"
SYNSETS = ("02691156", "02828884", "02958343", "03001627", "04379243")
FILES = 10


def make_zip(path, synsets=SYNSETS, prefix="", extra=()):
    with zipfile.ZipFile(path, "w") as archive:
        for synset in synsets:
            for number in range(FILES):
                archive.writestr(f"{prefix}{synset}/id{number}.ply", PLY)
        for name in extra:
            archive.writestr(name, b"x")
    return path


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A served archive in the layout of ShapeNet's: .urls, .archive, .requests."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(transfer, "PAUSE", 0.0)
    (tmp_path / "served").mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            self.server.requests.append(self.path)
            super().do_GET()

    handler = functools.partial(Handler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.requests = []
        server.archive = make_zip(tmp_path / "served/a.zip")
        server.urls = [f"http://127.0.0.1:{server.server_port}/a.zip?dl=1"]
        thread = threading.Thread(target=functools.partial(server.serve_forever, 0.02))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


@pytest.fixture
def get(mirror, root):
    return functools.partial(shapenet.download, root, mirror.urls)


def visible(root):
    return sorted(
        p.name.replace(shapenet.FOLDER, "F") for p in root.iterdir() if p.suffix != ".lock"
    )


def loads(folder):
    return len(shapenet.load(folder, "train", 1)) == 4 * 8


@pytest.mark.parametrize("prefix", ["", f"{shapenet.FOLDER}/"])
def test_download_then_reuse(prefix, get, mirror, root):
    make_zip(mirror.archive, prefix=prefix, extra=["__MACOSX/._id0.ply", "notes.txt"])
    folder = get()
    assert folder == root / shapenet.FOLDER and loads(folder)
    assert get() == folder
    assert mirror.requests == ["/a.zip?dl=1"]
    assert visible(root) == ["F", "F.json", "F.zip"]


def test_archive_is_recorded_and_that_is_logged(get, mirror, root, caplog):
    get()
    record = json.loads((root / f"{shapenet.FOLDER}.json").read_text())
    assert record.pop("about").startswith("made here")
    size, md5 = mirror.archive.stat().st_size, md5_of(mirror.archive)
    files = dict.fromkeys(SYNSETS, FILES)
    name = f"{shapenet.FOLDER}.zip"
    assert record == {"archive": name, "bytes": size, "md5": md5, "files": files}
    assert "no checksum" in caplog.text and f"{size} bytes, MD5 {md5}" in caplog.text


def test_later_only_the_recorded_archive_is_accepted(get, mirror, root, tmp_path):
    shutil.rmtree(get())
    (root / f"{shapenet.FOLDER}.zip").write_bytes(b"damaged later")
    assert loads(get())
    assert len(mirror.requests) == 2
    shutil.rmtree(root / shapenet.FOLDER)
    (root / f"{shapenet.FOLDER}.zip").unlink()
    make_zip(mirror.archive, extra=["notes.txt"])
    with pytest.raises(InputError, match="serves a file with MD5"):
        get()
    with pytest.raises(
        InputError, match=r"not the \w{32} in .*F?\.json: use that archive, or delete the record"
    ):
        get(archive=mirror.archive)
    (root / f"{shapenet.FOLDER}.json").unlink()
    assert loads(get(archive=mirror.archive))


def test_archive_named_or_put_by_hand_is_used(get, mirror, root, tmp_path):
    folder = get(archive=mirror.archive)
    assert loads(folder) and visible(root) == ["F", "F.json"]
    shutil.rmtree(root)
    root.mkdir()
    shutil.copy(mirror.archive, root / f"{shapenet.FOLDER}.zip")
    assert loads(get()) and mirror.requests == []
    shutil.rmtree(root)
    with pytest.raises(InputError, match="nowhere.zip is not a file: correct --archive"):
        get(archive=tmp_path / "nowhere.zip")


def test_folder_made_by_hand_is_taken_as_it_is(get, mirror, root):
    (root / shapenet.FOLDER / "03001627").mkdir(parents=True)
    (root / shapenet.FOLDER / "03001627/id.ply").write_bytes(PLY)
    assert get() == root / shapenet.FOLDER
    assert visible(root) == ["F"] and mirror.requests == []


def test_folder_of_something_else_is_left_alone(get, mirror, root):
    (root / shapenet.FOLDER).mkdir(parents=True)
    (root / shapenet.FOLDER / "mine").write_text("kept")
    with pytest.raises(InputError, match="is in the way"):
        get()
    assert (root / shapenet.FOLDER / "mine").read_text() == "kept" and mirror.requests == []


def test_damaged_copy_is_reported_and_replaced(get, mirror, root, caplog):
    folder = get()
    (folder / "03001627/id3.ply").unlink()
    shutil.rmtree(folder / "02828884")
    get()
    assert "02828884: 0 of 10 files, 03001627: 9 of 10 files" in caplog.text
    assert caplog.text.count("no checksum") == 1
    assert loads(folder) and len(list(folder.glob("*/*.ply"))) == 5 * FILES
    assert visible(root) == ["F", "F.json", "F.zip"] and len(mirror.requests) == 1


def test_archive_without_a_class_is_refused(get, mirror, root):
    make_zip(mirror.archive, SYNSETS[:-1])
    with pytest.raises(InputError, match=r"a\.zip holds no 04379243/<id>\.ply"):
        get(archive=mirror.archive)
    assert visible(root) == []


def test_damaged_archive_is_refused_and_not_recorded(get, mirror, root):
    content = mirror.archive.read_bytes()
    mirror.archive.write_bytes(content.replace(b"1 2 3", b"1 2 4", 1))  # against its CRC-32
    with pytest.raises(
        InputError, match=r"\.zip is damaged .*CRC-32.*delete it and fetch it again"
    ):
        get()
    assert visible(root) == ["F.zip"]


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b"{}", b'{"md5": 1, "files": {}}', b'{"md5": "a", "files": []}', b"\xff"],
)
def test_damaged_record_is_reported(content, get, root):
    get()
    (root / f"{shapenet.FOLDER}.json").write_bytes(content)
    with pytest.raises(InputError, match=r"\.json is no record of an archive: delete it"):
        get()


def test_kill_between_record_and_folder_is_mended(get, root, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(archive, "replace_folder", killed)
        get()
    assert visible(root) == ["F.json", "F.zip"]
    assert loads(get()) and visible(root) == ["F", "F.json", "F.zip"]


def test_command_prints_the_folder(monkeypatch, capsys, mirror, root, tmp_path):
    calls = []
    monkeypatch.setattr(
        shapenet, "download", lambda *args: calls.append(args) or tmp_path / "there"
    )
    shapenet.main(["--root", "somewhere", "--url", "http://a/", "http://b/"])
    shapenet.main(["--root", "somewhere", "--archive", "a.zip"])
    assert calls == [
        ("somewhere", ["http://a/", "http://b/"], None),
        ("somewhere", shapenet.MIRRORS, "a.zip"),
    ]
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "there")] * 2


def test_command_reports_a_fault_without_traceback(mirror, root):
    with pytest.raises(SystemExit) as caught:
        shapenet.main(["--root", str(root), "--url", mirror.urls[0].replace("a.zip", "b.zip")])
    assert "error: " in str(caught.value) and "404" in str(caught.value)
