"""The released module quaternion: values by eye and matrices."""

import itertools
import math

import numpy as np
import pytest
import torch

import rigid
from samplenet import InputError
from src import quaternion

ORDERS = ["".join(order) for order in itertools.permutations("xyz")]
HALF = math.sqrt(0.5)
QUARTER = torch.tensor(
    [[HALF, HALF, 0, 0], [HALF, 0, HALF, 0], [HALF, 0, 0, HALF]]
)  # about x, y, z
X, Y, Z = torch.eye(3)

GENERATOR = torch.Generator().manual_seed(0)
QUATERNIONS = rigid.normalise(torch.randn(200, 4, dtype=torch.float64, generator=GENERATOR))
OTHERS = QUATERNIONS.roll(1, 0)
CLOUD = torch.rand(50, 3, generator=GENERATOR)


def matrix_about(axis, angle):
    """By Rodrigues' formula, (3, 3) in float64."""
    x, y, z = axis = np.asarray(axis, np.float64) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def test_quarter_turns():
    about_x, about_y, about_z = QUARTER
    torch.testing.assert_close(
        quaternion.qrot(QUARTER, torch.stack([Y, Z, X])), torch.stack([Z, X, Y])
    )
    torch.testing.assert_close(quaternion.qrot(quaternion.qinv(about_z[None]), Y[None]), X[None])
    torch.testing.assert_close(quaternion.qmul(about_x, about_x), torch.tensor([0.0, 1, 0, 0]))
    # The turn about z takes x to y, the turn about x takes that to z. In the other order x stays,
    # then goes to y.
    torch.testing.assert_close(quaternion.qrot(quaternion.qmul(about_x, about_z), X), Z)
    torch.testing.assert_close(quaternion.qrot(quaternion.qmul(about_z, about_x), X), Y)
    for axis, turn in enumerate(QUARTER):
        angles = np.eye(3, dtype=np.float32)[axis] * np.float32(np.pi / 2)
        for order in ORDERS:
            np.testing.assert_allclose(
                quaternion.euler_to_quaternion(angles, order), turn, atol=1e-6
            )
            torch.testing.assert_close(
                quaternion.qeuler(turn, order), torch.from_numpy(angles), atol=1e-6, rtol=0
            )
        np.testing.assert_allclose(quaternion.expmap_to_quaternion(angles), turn, atol=1e-6)


def test_products_and_rotations_are_those_of_matrices():
    matrices, vectors = (
        rigid.to_matrix(QUATERNIONS),
        torch.randn(200, 3, dtype=torch.float64, generator=GENERATOR),
    )
    product = rigid.to_matrix(quaternion.qmul(QUATERNIONS, OTHERS))
    torch.testing.assert_close(product, matrices @ rigid.to_matrix(OTHERS))
    torch.testing.assert_close(
        quaternion.qrot(QUATERNIONS, vectors), (matrices @ vectors[..., None])[..., 0]
    )
    torch.testing.assert_close(rigid.to_matrix(quaternion.qinv(QUATERNIONS)), matrices.mT)
    clouds = vectors.reshape(4, 50, 3)
    each = quaternion.qrot(
        QUATERNIONS[:4, None].expand(4, 50, 4), clouds
    )  # as the released code calls it
    torch.testing.assert_close(each, rigid.rotate(QUATERNIONS[:4], clouds))
    torch.testing.assert_close(quaternion.qrot(QUATERNIONS[:4, None], clouds), each)
    q, r, v = QUATERNIONS.numpy()[::-1], OTHERS.numpy()[::-1], vectors.numpy()[::-1]
    np.testing.assert_allclose(quaternion.qmul_np(q, r)[::-1], quaternion.qmul(QUATERNIONS, OTHERS))
    np.testing.assert_allclose(
        quaternion.qrot_np(q, v)[::-1], quaternion.qrot(QUATERNIONS, vectors)
    )


@pytest.mark.parametrize("order", ORDERS)
def test_the_order_of_euler_angles_is_that_of_the_factors(order):
    angles = np.random.default_rng(0).uniform(-1.5, 1.5, (50, 3))
    turns = quaternion.euler_to_quaternion(angles, order)
    axes = dict(zip("xyz", np.eye(3), strict=True))
    for row, turn in zip(angles, rigid.to_matrix(torch.from_numpy(turns)), strict=True):
        about = [matrix_about(axes[letter], row["xyz".index(letter)]) for letter in order]
        np.testing.assert_allclose(turn, about[0] @ about[1] @ about[2], atol=1e-12)
    np.testing.assert_allclose(quaternion.qeuler_np(turns, order), angles, atol=1e-12)
    np.testing.assert_allclose(
        quaternion.qeuler_np(-turns, order, use_gpu=True), angles, atol=1e-12
    )


def test_the_order_of_the_data_sets_is_xyz():
    degrees = torch.rand(20, 3, dtype=torch.float64, generator=GENERATOR) * 90 - 45
    turns = quaternion.euler_to_quaternion(np.radians(degrees.numpy()), "xyz")
    np.testing.assert_allclose(turns, rigid.from_euler(degrees), atol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
def test_euler_angles_lead_back_to_any_rotation_and_where_two_axes_meet(order):
    angles = np.random.default_rng(1).uniform(-3, 3, (30, 3))
    angles[:10, "xyz".index(order[1])] = math.pi / 2
    angles[10:20, "xyz".index(order[1])] = -math.pi / 2
    turns = quaternion.euler_to_quaternion(angles, order)
    assert (turns[:, 0] >= 0).all()
    for dtype, most in ((np.float64, 1e-6), (np.float32, 1e-3)):
        found = quaternion.qeuler_np(turns.astype(dtype), order)
        assert np.abs(found[:, "xyz".index(order[1])]).max() <= math.pi / 2 + 1e-3
        back = quaternion.euler_to_quaternion(found, order)
        assert rigid.angle_between(torch.from_numpy(back), torch.from_numpy(turns)).max() < most


def test_rotation_vectors():
    axis = np.array([1.0, -2, 2]) / 3
    for angle in (0, 1e-9, 1, math.pi, 5):
        matrix = rigid.to_matrix(torch.from_numpy(quaternion.expmap_to_quaternion(angle * axis)))
        np.testing.assert_allclose(matrix, matrix_about(axis, angle), atol=1e-12)
    many = quaternion.expmap_to_quaternion(np.zeros((2, 5, 3)))
    np.testing.assert_array_equal(many, np.broadcast_to([1.0, 0, 0, 0], (2, 5, 4)))


def test_quaternion_faults():
    for call in (
        lambda: quaternion.qmul(QUATERNIONS, torch.zeros(200, 3)),
        lambda: quaternion.qrot(torch.zeros(200, 7), CLOUD),
        lambda: quaternion.qinv(torch.zeros(3, 7)),
        lambda: quaternion.qeuler(torch.zeros(5), "xyz"),
    ):
        with pytest.raises(InputError, match=r"must have shape \(\.\.\., 4\), got \("):
            call()
    for order in ("xyx", "xy", "abc", "XYZ"):
        with pytest.raises(InputError, match=f"x, y and z once.* got '{order}'"):
            quaternion.euler_to_quaternion(np.zeros(3), order)
