"""Points drawn on images: pictures to check by eye, the released code's outputs, gradients."""

import sys
from math import exp, tanh
from pathlib import Path

import numpy as np
import pytest

from samplenet import InputError
from samplenet.ops.reference_projections import _weights

sys.path.insert(0, str(Path(__file__).parent))
from projecting import call  # noqa: E402

FRAMEWORKS = ["tf", "tf native", "torch", "torch native"]
FEATURES = [(r, b) for r in ("0.5", "1", "1.5") for b in ("5", "100")]


@pytest.fixture(params=["reference", *FRAMEWORKS])
def project(request, serve):
    """Draw by every backend: op, inputs, weights, options -> results, gradients."""
    with serve(request.param):
        yield lambda op, inputs, weights=(), **options: call(
            request.param.replace(" native", ""), op, inputs, weights, **options
        )


@pytest.fixture(scope="module")
def recorded():
    """Inputs, outputs and gradients of the released code."""
    return np.load(Path(__file__).with_name("differ.npz"))


def cloud(*points):
    return np.array([points], np.float32)


def close(got, want, rtol=1e-4, atol=2e-6):
    np.testing.assert_allclose(got, want, rtol, atol)


# pictures


def test_a_point_in_the_centre_of_a_pixel_is_brightest_there(project):
    inputs = {"points": cloud([1.5, 2.5, 2])}  # of row 1, column 2
    (sums,), _ = project("project_mask", inputs, height=4, width=5, variance=0.5, before_tanh=True)
    near, corner = exp(-1), exp(-2)
    assert sums.shape == (1, 4, 5)
    close(sums[0, :3, 1:4], [[corner, near, corner], [near, 1, near], [corner, near, corner]])
    (mask,), _ = project("project_mask", inputs, height=4, width=5, variance=0.5)
    close(mask[0, 1, 2], tanh(1))


def test_two_points_in_one_pixel_add_up(project):
    inputs = {"points": cloud([1.5, 2.5, 2], [1.5, 2.5, 3])}
    (mask,), _ = project("project_mask", inputs, height=4, width=4)
    close(mask[0, 1, 2], tanh(2))


def test_as_released_the_centres_of_pixels_are_whole_numbers(project):
    inputs = {"points": cloud([1, 2, 2])}
    (mask,), _ = project("project_mask", inputs, height=4, width=4, as_released=True)
    close(mask[0, 1, 2], tanh(1))
    inputs["features"] = cloud([5])
    (image, covered), _ = project(
        "project_features", inputs, height=4, width=4, radius=0.5, as_released=True
    )
    assert covered.sum() == covered[0, 1, 2] == 1 and image[0, 1, 2, 0] == pytest.approx(5)


def test_a_well_is_closed(project):
    """A point on the border of four pixels is in all; one in a centre is in nine, of radius 1."""
    for u, radius, pixels in ((2, 0.5, 4), (2.5, 0.5, 1), (2.5, 1, 9), (2.25, 1, 4)):
        inputs = {"points": cloud([u, u, 2]), "features": cloud([1, -2])}
        (image, covered), _ = project("project_features", inputs, height=6, width=6, radius=radius)
        assert covered.sum() == pixels
        close(image[..., 0], covered), close(image[..., 1], -2 * covered)


def test_the_nearer_point_hides_the_other_by_degrees(project):
    points = cloud([2.5, 2.5, 2], [2.5, 2.5, 2.1])
    inputs = {"points": points, "features": cloud([1], [0])}
    (image, _), _ = project("project_features", inputs, height=5, width=5)
    ratio = exp(100 / 3.00001 - 100 / 3.10001)
    close(image[0, 2, 2, 0], ratio / (1 + ratio))


def test_a_far_point_is_drawn_unless_as_released(project):
    for depth, released in ((8.9, 1), (9, 0), (50, 0)):
        inputs = {"points": cloud([2.5, 2.5, depth]), "features": cloud([1])}
        (_, covered), _ = project("project_features", inputs, height=5, width=5)
        assert covered[0, 2, 2] == 1
        (_, covered), _ = project("project_features", inputs, height=5, width=5, as_released=True)
        assert covered[0, 2, 2] == released


ODD = [np.nan, np.inf, -np.inf]
OFF = [(a, value) for a in range(3) for value in ODD] + [(2, 0), (2, -2)]


@pytest.mark.parametrize("op", ["project_mask", "project_features"])
def test_a_point_behind_the_camera_or_not_finite_changes_nothing(project, unchecked, op):
    points = np.tile(cloud([2.2, 1.7, 2], [1.9, 2.1, 1.8]), (len(OFF), 1, 1))
    for i, (axis, value) in enumerate(OFF):
        points[i, 1, axis] = value
    alone = {"points": points[:, :1]}
    both = {"points": points}
    weight = np.random.default_rng(0).normal(size=(len(OFF), 4, 4)).astype(np.float32)
    if op == "project_features":
        both["features"] = np.tile(cloud([1, 2], [3, 4]), (len(OFF), 1, 1))
        alone["features"] = both["features"][:, :1]
        weight = np.stack([weight, 2 * weight], -1)
    results, gradients = project(op, both, (weight,), height=4, width=4)
    wanted, wanted_gradients = project(op, alone, (weight,), height=4, width=4)
    for got, want in zip(results, wanted, strict=True):
        close(got, want)
    for name, gradient in gradients.items():
        assert not gradient[:, 1].any()
        close(gradient[:, :1], wanted_gradients[name])


def test_a_feature_that_is_not_finite_takes_its_point_away(project):
    inputs = {"points": cloud([1.5, 1.5, 2], [2.5, 2.5, 2]), "features": cloud([1], [np.nan])}
    (image, covered), gradients = project(
        "project_features", inputs, (np.ones((1, 4, 4, 1), np.float32),), height=4, width=4
    )
    assert covered[0, :3, :3].all() and covered.sum() == 9
    close(image[..., 0], covered)
    assert all(np.isfinite(a).all() for a in gradients.values())


@pytest.mark.parametrize("far", [-1e30, -100, 100, 3e9, 1e30])
def test_points_far_outside_the_image_are_not_seen(project, far):
    for point in ([far, 2, 2], [2, far, 2]):
        inputs = {"points": cloud(point)}
        (mask,), gradients = project(
            "project_mask", inputs, (np.ones((1, 4, 4), np.float32),), height=4, width=4
        )
        assert not mask.any() and not any(a.any() for a in gradients.values())
        inputs["features"] = cloud([1])
        (image, covered), _ = project("project_features", inputs, height=4, width=4)
        assert not image.any() and not covered.any()


def test_no_point_and_no_cloud_make_empty_pictures(project):
    for batch, count in ((2, 0), (0, 5)):
        inputs = {"points": np.zeros((batch, count, 3), np.float32)}
        weight = np.ones((batch, 3, 4), np.float32)
        (mask,), gradients = project("project_mask", inputs, (weight,), height=3, width=4)
        assert mask.shape == (batch, 3, 4) and not mask.any()
        assert all(a.shape == inputs["points"].shape for a in gradients.values())
        inputs["features"] = np.zeros((batch, count, 2), np.float32)
        (image, covered), _ = project("project_features", inputs, height=3, width=4)
        assert image.shape == (batch, 3, 4, 2) and covered.shape == (batch, 3, 4)
        assert not image.any() and not covered.any()


# the released code


@pytest.mark.parametrize("variance", ["0.4", "0.5", "2"])
def test_masks_are_those_of_the_released_code(project, recorded, variance):
    inputs = {"points": recorded["P__in_xyz"]}
    options = {"height": 12, "width": 12, "variance": float(variance), "as_released": True}
    weight = recorded["P__in_w1"]
    (mask,), gradients = project("project_mask", inputs, (weight,), **options)
    close(mask, recorded[f"P__mask_s{variance}"])
    want = recorded[f"P__mask_s{variance}_grad"]
    for gradient in gradients.values():
        close(gradient, want, 2e-3, 1e-3 * np.abs(want).max())


@pytest.mark.parametrize(("radius", "beta"), FEATURES)
def test_features_are_those_of_the_released_code(project, recorded, radius, beta):
    inputs = {"points": recorded["P__in_xyz"], "features": recorded["P__in_feat"]}
    options = {"height": 12, "width": 12, "as_released": True}
    options |= {"radius": float(radius), "beta": float(beta)}
    (image, covered), gradients = project(
        "project_features", inputs, (recorded["P__in_w4"],), **options
    )
    case = f"P__feat_r{radius}_b{beta}"
    close(image, recorded[f"{case}_out"])
    np.testing.assert_array_equal(covered, recorded[f"{case}_well"])
    for name, key in (("points", "gxyz"), ("features", "gfeat")) if gradients else ():
        want = recorded[f"{case}_{key}"]
        close(gradients[name], want, 2e-3, 1e-3 * np.abs(want).max())
    if gradients:
        assert not gradients["points"][..., :2].any()


def test_label_maps_are_those_of_the_released_code(project, recorded):
    inputs = {"points": recorded["P__in_xyz"], "features": recorded["P__in_feat"]}
    weight = recorded["P__in_w5"]
    (image, covered), gradients = project(
        "project_features", inputs, (weight[..., 1:],), height=12, width=12, as_released=True
    )
    labels = np.concatenate([1 - covered[..., None], image], -1)
    close(labels, recorded["P__seg_r1_b100_out"])
    close(1 - covered, recorded["P__seg_r1_b100_bg"])
    for name, key in (("points", "gxyz"), ("features", "gfeat")) if gradients else ():
        want = recorded[f"P__seg_r1_b100_{key}"]
        close(gradients[name], want, 2e-3, 1e-3 * np.abs(want).max())


@pytest.mark.parametrize(("radius", "beta"), FEATURES)
def test_the_shares_of_points_are_those_of_the_released_code(recorded, radius, beta):
    for points, want in zip(
        recorded["P__in_xyz"], recorded[f"P__feat_r{radius}_b{beta}_prob"], strict=True
    ):
        close(_weights(points, 20, 12, 12, float(radius), float(beta), True), want)


# every backend against the reference


def arrays(dtype, batch=3, count=50, channels=3):
    rng = np.random.default_rng(0)
    points = rng.uniform(-2, 9, (batch, count, 3))
    points[..., 2] = rng.uniform(0.5, 4, (batch, count))
    features = rng.normal(size=(batch, count, channels))
    return {"points": points.astype(dtype), "features": features.astype(dtype)}


CALLS = [(b, d) for b in FRAMEWORKS for d in ("float32", "float64")]
CALLS += [(f"{b} graph", "float32") for b in ("tf", "tf native")]
OPTIONS = [{}, {"as_released": True}, {"radius": 2.3, "beta": 10.0}]


@pytest.mark.parametrize(("backend", "dtype"), CALLS)
@pytest.mark.parametrize("op", ["project_mask", "project_features"])
def test_results_are_the_references_and_gradients_those_of_float64(serve, backend, dtype, op):
    pytest.importorskip("torch", reason="gradients are compared with PyTorch's")
    inputs, rng = arrays(dtype), np.random.default_rng(1)
    if op == "project_mask":
        inputs = {"points": inputs["points"]}
    exact = {name: a.astype(np.float64) for name, a in inputs.items()}
    tolerance = 3e-6 if dtype == "float32" else 1e-12
    for options in OPTIONS:
        if op == "project_mask" and "radius" in options:
            options = {"variance": 1.7, "before_tanh": True}
        options = {"height": 7, "width": 9, **options}
        wanted, _ = call("reference", op, exact, **options)
        weight = rng.normal(size=wanted[0].shape)
        with serve("torch"):
            _, slopes = call("torch", op, exact, (weight,), **options)
        with serve(backend.replace(" graph", "")):
            framework = backend.replace(" native", "")
            got, gradients = call(framework, op, inputs, (weight.astype(dtype),), **options)
        for want, result in zip(wanted, got, strict=True):
            assert result.dtype == dtype
            close(result, want, tolerance, tolerance)
        for name, want in slopes.items():
            assert gradients[name].dtype == dtype
            close(gradients[name], want, 10 * tolerance, 10 * tolerance * np.abs(want).max())


def test_gradients_against_finite_differences(serve):
    torch = pytest.importorskip("torch")
    from samplenet.ops.torch import project_features, project_mask

    points, features = (torch.tensor(a) for a in arrays("float64", 2, 12, 2).values())
    points.requires_grad_(), features.requires_grad_()
    size = {"height": 5, "width": 6}
    with serve("torch"):
        assert torch.autograd.gradcheck(lambda p: project_mask(p, **size), points)
        for released in (False, True):

            def draw(depth, features, released=released):
                moved = torch.cat([points[..., :2].detach(), depth], -1)
                return project_features(moved, features, **size, as_released=released).features

            assert torch.autograd.gradcheck(draw, (points[..., 2:], features))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["torch", "torch native"])
def test_half_precision_is_drawn_in_float32(serve, name, dtype):
    torch = pytest.importorskip("torch")
    points, features = (torch.as_tensor(a) for a in arrays("float32").values())
    points, features = (a.to(getattr(torch, dtype)) for a in (points, features))
    with serve(name) as ops:
        half = ops.project_features(points, features, 7, 9)
        single = ops.project_features(points.float(), features.float(), 7, 9)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = ops.project_features(points, features.float(), 7, 9)
        for a, b, c in zip(half, single, mixed, strict=True):
            assert a.dtype == torch.float32 and torch.equal(a, b) and torch.equal(a, c)
        assert torch.equal(ops.project_mask(points, 7, 9), ops.project_mask(points.float(), 7, 9))


@pytest.mark.parametrize("backend", FRAMEWORKS)
@pytest.mark.parametrize("op", ["project_mask", "project_features"])
def test_a_second_call_gives_the_same_bits(serve, backend, op):
    inputs = arrays("float32", 4, 300)
    inputs = inputs if op == "project_features" else {"points": inputs["points"]}
    weight = np.random.default_rng(0).normal(size=(4, 7, 9, 3)[: 3 + (op != "project_mask")])
    with serve(backend):
        runs = [
            call(backend.split()[0], op, inputs, (weight.astype(np.float32),), height=7, width=9)
            for _ in range(2)
        ]
    for one, other in zip(*([*r, *g.values()] for r, g in runs), strict=True):
        np.testing.assert_array_equal(one, other)


# arguments


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"points": np.zeros((2, 3), np.float32)}, r"points must have shape \(B, N, 3\)"),
        ({"points": np.zeros((1, 2, 3), np.int32)}, "points must be one of float16"),
        ({"features": np.zeros((1, 3, 4), np.float32)}, r"features must have shape \(B, N, C\)"),
        ({"features": np.zeros((1, 2, 4), np.float64)}, "inputs must share one dtype"),
        ({"height": 0}, "height must be an integer of at least 1, got 0"),
        ({"width": 2.5}, "width must be an integer of at least 1, got 2.5"),
        ({"width": True}, "width must be an integer of at least 1, got True"),
        ({"radius": 0}, "radius must be finite and above 0, got 0"),
        ({"beta": np.inf}, "beta must be finite and above 0, got inf"),
        ({"variance": -1.0}, "variance must be finite and above 0, got -1"),
    ],
)
def test_wrong_arguments_are_named(project, changes, sentence):
    inputs = {"points": np.zeros((1, 2, 3), np.float32)}
    op = "project_mask" if "variance" in changes else "project_features"
    if op == "project_features":
        inputs["features"] = np.zeros((1, 2, 4), np.float32)
    options = {"height": 3, "width": 4}
    for name, value in changes.items():
        (inputs if isinstance(value, np.ndarray) else options)[name] = value
    with pytest.raises(InputError, match=sentence):
        project(op, inputs, **options)


def test_coordinates_that_are_not_finite_are_an_error_when_asked_for(project):
    from samplenet.ops import check_inputs

    inputs = {"points": cloud([np.nan, 1, 1])}
    old = check_inputs(True)
    try:
        with pytest.raises(InputError, match="points holds NaN"):
            project("project_mask", inputs, height=3, width=3)
    finally:
        check_inputs(old)
