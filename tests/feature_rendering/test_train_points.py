"""The training script: what a step compares, what a run leaves, resuming, what is refused."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from samplenet import InputError
from samplenet.data import cameras
from samplenet.data.views.models import open_models
from samplenet.runs import settings
from samplenet.runs.checkpoint import load_checkpoint
from samplenet.runs.training import Training

TINY = (
    "--shapes-per-class 10 --num-views 3 --no-lit --image-size 16 --num-points 24 --batch-size 4 "
    "--views-per-step 2 --epochs 2 --lr 1e-3 --deterministic"
)


@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory):
    """A folder of this module's own for the drawn pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMPLENET_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="module")
def train(scripts, call_script):
    return lambda out, *flags: call_script(scripts.train_points, TINY, *flags, "--out", out)


@pytest.fixture
def load(scripts, monkeypatch):
    monkeypatch.setattr("sys.argv", [scripts.train_points.__file__])
    return lambda *flags: settings.load(
        scripts.train_points.Config, [*TINY.split(), *" ".join(flags).split()]
    )


@pytest.mark.parametrize(
    "flags, measured",
    [
        ("--features mask", ["mask", "affinity"]),
        ("--features mask --affinity off", ["mask"]),
        ("--features rgb --affinity intended --views first", ["mask", "affinity", "rgb"]),
        ("--features parts --classes chair cup --parts 5", ["mask", "affinity", "labels"]),
        ("--features mask --views input --views-per-step 1", ["mask", "affinity"]),
        ("--features mask --supervision points", ["chamfer"]),
    ],
)
def test_a_run_learns_and_is_opened(tmp_path, scripts, train, metrics, flags, measured):
    train(tmp_path, "--epochs", 4, flags)
    lines = metrics(tmp_path)
    assert {*lines[0]} == {"loss", *measured, "lr", "validation_chamfer", "step"}
    assert lines[-1]["loss"] < lines[0]["loss"]
    weights = {"mask": 1, "affinity": 1, "rgb": 1, "labels": 10, "chamfer": 1}
    wanted = sum(weights[name] * lines[-1][name] for name in measured)
    assert lines[-1]["loss"] == pytest.approx(wanted, rel=1e-5)
    net, config = scripts.networks.load_run(str(tmp_path))
    models = open_models(
        settings.read(scripts.train_points.Config, tmp_path / "config.yaml"), "val"
    )
    found = net(models.on_black()[:, 0] / np.float32(255))
    assert found.points.shape == (len(models), 24, 3) and config.num_points == 24
    (judged,) = scripts.train_points.chamfer(net, models, 3).values()
    assert judged == pytest.approx(lines[-1]["validation_chamfer"], rel=1e-4)
    unknown = replace(models, truths=[None] * len(models))
    assert scripts.train_points.chamfer(net, unknown, 3) == {}


def test_a_stopped_run_continues_to_the_same_weights(tmp_path, train, monkeypatch):
    train(tmp_path / "unbroken")
    add, done = Training.add, []

    def stop(training, measured):
        add(training, measured)
        done.append(1)
        if len(done) == 7:  # in the second epoch of five steps
            training.run._interrupt.number = 15

    monkeypatch.setattr(Training, "add", stop)
    with pytest.raises(SystemExit):
        train(tmp_path / "run", "--resume")
    assert len(done) == 7
    train(tmp_path / "run", "--resume")
    unbroken, resumed = (
        load_checkpoint(tmp_path / name / "last.safetensors")[0] for name in ("unbroken", "run")
    )
    assert unbroken.keys() == resumed.keys()
    assert all((unbroken[name] == resumed[name]).all() for name in unbroken)


@pytest.fixture(scope="module")
def models(scripts, call_script):
    """The training models of TINY: 7 chairs of 3 views."""
    found = []
    call_script(
        SimpleNamespace(
            __file__=scripts.train_points.__file__,
            Config=scripts.train_points.Config,
            train=lambda config: found.append(open_models(config, "train")),
        ),
        TINY,
    )
    return found[0]


def test_a_step_sees_one_view_and_compares_with_others(scripts, load, models):
    data = scripts.targets.Pairs(models, load("--features parts"))
    assert len(data) == 7 * 3
    rows = np.array([0, 1, 2, 20])
    pictures, seen_by = data.with_views(5, rows)
    assert pictures.shape == (4, 1 + 2, 16, 16, 5) and seen_by.shape == (4, 2, 4, 4)
    images, views = scripts.targets.unpack(pictures)
    for i, (model, view) in enumerate([(0, 0), (0, 1), (0, 2), (6, 2)]):
        assert (np.round(255 * images[i]) == models.on_black()[model, view]).all()
        known = cameras.to_differ(models.extrinsics[model]).astype(np.float32)
        chosen = [int(np.abs(known - matrix).sum((1, 2)).argmin()) for matrix in seen_by[i]]
        assert len({*chosen}) == 2
        for j, k in enumerate(chosen):
            assert (known[k] == seen_by[i, j]).all()
            at = 2 * i + j
            assert (np.round(255 * views.images[at]) == models.on_black()[model, k]).all()
            assert (np.round(255 * views.masks[at]) == models.masks[model, k]).all()
            assert (views.labels[at].numpy() == models.labels[model, k]).all()


def test_views_are_drawn_anew_at_each_step_and_all_of_them(scripts, load, models):
    data = scripts.targets.Pairs(models, load())
    rows = np.zeros(4, int)
    draws = [data.with_views(step, rows)[1] for step in (0, 1, 0)]
    assert (draws[0] == draws[2]).all() and (draws[0] != draws[1]).any()
    seen = np.concatenate([data.with_views(step, rows)[1] for step in range(20)]).reshape(-1, 16)
    assert len(np.unique(seen, axis=0)) == 3


def test_the_first_views_and_the_inputs_own_on_request(scripts, load, models):
    known = cameras.to_differ(models.extrinsics).astype(np.float32)
    rows = np.array([2, 10])  # view 2 of model 0, view 1 of model 3
    _, found = scripts.targets.Pairs(models, load("--views first")).with_views(3, rows)
    assert (found == known[[0, 3], :2]).all()
    data = scripts.targets.Pairs(models, load("--views input --views-per-step 1"))
    pictures, found = data.with_views(3, rows)
    assert (found[:, 0] == known[[0, 3], [2, 1]]).all()
    assert (pictures[:, 0] == pictures[:, 1]).all()


def test_true_clouds_are_in_the_frame_of_the_predicted(scripts, load, models):
    data = scripts.targets.Pairs(models, load("--supervision points --features mask"))
    _, clouds = data.with_clouds(0, np.array([4]))
    truth = cameras.differ_frame(models.truths[1].points)
    assert clouds.shape == (1, 24, 3)
    assert np.abs(clouds[0][:, None] - truth).sum(-1).min(1).max() < 1e-5
    assert (data.with_clouds(1, np.array([4]))[1] != clouds).any()


@pytest.mark.parametrize(
    "flags, change, words",
    [
        ("--views-per-step 4", {}, "--views-per-step must be at most --num-views, 3, got 4"),
        ("--views input", {}, "--views input .*: give --views-per-step 1, got 2"),
        ("--supervision points", {}, "--supervision points .* give --features mask, got rgb"),
        (
            "--supervision points --features mask",
            {"truths": [None] * 7},
            "chair/chair_.* has no true cloud below gt/",
        ),
        ("--features parts", {"labels": None}, "models without labels_k.png"),
        (
            "--features parts --parts 2",
            {},
            "--parts must be at least .* 4 parts, got 2",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(scripts, load, models, flags, change, words):
    with pytest.raises(InputError, match=words):
        scripts.targets.Pairs(replace(models, **change), load(flags))


def test_the_defaults_are_the_published_settings(scripts, monkeypatch):
    monkeypatch.setattr("sys.argv", [scripts.train_points.__file__])
    for flags in ([], ["--config", str(scripts.folder / "configs/paper.yaml")]):
        config = settings.load(scripts.train_points.Config, flags)
        assert (config.batch_size, config.lr) == (1, 5e-5)
        assert (config.num_points, config.image_size, config.views_per_step) == (1024, 64, 4)
        assert (config.variance, config.radius, config.beta) == (0.4, 1, 100)
        assert (config.mask_weight, config.affinity_weight, config.colour_weight) == (1, 1, 1)
