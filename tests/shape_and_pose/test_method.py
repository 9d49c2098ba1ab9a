"""Networks, camera, losses and schedules, against what the released code computed."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from samplenet.data import cameras
from samplenet.data.views.meshes import Truth
from samplenet.runs import schedules


@pytest.fixture(scope="module")
def recorded():
    """The inputs, values and gradients: of the renderer, and of losses and schedules."""
    files = Path(__file__).parents[1] / "ops/dpc.npz", Path(__file__).with_name("released.npz")
    return {name: array for file in files for name, array in np.load(file).items()}


@pytest.fixture
def configure(scripts):
    """Return a function that gives small settings, with changes."""
    small = {"image_size": 16, "num_points": 50, "conv_width": 4, "fc_width": 32, "code_width": 24}
    small |= {"grid_size": 8, "kernel_size": 5}

    def settings(**changes):
        return scripts.options.Config(**small | changes)

    return settings


def gradients(function, *arrays):
    """Return a function's value at these arrays, and its gradient in each."""
    tensors = [tf.constant(array) for array in arrays]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(*tensors)
    return value.numpy(), [gradient.numpy() for gradient in tape.gradient(value, tensors)]


def test_the_network_has_the_released_number_of_weights(scripts):
    # without numbers: 33 million would take a second and 400 MB
    def count(**changes):
        with tf.Graph().as_default():
            config = scripts.options.Config(**changes)
            net = scripts.networks.ShapeAndPose(config)
            net(tf.zeros((1, 128, 128, 3)))
            return sum(np.prod(v.shape) for v in net.trainable_variables)

    assert count(supervision="none") == 33_292_309


def test_a_point_is_seen_where_the_released_code_sees_it(scripts, recorded):
    seen = scripts.camera.to_box(recorded["in__points"], recorded["in__quat"])
    np.testing.assert_allclose(seen, recorded["A__tr_pc"], 1e-5, 1e-6)


@pytest.mark.parametrize("translation", [None, [[0.1, -0.05, 0.02]]])
def test_a_point_is_seen_where_the_camera_of_the_pictures_sees_it(scripts, translation):
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 20, 3))
    extrinsic = cameras.extrinsic([70.0], [25.0])
    quaternion = np.float32(-3 * cameras.to_dpc(extrinsic))
    shift = None if translation is None else np.float32(translation)
    seen = scripts.camera.to_box(np.float32(points), quaternion, shift).numpy()
    if translation:  # forward, up, right to right, down, forward
        along, rise, aside = translation[0]
        extrinsic[:, :3, 3] += [aside, -rise, along]
    pixels, depth = cameras.project(points, extrinsic, cameras.intrinsics(1))
    np.testing.assert_allclose(seen[0, :, 2] + 0.5, pixels[0, :, 0], atol=1e-5)
    np.testing.assert_allclose(0.5 - seen[0, :, 1], pixels[0, :, 1], atol=1e-5)
    moved = 2 if translation is None else 2 + translation[0][0]
    np.testing.assert_allclose(seen[0, :, 0] + moved, depth[0], atol=1e-5)


def test_a_quaternion_of_length_0_gives_numbers_and_gradients(scripts):
    points = np.ones((1, 3, 3), np.float32)
    value, (_, gradient) = gradients(
        lambda p, q: tf.reduce_sum(scripts.camera.to_box(p, q)), points, np.zeros((1, 4), "f4")
    )
    assert np.isfinite(value) and np.isfinite(gradient).all()


def test_silhouettes_and_their_gradients_are_those_of_the_released_code(scripts, recorded):
    config = scripts.options.Config(grid_size=32, kernel_size=11, as_released=True)

    def weighted(points, quaternion, scale):
        drawn = scripts.camera.render(config, points, quaternion, 1.5, scale).silhouette
        return tf.reduce_sum(drawn * recorded["in__cot_sil"])

    inputs = [recorded[f"in__{name}"] for name in ("points", "quat", "scale")]
    _, found = gradients(weighted, *inputs[:2], inputs[2][:, 0])
    for gradient, name in zip(found, ("points", "quat", "scale"), strict=True):
        want = recorded[f"A__g_sil_{name}"].reshape(gradient.shape)
        np.testing.assert_allclose(gradient, want, 2e-3, 1e-3 * np.abs(want).max(), err_msg=name)


def test_the_winner_its_loss_and_the_students_are_those_of_the_released_code(scripts, recorded):
    losses = scripts.losses
    masks = recorded["J__gt"][:, None, ..., None]  # (6, 1, 32, 32, 1)
    config = scripts.options.Config(image_size=32, grid_size=16, as_released=True)
    wanted = losses.shrink(config, masks)[..., 0]
    drawn = recorded["J__pred"].reshape(6, 1, 3, 16, 16)
    winner = np.argmin(losses.squared_errors(drawn, wanted), -1)
    np.testing.assert_array_equal(winner[:, 0], recorded["J_cand__winner"])
    teachers = recorded["J__teachers"].reshape(6, 3, 4)
    teacher = tf.gather(teachers, winner[:, 0], batch_dims=1)

    def image_loss(drawn):
        return losses.image_loss(tf.gather(drawn, winner, batch_dims=2), wanted)

    value, (gradient,) = gradients(image_loss, drawn)
    np.testing.assert_allclose(value, recorded["J_cand__proj_loss"], 1e-5)
    want = recorded["J_cand__g_pred"].reshape(drawn.shape)
    np.testing.assert_allclose(gradient, want, 1e-4, 1e-6)
    value, (gradient,) = gradients(
        lambda s: 20 * losses.student_loss(s, teacher), recorded["J__student"]
    )
    np.testing.assert_allclose(value, recorded["J_cand__student_loss_weighted"], 1e-5)
    np.testing.assert_allclose(gradient, recorded["J_cand__g_student"], 1e-3, 1e-5)


def test_both_student_losses_are_0_for_one_rotation_and_grow_with_the_angle(scripts):
    halves = np.radians([0, 10, 40]) / 2
    turned = np.stack([np.cos(halves), 0 * halves, np.sin(halves), 0 * halves], -1).astype("f4")
    for kind in ("angle", "points"):
        apart = [float(scripts.losses.student_loss(-2 * turned[:1], q[None], kind)) for q in turned]
        assert abs(apart[0]) < 1e-6 < apart[1] < apart[2]
    assert apart[2] == pytest.approx(4 * np.sin(halves[2]) ** 2, rel=0.1)  # 2 of 3 axes, halved


def test_targets_are_means_of_pixels_or_as_released_the_first_of_them(scripts, configure):
    image = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4, 1)
    for released, want in {False: [[2.5, 4.5], [10.5, 12.5]], True: [[0, 2], [8, 10]]}.items():
        config = configure(image_size=4, grid_size=2, as_released=released)
        np.testing.assert_allclose(scripts.losses.shrink(config, image)[0, 0, ..., 0], want, 1e-6)


def test_targets_are_smoothed_as_what_is_drawn(scripts, configure):
    from scipy.ndimage import gaussian_filter

    pictures = np.random.default_rng(0).uniform(size=(2, 1, 8, 8, 4)).astype("f4")
    same = {"image_size": 8, "grid_size": 8}
    for sigma in (0.7, 1.3):
        smooth = gaussian_filter(pictures, sigma, mode="constant", radius=2, axes=(2, 3))
        for flag, blurred in {"never": False, "early": sigma > 1, "always": True}.items():
            config = configure(**same, blur_targets=flag, blur_colours=flag == "always")
            masks, colours = scripts.losses.targets(config, pictures, tf.constant(sigma))
            want = smooth if blurred else pictures
            np.testing.assert_allclose(masks, want[..., 3], 1e-4, 1e-6)
            want = smooth if flag == "always" else pictures
            np.testing.assert_allclose(colours, want[..., :3], 1e-4, 1e-6)


def test_the_ray_loss_counts_wrong_rays(scripts):
    mask = np.float32([[[[1, 0], [1, 0]]]])
    assert float(scripts.losses.ray_loss(mask, mask)) == 0
    assert float(scripts.losses.ray_loss(1 - mask, mask)) == 4
    assert float(scripts.losses.ray_loss(0.75 * mask, mask)) == 0.5


def test_the_cloud_loss_is_what_the_evaluation_measures(scripts):
    from samplenet.distances import error

    rng = np.random.default_rng(0)
    clouds, truths = rng.normal(size=(2, 30, 3)), rng.normal(size=(2, 40, 3))
    wanted = np.mean([sum(error(*pair)) for pair in zip(clouds, truths, strict=True)])
    found = scripts.losses.cloud_loss(np.float32(clouds), np.float32(truths))
    assert float(found) == pytest.approx(wanted, rel=1e-5)


def test_schedules_are_those_of_the_released_code(scripts, recorded):
    steps = recorded["sched__steps"]
    config, progress = scripts.options.Config(), steps / 600_000
    sigma = scripts.losses.sigmas(config, progress)
    np.testing.assert_allclose(sigma, recorded["sched__sigma"], 1e-5)
    for name, changes in {
        "keep": {},
        "keep_exp": {"keep_schedule": "exponential"},
        "keep_01_05": {"keep_from": 0.1, "keep_until": 0.5},
    }.items():
        share = scripts.losses.shares_kept(dataclasses.replace(config, **changes), progress)
        np.testing.assert_allclose(share, recorded[f"sched__{name}"], 1e-4, err_msg=name)
    constant = dataclasses.replace(config, keep=0.5, keep_schedule="constant")
    assert set(scripts.losses.shares_kept(constant, progress)) == {0.5}
    # a rate that falls in the middle of the run: 0.1 of it for every 300,000 steps of 8 models
    falling = dataclasses.replace(config, lr_decay=0.1, lr_decay_samples=8 * 300_000)
    rates = [schedules.learning_rate(falling, step, 600_000) for step in steps]
    np.testing.assert_allclose(rates, recorded["sched__lr_step05"], 1e-6)
    assert {schedules.learning_rate(config, step, 600_000) for step in steps} == {1e-4}


def test_a_camera_supervised_network_predicts_no_pose(scripts, configure):
    images = np.random.default_rng(0).uniform(size=(3, 16, 16, 3)).astype("f4")
    found = scripts.networks.build(configure())(images)
    assert found.points.shape == (3, 50, 3) and found.scale.shape == (3,)
    assert np.abs(found.points).max() <= 0.5 and 0.4 < np.mean(found.scale) < 0.6
    assert found[2:] == (None, None, None, None)


@pytest.mark.parametrize("candidates, student", [(1, True), (3, True), (3, False)])
def test_candidates_and_student(scripts, configure, candidates, student):
    config = configure(
        supervision="none", candidates=candidates, student=student, translation=True, colours=True
    )
    images = np.random.default_rng(0).uniform(size=(2, 16, 16, 3)).astype("f4")
    found = scripts.networks.build(config)(images)
    assert found.candidates.shape == (2, candidates, 4) and found.pose.shape == (2, 4)
    first = np.array_equal(found.pose, found.candidates[:, 0])
    assert first == (candidates == 1 or not student)
    assert np.abs(found.translation).max() <= 0.15
    assert (
        found.colours.shape == (2, 50, 3) and 0 < np.min(found.colours) < np.max(found.colours) < 1
    )


def test_scale_off_is_1_and_deep_colours_have_layers_of_their_own(scripts, configure):
    images = np.ones((1, 16, 16, 3), "f4")
    assert np.all(scripts.networks.build(configure(learn_scale=False))(images).scale == 1)
    deep, plain = (
        scripts.networks.build(configure(colours=True, deep_colours=flag)) for flag in (True, False)
    )
    assert len(deep.weights) == len(plain.weights) + 6


def test_a_models_shape_is_that_of_its_first_picture_and_its_poses_of_all(scripts):
    rows = np.arange(12.0).reshape(6, 2)  # two models with three pictures each
    features = scripts.outputs.Features(rows, rows, None).of_first(3)
    assert features.shape.tolist() == [[0, 1], [6, 7]] and features.pose is None
    pose = scripts.outputs.Pose(rows[:, None], rows, None).by_model(3)
    assert pose.candidates.shape == (2, 3, 1, 2) and pose.student[1, 2].numpy().tolist() == [10, 11]


def test_validation_compares_each_pictures_own_silhouette_at_the_last_sigma(scripts, configure):
    config = configure(image_size=8, sigma=3.0, sigma_end=0.5)
    points = np.random.default_rng(0).uniform(-0.3, 0.3, (2, 50, 3)).astype("f4")  # of two views
    extrinsics = cameras.extrinsic([[20, 110]], [[10, 30]])
    poses = np.float32(cameras.to_dpc(extrinsics[0]))
    drawn = scripts.camera.render(config, points, poses, 0.5, np.ones(2, "f4")).silhouette
    models = SimpleNamespace(
        images=np.zeros((1, 2, 8, 8, 3), np.uint8),
        masks=np.round(255 * drawn.numpy()).astype(np.uint8)[None],
        extrinsics=extrinsics,
        truths=[Truth(points[0])],
    )
    found = scripts.outputs.Prediction(points, np.ones(2, "f4"), None, None, None, None)
    scores = scripts.validation.scores(lambda images: found, config, models)
    assert scores["validation_silhouette_loss"] < 1e-3 and scores["validation_chamfer"] == 0
