"""The evaluation: its numbers against plain NumPy, its baselines, what it writes and refuses."""

import json
import shutil

import numpy as np
import pytest

pytest.importorskip("embreex", reason="embreex is not installed: no picture is drawn to evaluate")
pytest.importorskip("PIL", reason="Pillow is not installed: no picture is drawn to evaluate")
pytest.importorskip("scipy", reason="SciPy is not installed: no cloud is compared")

from samplenet import InputError, scans
from samplenet.console import cli
from samplenet.data import cameras, shapenet
from samplenet.data.views.meshes import Truth
from samplenet.data.views.models import Models
from samplenet.ops import reference
from samplenet.runs import experiments, settings
from samplenet.runs.checkpoint import save_checkpoint
from samplenet.tf.state import State

N, VIEWS, SIZE = 30, 2, 16
DATA = {"shapes_per_class": 10, "image_size": SIZE, "num_views": VIEWS, "views_per_step": 2}
SMALL = {"num_points": N, "conv_width": 2, "fc_width": 16, "code_width": 16}
SMALL |= {"grid_size": 8, "kernel_size": 3, "sigma_end": 0.5, "epochs": 3}


@pytest.fixture(scope="module")
def train(scripts, tmp_path_factory):
    """Return a function that writes the run folder of an untrained network."""
    folder = tmp_path_factory.mktemp("runs")

    def write(name, done=True, **changes):
        config = scripts.options.Config(**DATA | SMALL | {"points_init": 0.3} | changes)
        (folder / name).mkdir()
        (folder / name / "config.yaml").write_text(settings.dump(config))
        net = scripts.networks.build(config)
        meta = {"epoch": 3 if done else 1, "step": 1, "done": done}
        save_checkpoint(folder / name / "last.safetensors", State(net).arrays(), meta)
        return folder / name

    return write


@pytest.fixture(scope="module")
def runs(train):
    """Run folders of the three kinds, one of them with snapshots of its training."""
    found = {kind: train(kind, supervision=kind) for kind in ("points", "camera", "none")}
    (found["none"] / "snapshots").mkdir()
    for epoch in (1, 20):
        points, ids = np.full((2, N, 3), epoch / 100, np.float32), ["chair/a", "chair/b"]
        np.savez(found["none"] / "snapshots" / f"{epoch:05d}.npz", points=points, ids=ids)
    for kind, more in (("none", {}), ("camera", {"validation_chamfer": 0.1})):
        lines = [{"step": 5 * i, "validation_silhouette_loss": 9 - i, **more} for i in range(3)]
        lines = [json.dumps({**line, "time": {"unix": 1.0}}) for line in [*lines, {"step": 20}]]
        (found[kind] / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    return found


@pytest.fixture(scope="module")
def evaluate(scripts, call_script, tmp_path_factory):
    """Evaluate in this process; the pictures are drawn once."""
    data = tmp_path_factory.mktemp("data")

    def run(*flags):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SAMPLENET_DATA", str(data))
            call_script(scripts.evaluate, *flags, action="evaluate")

    return run


@pytest.fixture(scope="module")
def evaluated(evaluate, runs, tmp_path_factory):
    """The folder of an evaluation of all three, and that of their clouds."""
    out, clouds = tmp_path_factory.mktemp("out"), tmp_path_factory.mktemp("clouds")
    evaluate("--networks", *runs.values(), "--out", out, "--save-clouds", clouds)
    return out, clouds


def values(results, name, class_=None):
    rows = (r for r in results["rows"] if (r["network"], r.get("class")) == (name, class_))
    return {row["metric"]: row["value"] for row in rows}


def test_every_method_is_scored(evaluated, read_results):
    results = read_results(evaluated[0])
    names = dict.fromkeys(row["network"] for row in results["rows"])
    assert list(names) == [
        "mean cloud", "nearest silhouette", "3D supervised", "camera known", "unsupervised"
    ]  # fmt: skip
    with_pose = {"nearest silhouette", "unsupervised"}
    for name in names:
        found = values(results, name)
        assert found["chamfer"] == pytest.approx(found["precision"] + found["coverage"], rel=1e-5)
        assert ("pose_accuracy" in found) == (name in with_pose)
    assert {row["n"] for row in results["rows"]} == {2} and "protocol" not in results["rows"][0]
    assert results["data"] == "chair of the built-in shapes"
    (frame,) = results["frames"]
    assert frame["method"] == {"network": "unsupervised"} and len(frame["rotation"]) == 4


def test_the_report_is_beside_the_results(evaluated):
    out, _ = evaluated
    figures = {"clouds", "silhouettes", "poses", "pose_errors", "chamfer", "forming", "learning"}
    assert {path.stem for path in out.glob("*.png")} == figures
    text = (out / "table.md").read_text()
    assert "| class | mean cloud | nearest silhouette | 3D supervised |" in text
    assert "matched" not in text and f"2 test models of {N} points." in text


def test_learning_curves_are_of_the_logs(evaluated, scripts):
    with np.load(evaluated[0] / "gallery.npz") as arrays:
        figure = scripts.figures.learning(None, arrays)
        forming = scripts.figures.forming(None, arrays)
    loss, chamfer = figure.variants
    assert [line.name for line in loss.lines] == ["camera known, seed 0", "unsupervised, seed 0"]
    assert loss.lines[1].x == [0, 5, 10] and loss.lines[1].y == [9, 8, 7]
    assert [line.name for line in chamfer.lines] == ["camera known, seed 0"]
    assert chamfer.lines[0].y == [10, 10, 10]
    assert [cloud.name for cloud in forming.clouds] == ["after epoch 1", "after epoch 20"]
    assert [view.name for view in forming.clouds[0].views] == ["chair/a", "chair/b"]
    assert forming.title == "How a shape forms, unsupervised"


def test_the_saved_clouds_are_what_the_numbers_are_of(evaluated, read_results):
    out, folder = evaluated
    names = {"points": "3D supervised", "camera": "camera known", "none": "unsupervised"}
    assert {path.name for path in folder.iterdir()} == {*names}
    with np.load(out / "gallery.npz") as gallery:
        for run, name in names.items():
            for model, points in zip(gallery["ids"], gallery[f"points_{name}"], strict=True):
                path = folder / run / "03001627" / f"{model.split('/')[1]}.ply"
                rows = scans.ply.read(path).rows
                saved = np.stack([rows[axis] for axis in "xyz"], 1)
                np.testing.assert_array_equal(saved, points)


def test_saved_clouds_are_sampled_and_a_data_set_for_the_autoencoder(tmp_path):
    from samplenet.runs.networks import save_clouds

    points = np.random.default_rng(0).normal(size=(10, N, 3)).astype(np.float32)
    save_clouds(tmp_path, [f"chair/chair_{i:04d}" for i in range(10)], points)
    for split in shapenet.SPLITS[::2]:  # of ten, none is for validation
        clouds = shapenet.load(tmp_path, split, N, ["chair"])
        which = [int(name[-4:]) for name in clouds.ids]
        np.testing.assert_array_equal(clouds.points, points[which])
    file, few = tmp_path / "03001627" / "chair_0003.ply", tmp_path / "few.ply"
    assert cli.main(["sample", str(file), "-m", "5", "-o", str(few)]) == 0
    kept = scans.ply.read(few).rows
    assert {*kept["x"]} <= {*points[3, :, 0]} and len(kept) == 5


def small_models(truths, angles=((0, 10), (90, 20))):
    """Models with these true clouds, seen from V angles each; pictures are empty."""
    n, extrinsics = len(truths), cameras.extrinsic(*np.array(angles).T)
    views = len(extrinsics)
    masks = np.zeros((n, views, SIZE, SIZE), np.uint8)
    truths = [None if points is None else Truth(points) for points in truths]
    return Models(
        images=np.repeat(masks[..., None], 3, -1),
        masks=masks,
        labels=None,
        extrinsics=np.tile(extrinsics, (n, 1, 1, 1)).astype(np.float32),
        truths=truths,
        classes=np.arange(n) % 2,
        names=("chair", "02958343"),
        ids=[f"chair/{i}" for i in range(n)],
    )


def test_metrics_are_means_over_pictures_then_models(scripts):
    rng = np.random.default_rng(0)
    truths = [rng.normal(size=(m, 3)).astype(np.float32) for m in (50, 60, 40)]
    test = small_models([truths[0], None, *truths[1:]])
    points = rng.normal(size=(4, 2, N, 3)).astype(np.float32)
    poses = cameras.to_dpc(test.extrinsics)
    poses[0, 1] = cameras.to_dpc(cameras.extrinsic(130, 20))  # 40 degrees about an upright axis
    predicted = scripts.predictions.Predicted(points, -2 * poses)
    scores = scripts.evaluate.score(predicted, test)
    expected = []
    for i in (0, 2, 3):
        near = reference.chamfer(points[i], np.stack([test.truths[i].points] * 2))
        expected.append([np.sqrt(near.a2b).mean(), np.sqrt(near.b2a).mean()])
    known = [0, 2, 3]
    found = np.stack([scores["precision"], scores["coverage"]], 1)
    np.testing.assert_allclose(found[known], expected, rtol=1e-5)
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(scores["angle"][0], [0, 40], atol=1e-4)
    entry = scripts.evaluate.Entry({"network": "x"}, 0, "run")
    experiment = experiments.load(scripts.folder)
    untrained = scripts.evaluate.rows_of(entry._replace(folder=""), scores, test, experiment)
    assert not [row for row in untrained if row["metric"] == "pose_success"]
    rows = {
        (row["metric"], row.get("class")): (row["value"], row["n"])
        for row in scripts.evaluate.rows_of(entry, scores, test, experiment)
    }
    chamfer = np.sum(expected, 1)
    assert rows["chamfer", None] == (pytest.approx(chamfer.mean(), rel=1e-5), 3)
    assert rows["chamfer_std", None][0] == pytest.approx(chamfer.std(), rel=1e-4)
    assert rows["chamfer", "car"] == (pytest.approx(chamfer[2], rel=1e-5), 1)
    assert rows["pose_accuracy", None][0] == pytest.approx(5 / 6, rel=1e-5)
    assert rows["pose_success", None] == (1, 3)
    assert rows["pose_accuracy", "car"] == (1, 1) and rows["pose_median_deg", None][0] < 1e-3


def test_the_mean_cloud_is_the_same_for_all(scripts):
    clouds = [np.full((20, 3), i, np.float32) for i in range(3)]
    models = small_models([clouds[0], None, clouds[2]])
    found = scripts.predictions.mean_cloud(models, models, 400, seed=1)
    assert found.points.shape == (3, 1, 400, 3) and found.poses is None
    assert set(np.unique(found.points)) == {0, 2}


def test_the_nearest_silhouette_predicts_its_model_and_camera(scripts):
    rng = np.random.default_rng(0)
    train = small_models([rng.normal(size=(60, 3)).astype(np.float32) for _ in range(3)])
    train.masks[:] = 255 * (rng.random(train.masks.shape) < 0.5)
    test = small_models([None, None], ((45, 0), (-45, 0)))
    test.masks[0] = train.masks[2, ::-1]
    test.masks[1] = train.masks[1]
    test.masks[:, :, 0] = 0  # nearest, not equal
    found = scripts.predictions.nearest_silhouette(train, test, 40, seed=0)
    assert found.points.shape == (2, 2, 40, 3)
    for i, model in enumerate((2, 1)):
        for points in found.points[i]:
            near = reference.chamfer(points[None], train.truths[model].points[None])
            assert near.a2b.max() == 0 and len(np.unique(points, axis=0)) == 40
    angles = cameras.to_dpc(train.extrinsics)
    np.testing.assert_allclose(found.poses, [angles[2, ::-1], angles[1]], atol=1e-6)
    few = scripts.predictions.nearest_silhouette(train, test, 90, seed=0)
    assert few.points.shape == (2, 2, 90, 3)  # some points twice


def test_masks_are_compared_by_intersection_over_union(scripts):
    masks = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 1]], bool)
    # the first query has as many pixels in common with the first mask as with the last
    queries = np.array([[0, 0, 0, 1], [1, 1, 1, 0], [0, 0, 0, 0]], bool)
    found = scripts.predictions.nearest_masks(masks, queries)
    assert found.tolist() == [2, 0, 0]
    assert scripts.predictions.nearest_masks(masks[1:], queries).tolist() == [1, 0, 0]
    wide = np.zeros((1, 1, 128, 128), np.uint8)
    wide[..., :64, :] = 255
    assert scripts.predictions._silhouettes(wide).sum() == 64 * 64 / 2


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"image_size": 8}, "trained with --image-size 8, .* with 16: score them apart"),
        ({"num_points": 20}, "trained with --num-points 20, .* with 30: score them apart"),
        ({}, "are both network camera known, seed 0; score them apart"),
        ({"done": False, "seed": 1}, "stands at epoch 1 of 3; continue it with --resume"),
        ({"classes": ["car"], "seed": 2}, r"trained with --classes \['car'\]"),
    ],
)
def test_networks_that_cannot_stand_in_one_table(evaluate, train, runs, tmp_path, changes, words):
    other = train("-".join(map(str, ["other", *changes])), supervision="camera", **changes)
    with pytest.raises(InputError, match=words):
        evaluate("--networks", runs["camera"], other, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bad_files_are_named(evaluate, runs, tmp_path, scripts, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(runs["none"], run)
    (run / "snapshots" / "00020.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InputError, match=r"00020\.npz is damaged .*: remove it"):
        evaluate("--networks", run, "--out", tmp_path / "out")
    config = json.loads(json.dumps((run / "config.yaml").read_text()))
    (run / "config.yaml").write_text(config.replace("supervision: none", "supervision: magic"))
    with pytest.raises(InputError, match="supervision is 'magic', not one of points, camera, none"):
        evaluate("--networks", run, "--out", tmp_path / "out")


def test_without_true_clouds_there_is_nothing_to_compare_with(
    evaluate, runs, scripts, tmp_path, monkeypatch
):
    models = small_models([None, None])
    monkeypatch.setattr(scripts.evaluate, "open_models", lambda data, split: models)
    with pytest.raises(InputError, match=r"no model of the val split has a true cloud .*chair/0\."):
        evaluate("--networks", runs["camera"], "--split", "val", "--out", tmp_path)
