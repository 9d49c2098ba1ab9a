"""Which networks an evaluation scores, and the clouds that it saves."""

from types import SimpleNamespace

import numpy as np
import pytest

from samplenet.data import shapenet
from samplenet.errors import InputError
from samplenet.runs import networks
from samplenet.runs.networks import Entry, NetworksConfig, choose, refuse_doubles, shared


@pytest.fixture
def runs(tmp_path):
    """Write the settings of three trainings, of which one stopped, and of an evaluation."""
    for name in ("a", "b", "stopped"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("features: mask\n")
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation/config.yaml").write_text("split: test\n")
    return tmp_path


def load(folder):
    if "stopped" in str(folder):
        raise InputError(f"{folder} stands at epoch 1 of 2")
    return f"network of {folder}"


def test_named_networks_come_first_and_finished_runs_follow_once(runs, capsys):
    config = NetworksConfig(networks=[str(runs / "b")], runs=str(runs))
    found = choose(config, load, "features")
    assert [*found] == [str(runs / "b"), str(runs / "a")]
    assert found[str(runs / "a")] == f"network of {runs / 'a'}"
    assert f"skipped: {runs}/stopped stands at epoch 1 of 2" in capsys.readouterr().out


def test_clouds_of_two_runs_of_one_name_would_be_mixed(tmp_path):
    folders = [tmp_path / seed / "camera" for seed in ("seed0", "seed1")]
    for folder in folders:
        folder.mkdir(parents=True)
    config = NetworksConfig(networks=[*map(str, folders)])
    assert len(choose(config, load, "features")) == 2
    config.save_clouds = str(tmp_path / "clouds")
    with pytest.raises(InputError, match="two are called 'camera': save their clouds apart"):
        choose(config, load, "features")


def test_without_a_network_a_sentence_says_what_is_needed(runs):
    with pytest.raises(InputError, match="--networks needs the run folder .*: none is named"):
        choose(NetworksConfig(), load, "features")
    with pytest.raises(InputError, match="--runs .*/evaluation holds no finished one"):
        choose(NetworksConfig(runs=str(runs / "evaluation")), load, "features")
    with pytest.raises(InputError, match="--networks: 'nowhere' is not a run folder"):
        choose(NetworksConfig(networks=["nowhere"]), load, "features")
    with pytest.raises(InputError, match="stands at epoch 1"):
        choose(NetworksConfig(networks=[str(runs / "stopped")]), load, "features")


def test_runs_of_other_data_and_two_of_one_name_cannot_stand_in_one_table():
    one, other = SimpleNamespace(image_size=32, lit=True), SimpleNamespace(image_size=64, lit=True)
    assert shared({"a": one, "b": other}, ["lit"]) == {"lit": True}
    with pytest.raises(InputError, match="b was trained with --image-size 64, a with 32"):
        shared({"a": one, "b": other}, ["lit", "image_size"])
    entries = [Entry({"network": "CAPNet"}, seed, f"run{seed}") for seed in (0, 1)]
    refuse_doubles(entries)
    with pytest.raises(InputError, match="run0 and again are both network CAPNet, seed 0"):
        refuse_doubles([*entries, entries[0]._replace(folder="again")])


def test_saved_clouds_are_a_folder_as_of_shapenet(tmp_path):
    ids = [f"chair/chair_{i:04d}" for i in range(10)]
    points = np.random.default_rng(0).normal(size=(10, 8, 3)).astype(np.float32)
    networks.save_clouds(tmp_path, ids, points)
    clouds = shapenet.load(tmp_path, "train", 8, ["chair"])
    first = int(clouds.ids[0].removeprefix("03001627/chair_"))
    np.testing.assert_array_equal(clouds.points[0], points[first])


def test_predictions_of_batches_are_joined_by_model_and_view():
    images = np.arange(3 * 2 * 4 * 4 * 3, dtype=np.uint8).reshape(3, 2, 4, 4, 3)
    means, none = networks.predict(lambda batch: (batch.mean((1, 2)), None), images, batch_size=4)
    np.testing.assert_allclose(means, images.mean((2, 3)) / 255, rtol=1e-5)
    assert none is None


def test_what_was_scored_is_named_by_the_data_sets_folder():
    assert networks.describe(["chair"], None, "test") == "chair of the built-in shapes"
    found = networks.describe(["chair", "car"], "/data/views", "val")
    assert found == "chair, car of views, validation"
