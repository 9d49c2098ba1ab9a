"""A user's own task network: examples/dgcnn.py, and errors for networks that lack something."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import cost
import own_network
import pointnet
from samplenet import InputError
from samplenet.runs.checkpoint import load_checkpoint
from samplenet.runs.script import main
from samplenet.tf import FarthestPointSampler

ROOT = Path(__file__).parents[2]
CLASSES = 21
FOLDER = (ROOT / "examples").resolve()
EXAMPLE = f"{FOLDER}/dgcnn.py:DGCNN"


@pytest.fixture
def net():
    return pointnet.build(EXAMPLE, CLASSES, 32)


@pytest.mark.parametrize("size", [16, 4])  # more points than the network has neighbours, and fewer
def test_the_example_serves_every_size_and_passes_gradients_to_the_points(net, size):
    points = tf.Variable(np.random.default_rng(0).normal(size=(2, size, 3)), dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss, logits = pointnet.task_loss(net, points, tf.constant([0, 1]), training=False)
    assert logits.shape == (2, CLASSES) and float(tf.norm(tape.gradient(loss, points))) > 0


def test_neighbours_are_those_of_the_features():
    nearest = own_network.load(EXAMPLE)[1].__init__.__globals__["nearest"]
    features = np.random.default_rng(0).normal(size=(2, 20, 5)).astype(np.float32)
    idx = np.argsort(((features[:, :, None] - features[:, None]) ** 2).sum(3), 2)
    np.testing.assert_array_equal(nearest(tf.constant(features), 4), idx[..., :4])
    idx = np.argsort(((features[:, :, None] - features[:, None])[..., :3] ** 2).sum(3), 2)
    np.testing.assert_array_equal(nearest(tf.constant(features[..., :3]), 4), idx[..., :4])


def test_the_cost_of_the_example_is_counted(net, capsys):
    rows = cost.counts(net, {("none", 32): None, ("fps", 8): FarthestPointSampler(8)}, 32)
    found = {(r["sampler"], r["metric"]): r["value"] for r in rows}
    weights = 3 * 64 + 32 * 64 + 32 * 128 + 128 * 256  # of the edges, and of the points
    norms = 2 * (32 + 32 + 64 + 256)
    assert found["none", "parameters"] == weights + norms + 256 + 257 * CLASSES
    for name, m in (("none", 32), ("fps", 8)):
        distances = m * m * (32 + 32)  # between the features of all points
        assert found[name, "macs"] == m * weights + distances + 256 * CLASSES
    assert capsys.readouterr().out == ""


def test_a_network_with_branches_has_costs_without_multiply_adds(net, capsys):
    once = net.describe
    net.describe = lambda points, training: (
        tf.cond(
            tf.reduce_any(points > 0),
            lambda: once(points, training)[0],
            lambda: once(-points, training)[0],
        ),
        0.0,
    )
    metrics = {r["metric"] for r in cost.counts(net, {("none", 32): None}, 32)}
    assert metrics == {"parameters", "sampler_parameters", "sampler_macs"}
    assert "multiply-adds are left out on 32 points: " in capsys.readouterr().out


def test_a_run_keeps_the_whole_path_of_the_network_and_records_its_code(
    tmp_path, script, tiny, monkeypatch
):
    monkeypatch.chdir(FOLDER)
    run = tmp_path / "task"
    script("train_classifier", *tiny, "--model", "dgcnn.py:DGCNN", "--no-xla", "--out", run)
    assert f"model: {EXAMPLE}" in (run / "config.yaml").read_text()
    code = json.loads((run / "environment.json").read_text())["sources"]
    assert {f"{FOLDER}/dgcnn.py", "classification/own_network.py"} <= {*code}
    monkeypatch.chdir(tmp_path)
    net, _, config = pointnet.load_task(str(run))
    assert pointnet.called(config.model) == "DGCNN" and not net.trainable
    kept = load_checkpoint(run / "last.safetensors")[0]["conv1/linear/kernel"]
    np.testing.assert_array_equal(net.convs[0].linear.kernel, kept)


@pytest.mark.slow
def test_the_example_goes_through_every_script(tmp_path, script, tiny, results, monkeypatch):
    script(
        "train_classifier", *tiny, "--model", EXAMPLE, "--out", tmp_path / "task"
    )  # XLA compiles it
    task = ["--task", tmp_path / "task"]
    script("train_samplenet", *tiny, *task, "--sample-sizes", 8, "--out", tmp_path / "samplenet")
    script(
        "evaluate",
        *task,
        "--sizes",
        8,
        "--samplers",
        "fps",
        tmp_path / "samplenet",
        "--out",
        tmp_path / "scores",
    )
    found = results(tmp_path / "scores")
    assert found["network"] == "DGCNN" and {"fps", "samplenet"} <= {
        r["sampler"] for r in found["rows"]
    }
    assert {"accuracy", "map_macro"} <= {r["metric"] for r in found["rows"]}
    flags = [
        *task,
        "--samplers",
        "fps",
        "--sizes",
        "8",
        "--repeats",
        "1",
        "--out",
        tmp_path / "cost",
    ]
    monkeypatch.setattr("sys.argv", [str(ROOT / "classification" / "cost.py"), *map(str, flags)])
    main(cost.measure_all, cost.Config)
    assert "The task network: DGCNN." in (tmp_path / "cost" / "cost.md").read_text()


NET = """
import keras
import tensorflow as tf
from pointnet import Classifier


class Net(BASE):
    def __init__(self, num_classes):
        super().__init__()
        self.first = keras.layers.Dense(5, name="first")
        self.last = keras.layers.Dense(num_classes, name="last")

    def describe(self, points, training=None):
        return tf.reduce_max(self.first(points), 1), 0.0
"""


@pytest.mark.parametrize(
    "base, changes, words",
    [
        (
            "keras.Model",
            [],
            "Net lacks forward; derive it from pointnet.Classifier, or see “Your own network”",
        ),
        ("object", [], "Net is no keras.Model"),
        ("Classifier", [("describe", "features")], "Net lacks describe; derive"),
        ("Classifier", [("self.last", "self.end")], "Net lacks last; derive"),
        (
            "Classifier",
            [("self.first(points), 1), 0.0", "self.first(points), 1)")],
            "describe must return two things",
        ),
        (
            "Classifier",
            [("tf.reduce_max(self.first(points), 1)", "self.first(points)")],
            r"describe must give .*\(2, 32, 5\)",
        ),
        (
            "Classifier",
            [("(num_classes,", "(2,")],
            r"last must give logits \(B, 3\), one a class, got \(2, 2\)",
        ),
        ("Classifier", [(', name="first"', "")], r"name every layer, .*dense\S*/\w+ differently"),
        (
            "Classifier",
            [("points), 1)", "points[:, :, 5]), 1)")],
            "fails on clouds of 32 points: .*; --debug shows where",
        ),
        (
            "Classifier",
            [("import keras", "import nothing_of_that_name")],
            r"net.py cannot be imported: ModuleNotFound",
        ),
        ("Classifier", [("class Net", "class Other")], r"net.py has no class Net"),
    ],
)
def test_a_network_that_lacks_something_is_refused_with_what_it_is(tmp_path, base, changes, words):
    text = NET.replace("BASE", base)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "net.py").write_text(text)
    with pytest.raises(InputError, match=words) as refused:
        pointnet.build(f"{tmp_path}/net.py:Net", 3, 32)
    assert "\n" not in str(refused.value)


def test_a_file_of_the_user_may_be_called_as_one_of_ours_and_import_its_neighbours(tmp_path):
    (tmp_path / "beside.py").write_text("WIDTH = 5")
    (tmp_path / "pointnet.py").write_text(
        NET.replace("BASE", "Classifier").replace("(5,", "(beside.WIDTH,") + "\nimport beside\n"
    )
    name, made = own_network.load(f"{tmp_path}/pointnet.py:Net")
    assert name == f"{tmp_path.resolve()}/pointnet.py:Net" and issubclass(made, pointnet.Classifier)
    assert pointnet.build(name, 3, 16).name.startswith("net") and pointnet.called(name) == "Net"
