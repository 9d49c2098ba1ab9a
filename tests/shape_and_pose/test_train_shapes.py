"""The training script: what it learns, keeps, refuses and goes on from."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("embreex", reason="embreex is not installed: no picture is drawn to learn from")
pytest.importorskip("PIL", reason="Pillow is not installed: no picture is drawn to learn from")
pytest.importorskip("scipy", reason="SciPy is not installed: no cloud is compared")

from samplenet import InputError
from samplenet.data.views.models import open_models
from samplenet.runs import settings
from samplenet.runs.checkpoint import load_checkpoint
from samplenet.runs.experiments import PRESETS
from samplenet.runs.run import Run

ROOT = Path(__file__).parents[2]
TINY = (
    "--shapes-per-class 12 --image-size 16 --num-views 3 --views-per-step 2 --batch-size 4 "
    "--num-points 64 --conv-width 4 --fc-width 32 --code-width 32 --grid-size 8 --kernel-size 5 "
    "--lr 2e-3 --epochs 2"
)
ODD = (  # what the defaults leave out, at once
    "--colours --deep-colours --colour-weight 0.1 --blur-colours --clip-colours after "
    "--divide-colours --no-colours-move-points --translation --student-loss points "
    "--ray-weight 0.1 --blur-targets early --keep-schedule exponential --grid-size-z 10"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def train(scripts, call_script, data, monkeypatch):
    """Train in this process; the pictures are drawn once."""
    monkeypatch.setenv("SAMPLENET_DATA", str(data))
    return lambda out, *flags: call_script(
        scripts.train_shapes, TINY, "--out", out, *map(str, flags)
    )


@pytest.mark.parametrize(
    "supervision, error",
    [("camera", "silhouette"), ("none", "silhouette"), ("points", "chamfer")],
)
def test_it_learns_and_leaves_what_explains_it(
    tmp_path, scripts, train, metrics, supervision, error
):
    out = tmp_path / "run"
    train(out, "--supervision", supervision, "--epochs", 12, "--checkpoint-epochs", 4)
    lines = metrics(out)
    losses = [line[f"train_{error}_loss"] for line in lines]
    assert np.mean(losses[-3:]) < 0.9 * losses[0]
    judged = [line for line in lines if "validation_silhouette_loss" in line]
    assert [line["epoch"] if "epoch" in line else line["step"] for line in judged] == [8, 16, 24]
    assert all(("validation_chamfer" in line) == (supervision != "none") for line in judged)
    kept = [np.load(path) for path in sorted((out / "snapshots").iterdir())]
    assert [path.stem for path in sorted((out / "snapshots").iterdir())] == [
        *("00001", "00002", "00005", "00010", "00012")
    ]
    net, config = scripts.networks.load_run(out)
    held_out = open_models(config, "val")
    found = net(np.float32(held_out.images[:2, 0] / 255))
    np.testing.assert_allclose(found.points, kept[-1]["points"][: len(held_out)], atol=1e-6)
    assert list(kept[-1]["ids"]) == held_out.ids[:2] and (found.pose is None) == (
        supervision != "none"
    )


def test_a_run_stopped_over_and_over_ends_as_an_unbroken_one(tmp_path, train, metrics, monkeypatch):
    flags = ["--supervision", "none", "--deterministic"]
    train(tmp_path / "whole", *flags)
    asked, stops = [], 0

    def stopping(run):  # in the middle of an epoch of two steps, and between two
        asked.append(1)
        return len(asked) in (2, 4)

    monkeypatch.setattr(Run, "stopping", property(stopping))
    for _ in range(3):
        try:
            train(tmp_path / "run", *flags, "--resume")
        except SystemExit as error:
            assert error.code == 128
            stops += 1
    assert stops == 2 and metrics(tmp_path / "run") == metrics(tmp_path / "whole")
    whole, _ = load_checkpoint(tmp_path / "whole" / "last.safetensors")
    stopped, _ = load_checkpoint(tmp_path / "run" / "last.safetensors")
    assert all(np.array_equal(whole[name], array) for name, array in stopped.items())


def test_all_options_at_once(tmp_path, train, metrics):
    train(tmp_path / "run", "--supervision", "none", *ODD.split())
    assert len(metrics(tmp_path / "run")) == 2


@pytest.mark.parametrize("student", [True, False])
def test_only_a_student_has_a_students_loss(tmp_path, train, metrics, student):
    train(tmp_path, "--supervision", "none", "--student" if student else "--no-student")
    assert all((line["train_student_loss"] > 0) == student for line in metrics(tmp_path))


def test_a_batch_has_different_pictures_of_a_model_by_chance(scripts, tmp_path, monkeypatch, data):
    monkeypatch.setenv("SAMPLENET_DATA", str(data))
    config = settings.load(scripts.options.Config, TINY.split())
    models = open_models(config, "train")
    source = scripts.training_data.TrainingData(config, models)
    rows = np.array([2, 0])
    seen = set()
    for step in range(8):
        pictures, poses = source.batch(step, rows)
        assert pictures.shape == (2, 2, 16, 16, 4) and poses.shape == (2, 2, 4)
        for row, (pair, pose) in enumerate(zip(pictures, poses, strict=True)):
            model = models.images[rows[row]]
            views = [np.flatnonzero((model == p[..., :3]).all((1, 2, 3)))[0] for p in pair]
            assert len(set(views)) == 2
            np.testing.assert_array_equal(pose, source.poses[rows[row], views])
            np.testing.assert_array_equal(pair[..., 3], models.masks[rows[row], views])
            seen.add((row, *views))
    assert len(seen) > 6
    again, _ = source.batch(7, rows)
    np.testing.assert_array_equal(again, pictures)


def test_points_are_chosen_once_and_otherwise_in_every_copy_and_step(scripts):
    choose = scripts.losses.choose_points
    numbers = choose(3, 5, (2, 3), 40, 10).numpy()
    assert numbers.shape == (2, 3, 10) and numbers.min() >= 0 and numbers.max() < 40
    assert all(len(set(copy)) == 10 for copy in numbers.reshape(-1, 10))
    assert len({frozenset(copy) for copy in numbers.reshape(-1, 10)}) == 6
    assert np.array_equal(numbers, choose(3, 5, (2, 3), 40, 10))
    assert not np.array_equal(numbers, choose(3, 6, (2, 3), 40, 10))
    assert not np.array_equal(numbers, choose(4, 5, (2, 3), 40, 10))


@pytest.mark.parametrize(
    "flags, words",
    [
        ("--image-size 24", "--image-size must be a power of 2 of at least 8, got 24"),
        ("--grid-size 6", "--grid-size must divide --image-size 16.*got 6"),
        ("--grid-size 32", "--grid-size must divide --image-size 16.*got 32"),
        ("--kernel-size 4", "--kernel-size must be odd, got 4"),
        ("--views-per-step 4", "--views-per-step must be at most --num-views 3, got 4"),
        ("--keep-from 0.5 --keep-until 0.4", "--keep-until must be above --keep-from 0.5, got 0.4"),
        ("--supervision points --colours", "not with --supervision points"),
        ("--supervision points --ray-weight 1", "--ray-weight needs pictures: not with"),
        ("--translation", "--translation is of unknown cameras: give --supervision none"),
        ("--colours", "--colours and a --colour-weight above 0 need each other"),
        ("--colour-weight 1", "--colours and a --colour-weight above 0 need each other"),
        ("--max-projection --colours", "--max-projection draws no colours: leave out --colours"),
        ("--kernel-size 2001", "--kernel-size must be at most 1024, got 2001"),
        ("--grid-size-z 0", "--grid-size-z must be at least 1"),
        ("--batch-size 9", "--batch-size 9 is larger than the training set of 8"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, train, flags, words):
    with pytest.raises(InputError, match=words):
        train(tmp_path / "run", *flags.split())
    assert not (tmp_path / "run").exists()


def test_points_need_true_clouds(tmp_path, scripts, train, data):
    source = next(path for path in data.iterdir() if "16px" in path.name)
    root = tmp_path / "data"
    shutil.copytree(source, root)
    for path in (root / "gt" / "chair").iterdir():
        path.unlink()
    train(tmp_path / "run", "--data-root", root)
    with pytest.raises(InputError, match=r"needs the true cloud.* 8 of 8 have none, as chair/"):
        train(tmp_path / "points", "--data-root", root, "--supervision", "points")


def test_the_defaults_are_the_published_settings(scripts, monkeypatch):
    monkeypatch.setattr("sys.argv", [scripts.train_shapes.__file__])
    for preset in PRESETS:
        path = scripts.folder / "configs" / f"{preset}.yaml"
        if path.is_file():
            config = settings.load(scripts.train_shapes.Config, ["--config", str(path)])
            config.check()
    assert (config.num_points, config.grid_size, config.kernel_size) == (8000, 64, 21)
    assert (config.sigma, config.sigma_end, config.keep) == (3.0, 0.2, 0.07)
    assert (config.lr, config.weight_decay, config.batch_size) == (1e-4, 1e-3, 8)
    assert (config.candidates, config.student_weight, config.views_per_step) == (4, 20.0, 4)
    assert config.epochs * (4744 // config.batch_size) == pytest.approx(600_000, rel=1e-3)


def test_every_released_key_has_a_flag_or_a_reason(scripts):
    page = (ROOT / "docs" / "released-dpc.md").read_text()
    rows = [row.split("|")[1:3] for row in page.splitlines() if row.startswith("| `")]
    keys = [key for row in rows for key in re.findall(r"`(\w+)`", row[0])]
    assert len(keys) == len(set(keys)) == 124
    fields = {*vars(scripts.options.Config()), *vars(scripts.evaluate.Config()), "config"}
    for _, meaning in rows:
        flags = re.findall(r"`--([\w-]+)", meaning)
        assert flags or meaning.startswith((" none: ", " it is "))
        for flag in flags:
            assert {name := flag.replace("-", "_"), name.removeprefix("no_")} & fields, flag


@pytest.mark.parametrize("clip", [None, 0.5])
def test_a_step_follows_the_gradient_of_the_best_candidates_alone(
    tmp_path, scripts, train, metrics, monkeypatch, clip
):
    """One step of gradient descent, against the loss written with all candidates and no shortcut.

    The paper's: of each picture's candidates only the one with the least error counts, and the
    student learns from it.
    """
    import keras
    import tensorflow as tf

    from samplenet.ops import tf as ops

    batches, batch = [], scripts.training_data.TrainingData.batch
    monkeypatch.setattr(
        scripts.training_data.TrainingData,
        "batch",
        lambda *args: batches.append(batch(*args)) or batches[-1],
    )
    sgd = keras.optimizers.SGD
    monkeypatch.setattr(keras.optimizers, "Adam", lambda lr, epsilon, **clip: sgd(lr, **clip))
    flags = ["--clip-norm", clip] if clip else []
    flags += ["--supervision", "none", "--batch-size", 8, "--epochs", 1, "--keep", 0.5]
    train(tmp_path, *flags)
    (line,) = metrics(tmp_path)
    after, config = scripts.networks.load_run(tmp_path)
    keras.utils.set_random_seed(config.seed)
    net = scripts.networks.build(config)
    pictures = batches[0][0] / np.float32(255)
    cells, n, chosen = config.grid_size, len(pictures) * 2, config.num_points // 2
    masks = pictures[..., 3].reshape(n, cells, 2, cells, 2).mean((2, 4))
    copies = (len(pictures), 2, 4, chosen)
    indices = scripts.losses.choose_points(config.seed, 0, copies[:3], config.num_points, chosen)
    with tf.GradientTape() as tape:
        found = net(pictures[..., :3].reshape(n, 16, 16, 3))
        # the cloud of a model is that of its first picture
        points = tf.gather(
            tf.repeat(found.points[::2], 8, axis=0), tf.reshape(indices, (-1, chosen)), batch_dims=1
        )
        w, x, y, z = tf.unstack(
            tf.math.l2_normalize(tf.reshape(found.candidates, (-1, 4)), -1), axis=-1
        )
        matrix = tf.reshape(
            tf.stack(
                [
                    *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
                    *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
                    *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
                ],
                -1,
            ),
            (-1, 3, 3),
        )
        turned = tf.einsum("bij,bnj->bni", matrix, points)
        factor = config.focal_length / (config.camera_distance + turned[..., :1])
        seen = tf.concat([turned[..., :1], turned[..., 1:] * factor], -1)
        scale = tf.repeat(found.scale[::2], 8)
        drawn = ops.render_voxels(
            seen, config.sigma, scale, size=cells, kernel_size=config.kernel_size
        ).silhouette
        errors = tf.reduce_sum(
            tf.square(tf.reshape(drawn, (n, 4, cells, cells)) - masks[:, None]), (2, 3)
        )
        best = tf.stop_gradient(tf.one_hot(tf.argmin(errors, 1), 4))
        error = tf.reduce_mean(tf.reduce_sum(best * errors, 1)) / 2
        teacher = tf.stop_gradient(tf.reduce_sum(best[..., None] * found.candidates, 1))
        cosine = tf.reduce_sum(
            tf.math.l2_normalize(found.pose, -1) * tf.math.l2_normalize(teacher, -1), -1
        )
        student = tf.reduce_mean(1 - cosine**2)
        loss = error + config.student_weight * student
        weights = [v for v in net.trainable_variables if v.name == "kernel"]
        loss += config.weight_decay * sum(tf.reduce_sum(v**2) for v in weights) / 2
    assert len(np.unique(tf.argmin(errors, 1))) > 1
    np.testing.assert_allclose(line["train_silhouette_loss"], error, rtol=1e-5)
    np.testing.assert_allclose(line["train_student_loss"], student, rtol=1e-5)
    np.testing.assert_allclose(line["train_loss"], loss, rtol=1e-5)
    gradients = tape.gradient(loss, net.trainable_variables)
    if clip:
        norm = tf.linalg.global_norm(gradients)
        assert norm > 2 * clip
        gradients = [gradient * clip / norm for gradient in gradients]
    after.trainable = True
    for before, now, gradient in zip(
        net.trainable_variables, after.trainable_variables, gradients, strict=True
    ):
        moved = (before - now) / config.lr
        tolerance = 1e-3 * np.abs(gradient).max() + 3e-5
        np.testing.assert_allclose(moved, gradient, atol=tolerance, err_msg=before.path)
