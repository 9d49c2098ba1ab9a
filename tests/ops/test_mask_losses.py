"""Losses between masks: images to check by eye, the released code's values, gradients."""

import sys
from math import log, sqrt
from pathlib import Path

import numpy as np
import pytest

from samplenet import InputError

sys.path.insert(0, str(Path(__file__).parent))
from projecting import call  # noqa: E402

BACKENDS = ["reference", "tf", "tf graph", "torch"]


@pytest.fixture(params=BACKENDS)
def loss(request, serve):
    """Call a loss of every backend: op, inputs, weights, options -> results, gradients."""
    with serve(request.param.replace(" graph", "")):
        yield lambda op, inputs, weights=(), **options: call(
            request.param, op, inputs, weights, **options
        )


@pytest.fixture(scope="module")
def recorded():
    """Inputs, outputs and gradients of the released code."""
    return np.load(Path(__file__).with_name("differ.npz"))


def image(*rows):
    return np.array([rows], np.float32)


# cross-entropy


def test_cross_entropy_of_a_mask(loss):
    sums, target = image([0, 1, 30]), image([0, 1, 0])
    (got,), _ = loss("mask_cross_entropy", {"sums": sums, "target": target})
    want = [0, -log(np.tanh(1) + 1e-8), 60 - log(2)]
    np.testing.assert_allclose(got[0, 0], want, 1e-6)


def test_a_saturated_pixel_is_pulled_back(loss):
    inputs = {"sums": image([20, 200]), "target": image([0, 0])}
    _, gradients = loss("mask_cross_entropy", inputs, (np.ones((1, 1, 2), np.float32),))
    for name, want in (("sums", 2), ("target", 0)) if gradients else ():
        np.testing.assert_allclose(gradients[name], want, 1e-6)


def test_a_pixel_without_a_point_costs_what_the_released_code_says(loss):
    (got,), gradients = loss(
        "mask_cross_entropy", {"sums": image([0]), "target": image([1])}, (image([1]),)
    )
    np.testing.assert_allclose(got, -log(1e-8), 1e-6)
    assert not gradients or gradients["sums"] == pytest.approx(-1e8)


def test_cross_entropy_is_the_released_code_s_where_that_has_digits(loss, recorded):
    masks = recorded["S__in_bce_pred"].astype(np.float64)
    for target in (0, 1):
        some = masks < (1 - 1e-6 if target == 0 else 1)
        sums = np.arctanh(masks[some])[None, None]
        inputs = {"sums": sums, "target": np.full_like(sums, target)}
        weight = np.ones_like(sums)
        (got,), gradients = loss("mask_cross_entropy", inputs, (weight,))
        want = recorded[f"S__bce_differ_gt{target}"][some]
        np.testing.assert_allclose(got[0, 0], want, 1e-4, 2e-6)
        if gradients:
            slope = recorded[f"S__bce_differ_gt{target}_grad"][some] * (1 - masks[some] ** 2)
            np.testing.assert_allclose(gradients["sums"][0, 0], slope, 2e-3)


# affinity


def test_the_chamfer_form_is_the_squared_distance_to_the_other_object(loss):
    mask, target = image([0, 0, 0.9], [0, 0.25, 0]), image([1, 0, 0], [0, 0, 0])
    (forward, backward), _ = loss("mask_affinity", {"mask": mask, "target": target})
    np.testing.assert_allclose(forward, image([0, 0, 0.9 * 4], [0, 0.25 * 2, 0]), 1e-6)
    np.testing.assert_allclose(backward, image([4, 0, 0], [0, 0, 0]), 1e-6)


def test_without_an_object_all_pixels_are_as_far_as_none_is(loss):
    mask, target = image([0, 0.25, 0]), image([1, 0, 0])
    (_, backward), _ = loss("mask_affinity", {"mask": mask, "target": target})
    np.testing.assert_array_equal(backward, image([10, 0, 0]))
    (forward, _), _ = loss("mask_affinity", {"mask": mask, "target": 0 * target})
    np.testing.assert_array_equal(forward, image([0, 2.5, 0]))


def test_the_soft_form_sends_its_gradient_to_the_nearest_pixel_drawn(loss):
    inputs = {"mask": image([0, 0, 0], [0, 1, 0]), "target": image([1, 0, 0], [0, 0, 0])}
    zero, one = np.zeros((1, 2, 3), np.float32), np.ones((1, 2, 3), np.float32)
    (forward, backward), gradients = loss("mask_affinity", inputs, (zero, one), form="soft_chamfer")
    near = sqrt(2) + 1
    np.testing.assert_allclose(forward, image([0, 0, 0], [0, near, 0]), 1e-6)
    np.testing.assert_allclose(backward, image([near, 0, 0], [0, 0, 0]), 1e-6)
    if gradients:
        want = image([0, 0, 0], [0, near * (1 - 1e6), 0])
        np.testing.assert_allclose(gradients["mask"], want, 1e-5)


@pytest.mark.parametrize("call_number", [1, 2, 3])
def test_the_released_form_is_that_of_the_released_code(loss, recorded, call_number):
    """Its n-th call gives n times the first."""
    inputs = {"mask": recorded["S__in_pred"], "target": recorded["S__in_gt"]}
    weight = np.full_like(inputs["mask"], call_number)
    zero = np.zeros_like(weight)
    key = f"S__released_call{call_number}_"
    results, _ = loss("mask_affinity", inputs, form="released")
    for got, name in zip(results, ("fwd", "bwd"), strict=True):
        np.testing.assert_allclose(call_number * got, recorded[key + name], 1e-4, 2e-6)
    # where the mask is 0 the minimum over equal terms has shared its gradient among them
    some = inputs["mask"] > 0
    for name, weights in (("dfwd", (weight, zero)), ("dbwd", (zero, weight))):
        _, gradients = loss("mask_affinity", inputs, weights, form="released")
        if gradients:
            got, want = gradients["mask"][some], recorded[key + name][some]
            np.testing.assert_allclose(got, want, 2e-3)


@pytest.mark.parametrize(("form", "key"), [("soft_chamfer", "axes"), ("chamfer", "sq")])
def test_the_intended_forms_are_those_recorded(loss, recorded, form, key):
    inputs = {"mask": recorded["S__in_pred"], "target": recorded["S__in_gt"]}
    results, _ = loss("mask_affinity", inputs, form=form)
    for got, name in zip(results, ("fwd", "bwd"), strict=True):
        np.testing.assert_allclose(got, recorded[f"S__alt_{key}_{name}"], 1e-4, 2e-6)


@pytest.mark.parametrize("backend", BACKENDS[1:])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", ["chamfer", "soft_chamfer", "released"])
def test_every_form_agrees_with_the_reference(serve, backend, dtype, form):
    rng = np.random.default_rng(0)
    mask, target = rng.random((3, 7, 9)), rng.random((3, 7, 9)) > 0.8
    mask[1], target[2] = 0, False
    inputs = {"mask": mask.astype(dtype), "target": target.astype(dtype)}
    exact = {name: a.astype(np.float64) for name, a in inputs.items()}
    wanted, _ = call("reference", "mask_affinity", exact, form=form)
    with serve(backend.split()[0]):
        got, _ = call(backend, "mask_affinity", inputs, form=form)
    for want, result in zip(wanted, got, strict=True):
        assert result.dtype == dtype
        np.testing.assert_allclose(result, want, 1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("form", ["chamfer", "soft_chamfer", "released"])
def test_gradients_against_finite_differences(serve, form):
    torch = pytest.importorskip("torch")
    from samplenet.ops.torch import mask_affinity, mask_cross_entropy

    generator = torch.Generator().manual_seed(0)
    mask = torch.rand((2, 4, 5), dtype=torch.float64, generator=generator, requires_grad=True)
    target = (torch.rand((2, 4, 5), generator=generator) > 0.6).double()

    def total(mask):
        forward, backward = mask_affinity(mask, target, form)
        return forward.sum() / 1e3 + backward.sum() / 1e6

    assert torch.autograd.gradcheck(total, mask)
    assert torch.autograd.gradcheck(lambda sums: mask_cross_entropy(sums, target), mask)


@pytest.mark.parametrize("backend", ["reference", "tf", "torch"])
def test_wrong_arguments_are_named(serve, backend):
    one = np.zeros((1, 2, 3), np.float32)
    cases = [
        ({"mask": one[0], "target": one}, {}, r"mask must have shape \(B, H, W\), got \(2, 3\)"),
        ({"mask": one, "target": one[:, :1]}, {}, r"target must have the shape of mask"),
        ({"mask": one, "target": one.astype(np.float64)}, {}, "inputs must share one dtype"),
        ({"mask": one, "target": one > 0}, {}, "target must be one of float16"),
        (
            {"mask": one, "target": one},
            {"form": "sum"},
            "form must be one of chamfer, soft_chamfer",
        ),
    ]
    for inputs, options, sentence in cases:
        with serve(backend), pytest.raises(InputError, match=sentence):
            call(backend, "mask_affinity", inputs, **options)
