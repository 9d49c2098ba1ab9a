"""Exported Keras samplers give the same in a fresh process and as an ONNX model."""

import subprocess
import sys

import numpy as np
import pytest

from samplenet import InputError, export
from samplenet.ops import reference

tf = pytest.importorskip("tensorflow")
import keras  # noqa: E402

from samplenet.tf import SampleNet  # noqa: E402

M = 24
CLOUDS = np.random.default_rng(0).uniform(-1, 1, (6, 80, 3)).astype(np.float32)
FRESH = """
import sys, numpy, tensorflow as tf
{load}
out = sampler(numpy.load("clouds.npy"))
numpy.savez("out.npz", **{{name: out[name] for name in ("points", "idx", "queries")}})
"""
SAVED = 'sampler = tf.saved_model.load("sampler"); assert "samplenet" not in sys.modules'
KERAS = """
import samplenet.tf
model = tf.keras.models.load_model("sampler.keras")
sampler = lambda x: model(x)._asdict()
"""


@pytest.fixture(scope="module")
def sampler():
    """A small one whose batch norms are not in their first state."""
    keras.utils.set_random_seed(0)
    sampler = SampleNet(M, k=4, conv_widths=(16, 24), fc_widths=(16,), bn_momentum=0.5)
    for i in range(3):
        sampler(CLOUDS + 0.1 * i, training=True)
    return sampler


def check(sampler, found):
    """Check Q to 1e-5, and indices and points against the sampler and the reference for this Q."""
    ours = sampler(CLOUDS)
    np.testing.assert_allclose(found["queries"], ours.queries, atol=1e-5)
    np.testing.assert_array_equal(found["idx"], ours.idx)
    np.testing.assert_array_equal(found["points"], ours.points)
    _, near = reference.knn(found["queries"], CLOUDS, 1)
    np.testing.assert_array_equal(
        found["idx"], reference.farthest_points(CLOUDS, M, chosen=near[..., 0])
    )
    assert (
        len({len(set(row)) for row in near[..., 0].tolist()}) > 1
    )  # unequal numbers of further points


@pytest.fixture
def check_fresh(sampler, tmp_path, serve_scripts):
    """Return a function that loads an export in a fresh process and checks its output."""
    np.save(tmp_path / "clouds.npy", CLOUDS)

    def call(load, forked):
        program = tmp_path / "fresh.py"
        program.write_text(FRESH.format(load=load))
        if forked:
            serve_scripts("tf").run(program, prepare=f"os.chdir({str(tmp_path)!r})")
        else:
            subprocess.run([sys.executable, program], cwd=tmp_path, check=True)
        check(sampler, np.load(tmp_path / "out.npz"))

    return call


@pytest.mark.parametrize(
    "name, load, forked",
    [
        ("sampler", SAVED, False),  # a fork has imported samplenet
        ("sampler.keras", KERAS, True),
    ],
)
def test_a_fresh_process_gives_the_same(sampler, name, load, forked, check_fresh, tmp_path):
    export.export(sampler, tmp_path / name)
    check_fresh(load, forked)
    check(sampler, export.load(tmp_path / name)(CLOUDS))


def test_a_saved_model_serves_any_size_and_is_replaced(sampler, tmp_path):
    export.export(sampler, tmp_path / "sampler")
    export.export(sampler, tmp_path / "sampler")
    assert [path.name for path in tmp_path.iterdir()] == ["sampler"]
    served = tf.saved_model.load(tmp_path / "sampler").signatures["serving_default"]
    for batch, n in ((1, 61), (2, M)):
        clouds = CLOUDS[:batch, :n]
        np.testing.assert_array_equal(served(cloud=tf.constant(clouds))["idx"], sampler(clouds).idx)


def test_onnx_of_a_keras_sampler(sampler, tmp_path):
    pytest.importorskip("onnx", reason="ONNX export needs onnx")
    pytest.importorskip("onnxruntime", reason="running ONNX needs onnxruntime")
    export.export(sampler, tmp_path / "sampler.onnx")
    check(sampler, export.load(tmp_path / "sampler.onnx")(CLOUDS))


def test_a_folder_of_something_else_is_left_alone(sampler, tmp_path):
    with pytest.raises(
        InputError, match="is a folder that holds no SavedModel; choose another name"
    ):
        export.export(sampler, tmp_path)
