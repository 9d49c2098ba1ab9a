"""The renderer of clouds in each framework: compilation, parts, equal bits."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from drawing import draw  # noqa: E402

BACKENDS = ["tf", "tf native", "torch", "torch native"]
OPTIONS = {"size": 12, "kernel_size": 7}


def clouds(batch=5, count=80):
    rng = np.random.default_rng(0)
    return {
        "points": (rng.normal(size=(batch, count, 3)) * 0.2).astype(np.float32),
        "sigma": np.float32(1.5),
        "scale": rng.uniform(0.3, 1, batch).astype(np.float32),
        "colours": rng.uniform(size=(batch, count, 3)).astype(np.float32),
    }


def weights(batch=5, size=12):
    rng = np.random.default_rng(1)
    shapes = {"silhouette": (), "depth": (), "colour": (3,)}
    return {
        name: rng.normal(size=(batch, size, size, *last)).astype(np.float32)
        for name, last in shapes.items()
    }


def assert_same(one, other, rtol=1e-5):
    """Compare what `draw` returns."""
    for a, b in zip(one[0], other[0], strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, rtol, 1e-6)
    for name, a in one[1].items():
        np.testing.assert_allclose(a, other[1][name], rtol, rtol * np.abs(a).max(), err_msg=name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_second_call_gives_the_same_bits(serve, backend):
    with serve(backend):
        runs = [draw(backend.split()[0], clouds(), weights(), **OPTIONS) for _ in range(2)]
    assert_same(*runs, rtol=0)


@pytest.mark.parametrize("framework", ["torch", "tf", "tf graph"])
def test_framework_operations_draw_some_clouds_at_a_time_with_equal_results(
    serve, monkeypatch, framework
):
    with serve(framework.split()[0]):
        whole = draw(framework, clouds(), weights(), **OPTIONS)
        module = importlib.import_module(f"samplenet.ops.{framework.split()[0]}._render_voxels")
        monkeypatch.setattr(module, "MAX_CELLS", 2 * 12**3)  # of 5 clouds
        assert_same(whole, draw(framework, clouds(), weights(), **OPTIONS))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cloud_without_a_gradient_gets_zeros_and_changes_no_other(serve, backend):
    """As with several poses, of which only the best has a loss."""
    some = {
        name: w * np.float32([1, 0, 0, 1, 0]).reshape(-1, *[1] * (w.ndim - 1))
        for name, w in weights().items()
    }
    with serve(backend):
        _, every = draw(backend.split()[0], clouds(), weights(), **OPTIONS)
        _, few = draw(backend.split()[0], clouds(), some, **OPTIONS)
    for name in ("points", "scale", "colours"):
        assert not few[name][[1, 2, 4]].any()
        np.testing.assert_array_equal(few[name][[0, 3]], every[name][[0, 3]])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_drawn_in_float32(serve, dtype):
    torch = pytest.importorskip("torch")
    points = torch.as_tensor(clouds()["points"]).to(getattr(torch, dtype))
    for backend in ("torch", "torch native"):
        with serve(backend) as ops:
            half = ops.render_voxels(points, 1.5, 0.5, **OPTIONS)
            single = ops.render_voxels(points.float(), 1.5, 0.5, **OPTIONS)
            assert half.silhouette.dtype == torch.float32
            assert torch.equal(half.silhouette, single.silhouette)
            with torch.autocast("cpu", torch.bfloat16):
                mixed = ops.render_voxels(points, torch.tensor(1.5), 0.5, **OPTIONS)
            assert torch.equal(mixed.silhouette, single.silhouette)


def test_views_of_tensors_are_drawn_as_their_copies(serve):
    torch = pytest.importorskip("torch")
    points = torch.as_tensor(clouds()["points"])
    turned = points.transpose(1, 2).contiguous().transpose(1, 2)
    with serve("torch native") as ops:
        wanted = ops.render_voxels(points, 1.5, **OPTIONS).silhouette
        assert torch.equal(ops.render_voxels(turned, 1.5, **OPTIONS).silhouette, wanted)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # Dynamo's own doing
def test_pytorch_can_trace_and_compile_the_op(serve):
    torch = pytest.importorskip("torch")
    from samplenet.ops.torch import render_voxels
    from samplenet.ops.voxels import Voxels

    tensors = [torch.as_tensor(a) for a in clouds().values()]
    tensors[1] = tensors[1].expand(5).clone()
    tensors = [t.requires_grad_() for t in tensors]

    def loss(*tensors):
        images = render_voxels(*tensors, **OPTIONS)
        return images.silhouette.square().sum() + images.depth.mean() + images.colour.sum()

    with serve("torch native"):
        render_voxels(*tensors, **OPTIONS)  # loads the build
        for more in ({}, {"probabilities": True}, {"max_projection": True}):
            options = Voxels(**OPTIONS, **more).native.values()
            torch.library.opcheck(torch.ops.samplenet.render_voxels, (*tensors, *options))
        compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
        wanted, got = (torch.autograd.grad(f(*tensors), tensors) for f in (loss, compiled))
        for want, found in zip(wanted, got, strict=True):
            torch.testing.assert_close(found, want)
        first = render_voxels(*tensors, **OPTIONS).silhouette.sum()
        (slope,) = torch.autograd.grad(first, tensors[0], create_graph=True)
        with pytest.raises(NotImplementedError, match="no second derivatives"):
            slope.sum().backward()


def test_xla_compiles_framework_operations(serve):
    tf = pytest.importorskip("tensorflow")
    inputs = {name: tf.constant(a) for name, a in clouds().items()}

    def step(inputs):
        from samplenet.ops.tf import render_voxels

        with tf.GradientTape() as tape:
            tape.watch(inputs)
            images = render_voxels(**inputs, **OPTIONS)
            loss = tf.reduce_sum(images.silhouette**2) + tf.reduce_mean(images.colour)
        return images.silhouette, tape.gradient(loss, inputs)

    with serve("tf native"):
        wanted, got = step(inputs), tf.function(step, jit_compile=True)(inputs)
    for want, found in zip(tf.nest.flatten(wanted), tf.nest.flatten(got), strict=True):
        np.testing.assert_allclose(found, want, 1e-4, 1e-4 * np.abs(want).max())


def test_sigma_has_a_gradient_only_where_it_is_asked_for(serve, monkeypatch):
    tf = pytest.importorskip("tensorflow")
    from samplenet.ops.tf import build, render_voxels

    with serve("tf native"):
        render_voxels(tf.zeros((1, 1, 3)), 1.0, size=2)  # loads the build
        library, asked = build._library(), []

        class Watched:
            def __getattr__(self, name):
                return getattr(library, name)

            def samplenet_render_voxels_backward(self, *inputs, **options):
                asked.append(options["with_sigma"])
                return library.samplenet_render_voxels_backward(*inputs, **options)

        monkeypatch.setattr(build, "_library", Watched)
        points, sigma = tf.constant(clouds()["points"]), tf.constant(1.5)

        def step(with_sigma):
            sources = [points, sigma] if with_sigma else [points]
            with tf.GradientTape() as tape:
                tape.watch(sources)
                image = render_voxels(points, sigma, **OPTIONS).silhouette
            return tape.gradient(image, sources)

        for with_sigma in (False, True):
            step(with_sigma)
            tf.function(step)(with_sigma)
    assert asked == [False, False, True, True]


def test_on_a_gpu_tensorflow_draws_natively_where_the_build_has_cuda_kernels(serve, monkeypatch):
    tf = pytest.importorskip("tensorflow")
    from samplenet.ops import native
    from samplenet.ops.tf.build import serves_renderers

    points = tf.zeros((1, 2, 3))
    with serve("tf native"):
        assert serves_renderers(points)
        assert not serves_renderers(tf.cast(points, tf.float64))
        monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["a GPU"])
        for device in ("cpu", "cuda"):
            monkeypatch.setattr(native, "built", lambda *_, device=device: {"device": device})
            assert serves_renderers(points) == (device == "cuda")
