"""The renderer of clouds: pictures to check by eye, the released code's outputs, gradients."""

import sys
from math import exp
from pathlib import Path

import numpy as np
import pytest

from samplenet import InputError
from samplenet.ops import reference
from samplenet.ops.voxels import Rendered, Voxels

sys.path.insert(0, str(Path(__file__).parent))
from drawing import draw  # noqa: E402

FRAMEWORKS = ["tf", "tf native", "torch", "torch native"]
SHARP = {"sigma": np.float32(0)}  # no smoothing


@pytest.fixture(params=["reference", *FRAMEWORKS])
def rendered(request, serve):
    """Draw by every backend: inputs, weights, options -> images, gradients."""
    if request.param == "reference":
        yield lambda inputs, weights=None, **options: (
            reference.render_voxels(**inputs, **options),
            {},
        )
        return
    framework = request.param.replace(" native", "")
    with serve(request.param):
        yield lambda inputs, weights=None, **options: draw(framework, inputs, weights, **options)


def cloud(*points):
    return np.array([points], np.float32)


def at(z, row, column, size=4):
    """The centre of a voxel, for rows counted from the top."""
    return [(z + 0.5) / size - 0.5, 0.5 - (row + 0.5) / size, (column + 0.5) / size - 0.5]


# pictures


def test_a_point_in_the_middle_of_a_voxel_fills_one_pixel(rendered):
    inputs = {"points": cloud(at(1, 2, 3)), **SHARP}
    inputs["colours"] = np.array([[[1, 0.5, 0]]], np.float32)
    images, _ = rendered(inputs, size=4, probabilities=True)
    pixel = np.zeros((1, 4, 4))
    pixel[0, 2, 3] = 1
    np.testing.assert_array_equal(images.silhouette, pixel)
    np.testing.assert_array_equal(images.probabilities[:, 1], pixel)
    np.testing.assert_array_equal(images.probabilities[:, 4], 1 - pixel)
    np.testing.assert_allclose(images.depth, np.where(pixel, 2 - 0.125, 10), rtol=1e-6)
    assert images.colour[0, 2, 3].tolist() == [1, 0.5, 0]
    assert images.colour.sum() == 15 * 3 + 1.5  # on white


def test_a_point_between_two_voxels_is_half_in_each(rendered):
    point = np.mean([at(0, 1, 1), at(0, 1, 2)], 0)
    images, _ = rendered({"points": cloud(point), **SHARP}, size=4)
    assert images.silhouette[0, 1].tolist() == [0, 0.5, 0.5, 0]
    assert images.silhouette.sum() == 1


def test_the_nearer_of_two_points_hides_the_other(rendered):
    points = cloud(at(3, 0, 0), at(1, 0, 0))
    inputs = {"points": points, **SHARP, "scale": np.array([0.75], np.float32)}
    images, _ = rendered(inputs, size=4, probabilities=True)
    assert images.probabilities[0, :, 0, 0].tolist() == [0, 0.75, 0, 0.1875, 0.0625]
    assert images.silhouette[0, 0, 0] == 0.9375


def test_a_gaussian_of_three_taps_spreads_a_point(rendered):
    inputs = {"points": cloud(at(1, 1, 1)), "sigma": np.float32(1)}
    images, _ = rendered(inputs, size=4, kernel_size=3, max_projection=True)
    side = exp(-0.5)
    taps = np.array([side, 1, side, 0]) / (1 + 2 * side)
    np.testing.assert_allclose(images.silhouette[0], taps[1] * np.outer(taps, taps), rtol=1e-6)
    assert images.depth is None and images.colour is None and images.probabilities is None


def test_a_grid_of_other_depth_has_another_gaussian_along_rays(rendered):
    point = [-0.4375, 0.125, 0.125]  # in voxel 0 of 8, and in voxel 2 of 4
    inputs = {"points": cloud(point), "sigma": np.float32(1)}
    images, _ = rendered(inputs, size=4, size_z=8, kernel_size=3, probabilities=True)
    assert images.probabilities.shape == (1, 9, 4, 4)
    taps = np.exp(-0.5 * (np.arange(-3, 4) / 2) ** 2)  # sigma 2, 7 taps
    middle = 1 / (1 + 2 * exp(-0.5))
    first = taps[3] / taps.sum() * middle**2
    np.testing.assert_allclose(images.probabilities[0, 0, 1, 2], first, rtol=1e-5)


def test_points_on_the_border_count_and_those_beyond_do_not(rendered):
    beyond = np.nextafter(np.float32(0.5), np.float32(1))
    for value, total in ((0.5, 0.5), (-0.5, 0.5), (beyond, 0), (-beyond, 0)):
        points = cloud([0.25, -0.25, value])
        images, _ = rendered({"points": points, **SHARP}, size=2)
        assert images.silhouette.sum() == total  # a half of the point's voxel is outside the box
        images, _ = rendered({"points": points, **SHARP}, size=2, max_projection=True)
        assert images.silhouette.sum() == total


def test_as_released_the_outer_voxels_lie_on_the_faces_of_the_box(rendered):
    images, _ = rendered({"points": cloud([0.5, 0.5, -0.5]), **SHARP}, size=5, as_released=True)
    np.testing.assert_allclose(images.silhouette[0, 0, 0], 1, atol=1e-4)
    empty = np.delete(images.silhouette[0].ravel(), 0)
    np.testing.assert_allclose(empty, 1 - (1 - 1e-5) ** 5, rtol=0.3)
    np.testing.assert_allclose(images.depth[0, 0, 0], 0.8 - 0.5 + 2, rtol=1e-3)


def test_a_point_outside_or_not_finite_changes_nothing(rendered, unchecked):
    odd = [np.nan, np.inf, -np.inf, 0.6, -2.5, 1e30]
    points = np.tile(cloud(at(1, 1, 1), [0.1, 0.2, 0.3]), (3 * len(odd), 1, 1))
    for i, (axis, value) in enumerate((axis, value) for axis in range(3) for value in odd):
        points[i, 1, axis] = value
    inputs = {"points": points, "sigma": np.float32(1)}
    inputs["colours"] = np.full(points.shape, 0.5, np.float32)
    weights = {"silhouette": np.float32(1), "colour": np.float32(1)}
    images, gradients = rendered(inputs, weights, size=4, kernel_size=5)
    alone = {"points": points[:, :1], "sigma": np.float32(1), "colours": inputs["colours"][:, :1]}
    wanted, wanted_gradients = rendered(alone, weights, size=4, kernel_size=5)
    np.testing.assert_array_equal(images.silhouette, wanted.silhouette)
    np.testing.assert_array_equal(images.colour, wanted.colour)
    for name in ("points", "colours") if gradients else ():
        assert not gradients[name][:, 1].any()
        np.testing.assert_array_equal(gradients[name][:, :1], wanted_gradients[name])


def test_a_colour_that_is_not_finite_takes_its_point_away(rendered):
    inputs = {"points": cloud(at(0, 0, 0), at(0, 1, 1)), **SHARP}
    inputs["colours"] = np.array([[[np.nan], [1]]], np.float32)
    images, _ = rendered(inputs, size=4)
    assert images.silhouette.sum() == 1 and images.silhouette[0, 1, 1] == 1


@pytest.mark.parametrize("name", ["sigma", "scale"])
def test_a_sigma_or_scale_that_is_not_a_number_shows_in_that_cloud(rendered, name):
    points = np.repeat(cloud(at(1, 1, 1), at(2, 1, 1)), 2, 0)
    inputs = {"points": points, "sigma": np.ones(2, np.float32), "scale": np.ones(2, np.float32)}
    inputs[name][0] = np.nan
    images, gradients = rendered(inputs, {"silhouette": np.float32(1)}, size=4)
    assert np.isnan(images.silhouette[0]).all() and np.isnan(images.depth[0]).all()
    assert np.isfinite(images.silhouette[1]).all()
    for gradient in gradients.values():
        assert np.isfinite(gradient[1]).all()


def test_no_point_and_no_cloud_make_empty_pictures(rendered):
    for shape in ((2, 0, 3), (0, 5, 3)):
        inputs = {"points": np.zeros(shape, np.float32), "sigma": np.float32(1)}
        inputs["colours"] = np.zeros(shape, np.float32)
        images, gradients = rendered(inputs, {"colour": np.float32(1)}, size=3)
        assert images.silhouette.shape == (shape[0], 3, 3) and not images.silhouette.any()
        assert (images.depth == 10).all() and (images.colour == 1).all()
        assert all(gradients[n].shape == inputs[n].shape for n in gradients)


# gradients that one can tell beforehand


def test_a_point_that_fills_its_voxel_alone_moves_and_two_in_one_do_not(serve):
    middle = np.float32(0.125)  # of voxel 2 of 4
    for name in FRAMEWORKS:
        framework = name.replace(" native", "")
        with serve(name):
            for count, slope in ((1, 4.0), (2, 0.0)):
                points = np.full((1, count, 3), middle)
                weights = {"silhouette": np.zeros((1, 4, 4), np.float32)}
                weights["silhouette"][0, 1, 3] = 1  # the pixel to the right
                inputs = {"points": points, **SHARP, "scale": np.float32(1)}
                _, gradients = draw(framework, inputs, weights, size=4)
                wanted = np.zeros((1, count, 3))
                wanted[..., 2] = 4  # half a voxel or less to the right: that cell's share grows
                np.testing.assert_array_equal(gradients["points"], wanted, err_msg=name)
                weights["silhouette"] = np.zeros((1, 4, 4), np.float32)
                weights["silhouette"][0, 1, 2] = 1
                _, gradients = draw(framework, inputs, weights, size=4)
                assert gradients["points"][0, 0, 2] == -slope, name


def test_the_first_of_equal_voxels_has_the_gradient_of_the_maximum(serve):
    points = cloud(at(2, 1, 1), at(1, 1, 1))
    weights = {"silhouette": np.ones((1, 4, 4), np.float32)}
    for name in FRAMEWORKS:
        with serve(name):
            inputs = {"points": points, **SHARP}
            options = {"size": 4, "max_projection": True}
            _, gradients = draw(name.replace(" native", ""), inputs, weights, **options)
            assert gradients["points"][0, 1].any() and not gradients["points"][0, 0, 0], name


OPTIONS = {
    "corrected": {},
    "as released": {"as_released": True},
    "deep": {"size_z": 9, "probabilities": True},
    "flat": {"size_z": 3, "as_released": True},
    "largest": {"max_projection": True},
    "clipped after": {"clip_colours": "after"},
    "divided": {"divide_colours": True},
    "divided, clipped after": {"divide_colours": True, "clip_colours": "after"},
    "colours do not move": {"colours_move_points": False, "as_released": True},
}


def arrays(options, count=40, batch=3, seed=0, spread=0.25):
    """Clouds, a sigma and a scale for each, colours, and weights of the images."""
    rng = np.random.default_rng(seed)
    grid = Voxels(size=6, kernel_size=5, **options)
    inputs = {
        "points": rng.normal(size=(batch, count, 3)) * spread,
        "sigma": rng.uniform(0.5, 2, batch),
        "scale": rng.uniform(0.3, 1.5, batch),
        "colours": rng.uniform(-0.2, 1.2, (batch, count, 3)),
    }
    shapes = {"silhouette": (), "depth": (), "colour": (3,), "probabilities": ()}
    weights = {n: rng.normal(size=(batch, 6, 6, *last)) for n, last in shapes.items()}
    weights["probabilities"] = rng.normal(size=(batch, grid.size_z + 1, 6, 6))
    if grid.max_projection:
        weights = {"silhouette": weights["silhouette"]}
    elif not grid.probabilities:
        del weights["probabilities"]
    return inputs, weights, {"size": 6, "kernel_size": 5, **options}


def test_gradients_against_finite_differences(serve):
    torch = pytest.importorskip("torch")
    for name, options in OPTIONS.items():
        if "divided" in name or "do not move" in name:
            continue  # there gradients are stopped on purpose
        inputs, weights, options = arrays(options, count=7, batch=2, spread=0.15)
        leaves = [torch.tensor(a, requires_grad=True) for a in inputs.values()]

        def total(*leaves, names=tuple(inputs), options=options, weights=weights):
            from samplenet.ops.torch import render_voxels

            images = render_voxels(**dict(zip(names, leaves, strict=True)), **options)
            parts = ((getattr(images, n) * torch.tensor(w)).sum() for n, w in weights.items())
            return sum(parts)

        with serve("torch"):
            assert torch.autograd.gradcheck(total, leaves, atol=1e-4), name


CALLS = [(b, d, n) for b in FRAMEWORKS for d in ("float32", "float64") for n in OPTIONS]
CALLS += [
    (backend, "float32", name)  # tracing takes time
    for backend in ("tf graph", "tf native graph")
    for name in ("deep", "largest", "divided, clipped after")
]


@pytest.mark.parametrize(("backend", "dtype", "name"), CALLS)
def test_every_option_agrees_with_the_reference(serve, backend, dtype, name):
    inputs, weights, options = arrays(OPTIONS[name])
    inputs = {n: a.astype(dtype) for n, a in inputs.items()}
    weights = {n: a.astype(dtype) for n, a in weights.items()}
    with serve(backend):
        images, gradients = draw(backend.replace(" native", ""), inputs, weights, **options)
    exact = {n: a.astype(np.float64) for n, a in inputs.items()}
    wanted = reference.render_voxels(**exact, **options)
    tolerance = 2e-6 if dtype == "float32" else 1e-12
    for field, want, got in zip(Rendered._fields, wanted, images, strict=True):
        assert (got is None) == (want is None), field
        if want is not None:
            assert got.dtype == dtype
            np.testing.assert_allclose(got, want, 10 * tolerance, tolerance, err_msg=field)
    pytest.importorskip("torch", reason="gradients are compared with PyTorch's")
    with serve("torch"):
        _, wanted = draw("torch", exact, weights, **options)
    for field, want in wanted.items():
        error = np.abs(gradients[field] - want).max()
        assert error <= 10 * tolerance * np.abs(want).max(), field


# the released code


RELEASED = {"A": {"kernel_size": 11, "sigma": 1.5}, "B": {"kernel_size": 21, "sigma": 3.0}}


@pytest.fixture(scope="module")
def recorded():
    """Inputs, outputs and gradients of the released code (its README names the cases)."""
    return np.load(Path(__file__).with_name("dpc.npz"))


def seen(points, quaternions, focal=1.875, distance=2.0):
    """Turn points and project them as the released code does; NumPy arrays or tensors."""
    w, *v = (quaternions[:, None, i] for i in range(4))
    norm = w**2 + v[0] ** 2 + v[1] ** 2 + v[2] ** 2
    p = [points[..., i] for i in range(3)]

    def cross(a, b):
        return [a[i - 2] * b[i - 1] - a[i - 1] * b[i - 2] for i in range(3)]

    t = cross(v, p)
    u = cross(v, t)
    turned = [p[i] + 2 * (w * t[i] + u[i]) / norm for i in range(3)]
    z = turned[0] + distance
    return turned[0], focal * turned[1] / z, focal * turned[2] / z


@pytest.mark.parametrize("case", list(RELEASED))
def test_images_are_those_of_the_released_code(rendered, recorded, case):
    points = np.stack(seen(recorded["in__points"], recorded["in__quat"]), -1)
    inputs = {"points": points, "sigma": np.float32(RELEASED[case]["sigma"])}
    inputs["scale"] = recorded["in__scale"][:, 0]
    inputs |= {"colours": recorded["in__rgb"]} if case == "A" else {}
    options = {"size": 32, "kernel_size": RELEASED[case]["kernel_size"], "as_released": True}
    images, _ = rendered(inputs, **options, probabilities=True)
    names = {"silhouette": "sil", "depth": "depth"} | ({"colour": "rgb"} if case == "A" else {})
    for field, name in names.items():
        want = recorded[f"{case}__{name}"]
        np.testing.assert_allclose(getattr(images, field), want, 1e-4, 2e-6, err_msg=field)
    if case == "A":
        ends = images.probabilities[:, :, 12:20, 12:20].swapaxes(0, 1)
        np.testing.assert_allclose(ends, recorded["A__probs"], 1e-4, 2e-6)


@pytest.mark.parametrize("name", ["tf", "tf native", "torch", "torch native"])
@pytest.mark.parametrize("case", list(RELEASED))
def test_gradients_are_those_of_the_released_code(serve, recorded, case, name):
    outputs = {"sil": "silhouette", "depth": "depth"} | ({"rgb": "colour"} if case == "A" else {})
    inputs = {n: recorded[f"in__{n}"] for n in ("points", "quat", "scale", "rgb")}
    inputs["sigma"] = np.float32(RELEASED[case]["sigma"])
    kernel_size = RELEASED[case]["kernel_size"]

    def images(render, stack, leaves):
        return render(
            stack(seen(leaves["points"], leaves["quat"]), -1),
            leaves["sigma"],
            leaves["scale"][:, 0],
            leaves["rgb"] if case == "A" else None,
            size=32,
            kernel_size=kernel_size,
            as_released=True,
        )

    with serve(name) as ops:
        for output, field in outputs.items():
            weight = recorded[f"in__cot_{output}"]
            if "torch" in name:
                import torch

                leaves = {n: torch.tensor(a, requires_grad=True) for n, a in inputs.items()}
                image = getattr(images(ops.render_voxels, torch.stack, leaves), field)
                loss = (image * torch.tensor(weight)).sum()
                given = list(leaves.values())
                gradients = torch.autograd.grad(loss, given, materialize_grads=True)
            else:
                import tensorflow as tf

                leaves = {n: tf.constant(a) for n, a in inputs.items()}
                with tf.GradientTape() as tape:
                    tape.watch(leaves)
                    image = getattr(images(ops.render_voxels, tf.stack, leaves), field)
                    loss = tf.reduce_sum(image * weight)
                zero = tf.UnconnectedGradients.ZERO
                gradients = tape.gradient(loss, list(leaves.values()), unconnected_gradients=zero)
            for of, gradient in zip(inputs, gradients, strict=True):
                key = f"{case}__g_{output}_{of}"
                if key in recorded:
                    want = recorded[key]
                    limit = 1e-3 * np.abs(want).max()
                    np.testing.assert_allclose(gradient, want, 2e-3, limit, err_msg=key)


# arguments


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"points": np.zeros((2, 3), np.float32)}, r"points must have shape \(B, N, 3\)"),
        ({"points": np.zeros((1, 2, 3), np.int32)}, "points must be one of float16"),
        (
            {"sigma": np.ones(3, np.float32)},
            r"sigma must be a number or have shape \(B,\) = \(1,\)",
        ),
        ({"scale": np.ones((1, 1), np.float32)}, "scale must be a number or have shape"),
        ({"scale": np.ones(1, np.float64)}, "inputs must share one dtype"),
        ({"colours": np.ones((1, 3, 3), np.float32)}, r"colours must have shape \(B, N, C\)"),
        ({"size": 0}, "size must be an integer in .1, 1024., got 0"),
        ({"size": 2.5}, "size must be an integer in .1, 1024., got 2.5"),
        ({"size": 1025}, "size must be an integer in .1, 1024., got 1025"),
        ({"size_z": True}, "size_z must be an integer in .1, 1024., got True"),
        ({"kernel_size": 6}, "kernel_size must be odd, got 6"),
        ({"max_depth": np.inf}, "max_depth must be finite, got inf"),
        ({"clip_colours": "never"}, "clip_colours must be"),
        ({"max_projection": True, "probabilities": True}, "max_projection has no probabilities"),
    ],
)
@pytest.mark.parametrize("name", ["reference", "torch", "tf"])
def test_wrong_arguments_are_named(serve, name, changes, sentence):
    arguments = {"points": np.zeros((1, 2, 3), np.float32), "sigma": np.float32(1), **changes}
    with serve(name) as ops, pytest.raises(InputError, match=sentence):
        if name == "torch":
            import torch

            arguments = {
                n: torch.as_tensor(a) if isinstance(a, np.ndarray | np.generic) else a
                for n, a in arguments.items()
            }
        ops.render_voxels(**arguments)
