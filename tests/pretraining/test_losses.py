"""The losses of pre-training against recorded values of the released functions."""

import numpy as np
import pytest
import torch


@pytest.fixture(scope="module")
def losses(scripts):
    return scripts.losses


def close(value, recorded):
    np.testing.assert_allclose(value.detach().numpy(), recorded, rtol=1e-4, atol=2e-6)


def close_gradient(tensor, recorded):
    atol = 1e-3 * np.abs(recorded).max()
    np.testing.assert_allclose(tensor.grad.numpy(), recorded, rtol=2e-3, atol=atol)


def test_the_point_loss_and_its_gradients_are_the_recorded_ones(losses, selfsup):
    points, pixels = (torch.tensor(selfsup[f"cl_a_{name}"], requires_grad=True) for name in "uv")
    loss = losses.contrastive_loss(points, pixels, 0.5)
    loss.backward()
    close(loss, selfsup["cl_a_loss"])
    close_gradient(points, selfsup["cl_a_gu"])
    close_gradient(pixels, selfsup["cl_a_gv"])


def test_the_global_loss_and_its_gradient_are_the_recorded_ones(losses, selfsup):
    cloud, images = (torch.tensor(selfsup[f"mse_{name}"], requires_grad=True) for name in "ab")
    loss = losses.global_loss(cloud, images)
    loss.backward()
    close(loss, selfsup["mse_loss"])
    close_gradient(cloud, selfsup["mse_ga"])


def test_the_regulariser_is_the_recorded_one(losses, selfsup):
    close(losses.transform_regulariser(torch.tensor(selfsup["reg_in"])), selfsup["reg_out"])


def test_objects_do_not_mix(losses):
    a, b = torch.randn(2, 3, 7, 5)
    each = [losses.contrastive_loss(a[i], b[i], 0.5) for i in range(3)]
    torch.testing.assert_close(losses.contrastive_loss(a, b, 0.5), torch.stack(each).mean())


def test_unlike_pairs_of_chance_give_the_logarithm_of_their_number(losses):
    same = torch.ones(8, 4)  # nobody can be told apart: ln(2n - 1)
    assert losses.contrastive_loss(same, same, 0.5).item() == pytest.approx(np.log(15))


def test_a_point_in_two_pairs_is_no_negative_of_itself_on_request(losses):
    a, b = torch.randn(2, 4, 6)
    ids = torch.tensor([3, 5, 3, 8])
    z = torch.nn.functional.normalize(torch.cat([a, b]), dim=1)
    terms = []
    for row in range(8):
        partner = (row + 4) % 8
        others = [i for i in range(8) if i != row and (i == partner or ids[i % 4] != ids[row % 4])]
        logits = z[others] @ z[row] / 0.5
        terms.append(logits.logsumexp(0) - z[partner] @ z[row] / 0.5)
    torch.testing.assert_close(losses.contrastive_loss(a, b, 0.5, ids), torch.stack(terms).mean())
    different = torch.arange(4)
    assert losses.contrastive_loss(a, b, 0.5, different) == losses.contrastive_loss(a, b, 0.5)
