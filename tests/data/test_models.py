"""Pictures and ground truth of a data set's models, as training scripts open them."""

from pathlib import Path

import numpy as np
import pytest

from samplenet.data import cameras
from samplenet.errors import InputError

pytest.importorskip("embreex", reason="embreex is not installed: no picture of a mesh is tested")
pytest.importorskip("PIL", reason="Pillow is not installed: no picture of a mesh is tested")
pytest.importorskip("scipy", reason="SciPy is not installed: no picture of a mesh is tested")

import scipy.io

from samplenet.data.views import files, make, models, truths
from samplenet.data.views.drawing import read_list
from samplenet.data.views.models import ViewsConfig, open_models


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMPLENET_DATA", str(tmp_path))
    return ViewsConfig(classes=["cup", "chair"], shapes_per_class=10, image_size=16, num_views=2)


def test_built_in_shapes_are_drawn_once_and_read(config, tmp_path, monkeypatch):
    config.lit = False
    train = open_models(config, "train")
    (folder,) = filter(Path.is_dir, tmp_path.iterdir())  # beside its lock
    monkeypatch.setattr(make, "make", None)  # not called again
    test = open_models(config, "test")
    assert len(train) == 14 and len(test) == 4 and not {*train.ids} & {*test.ids}
    assert train.ids[0] == "cup/" + read_list(folder / "splits/cup_train.txt")[0]
    assert train.names == ("cup", "chair") and train.classes.tolist() == [0] * 7 + [1] * 7
    assert train.images.shape == (14, 2, 16, 16, 3) and train.labels.shape == (14, 2, 16, 16)
    pictures = files.read(folder / train.ids[9])
    np.testing.assert_allclose(train.images[9] / 255, pictures.images, atol=1 / 255)
    np.testing.assert_allclose(train.masks[9] / 255, pictures.masks, atol=1e-6)
    np.testing.assert_allclose(train.extrinsics[9], pictures.extrinsics, atol=1e-6)
    black = pictures.images - (1 - pictures.masks[..., None])
    np.testing.assert_allclose(train.on_black()[9] / 255, black, atol=1.5 / 255)


def test_without_light_pixels_have_the_colours_of_the_true_points(config):
    config.lit = False
    model = open_models(config, "train")
    truth = model.truths[9]
    assert truth.points.shape == truth.colors.shape and truth.points.shape[0] == len(truth.labels)
    covered = model.labels[9] > 0
    colors = {tuple(np.round(255 * color)) for color in np.unique(truth.colors, axis=0)}
    seen = {tuple(color) for color in model.images[9][covered & (model.masks[9] == 255)]}
    assert seen & colors  # pixels on the border of two parts have a mixture
    for label in np.unique(truth.labels):
        assert len(np.unique(truth.colors[truth.labels == label], axis=0)) == 1
    pixels, _ = cameras.project(truth.points, model.extrinsics[9], cameras.intrinsics(16))
    rows = np.clip(pixels.astype(int), 0, 15)
    for view, at in enumerate(rows):
        assert (model.masks[9, view][at[:, 1], at[:, 0]] > 0).mean() > 0.99


def test_light_makes_pictures_darker(config):
    lit = open_models(config, "test")
    config.lit = False
    flat = open_models(config, "test")
    assert (lit.masks == flat.masks).all() and lit.images.mean() < flat.images.mean()


def test_a_class_is_found_by_shapenets_synset(config):
    root = models.built_in(config)
    for path in [*root.glob("*/chair"), root / "chair", *root.glob("splits/chair_*")]:
        path.rename(path.with_name(path.name.replace("chair", "03001627")))
    test = models.read(root, "test", ["chair"])
    assert test.names == ("chair",) and test.truths[0] is not None
    assert all(name.startswith("03001627/chair_") for name in test.ids)


def test_colours_of_true_points_are_in_0_to_1(config):
    root = models.built_in(config)
    path = next(root.glob("gt/cup/*.mat"))
    cloud = truths.read_cloud(path)
    for factor, found in ((255, "got .* to 2.."), (np.nan, "got nan")):
        truths.write_cloud(path, cloud._replace(colors=factor * cloud.colors))
        with pytest.raises(InputError, match=r"colors must be in \[0, 1\], " + found):
            truths.read_cloud(path)


def test_a_data_set_that_does_not_fit_is_named(config, tmp_path):
    root = models.built_in(config)
    config.data_root = str(root)
    with pytest.raises(InputError, match="split must be one of train, val, test; got 'dev'"):
        open_models(config, "dev")
    config.num_views = 3
    with pytest.raises(InputError, match="has 2 of 3 views"):
        open_models(config, "train")
    config.num_views, config.classes = 2, ["vase"]
    with pytest.raises(InputError, match="vase_train.txt cannot be read"):
        open_models(config, "train")
    config.classes = ["cup"]
    (name,) = read_list(root / "splits/cup_val.txt")
    (root / "gt/cup" / f"{name}.mat").unlink()
    assert open_models(config, "val").truths == [None]
    camera = root / "cup" / name / "camera_1.mat"
    extrinsic = scipy.io.loadmat(camera)["extrinsic"]
    scipy.io.savemat(camera, {"extrinsic": extrinsic, "K": np.diag([9, 9, 1])})
    with pytest.raises(InputError, match=f"cup/{name} has another lens"):
        open_models(config, "val")
    (root / "splits/cup_val.txt").write_text("")
    with pytest.raises(InputError, match="has no model of 'cup' for its val split"):
        open_models(config, "val")
