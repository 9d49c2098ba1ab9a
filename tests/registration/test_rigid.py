"""Rigid transforms: conventions, inverses, and angles that are never NaN."""

import numpy as np
import pytest
import torch

import rigid

torch.manual_seed(0)
QUATERNIONS = rigid.normalise(torch.randn(200, 4, dtype=torch.float64))
OTHERS = QUATERNIONS.roll(1, 0)
TWISTS = torch.cat([QUATERNIONS, torch.randn(200, 3, dtype=torch.float64)], 1)
POINTS = torch.randn(200, 7, 3, dtype=torch.float64)


def axis_rotation(axis, degrees):
    """Right-handed about a coordinate axis, written from its definition."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[[first, second], [first, second]] = np.cos(np.radians(degrees))
    matrix[second, first] = np.sin(np.radians(degrees))
    matrix[first, second] = -np.sin(np.radians(degrees))
    return matrix


def test_a_quarter_turn_about_z_takes_x_to_y():
    quaternion = torch.tensor([np.sqrt(0.5), 0, 0, np.sqrt(0.5)])  # scalar first
    torch.testing.assert_close(
        rigid.rotate(quaternion, torch.eye(3).double())[0], torch.tensor([0.0, 1, 0]).double()
    )
    torch.testing.assert_close(rigid.from_euler(torch.tensor([0.0, 0, 90])), quaternion.float())


def test_euler_angles_mean_rx_ry_rz():
    angles = torch.rand(50, 3, dtype=torch.float64) * 90 - 45
    expected = [
        axis_rotation(0, a) @ axis_rotation(1, b) @ axis_rotation(2, c)
        for a, b, c in angles.numpy()
    ]
    np.testing.assert_allclose(rigid.to_matrix(rigid.from_euler(angles)), expected, atol=1e-12)


def test_matrices_agree_with_scipy():
    transform = pytest.importorskip("scipy.spatial.transform")
    theirs = transform.Rotation.from_quat(QUATERNIONS.roll(-1, 1).numpy())  # theirs is (x, y, z, w)
    np.testing.assert_allclose(rigid.to_matrix(QUATERNIONS), theirs.as_matrix(), atol=1e-12)
    others = transform.Rotation.from_quat(OTHERS.roll(-1, 1).numpy())
    angles = np.degrees((theirs.inv() * others).magnitude())
    np.testing.assert_allclose(rigid.angle_between(QUATERNIONS, OTHERS), angles, atol=1e-9)


def test_a_product_rotates_by_its_right_factor_first():
    product = rigid.to_matrix(rigid.multiply(QUATERNIONS, OTHERS))
    torch.testing.assert_close(product, rigid.to_matrix(QUATERNIONS) @ rigid.to_matrix(OTHERS))


def test_matrices_are_rotations_and_lead_back_to_their_quaternions():
    matrices = rigid.to_matrix(QUATERNIONS)
    torch.testing.assert_close(matrices @ matrices.mT, torch.eye(3).double().expand(200, 3, 3))
    torch.testing.assert_close(torch.linalg.det(matrices), torch.ones(200).double())
    half_turns = torch.eye(4).double()  # the identity and the half turns about x, y, z
    for quaternions in (QUATERNIONS, half_turns):
        back = rigid.from_matrix(rigid.to_matrix(quaternions))
        assert rigid.angle_between(back, quaternions).max() < 1e-6


def test_rotating_points_is_multiplying_them_by_the_matrix():
    expected = POINTS @ rigid.to_matrix(QUATERNIONS).mT
    torch.testing.assert_close(rigid.rotate(QUATERNIONS, POINTS), expected)
    torch.testing.assert_close(rigid.apply(TWISTS, POINTS), expected + TWISTS[:, None, 4:])


def test_twists_compose_and_invert():
    after = TWISTS.roll(3, 0)
    torch.testing.assert_close(
        rigid.apply(rigid.compose(after, TWISTS), POINTS),
        rigid.apply(after, rigid.apply(TWISTS, POINTS)),
    )
    torch.testing.assert_close(
        rigid.apply(rigid.inverse(TWISTS), rigid.apply(TWISTS, POINTS)), POINTS
    )


@pytest.mark.parametrize("degrees", [0, 1e-5, 0.01, 10, 90, 179.99, 180, 180.01, 359.99, 360])
def test_angles_are_exact_and_their_gradients_finite(degrees):
    axis = torch.nn.functional.normalize(torch.tensor([1.0, 2, -3], dtype=torch.float64), dim=0)
    half = torch.deg2rad(torch.tensor(float(degrees), dtype=torch.float64)) / 2
    turn = torch.cat([half.cos()[None], half.sin() * axis])
    geodesic = min(degrees, 360 - degrees)
    for dtype, atol in ((torch.float64, 1e-9), (torch.float32, 3e-5)):
        start = OTHERS.to(dtype).clone().requires_grad_()
        end = rigid.multiply(OTHERS, turn).to(dtype)
        angle = rigid.angle_between(start, end)
        torch.testing.assert_close(angle, torch.full_like(angle, geodesic), atol=atol, rtol=0)
        angle.sum().backward()
        assert start.grad.isfinite().all()
        assert start.grad.abs().max() < 1e3


def test_the_paper_figure_is_twice_the_angle_and_never_nan():
    dot = (QUATERNIONS * OTHERS).sum(1)
    expected = torch.rad2deg(2 * torch.acos(2 * dot**2 - 1))
    torch.testing.assert_close(rigid.paper_angle_between(QUATERNIONS, OTHERS), expected)
    same = QUATERNIONS.float() * 1.0000002  # the released formula leaves acos's domain here
    assert torch.acos(2 * (same * same).sum(1) ** 2 - 1).isnan().any()
    assert rigid.paper_angle_between(same, same).max() < 1e-4


def test_q_and_minus_q_are_one_rotation():
    assert rigid.angle_between(QUATERNIONS, -QUATERNIONS).max() < 1e-9
    torch.testing.assert_close(rigid.to_matrix(QUATERNIONS), rigid.to_matrix(-QUATERNIONS))


@pytest.mark.parametrize("scale", [0, 1e-30, 1e-6, 1, 1e6, 1e30])
def test_a_quaternion_of_any_length_is_normalised_without_nan(scale):
    raw = (torch.tensor([[1.0, -2, 3, -4]]) * scale).requires_grad_()
    unit = rigid.normalise(raw)
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(1))
    unit.sum().backward()
    assert raw.grad.isfinite().all()
    if scale == 0:
        assert unit.tolist() == [[1, 0, 0, 0]]
    assert rigid.angle_between(raw.detach(), raw.detach()).isfinite().all()


def test_the_gradient_of_normalising_is_that_of_dividing_by_the_length():
    raw = (QUATERNIONS * 3).requires_grad_()
    assert torch.autograd.gradcheck(rigid.normalise, raw[:5])
    torch.testing.assert_close(rigid.normalise(raw), raw / raw.norm(dim=1, keepdim=True))


def test_half_precision_is_taken_to_float32_and_autocast_changes_nothing():
    assert rigid.normalise(QUATERNIONS.bfloat16()).dtype == torch.float32
    twist, points = TWISTS.float(), POINTS.float()
    with torch.autocast("cpu", torch.bfloat16):
        moved = rigid.apply(twist, points)
    torch.testing.assert_close(moved, rigid.apply(twist, points), atol=0, rtol=0)
