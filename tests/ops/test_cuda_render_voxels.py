"""The CUDA kernels of the renderer, run on the CPU by cuda_emulator.h.

Images are compared with the reference, gradients with those of PyTorch's operations in float64,
which other tests compare with finite differences.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from drawing import NAMES, draw  # noqa: E402
from emulated import SEEDS, Emulated, load, needs_compiler  # noqa: E402
from fuzz_render_voxels import KINDS, draw_inputs, draw_options, undecided  # noqa: E402

from samplenet.ops import reference  # noqa: E402
from samplenet.ops.voxels import Rendered, Voxels  # noqa: E402

pytestmark = needs_compiler


class Kernels(Emulated):
    """Calls `render_voxels` and its gradient."""

    def __call__(self, inputs: dict, weights=None, seed=0, with_sigma=True, **options) -> tuple:
        """Return the images, and the gradients of the sum of weights * images, by name."""
        grid, dtype = Voxels(**options), inputs["points"].dtype
        (B, N, C), D = inputs["colours"].shape, grid.size
        kind = {"float32": "float", "float64": "double"}[dtype.name]
        *numbers, _ = grid.native.values()
        numbers = [float(n) if type(n) is float else n for n in (B, N, C, *numbers, with_sigma)]
        rays = 0 if grid.max_projection else D
        ends = grid.size_z + 1 if grid.probabilities else 0
        shapes = ((B, D, D), (B, rays, rays), (B, rays, rays, C), (B, ends, D, D))
        asked = [bool(np.prod(shape[1:])) for shape in shapes]
        outputs = [(s, dtype) if a else None for s, a in zip(shapes, asked, strict=True)]
        given = [inputs[name] for name in NAMES]
        filled = iter(self.call("render_voxels", kind, given, numbers, outputs, seed))
        images = [
            next(filled) if a else np.zeros(s, dtype) for s, a in zip(shapes, asked, strict=True)
        ]
        images = grid.rendered(images, coloured=True)
        if weights is None:
            return images, {}
        pairs = zip(Rendered._fields, shapes, asked, strict=True)
        grads = [weights.get(n, np.zeros(s, dtype)) if a else None for n, s, a in pairs]
        outputs = [(inputs[name].shape, dtype) for name in NAMES]
        gradients = self.call(
            "render_voxels_backward", kind, [*grads, *given], numbers, outputs, seed
        )
        return images, dict(zip(NAMES, gradients, strict=True))


@pytest.fixture(scope="module")
def kernels(request):
    return Kernels(load(request.config.cache))


@pytest.fixture(autouse=True)
def unchecked(unchecked):
    """The kernels take what a training step gives them, NaN included."""


def some_weights(rng, images: Rendered, dtype) -> dict:
    named = zip(Rendered._fields, images, strict=True)
    return {n: rng.normal(size=a.shape).astype(dtype) for n, a in named if a is not None}


def assert_close(got, want, tolerance, name):
    limit = tolerance * np.abs(want).max(initial=1)
    np.testing.assert_allclose(got, want, 0, limit, err_msg=name)


def agree(kernels, serve, inputs, rng, **options) -> bool:
    """Require the images and gradients of the reference, and equal bits in each order.

    Returns:
        whether gradients were compared: not where rounding decides whether they pass a clip.
    """
    dtype = inputs["points"].dtype
    tolerance = 2e-5 if dtype == np.float32 else 1e-13
    exact = {name: a.astype(np.float64) for name, a in inputs.items()}
    wanted = reference.render_voxels(**exact, **options)
    weights = some_weights(rng, wanted, dtype)
    first = kernels(inputs, weights, **options)
    for name, got, want in zip(Rendered._fields, first[0], wanted, strict=True):
        assert (want is None) == (got is None), name
        if want is not None:
            assert_close(got, want, tolerance, name)
    compared = not undecided(exact, Voxels(**options), dtype.name)
    if compared:
        pytest.importorskip("torch")
        with serve("torch"):
            weights64 = {name: w.astype(np.float64) for name, w in weights.items()}
            _, slopes = draw("torch", exact, weights64, **options)
        for name, want in slopes.items():
            assert_close(first[1][name], want, 10 * tolerance, name)
    for seed in SEEDS[1:]:
        again = kernels(inputs, weights, seed, **options)
        for a, b in zip(first[0], again[0], strict=True):
            assert a is None or a.tobytes() == b.tobytes()
        for name, a in first[1].items():
            assert a.tobytes() == again[1][name].tobytes(), name
    return compared


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_options(kernels, serve, kind, dtype):
    rng = np.random.default_rng([KINDS.index(kind), dtype == "float64"])
    for _ in range(3):
        options = draw_options(rng)
        inputs = draw_inputs(rng, kind, Voxels(**options), dtype)
        agree(kernels, serve, inputs, rng, **options)


def clouds(rng, batch=2, count=30, channels=2) -> dict:
    inputs = {
        "points": rng.normal(size=(batch, count, 3)) * 0.2,
        "sigma": rng.uniform(0.5, 2, batch),
        "scale": rng.uniform(0.3, 1, batch),
        "colours": rng.uniform(size=(batch, count, channels)),
    }
    return {name: a.astype(np.float32) for name, a in inputs.items()}


@pytest.mark.parametrize(
    "more",
    [
        {"probabilities": True},
        {"as_released": True, "divide_colours": True},
        {"divide_colours": True, "clip_colours": "after"},
    ],
)
def test_several_blocks(kernels, serve, more):
    """More points and pixels than a block has threads, and more colours than a ray adds at once."""
    rng = np.random.default_rng(0)
    inputs = clouds(rng, 2, 600, 5)
    assert agree(kernels, serve, inputs, rng, size=17, size_z=5, kernel_size=7, **more)


@pytest.mark.parametrize("shape", [(0, 5), (2, 0)])
def test_nothing(kernels, serve, shape):
    rng = np.random.default_rng(0)
    assert agree(kernels, serve, clouds(rng, *shape), rng, size=4, as_released=True)


def test_colours_of_any_size_add_up(kernels, serve):
    rng = np.random.default_rng(0)
    inputs = clouds(rng)
    for factor in (-1e-30, 1e30):
        large = inputs | {"colours": np.float32(factor) * inputs["colours"]}
        images, _ = kernels(large, size=6, kernel_size=5, clip_colours="after", divide_colours=True)
        wanted = reference.render_voxels(
            **large, size=6, kernel_size=5, clip_colours="after", divide_colours=True
        )
        assert_close(images.colour, wanted.colour, 2e-5, "colour")


def test_without_the_gradient_of_sigma_the_others_are_the_same(kernels):
    rng = np.random.default_rng(0)
    inputs, options = clouds(rng), {"size": 9, "kernel_size": 5}
    weights = some_weights(rng, kernels(inputs, **options)[0], np.float32)
    _, every = kernels(inputs, weights, **options)
    _, few = kernels(inputs, weights, with_sigma=False, **options)
    assert every.pop("sigma").all() and not few.pop("sigma").any()
    for name, a in every.items():
        assert a.any() and a.tobytes() == few[name].tobytes(), name


def test_a_cloud_without_a_gradient_is_passed_over_and_nan_reaches_no_other(kernels):
    rng = np.random.default_rng(0)
    inputs, options = clouds(rng, 4), {"size": 9, "kernel_size": 5, "probabilities": True}
    weights = some_weights(rng, kernels(inputs, **options)[0], np.float32)
    _, every = kernels(inputs, weights, **options)
    inputs["sigma"][1], inputs["scale"][2] = np.nan, np.nan
    some = {
        n: w * np.float32([1, 0, 1, 1]).reshape(-1, *[1] * (w.ndim - 1)) for n, w in weights.items()
    }
    images, few = kernels(inputs, some, **options)
    for image in images:
        assert np.isnan(image[[1, 2]]).all() and np.isfinite(image[[0, 3]]).all()
    for name, a in few.items():
        assert not a[1].any() and np.isnan(a[2]).all(), name
        np.testing.assert_array_equal(a[[0, 3]], every[name][[0, 3]])
