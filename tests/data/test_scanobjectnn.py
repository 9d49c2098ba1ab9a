"""ScanObjectNN's files: read as they are laid out, fetched from a local server, faults named."""

import functools
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from samplenet import InputError
from samplenet.data import h5, scanobjectnn
from samplenet.data.download import md5_of

N = 12


def write(folder, clouds=4, labels=None):
    """Write the four files, with clouds far from the origin."""
    rng = np.random.default_rng(0)
    for variant in scanobjectnn.VARIANTS.values():
        for number, name in enumerate(scanobjectnn.FILES.values()):
            path = folder / variant / name
            path.parent.mkdir(parents=True, exist_ok=True)
            points = 5 + rng.normal(size=(clouds + number, N, 3)).astype(np.float32)
            own = np.arange(clouds + number) % 15 if labels is None else labels
            h5.write(path, {"data": points, "label": own})
    return folder


def test_both_variants_are_read_normalised(tmp_path):
    root = write(tmp_path / "h5_files")
    for variant, folder in scanobjectnn.VARIANTS.items():
        train = scanobjectnn.load(root, "train", variant, num_points=N)
        assert train.points.shape == (4, N, 3) and train.points.dtype == np.float32
        assert train.labels.tolist() == [0, 1, 2, 3] and train.names[4] == "chair"
        np.testing.assert_allclose(train.points.mean(1), 0, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(train.points, axis=2).max(1), 1, rtol=1e-6)
        (stored,) = h5.read(root / folder / "test_objectdataset.h5", "data")
        test = scanobjectnn.load(root, "test", variant, num_points=5)
        expected = scanobjectnn.normalisation.unit_sphere(stored)[:, :5]  # before points are left
        np.testing.assert_allclose(test.points, expected, atol=1e-6)
    assert len(test) == 5


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("val", "object_only", 5), "split must be one of train, test; got 'val'"),
        (("train", "bg", 5), "variant must be one of with_background, object_only; got 'bg'"),
        (("train", "object_only", 13), r"num_points must be in \[1, 12\], got 13"),
    ],
)
def test_wrong_arguments_are_named(tmp_path, arguments, words):
    root = write(tmp_path / "h5_files")
    with pytest.raises(InputError, match=words):
        scanobjectnn.load(root, *arguments)


def test_missing_files_and_unknown_labels_are_named(tmp_path):
    with pytest.raises(InputError, match="training_objectdataset.h5 is missing: name the folder"):
        scanobjectnn.load(tmp_path, "train")
    root = write(tmp_path, clouds=1, labels=np.array([15]))
    with pytest.raises(InputError, match=r"has labels 15..15: it must be 0..14"):
        scanobjectnn.load(root, "train", num_points=5)


@pytest.fixture
def server(tmp_path):
    """Serve an archive with the folder h5_files."""
    source = write(tmp_path / "source" / "h5_files")
    (tmp_path / "served").mkdir()
    with zipfile.ZipFile(tmp_path / "served" / "h5_files.zip", "w") as archive:
        for path in source.rglob("*.h5"):
            archive.write(path, path.relative_to(source.parent))
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=functools.partial(server.serve_forever, 0.02))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/h5_files.zip"
        server.shutdown()
        thread.join()


def test_the_archive_is_fetched_unpacked_and_not_fetched_again(server, tmp_path):
    md5 = md5_of(tmp_path / "served" / "h5_files.zip")
    folder = scanobjectnn.download(tmp_path / "root", [server], md5)
    assert len(scanobjectnn.load(folder, "test", num_points=5)) == 5
    assert scanobjectnn.download(tmp_path / "root", ["http://127.0.0.1:9/"], md5) == folder
    (folder / "main_split" / "test_objectdataset.h5").unlink()  # a damaged folder is replaced
    archive = tmp_path / "served" / "h5_files.zip"
    scanobjectnn.download(tmp_path / "root", [], archive=archive)
    assert (folder / "main_split" / "test_objectdataset.h5").is_file()


def test_another_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("h5_files/readme.txt", b"nothing")
    with pytest.raises(InputError, match="lacks main_split/training_objectdataset.h5"):
        scanobjectnn.download(tmp_path / "root", archive=tmp_path / "other.zip")
    with pytest.raises(InputError, match="correct --archive"):
        scanobjectnn.download(tmp_path / "root", archive=tmp_path / "none.zip")
