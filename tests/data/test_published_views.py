"""The archives released with Differentiable Point Clouds, played by a server on 127.0.0.1."""

import functools
import io
import tarfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from samplenet.data.views.drawing import read_list
from samplenet.data.views.published import download, main
from samplenet.errors import InputError

CHAIR = "03001627"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def pack(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.fixture
def served(tmp_path):
    """Serve archives of ten chairs, their pictures below another folder; return the address."""
    folder = tmp_path / "served"
    folder.mkdir()
    names = [f"model{i}" for i in range(10)]
    pack(
        folder / f"{CHAIR}-renders.tar.gz",
        {f"renders/{CHAIR}/{name}/render_0.png": name.encode() for name in names},
    )
    pack(folder / f"{CHAIR}-gt.tar.gz", {f"{CHAIR}/{name}.mat": b"points" for name in names})
    pack(folder / "02958343-renders.tar.gz", {"02958343/a/view.txt": b""})
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_archives_become_a_data_set_that_is_split(served, tmp_path, capsys):
    root = tmp_path / "views"
    main(["--root", str(root), "--synsets", CHAIR, "--url", served])
    assert capsys.readouterr().out == f"{root}\n"
    assert (root / CHAIR / "model3/render_0.png").read_bytes() == b"model3"
    assert (root / "gt" / CHAIR / "model3.mat").read_bytes() == b"points"
    lists = [read_list(root / f"splits/{CHAIR}_{s}.txt") for s in ("train", "val", "test")]
    assert [len(names) for names in lists] == [7, 1, 2] and len({*sum(lists, [])}) == 10

    (root / f"{CHAIR}-renders.tar.gz").unlink()
    before = [path.read_text() for path in sorted((root / "splits").iterdir())]
    download(root, [CHAIR], "http://127.0.0.1:1", seed=1)  # asks no server; keeps the splits
    assert before == [path.read_text() for path in sorted((root / "splits").iterdir())]


def test_given_lists_are_the_splits(served, tmp_path, caplog):
    root, given = tmp_path / "views", tmp_path / f"{CHAIR}_test.txt"
    download(root, [CHAIR], served)  # at random
    given.write_text("model4\nmodel77\n")
    download(root, [CHAIR], served, [given])
    assert [path.name for path in (root / "splits").iterdir()] == [given.name]
    assert read_list(root / "splits" / given.name) == ["model4"]
    assert "names 1 of 2 models that have no pictures (model77): they are left out" in caplog.text

    given.write_text("\n".join("abcde"))
    with pytest.raises(InputError, match=r"5 of 5 .* \(a, b, c, ...\): it is the list of another"):
        download(root, [CHAIR], served, [given])
    assert read_list(root / "splits" / given.name) == ["model4"]


@pytest.mark.parametrize(
    ("synset", "message"),
    [
        ("02958343", "holds no 02958343/.*/render_0.png: it is another archive"),
        ("02691156", "02691156-renders.tar.gz could not be downloaded; get it by other means"),
        ("chair", "synsets must be of 03001627 chair, .*; got 'chair'"),
    ],
)
def test_a_missing_or_other_archive_leaves_nothing(served, tmp_path, synset, message):
    with pytest.raises(InputError, match=message):
        download(tmp_path / "views", [synset], served)
    assert not [*tmp_path.glob("views/*/*")]
