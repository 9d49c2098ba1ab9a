"""The released modules quaternion, pctransforms and qdataset: values by eye, matrices, repeatable pairs."""

import itertools
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import pairs
import rigid
from samplenet import InputError
from src import pctransforms, qdataset, quaternion
from src.qdataset import QuaternionFixedDataset, QuaternionTransform

REGISTRATION = Path(__file__).parents[2] / "registration"
ORDERS = ["".join(order) for order in itertools.permutations("xyz")]
HALF = math.sqrt(0.5)
QUARTER = torch.tensor([[HALF, HALF, 0, 0], [HALF, 0, HALF, 0], [HALF, 0, 0, HALF]])  # about x, y, z
X, Y, Z = torch.eye(3)

GENERATOR = torch.Generator().manual_seed(0)
QUATERNIONS = rigid.normalise(torch.randn(200, 4, dtype=torch.float64, generator=GENERATOR))
OTHERS = QUATERNIONS.roll(1, 0)
CLOUD = torch.rand(50, 3, generator=GENERATOR)
CLOUDS = [(torch.rand(20, 3, generator=GENERATOR), label) for label in range(3)]


def matrix_about(axis, angle):
    """By Rodrigues' formula, (3, 3) in float64."""
    x, y, z = axis = np.asarray(axis, np.float64) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


# the doorway


def run(code):
    env = {**os.environ, "PYTHONWARNINGS": "error,ignore:samplenet"}  # native ops may not be built
    done = subprocess.run([sys.executable, "-c", code], cwd=REGISTRATION, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_sampler_alone_loads_no_data_sets_and_the_modules_are_there_when_asked_for():
    run(
        "import sys, src\n"
        "from src import SampleNet\n"
        "assert not {'rigid', 'samplenet.data', 'h5py'} & set(sys.modules), 'loaded before it was asked for'\n"
        "assert src.quaternion.qmul and src.pctransforms.OnUnitCube and src.qdataset.QuaternionTransform\n"
        "assert not hasattr(src, 'quaternions')\n"
    )


def test_the_imports_of_the_released_script_work():
    run(
        "from src import pctransforms, qdataset, quaternion, sputils\n"
        "from src.pctransforms import OnUnitCube, PointcloudToTensor\n"
        "from src.qdataset import QuaternionFixedDataset, QuaternionTransform, rad_to_deg\n"
        "import src.quaternion as Q\n"
        "from src import *\n"
        "assert Q is quaternion and qdataset.rigid is quaternion.rigid\n"
    )


# quaternion


def test_quarter_turns():
    about_x, about_y, about_z = QUARTER
    torch.testing.assert_close(quaternion.qrot(QUARTER, torch.stack([Y, Z, X])), torch.stack([Z, X, Y]))
    torch.testing.assert_close(quaternion.qrot(quaternion.qinv(about_z[None]), Y[None]), X[None])
    torch.testing.assert_close(quaternion.qmul(about_x, about_x), torch.tensor([0.0, 1, 0, 0]))
    # x by the turn about z to y, and that by the one about x to z; the other way round x stays, and goes to y
    torch.testing.assert_close(quaternion.qrot(quaternion.qmul(about_x, about_z), X), Z)
    torch.testing.assert_close(quaternion.qrot(quaternion.qmul(about_z, about_x), X), Y)
    for axis, turn in enumerate(QUARTER):
        angles = np.eye(3, dtype=np.float32)[axis] * np.float32(np.pi / 2)
        for order in ORDERS:
            np.testing.assert_allclose(quaternion.euler_to_quaternion(angles, order), turn, atol=1e-6)
            torch.testing.assert_close(quaternion.qeuler(turn, order), torch.from_numpy(angles), atol=1e-6, rtol=0)
        np.testing.assert_allclose(quaternion.expmap_to_quaternion(angles), turn, atol=1e-6)


def test_products_and_rotations_are_those_of_matrices():
    matrices, vectors = rigid.to_matrix(QUATERNIONS), torch.randn(200, 3, dtype=torch.float64, generator=GENERATOR)
    product = rigid.to_matrix(quaternion.qmul(QUATERNIONS, OTHERS))
    torch.testing.assert_close(product, matrices @ rigid.to_matrix(OTHERS))
    torch.testing.assert_close(quaternion.qrot(QUATERNIONS, vectors), (matrices @ vectors[..., None])[..., 0])
    torch.testing.assert_close(rigid.to_matrix(quaternion.qinv(QUATERNIONS)), matrices.mT)
    clouds = vectors.reshape(4, 50, 3)
    each = quaternion.qrot(QUATERNIONS[:4, None].expand(4, 50, 4), clouds)  # as the released code calls it
    torch.testing.assert_close(each, rigid.rotate(QUATERNIONS[:4], clouds))
    torch.testing.assert_close(quaternion.qrot(QUATERNIONS[:4, None], clouds), each)
    q, r, v = QUATERNIONS.numpy()[::-1], OTHERS.numpy()[::-1], vectors.numpy()[::-1]
    np.testing.assert_allclose(quaternion.qmul_np(q, r)[::-1], quaternion.qmul(QUATERNIONS, OTHERS))
    np.testing.assert_allclose(quaternion.qrot_np(q, v)[::-1], quaternion.qrot(QUATERNIONS, vectors))


@pytest.mark.parametrize("order", ORDERS)
def test_the_order_of_euler_angles_is_that_of_the_factors(order):
    angles = np.random.default_rng(0).uniform(-1.5, 1.5, (50, 3))
    turns = quaternion.euler_to_quaternion(angles, order)
    axes = dict(zip("xyz", np.eye(3), strict=True))
    for row, turn in zip(angles, rigid.to_matrix(torch.from_numpy(turns)), strict=True):
        about = [matrix_about(axes[letter], row["xyz".index(letter)]) for letter in order]
        np.testing.assert_allclose(turn, about[0] @ about[1] @ about[2], atol=1e-12)
    np.testing.assert_allclose(quaternion.qeuler_np(turns, order), angles, atol=1e-12)
    np.testing.assert_allclose(quaternion.qeuler_np(-turns, order, use_gpu=True), angles, atol=1e-12)


def test_the_order_of_the_data_sets_is_xyz():
    degrees = torch.rand(20, 3, dtype=torch.float64, generator=GENERATOR) * 90 - 45
    turns = quaternion.euler_to_quaternion(np.radians(degrees.numpy()), "xyz")
    np.testing.assert_allclose(turns, rigid.from_euler(degrees), atol=1e-12)
    np.testing.assert_allclose(turns, pairs.quaternion_of(degrees.numpy()), atol=1e-12)


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


# qdataset


def transform(*vec, **changes):
    return QuaternionTransform(torch.tensor([float(v) for v in vec]), **changes)


def test_degrees_and_radians():
    assert qdataset.deg_to_rad(180) == math.pi
    torch.testing.assert_close(qdataset.rad_to_deg(torch.tensor([math.pi / 2, 1])), torch.tensor([90, 180 / math.pi]))


def test_a_transform_by_eye():
    quarter = transform(HALF, 0, 0, HALF, 1, 2, 3)
    assert quarter.vec.shape == (1, 7) and quarter.quat().shape == (1, 4) and not quarter.inversion()
    assert quarter.trans().tolist() == [[1, 2, 3]]
    torch.testing.assert_close(quarter.rotate(torch.stack([X, Y])), torch.stack([Y, -X]))  # and no translation
    back = quarter.inverse()
    assert back.inversion() and back.trans().tolist() == [[-1, -2, -3]] and not back.inverse().inversion()
    torch.testing.assert_close(back.rotate(quarter.rotate(CLOUD)), CLOUD)
    assert quarter.wxyz_to_xyzw(torch.tensor([0, 1, 2, 3])).tolist() == [1, 2, 3, 0]
    assert quarter.xyzw_to_wxyz(torch.tensor([[1, 2, 3, 0]])).tolist() == [[0, 1, 2, 3]]


def test_transforms_of_a_batch_rotate_each_its_cloud():
    clouds = torch.randn(5, 9, 3, dtype=torch.float64, generator=GENERATOR)
    batch = QuaternionTransform(torch.cat([QUATERNIONS[:5], torch.ones(5, 3)], 1))
    torch.testing.assert_close(batch.rotate(clouds), clouds @ rigid.to_matrix(QUATERNIONS[:5]).mT)
    single = QuaternionTransform(batch.vec[2])
    torch.testing.assert_close(single.rotate(clouds)[2], batch.rotate(clouds)[2])
    for shape in ((9, 3), (4, 9, 3), (1, 9, 3), (5, 9, 4), (3,), (5, 1, 9, 3)):
        with pytest.raises(InputError, match=r"shape \(5, N, 3\) for 5 transform.*, got \("):
            batch.rotate(torch.zeros(shape))


def test_errors_of_a_turn_and_a_shift_by_eye():
    angle, norm, shift = transform(HALF, HALF, 0, 0, 3, 4, 0).compute_errors(transform(1, 0, 0, 0, 0, 0, 0))
    assert angle.item() == pytest.approx(math.pi / 2)  # a quarter turn is a quarter turn, not two
    assert norm.item() == pytest.approx(4)  # of [[0, -1], [1, 0]] - I, the sum of four squares
    assert shift.item() == pytest.approx(5)


def test_errors_are_those_of_matrices_and_means_over_the_batch():
    mine = QuaternionTransform(torch.cat([QUATERNIONS, torch.rand(200, 3)], 1))
    theirs = QuaternionTransform(torch.cat([OTHERS, torch.rand(200, 3)], 1))
    relative = rigid.to_matrix(QUATERNIONS) @ rigid.to_matrix(OTHERS).mT
    angles = torch.acos((relative.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2)
    norms = (relative - torch.eye(3)).square().sum((1, 2))
    angle, norm, _ = mine.compute_errors(theirs)
    torch.testing.assert_close((angle, norm), (angles.mean(), norms.mean()))
    long = QuaternionTransform(torch.cat([3 * QUATERNIONS, mine.trans()], 1))  # as a network may estimate
    torch.testing.assert_close(long.compute_errors(theirs)[:2], (angle, norm))
    paper = qdataset.deg_to_rad(rigid.paper_angle_between(QUATERNIONS, OTHERS))
    torch.testing.assert_close(2 * angle, paper.mean())
    # the same transforms, one written with its translation first
    rotated = rigid.rotate(rigid.conjugate(QUATERNIONS), mine.trans()[:, None])[:, 0]
    first = QuaternionTransform(torch.cat([QUATERNIONS, rotated], 1), inverse=True)
    assert max(error.abs() for error in first.compute_errors(mine)) < 1e-7


@pytest.mark.parametrize("degrees", [0, 180])
def test_the_angle_and_its_gradient_are_finite_at_the_ends(degrees):
    turns = torch.zeros(200, 4)
    turns[:, 0], turns[:, 2] = math.cos(math.radians(degrees / 2)), math.sin(math.radians(degrees / 2))
    start = QUATERNIONS.float().requires_grad_()
    end = rigid.multiply(start.detach(), turns) * 1.0000002  # where rounding takes the released acos out of its domain
    if degrees == 0:
        assert torch.acos(2 * (start * end).sum(1) ** 2 - 1).isnan().any()
    mine, theirs = (QuaternionTransform(torch.cat([q, torch.zeros(200, 3)], 1)) for q in (start, end))
    angle, norm, shift = mine.compute_errors(theirs)
    assert angle.item() == pytest.approx(math.radians(degrees), abs=1e-5)
    (angle + norm + shift).backward()
    assert start.grad.isfinite().all()


def test_transforms_survive_a_loader():
    dataset = QuaternionFixedDataset(CLOUDS, repeat=2)
    template, source, igt = next(iter(torch.utils.data.DataLoader(dataset, batch_size=4)))
    assert template.shape == source.shape == (4, 20, 3)
    loaded = QuaternionTransform.from_dict(igt, "cpu")
    torch.testing.assert_close(loaded.rotate(template), source)
    assert not loaded.inversion() and loaded.vec.shape == (4, 7)
    back = QuaternionTransform.from_dict(loaded.inverse().as_dict(), "cpu")
    assert back.inversion()
    torch.testing.assert_close(back.rotate(source), template)


def test_pairs_are_repeatable_by_seed_and_those_of_the_released_code():
    np.random.seed(7)
    before = np.random.get_state()[1].copy()
    dataset, again, other = (QuaternionFixedDataset(CLOUDS, repeat=4, seed=seed) for seed in (1, 1, 2))
    assert (np.random.get_state()[1] == before).all() and np.random.get_state()[2] == 624
    assert len(dataset) == len(list(dataset)) == 12
    # three angles and three unused translations for each pair, of NumPy's generator seeded with the seed
    degrees = np.random.RandomState(1).uniform(-45, 45, (12, 6))[:, :3]
    expected = rigid.from_euler(torch.from_numpy(degrees)).float()
    torch.testing.assert_close(torch.cat([t.quat() for t in dataset.transforms]), expected)
    for i in range(12):
        template, source, igt = dataset[i]
        assert torch.equal(template, CLOUDS[i % 3][0]) and torch.equal(source, again[i][1])
        assert not torch.allclose(source, other[i][1], atol=1e-2)
        assert igt["vec"][0, 4:].tolist() == [0, 0, 0]
        torch.testing.assert_close(source, rigid.rotate(expected[i], template))
    assert torch.equal(dataset[-1][1], dataset[11][1])
    with pytest.raises(IndexError):
        dataset[12]


def test_random_transforms_stay_within_their_maxima():
    drawn = [qdataset.create_random_transform(torch.float64, 10, 0.3, np.random.RandomState(i)) for i in range(200)]
    vec = torch.cat([t.vec for t in drawn])
    degrees = qdataset.rad_to_deg(quaternion.qeuler(vec[:, :4], "xyz")).abs()
    assert vec.dtype == torch.float64
    assert 9 < degrees.max() <= 10.001 and 0.28 < vec[:, 4:].abs().max() <= 0.3
    np.random.seed(5)
    from_global = qdataset.create_random_transform(torch.float32, 10, 0.3)
    seeded = qdataset.create_random_transform(torch.float32, 10, 0.3, np.random.RandomState(5))
    assert torch.equal(from_global.vec, seeded.vec)


def test_noise_is_fixed_or_drawn_anew():
    big = [(torch.rand(3000, 3, generator=GENERATOR), 0)]
    clean = QuaternionFixedDataset(big)[0][1]
    fixed, again, other, anew = (
        QuaternionFixedDataset(big, repeat=2, seed=seed, apply_noise=True, fixed_noise=keep)
        for seed, keep in ((0, True), (0, True), (1, True), (0, False))
    )
    assert torch.equal(fixed[0][1], fixed[0][1]) and torch.equal(fixed[0][1], again[0][1])
    noise = [d[i][1] - d.transforms[i].rotate(d[i][0]) for d, i in ((fixed, 0), (fixed, 1), (other, 0), (anew, 0))]
    noise.append(anew[0][1] - clean)
    for a, b in itertools.combinations(noise, 2):
        assert (a - b).abs().mean() > 0.02
    for one in noise:
        assert one.std().item() == pytest.approx(0.04, rel=0.05)
    assert torch.equal(QuaternionFixedDataset(big, fixed_noise=True)[0][1], clean)


def test_shapes_come_along_when_the_data_include_them():
    class Named(list):
        include_shapes = True

    dataset = QuaternionFixedDataset(Named((points, label, f"car_{label}") for points, label in CLOUDS), repeat=2)
    assert [len(pair) for pair in dataset] == [4] * 6 and dataset[4][3] == "car_1"
    Named.include_shapes = False
    assert len(QuaternionFixedDataset(Named(CLOUDS))[0]) == 3


# pctransforms

RANDOM = [
    pctransforms.PointcloudScale(),
    pctransforms.PointcloudTranslate(),
    pctransforms.PointcloudJitter(),
    pctransforms.PointcloudRotate(),
    pctransforms.PointcloudRotatePerturbation(),
    pctransforms.PointcloudRandomInputDropout(),
]
NAMES = [type(change).__name__ for change in RANDOM]


def test_a_box_on_the_unit_cube():
    box = torch.tensor([[1.0, 1, 1], [5, 2, 1], [3, 3, 1]])  # longest side 4, mean (3, 2, 1)
    expected = torch.tensor([[-0.5, -0.25, 0], [0.5, 0, 0], [0, 0.25, 0]])
    torch.testing.assert_close(pctransforms.OnUnitCube()(box), expected)
    torch.testing.assert_close(pctransforms.OnUnitCube()(box.long()), expected)
    torch.testing.assert_close(pctransforms.OnUnitCube()(CLOUD).numpy(), pairs.normalise(CLOUD.numpy()[None], 50)[0])
    assert pctransforms.OnUnitCube()(torch.ones(4, 3)).tolist() == [[0, 0, 0]] * 4


def test_a_tensor_is_a_float32_copy():
    for dtype in (np.float32, np.float64, np.int64):
        array = np.ones((2, 3), dtype)
        tensor = pctransforms.PointcloudToTensor()(array[::-1])
        array[:] = 7
        assert tensor.dtype == torch.float32 and tensor.tolist() == [[1, 1, 1]] * 2


def test_matrices_about_an_axis():
    quarter = pctransforms.angle_axis(math.pi / 2, np.array([0.0, 0, 2]))
    torch.testing.assert_close(quarter, torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]))
    for angle in (0, 0.3, -2, 4):
        found = pctransforms.angle_axis(angle, (1, 2, -2))
        np.testing.assert_allclose(found, matrix_about((1, 2, -2), angle), atol=1e-6)


@pytest.mark.parametrize("change", RANDOM, ids=NAMES)
def test_random_transforms_repeat_by_seed_and_leave_their_input_alone(change):
    rows = torch.cat([CLOUD, CLOUD], 1)
    for points in (CLOUD, rows, CLOUD.double()):
        kept = points.clone()
        torch.manual_seed(3)
        first, second = change(points), change(points)
        torch.manual_seed(3)
        assert torch.equal(change(points), first) and not torch.equal(first, second)
        assert torch.equal(points, kept) and first.dtype == points.dtype and first.shape == points.shape


def many(change, points=CLOUD):
    torch.manual_seed(0)
    return torch.stack([change(points) for _ in range(300)])


def test_scaling_and_shifting():
    rows = torch.cat([CLOUD, CLOUD], 1)
    ratio = many(pctransforms.PointcloudScale(0.5, 2), rows) / rows
    torch.testing.assert_close(ratio[..., :3], ratio[:, :1, :1].expand(-1, 50, 3))
    assert 0.5 <= ratio[..., :3].min() < 0.52 and 1.95 < ratio[..., :3].max() < 2.001 and (ratio[..., 3:] == 1).all()
    shift = many(pctransforms.PointcloudTranslate(0.2), rows) - rows
    torch.testing.assert_close(shift[..., :3], shift[:, :1, :3].expand(-1, 50, 3), atol=1e-6, rtol=0)
    assert (shift[:, 0, :3].std(0) > 0.1).all() and (shift[:, 0, 0] - shift[:, 0, 1]).std() > 0.1
    assert shift.abs().max() < 0.2001 and (shift[..., 3:] == 0).all()


def test_jitter():
    noise = many(pctransforms.PointcloudJitter(0.01, 0.02), torch.zeros(50, 4))
    assert noise.abs().max().item() == pytest.approx(0.02) and (noise[..., 3] == 0).all()
    assert (noise[..., :3].abs() < 0.01).float().mean().item() == pytest.approx(0.683, abs=0.01)


def test_rotations_are_about_their_axis_and_take_the_normals_along():
    rows = torch.cat([CLOUD, CLOUD + 1], 1)
    turned = many(pctransforms.PointcloudRotate(), rows)
    torch.testing.assert_close(turned[..., [1, 4]], rows[:, [1, 4]].expand(300, 50, 2))  # heights stay
    frame = torch.cat([torch.eye(3), torch.eye(3)], 1)
    columns = many(pctransforms.PointcloudRotate((0, 0, 5)), frame)
    torch.testing.assert_close(columns[..., :3], columns[..., 3:])
    angles = torch.atan2(columns[:, 0, 1], columns[:, 0, 0])  # where x goes
    for angle, rotated in zip(angles, columns, strict=True):
        np.testing.assert_allclose(rotated[:, :3].T, matrix_about((0, 0, 1), angle.item()), atol=1e-6)
    assert angles.min() < -3 and angles.max() > 3 and angles.mean().abs() < 0.3
    for change in (pctransforms.PointcloudRotate(), pctransforms.PointcloudRotatePerturbation()):
        with pytest.raises(InputError, match=r"\(N, 3\), or \(N, 6\) with normals; got \(5, 4\)"):
            change(torch.zeros(5, 4))


def test_a_perturbation_is_rz_ry_rx_of_small_angles():
    frames = many(pctransforms.PointcloudRotatePerturbation(1.0, 0.18), torch.eye(3, dtype=torch.float64))
    angles = quaternion.qeuler(rigid.from_matrix(frames.mT), "zyx")
    assert angles.abs().max().item() == pytest.approx(0.18)
    at_the_clip = (angles.abs() > 0.18 - 1e-6).double().mean().item()  # 86 % of a normal draw of deviation 1
    assert at_the_clip == pytest.approx(0.857, abs=0.04)


def test_dropped_points_become_the_first():
    changed = many(pctransforms.PointcloudRandomInputDropout(0.5), CLOUD)
    dropped = (changed == CLOUD[0]).all(2)
    assert torch.equal(changed[~dropped], CLOUD.expand(300, 50, 3)[~dropped])
    rates = dropped[:, 1:].float().mean(1)
    assert rates.mean().item() == pytest.approx(0.25, abs=0.03) and rates.std() > 0.1
    assert torch.equal(pctransforms.PointcloudRandomInputDropout(0)(CLOUD), CLOUD)
    with pytest.raises(InputError, match=r"in \[0, 1\), got 1"):
        pctransforms.PointcloudRandomInputDropout(1)
