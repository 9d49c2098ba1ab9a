"""Tests of TensorFlow's ops alone: gradients, graphs, XLA, saved models, threads, loading."""

import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from samplenet import InputError
from samplenet.ops import native

tf = pytest.importorskip("tensorflow")


def clouds(seed, *shape, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=(*shape, 3)).astype(dtype)


def python(code, **environment):
    """Run code in a fresh Python; return what it did."""
    env = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)


@pytest.fixture
def ops(serve):
    with serve("tf native") as module:
        yield module


@pytest.fixture
def raw(ops):
    """The compiled ops themselves, without the checks of Python."""
    from samplenet.ops.tf import build

    return build._library()


# gradients


def total(ops, a, b):
    """Every output that has a gradient, weighted unevenly."""
    near, (dist2, _) = ops.chamfer(a, b), ops.knn(a, b, 3)
    return sum(tf.reduce_sum(tf.sin(3 * out)) for out in (near.a2b, near.b2a, dist2))


def gradients(ops, a, b, function=total):
    a, b = tf.convert_to_tensor(a), tf.convert_to_tensor(b)
    with tf.GradientTape() as tape:
        tape.watch([a, b])
        value = function(ops, a, b)
    return tape.gradient(value, [a, b])


@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-6), (np.float64, 1e-12)])
@pytest.mark.parametrize("graph", [False, True])
def test_gradients_are_those_of_the_framework_operations(serve, dtype, tolerance, graph):
    a, b = clouds(0, 3, 20, dtype=dtype), clouds(1, 3, 30, dtype=dtype)
    found = []
    for name in ("tf native", "tf"):
        with serve(name) as ops:
            call = (
                tf.function(lambda a, b, ops=ops: gradients(ops, a, b))
                if graph
                else lambda a, b, ops=ops: gradients(ops, a, b)
            )
            found.append(call(a, b))
    for got, want in zip(*found, strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * np.abs(want).max())


def test_the_same_gradient_twice_has_the_same_bits(ops):
    a, b = clouds(0, 4, 500), clouds(1, 4, 40)  # many points of a share their nearest one of b
    first, second = gradients(ops, a, b), gradients(ops, a, b)
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, two)


def test_copies_add_their_gradients_in_one_order_and_to_the_same_sum():
    from samplenet.ops.tf import fan_out

    x, weights = tf.constant(clouds(0, 2, 5)), clouds(1, 4, 2, 5)

    @tf.function
    def gradient(split):
        with tf.GradientTape() as tape:
            tape.watch(x)
            parts = fan_out(x, 4) if split else [x] * 4
            loss = sum(
                tf.reduce_sum(w * tf.sin(part)) for w, part in zip(weights, parts, strict=True)
            )
        return tape.gradient(loss, x)

    np.testing.assert_allclose(gradient(True), gradient(False), rtol=1e-5, atol=1e-6)
    added = [
        [
            len(op.inputs)
            for op in gradient.get_concrete_function(split).graph.get_operations()
            if op.type == "AddN"
        ]
        for split in (False, True)
    ]
    assert added == [[4], []]


def test_infinite_distances_have_the_native_gradients_in_framework_operations(serve, unchecked):
    def sums(ops, a, b):
        near, (dist2, _) = ops.chamfer(a, b), ops.knn(a, b, 30)
        return tf.reduce_sum(near.a2b) + tf.reduce_sum(near.b2a) + tf.reduce_sum(dist2)

    rng, (a, b) = np.random.default_rng(2), (clouds(0, 3, 20), clouds(1, 3, 30))
    for cloud in (a, b):  # some not finite, and some that overflow when squared
        special = rng.choice([np.nan, np.inf, -np.inf, 1e30], cloud[:2].shape)
        cloud[:2] = np.where(rng.random(cloud[:2].shape) < 0.1, special, cloud[:2])
    found = []
    for name in ("tf native", "tf"):
        with serve(name) as ops:
            found.append(gradients(ops, a, b, sums))
    for want, got in zip(*found, strict=True):
        numbers = ~np.isnan(want)
        assert numbers[2].all() and not numbers.all()
        np.testing.assert_allclose(got[numbers], want[numbers], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["tf", "tf native"])
def test_padding_with_copies_of_a_point_leaves_the_gradients_of_chamfer(serve, name):
    def sums(ops, a, b, padding=0):
        near = ops.chamfer(tf.concat([a, tf.repeat(a[:, :1], padding, 1)], 1), b)
        return tf.reduce_sum(near.a2b[:, :6]) + tf.reduce_sum(near.b2a**2)

    a, b = clouds(0, 2, 6), clouds(1, 2, 9)
    with serve(name) as ops:
        padded, alone = (
            gradients(ops, a, b, lambda *args: sums(*args, padding=4)),
            gradients(ops, a, b, sums),
        )
    for got, want in zip(padded, alone, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_gets_its_gradient_back(ops, dtype):
    a, b = tf.cast(clouds(0, 1, 6), dtype), tf.cast(clouds(1, 1, 7), dtype)
    assert [g.dtype.name for g in gradients(ops, a, b)] == [dtype, dtype]


@pytest.mark.parametrize("output", ["a2b", "b2a"])
def test_one_direction_of_chamfer_alone(serve, output):
    a, b = clouds(0, 2, 6), clouds(1, 2, 9)
    found = []
    for name in ("tf native", "tf"):
        with serve(name) as ops:
            found.append(
                gradients(
                    ops, a, b, lambda o, a, b: tf.reduce_sum(getattr(o.chamfer(a, b), output))
                )
            )
    for got, want in zip(*found, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def test_a_gradient_that_arrives_as_slices(serve):
    a, b = clouds(0, 2, 6), clouds(1, 2, 9)
    found = []
    for name in ("tf native", "tf"):
        with serve(name) as ops:
            found.append(
                gradients(
                    ops, a, b, lambda o, a, b: tf.reduce_sum(tf.gather(o.knn(a, b, 2)[0], [1]))
                )
            )
    for got, want in zip(*found, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def test_indices_alone_have_no_gradient(ops):
    picked = gradients(
        ops,
        clouds(0, 2, 6),
        clouds(1, 2, 9),
        lambda o, a, b: tf.cast(o.knn(a, b, 2)[1], tf.float32),
    )
    assert picked == [None, None]


@pytest.mark.parametrize("op", ["knn", "chamfer"])
@pytest.mark.parametrize("graph", [False, True])
def test_a_second_order_gradient_is_an_error_that_says_what_to_do(serve, op, graph):
    a, b = tf.constant(clouds(0, 1, 4)), tf.constant(clouds(1, 1, 5))

    def second(ops):
        with tf.GradientTape() as outer:
            outer.watch(a)
            first = gradients(
                ops, a, b, lambda o, a, b: o.knn(a, b, 1)[0] if op == "knn" else o.chamfer(a, b).a2b
            )[0]
        return outer.gradient(first, a)

    with (
        serve("tf native") as ops,
        pytest.raises(NotImplementedError, match=r"use_native\(False\)"),
    ):
        tf.function(second)(ops) if graph else second(ops)
    with serve("tf") as ops:
        np.testing.assert_allclose(second(ops), np.full((1, 4, 3), 2, np.float32))


# graphs, XLA, saved models


def test_unknown_sizes_leave_k_and_m_known(ops):
    @tf.function(input_signature=[tf.TensorSpec((None, None, 3))])
    def traced(points):
        dist2, idx = ops.knn(points, points, 2)
        assert dist2.shape.as_list() == idx.shape.as_list() == [None, None, 2]
        assert ops.chamfer(points, points).idx_ba.shape.as_list() == [None, None]
        picks = ops.farthest_points(points, 3)
        assert picks.shape.as_list() == [None, 3]
        return picks

    assert traced(clouds(0, 2, 9)).shape == (2, 3)
    assert traced(clouds(0, 5, 4)).shape == (5, 3)


def kinds(traced, *args):
    return {op.type for op in traced.get_concrete_function(*args).graph.get_operations()}


def test_use_native_switches_what_is_traced_next(serve):
    points = clouds(0, 2, 9)
    with serve("tf native") as ops:
        before = tf.function(lambda p: ops.knn(p, p, 2))
        assert "SamplenetKnn" in kinds(before, points)
        with serve("tf"):
            after = tf.function(lambda p: ops.knn(p, p, 2))
            assert "SamplenetKnn" not in kinds(after, points)
            assert "SamplenetKnn" in kinds(before, points)
    for got, want in zip(before(points), after(points), strict=True):
        np.testing.assert_array_equal(got, want)


def test_what_xla_compiles_is_made_of_framework_operations(ops):
    def step(a, b):
        picks = ops.farthest_points(b, 4, chosen=ops.knn(a, b, 1)[1][..., 0])
        near = ops.gather(b, ops.ball_query(a, b, 1.0, 12)[0])
        return *gradients(ops, a, b), ops.gather(b, picks), near

    a, b = clouds(0, 2, 6), clouds(1, 2, 9)
    compiled = tf.function(step, jit_compile=True)
    for got, want in zip(compiled(a, b), step(a, b), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_a_native_graph_inside_one_that_xla_compiles_is_xla_s_error(ops):
    inner = tf.function(lambda p: ops.knn(p, p, 2)[0])
    inner(clouds(0, 2, 9))
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="unsupported operations.*SamplenetKnn"
    ):
        tf.function(lambda p: inner(p) + 1, jit_compile=True)(clouds(0, 2, 9))


def test_a_while_loop_inside_xla(ops):
    def loop(points):
        body = lambda i, x: (i + 1, x + ops.chamfer(points, points + 1).a2b)  # noqa: E731
        return tf.while_loop(lambda i, _: i < 3, body, (0, tf.zeros(points.shape[:2])))[1]

    points = tf.constant(clouds(0, 2, 9))
    np.testing.assert_allclose(tf.function(loop, jit_compile=True)(points), loop(points), rtol=1e-5)


LOAD_A_MODEL = """
import os
import numpy as np
import samplenet.tf  # the layer, and the ops by their names
import keras
import tensorflow as tf

os.chdir({folder!r})
data = np.load("data.npz")
points, queries = tf.constant(data["points"]), tf.constant(data["queries"])
exported = tf.saved_model.load("exported")
with tf.GradientTape() as tape:
    tape.watch(queries)
    served = exported.serve([points, queries])
assert np.isfinite(tape.gradient(served, queries)).all()
np.savez("out.npz", served=served, loaded=keras.models.load_model("model.keras")([points, queries]))
"""


# Keras 3.6 warns of its own fit
@pytest.mark.filterwarnings("ignore:The structure of `inputs`:UserWarning")
def test_a_keras_model_trains_and_is_the_same_after_saving(ops, tmp_path):
    import keras

    from samplenet.tf import SoftProjection

    points, queries = clouds(0, 4, 32), clouds(1, 4, 8)
    inputs = [keras.Input((None, 3)), keras.Input((8, 3))]
    model = keras.Model(inputs, SoftProjection(k=3)(*inputs))
    model.compile("sgd", "mse", jit_compile=False)
    before = float(model.layers[-1].sigma)
    model.fit([points, queries], queries, epochs=1, verbose=0)
    assert float(model.layers[-1].sigma) != before
    want = model([points, queries])
    np.savez(tmp_path / "data.npz", points=points, queries=queries)
    model.save(tmp_path / "model.keras")
    model.export(tmp_path / "exported", verbose=False)
    assert b"SamplenetKnn" in (tmp_path / "exported" / "saved_model.pb").read_bytes()
    done = python(LOAD_A_MODEL.format(folder=str(tmp_path)))
    assert done.returncode == 0, done.stderr
    for got in np.load(tmp_path / "out.npz").values():
        np.testing.assert_array_equal(got, want)


# threads, raw calls


def test_one_thread_gives_the_same_bits(ops, tmp_path, serve_scripts):
    a, b = clouds(0, 3, 200), clouds(1, 3, 300)
    want = [
        *ops.knn(a, b, 5),
        *ops.chamfer(a, b),
        ops.farthest_points(b, 20),
        *gradients(ops, a, b),
    ]
    np.savez(tmp_path / "in.npz", a=a, b=b)
    code = f"""
import numpy as np
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
from samplenet.ops import tf as ops
data = np.load({str(tmp_path / "in.npz")!r})
a, b = tf.constant(data["a"]), tf.constant(data["b"])
with tf.GradientTape() as tape:
    tape.watch([a, b])
    near, (dist2, idx) = ops.chamfer(a, b), ops.knn(a, b, 3)
    total = sum(tf.reduce_sum(tf.sin(3 * out)) for out in (near.a2b, near.b2a, dist2))
grads = tape.gradient(total, [a, b])
outputs = [*ops.knn(a, b, 5), *ops.chamfer(a, b), ops.farthest_points(b, 20), *grads]
np.savez({str(tmp_path / "out.npz")!r}, *outputs)
"""
    (tmp_path / "one_thread.py").write_text(code)
    serve_scripts("tf").run(tmp_path / "one_thread.py")
    for got, expected in zip(np.load(tmp_path / "out.npz").values(), want, strict=True):
        np.testing.assert_array_equal(got, expected)


P, IDX = clouds(0, 2, 6), np.zeros((2, 6), np.int32)
RAW_CALLS = {
    "queries must have shape": lambda r: r.samplenet_knn(P[0], P, k=1),
    r"points must have shape .* got \(2, 6, 2\)": lambda r: r.samplenet_knn(P, P[..., :2], k=1),
    "share the batch size": lambda r: r.samplenet_knn(P[:1], P, k=1),
    "points is empty": lambda r: r.samplenet_knn(P, P[:, :0], k=1),
    r"k must be in \[1, N\] = \[1, 6\], got 0": lambda r: r.samplenet_knn(P, P, k=0),
    r"k must be in \[1, N\] = \[1, 6\], got 7": lambda r: r.samplenet_knn(P, P, k=7),
    "grad must have shape": lambda r: r.samplenet_knn_backward(P[:, :5], P, P, IDX[..., None]),
    r"idx must have shape \(2, 6, 1\)": lambda r: r.samplenet_knn_backward(P[..., :1], P, P, IDX),
    "got values from 0 to 6": lambda r: r.samplenet_knn_backward(
        P[..., :1], P, P, IDX[..., None] + 6
    ),
    "got values from -1 to 0": lambda r: r.samplenet_knn_backward(
        P[..., :1], P, P, IDX[..., None] - 1
    ),
    "ball_query: points is empty": lambda r: r.samplenet_ball_query(P, P[:, :0], radius=1.0, k=1),
    "ball_query: radius must be .* got -1": lambda r: r.samplenet_ball_query(
        P, P, radius=-1.0, k=1
    ),
    "at least minimum 1": lambda r: r.samplenet_ball_query(P, P, radius=1.0, k=0),
    "a is empty": lambda r: r.samplenet_chamfer(P[:, :0], P),
    "b is empty": lambda r: r.samplenet_chamfer(P, P[:, :0]),
    "grad_b2a must have": lambda r: r.samplenet_chamfer_backward(
        P[..., 0], P[:, 1:, 0], P, P, IDX, IDX
    ),
    "idx_ab must have": lambda r: r.samplenet_chamfer_backward(
        P[..., 0], P[..., 0], P, P, IDX[:1], IDX
    ),
    r"idx_ba must be in \[0, N\)": lambda r: r.samplenet_chamfer_backward(
        P[..., 0], P[..., 0], P, P, IDX, IDX + 6
    ),
    "m must be in": lambda r: r.samplenet_farthest_points(P, IDX, m=7),
    "m must be .* got -1": lambda r: r.samplenet_farthest_points(P, IDX, m=-1),
    "chosen must have shape": lambda r: r.samplenet_farthest_points(P, IDX[:1], m=2),
    "chosen must hold at least": lambda r: r.samplenet_farthest_points(P, IDX[:, :0], m=2),
    r"chosen must be in \[0, N\)": lambda r: r.samplenet_farthest_points(P, IDX + 6, m=2),
}


@pytest.mark.parametrize("words", RAW_CALLS)
def test_the_ops_themselves_refuse_what_would_read_out_of_bounds(raw, words):
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        RAW_CALLS[words](raw)


@pytest.mark.parametrize("k", [0, 7])
def test_a_graph_of_known_sizes_is_refused_while_tracing(raw, k):
    with pytest.raises(ValueError, match="k must be in"):
        tf.function(lambda p: raw.samplenet_knn(p, p, k=k)).get_concrete_function(
            tf.TensorSpec((2, 6, 3))
        )


# on a GPU

IDX64 = np.zeros((2, 4), np.int64)
ON_A_GPU = {
    "knn": lambda o: o.knn(P, P, 3),
    "knn backward": lambda o: gradients(o, P, P, lambda o, a, b: o.knn(a, b, 3)[0]),
    "ball_query": lambda o: o.ball_query(P, P, 0.5, 3),
    "chamfer": lambda o: o.chamfer(P, P),
    "chamfer backward": lambda o: gradients(o, P, P, lambda o, a, b: o.chamfer(a, b).a2b),
    "farthest_points": lambda o: o.farthest_points(P, 4),
    "farthest_points, start": lambda o: o.farthest_points(P, 4, start=tf.constant([0, 1])),
    "farthest_points, chosen": lambda o: o.farthest_points(P, 4, chosen=tf.constant(IDX64)),
    "gather": lambda o: o.gather(P, tf.constant(IDX64)),
    "gather backward": lambda o: gradients(
        o, P, P, lambda o, a, b: o.gather(a, tf.constant(IDX64))
    ),
}


def without_gpu_kernel(call):
    """Return the operations in `call()`, eager or in graphs, that lack a GPU kernel."""
    from tensorflow.python.framework import kernels, op_callbacks

    missing = set()

    def note(kind, inputs, attrs, outputs, op_name=None, graph=None):
        kind = tf.compat.as_str(kind)
        types = dict(zip(attrs[::2], attrs[1::2], strict=True))

        def fits(kernel):
            return kernel.device_type in ("GPU", "DEFAULT") and all(
                getattr(types[c.name], "type", types[c.name]) in c.allowed_values.list.type
                for c in kernel.constraint
            )

        if not any(map(fits, kernels.get_registered_kernels_for_op(kind).kernel)):
            missing.add((kind, *(tensor.dtype.name for tensor in inputs)))

    op_callbacks.add_op_callback(note)
    try:
        call()
    finally:
        op_callbacks.remove_op_callback(note)
    return {op for op in missing if not op[0].startswith(("Samplenet", "__inference"))}


@pytest.mark.skipif(
    not tf.test.is_built_with_cuda(), reason="this TensorFlow is built without CUDA"
)
@pytest.mark.parametrize("name", ["tf", "tf native"])
@pytest.mark.parametrize("call", ON_A_GPU)
def test_every_operation_has_a_gpu_kernel(serve, unchecked, monkeypatch, name, call):
    """Soft placement hides one that has none: the tensors go to the host and back."""
    assert without_gpu_kernel(lambda: tf.reduce_min(tf.constant(IDX64))) == {
        ("Min", "int64", "int32")
    }
    with serve(name) as ops:
        monkeypatch.setattr(ops.checks, "_readable", lambda idx: False)  # as if on a GPU
        assert without_gpu_kernel(lambda: ON_A_GPU[call](ops)) == set()


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("graph", [False, True])
def test_indices_left_unchecked_are_refused_by_the_operation_that_uses_them(
    ops, monkeypatch, dtype, graph
):
    monkeypatch.setattr(ops.checks, "_readable", lambda idx: False)
    # as int32, 2**32 would become the valid index 0
    bad = tf.constant([[6], [6]] if dtype is np.int32 else [[2**32], [-(2**32)]], dtype)
    for call in (lambda i: ops.gather(P, i), lambda i: ops.farthest_points(P, 2, chosen=i)):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match=r"not in \[0, 6\)|chosen must be in \[0, N\)"
        ):
            (tf.function(call) if graph else call)(bad)


def test_a_graph_checks_indices_only_where_there_is_no_gpu(ops, monkeypatch):
    idx = tf.constant(IDX)
    assert "Assert" in kinds(tf.function(lambda i: ops.gather(P, i)), idx)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["a GPU"])
    assert "Assert" not in kinds(tf.function(lambda i: ops.gather(P, i)), idx)


# loading

USE = """
import warnings
warnings.simplefilter("always")
import samplenet.ops.tf as ops
print("imported", flush=True)
for _ in range(2):
    print(ops.knn([[[0.0, 0, 0]]], [[[1.0, 0, 0]]], 1)[0].numpy().item())
"""


def test_without_a_build_the_first_use_says_once_how_to_build(tmp_path):
    done = python(USE, SAMPLENET_NATIVE_DIR=str(tmp_path))
    assert done.stdout.split() == ["imported", "1.0", "1.0"], done.stderr
    assert done.stderr.count("python -m samplenet.ops.build --tf") == 1
    quiet = python(USE, SAMPLENET_NATIVE_DIR=str(tmp_path), SAMPLENET_NATIVE="0")
    assert quiet.stdout == done.stdout
    assert "samplenet.ops.build" not in quiet.stderr


def test_a_library_that_does_not_load_says_all_about_it_at_the_first_use(tmp_path):
    folder = tmp_path / native.folder("tf", tf.__version__).name
    folder.mkdir()
    (folder / "samplenet_tf.so").write_bytes(b"no library")
    build = {
        "library": "samplenet_tf.so",
        "machine": platform.machine(),
        "sources": native.source_hash(),
        "device": "cpu",
    }
    (folder / "build.json").write_text(json.dumps(build))
    done = python(USE, SAMPLENET_NATIVE_DIR=str(tmp_path))
    assert done.returncode != 0
    assert done.stdout.split() == ["imported"]
    for words in ("ImportError", str(folder / "samplenet_tf.so"), "file too short", "--tf --force"):
        assert words in done.stderr


@pytest.mark.parametrize("name", ["tf", "tf native"])
def test_a_bad_call_inside_a_function_is_an_input_error(serve, name):
    with serve(name) as ops, pytest.raises(InputError, match="got 7"):
        tf.function(lambda p: ops.knn(p, p, 7))(tf.zeros((1, 3, 3)))
