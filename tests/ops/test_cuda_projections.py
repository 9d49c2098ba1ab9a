"""The CUDA kernels of the projections, run on the CPU by cuda_emulator.h.

Values are compared with the reference, gradients with those of PyTorch's operations in float64,
which other tests compare with finite differences.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from emulated import SEEDS, Emulated, load, needs_compiler  # noqa: E402
from fuzz_projections import KINDS, draw_options, draw_points  # noqa: E402
from projecting import call  # noqa: E402

pytestmark = needs_compiler


class Kernels(Emulated):
    """Calls `project_mask` before tanh, or `project_features`, and their gradients."""

    def __call__(self, inputs: dict, weight=None, seed=0, **options) -> tuple[list, dict]:
        """Return the results, and the gradients of the sum of weight * the first, by name."""
        points, features = inputs["points"], inputs.get("features")
        kind, dtype = {"float32": "float", "float64": "double"}[points.dtype.name], points.dtype
        sizes, sides = points.shape[:2], (options["height"], options["width"])
        arrays, shapes = [points], [(*points.shape[:1], *sides)]
        op, names = "project_sums", ("variance",)
        if features is not None:
            op, names = "project_features", ("radius", "beta")
            sizes, arrays = (*sizes, features.shape[2]), [points, features]
            shapes.insert(0, (*shapes[0], features.shape[2]))
        numbers = (*sizes, *sides, options["as_released"], *(float(options[n]) for n in names))
        results = self.call(op, kind, arrays, numbers, [(s, dtype) for s in shapes], seed)
        if weight is None:
            return results, {}
        given = (weight, *arrays, *results[:-1])  # images, but no sums
        outputs = [(a.shape, dtype) for a in arrays]
        gradients = self.call(f"{op}_backward", kind, given, numbers, outputs, seed)
        return results, dict(zip(inputs, gradients, strict=True))


@pytest.fixture(scope="module")
def kernels(request):
    return Kernels(load(request.config.cache))


@pytest.fixture(autouse=True)
def unchecked(unchecked):
    """The kernels take what a training step gives them, NaN included."""


def agree(kernels, serve, inputs, rng, **options):
    """Require the values and gradients of the reference, and equal bits in each order."""
    op = "project_features" if "features" in inputs else "project_mask"
    plain = {} if "features" in inputs else {"before_tanh": True}
    exact = {name: a.astype(np.float64) for name, a in inputs.items()}
    wanted, _ = call("reference", op, exact, **options, **plain)
    weight = rng.normal(size=wanted[0].shape).astype(inputs["points"].dtype)
    results, gradients = kernels(inputs, weight, **options)
    eps = np.finfo(weight.dtype).eps
    tolerance = (10 + options.get("beta", 0)) * 4 * eps  # a score is rounded, then raised to it
    for got, want in zip(results, wanted, strict=True):
        np.testing.assert_allclose(got, want, 0, tolerance * np.abs(want).max(initial=1))
    pytest.importorskip("torch")
    with serve("torch"):
        _, wanted = call("torch", op, exact, (weight.astype(np.float64),), **options, **plain)
    for name, want in wanted.items():
        limit = 5 * tolerance * np.abs(want).max(initial=1)
        np.testing.assert_allclose(gradients[name], want, 0, limit, err_msg=name)
    for seed in SEEDS[1:]:
        again = kernels(inputs, weight, seed, **options)
        for a, b in zip(results, again[0], strict=True):
            assert a.tobytes() == b.tobytes()
        for name, a in gradients.items():
            assert a.tobytes() == again[1][name].tobytes(), name


def cloud(rng, kind, shape, sides, channels, dtype):
    points = draw_points(rng, kind, (*shape, 3), sides).astype(dtype)
    features = rng.normal(size=(*shape, channels)).astype(dtype)
    if kind == "odd":
        features[rng.random(features.shape) < 0.02] = rng.choice([np.nan, np.inf])
    return {"points": points}, {"points": points, "features": features}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_random_options(kernels, serve, kind, dtype):
    rng = np.random.default_rng([KINDS.index(kind), dtype == "float64"])
    for shape in ((2, 40), (1, 7)):
        mask, features = draw_options(rng)
        del mask["before_tanh"]
        channels = int(rng.integers(0, 7))
        first, second = cloud(rng, kind, shape, (mask["height"], mask["width"]), channels, dtype)
        agree(kernels, serve, first, rng, **mask)
        agree(kernels, serve, second, rng, **features)


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("shape, sides", [((1, 700), (17, 33)), ((2, 600), (5, 16))])
def test_several_tiles_and_lists(kernels, serve, shape, sides, released):
    """More pixels than a block has threads, and more points than a list holds."""
    rng = np.random.default_rng(0)
    options = {"height": sides[0], "width": sides[1], "as_released": released}
    first, second = cloud(rng, "normal", shape, sides, 5, "float32")
    agree(kernels, serve, first, rng, variance=0.5, **options)
    agree(kernels, serve, second, rng, radius=1.0, beta=100.0, **options)


@pytest.mark.parametrize("shape", [(0, 5), (2, 0)])
def test_nothing(kernels, serve, shape):
    rng = np.random.default_rng(0)
    options = {"height": 3, "width": 18, "as_released": True}
    first, second = cloud(rng, "normal", shape, (3, 18), 2, "float32")
    agree(kernels, serve, first, rng, variance=0.5, **options)
    agree(kernels, serve, second, rng, radius=1.0, beta=100.0, **options)


def test_a_gradient_that_is_not_a_number_reaches_the_points_around_its_pixel_alone(kernels):
    points = np.array([[[2.5, 2.5, 2], [25.5, 25.5, 2]]], np.float32)
    features = np.ones((1, 2, 1), np.float32)
    grad = np.zeros((1, 30, 30), np.float32)
    grad[0, 2, 2] = np.nan
    options = {"height": 30, "width": 30, "as_released": False}
    _, gradients = kernels({"points": points}, grad, variance=0.5, **options)
    assert np.isnan(gradients["points"][0, 0, :2]).all() and not gradients["points"][0, 1].any()
    inputs = {"points": points, "features": features}
    _, gradients = kernels(inputs, grad[..., None], radius=1.0, beta=100.0, **options)
    assert np.isnan(gradients["features"][0, 0]).all() and not gradients["features"][0, 1].any()
