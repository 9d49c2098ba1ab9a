"""The evaluation: its numbers by another way, what it compares with, what it writes and refuses."""

import shutil

import numpy as np
import pytest

pytest.importorskip("embreex", reason="embreex is not installed: no picture is drawn to evaluate")
pytest.importorskip("PIL", reason="Pillow is not installed: no picture is drawn to evaluate")
pytest.importorskip("scipy", reason="SciPy is not installed: no cloud is compared")

from samplenet import InputError
from samplenet.data import cameras, shapenet
from samplenet.data.views import truths
from samplenet.data.views.meshes import Truth
from samplenet.data.views.models import ViewsConfig, open_models
from samplenet.ops import reference
from samplenet.report.rows import select
from samplenet.runs import experiments, settings
from samplenet.runs.checkpoint import save_checkpoint
from samplenet.runs.networks import Entry
from samplenet.tf.state import State

N, VIEWS, SIZE = 24, 3, 16
DATA = dict(shapes_per_class=10, num_views=VIEWS, image_size=SIZE, lit=False, num_points=N)
KINDS = {
    "mask": dict(features="mask"),
    "rgb": dict(features="rgb"),
    "parts": dict(features="parts"),
    "points": dict(features="mask", supervision="points"),
}


@pytest.fixture(scope="module")
def make_run(scripts, tmp_path_factory):
    """Return a function that writes the run folder of an untrained network."""
    root = tmp_path_factory.mktemp("runs")

    def write(name, **changes):
        config = scripts.train_points.Config(**{**DATA, **changes})
        (root / name).mkdir()
        (root / name / "config.yaml").write_text(settings.dump(config))
        arrays = State(scripts.networks.build(config)).arrays()
        save_checkpoint(
            root / name / "last.safetensors", arrays, {"epoch": 1, "step": 1, "done": True}
        )
        return root / name

    return write


@pytest.fixture(scope="module")
def runs(make_run):
    return {name: make_run(name, **changes) for name, changes in KINDS.items()}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The folder of the built-in pictures, which are drawn once."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def evaluate(scripts, call_script, data):
    """Return a function that evaluates in this process, without drawing figures."""

    def call(*flags):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SAMPLENET_DATA", str(data))
            patch.setattr("samplenet.report.png.draw", lambda figure: bytes(200))
            call_script(scripts.evaluate, *flags, action="evaluate")

    return call


@pytest.fixture(scope="module")
def evaluated(evaluate, runs, tmp_path_factory):
    """Folders of an evaluation of all networks, and of their clouds."""
    out = tmp_path_factory.mktemp("evaluated")
    named = [runs[name] for name in ("points", "parts", "rgb", "mask")]
    evaluate("--networks", *named, "--out", out / "out", "--save-clouds", out / "clouds")
    return out / "out", out / "clouds"


@pytest.fixture(scope="module")
def objects(data):
    """The test split, as the evaluation opens it."""
    known = {name: value for name, value in DATA.items() if name != "num_points"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMPLENET_DATA", str(data))
        return open_models(ViewsConfig(**known), "test")


def values(rows, **match):
    return {row["metric"]: row["value"] for row in select(rows, **match)}


def test_rows_are_of_all_networks_and_of_what_they_are_compared_with(
    scripts, evaluated, read_results
):
    results = read_results(evaluated[0])
    rows = results["rows"]
    columns = [*dict.fromkeys(row["network"] for row in rows)]
    compared = ["mean cloud", "mean colour", "majority label", "true points"]
    assert columns == [
        *("mean cloud", "CAPNet", "DIFFER, colours", "mean colour"),
        *("DIFFER, parts", "majority label", "3D supervised", "true points"),
    ]
    assert results["data"] == "chair of the built-in shapes" and results["points"] == N
    assert {row["n"] for row in rows} == {2} and "protocol" not in rows[0]
    assert {run["network"] for run in results["runs"]} == {*columns} - {*compared}
    clouds = {"chamfer", "forward", "backward", "chamfer_squared", "emd", "mask_iou"}
    clouds |= {"chamfer_std", "emd_std", "mask_iou_std"}
    colours = {"colour_error", "colour_error_std", "psnr", "psnr_std"}
    parts = {"part_iou", "part_iou_std", "label_accuracy", "label_accuracy_std"}
    assert values(rows, network="CAPNet").keys() == clouds
    assert values(rows, network="DIFFER, colours").keys() == clouds | colours
    assert values(rows, network="mean colour").keys() == colours
    assert values(rows, network="DIFFER, parts").keys() == clouds | parts
    assert values(rows, network="majority label").keys() == parts
    assert values(rows, network="true points").keys() == clouds | colours | parts
    assert clouds | colours | parts == {*experiments.load(scripts.folder).metrics}


def test_numbers_are_those_of_another_way(scripts, evaluated, read_results, runs, objects):
    """In NumPy, from the definition, without the scripts' frames and cameras."""
    net, settings_ = scripts.networks.load_run(runs["mask"])
    chamfer, iou = [], []
    for i in range(len(objects)):
        down, right, back = np.moveaxis(net(objects.on_black()[i] / np.float32(255)).points, -1, 0)
        clouds = np.stack([back, -down, -right], -1)  # (V, N, 3), x, y, z
        true = scripts.scores.normalised(objects.truths[i].points[:1024])
        for k, cloud in enumerate(clouds):
            near = reference.chamfer(true[None], scripts.scores.normalised(cloud)[None])
            chamfer.append(np.sqrt(near.a2b).mean() + np.sqrt(near.b2a).mean())
            for v in {0, 1, 2} - {k}:
                K = cameras.intrinsics(SIZE)
                pixels, depth = cameras.project(cloud, objects.extrinsics[i, v], K)
                seen = np.stack([pixels[:, 1], pixels[:, 0], depth], 1)
                mask = reference.project_mask(seen[None], SIZE, SIZE, settings_.variance)[0] > 0.5
                real = objects.masks[i, v] > 127
                iou.append((mask & real).sum() / (mask | real).sum())
    found = values(read_results(evaluated[0])["rows"], network="CAPNet")
    assert found["chamfer"] == pytest.approx(np.mean(chamfer), rel=1e-4)
    assert found["mask_iou"] == pytest.approx(np.mean(iou), rel=1e-4)


def test_the_truth_itself_is_right_in_every_frame(scripts, objects, runs):
    settings_ = scripts.networks.load_run(runs["mask"])[1]
    settings_.variance, settings_.radius, (truth, *_) = 0.02, 0.5, objects.truths
    points = cameras.differ_frame(truth.points)[None, None].repeat(VIEWS, 1)  # (1, V, M, 3)
    colours, scores = (
        np.broadcast_to(value, (1, VIEWS, *value.shape))
        for value in (truth.colors, np.eye(4)[truth.labels - 1])
    )
    predicted = scripts.predictions.Predicted(points, colours, scores)
    drawn = scripts.predictions.draw(predicted, 0, objects.extrinsics[0], settings_)
    method = scripts.evaluate.Method(Entry({"network": "truth"}, 0), predicted, settings_)
    how = {"parts": 4, "scale_outlier": False, "emd": False}
    images = objects.on_black()[0]
    found = scripts.evaluate.score(method, drawn, 0, truth, objects, images, **how)
    assert found["chamfer"] < 1e-6 and found["colour_error"] < 1e-9 and found["part_iou"] == 1
    # thin legs cover no pixel by half
    assert found["mask_iou"] > 0.6 and found["label_accuracy"] > 0.9 and found["psnr"] > 13
    turned = predicted._replace(points=points[..., [1, 0, 2]])
    drawn = scripts.predictions.draw(turned, 0, objects.extrinsics[0], settings_)
    method = method._replace(predicted=turned)
    wrong = scripts.evaluate.score(method, drawn, 0, truth, objects, images, **how)
    assert wrong["chamfer"] > 0.1 and wrong["part_iou"] < 0.9
    assert wrong["mask_iou"] < found["mask_iou"] - 0.2 and wrong["psnr"] < found["psnr"] - 1


def test_what_is_compared_with_knows_the_class_and_not_the_object(scripts, objects):
    mean = scripts.predictions.averages(objects, 50, 0)[0]
    every = np.concatenate([truth.points for truth in objects.truths])
    assert mean.cloud.shape == (50, 3) and (mean.cloud[:, None] == every).all(-1).any(1).all()
    points = np.zeros((2, VIEWS, N, 3))
    told = scripts.predictions.Predicted(points, points)
    colours = told.unseen([mean], objects.classes).colours
    wanted = np.mean([truth.colors for truth in objects.truths], (0, 1), float)
    np.testing.assert_allclose(colours, np.broadcast_to(wanted, points.shape), rtol=1e-5)
    told = scripts.predictions.Predicted(points, None, np.zeros((2, VIEWS, N, 4)))
    labels = told.unseen([mean], objects.classes).labels
    counts = np.bincount(np.concatenate([truth.labels for truth in objects.truths]))
    assert (labels == counts.argmax() - 1).all()
    assert told.unseen([mean._replace(scores=None)], objects.classes) is None


def test_true_points_keep_parts_that_no_network_has(scripts, objects):
    other = scripts.predictions.other_points(objects.truths, 5, 20, parts=1)
    wanted = [truth.labels[5:25] - 1 for truth in objects.truths]
    assert np.max(wanted) > 1 and (other.labels[:, 0] == wanted).all()


def test_the_gallery_has_what_the_figures_show(scripts, evaluated):
    out, _ = evaluated
    with np.load(out / "gallery.npz") as file:
        gallery = dict(file)
    scene, pictures = scripts.figures.clouds(None, gallery), scripts.figures.views(None, gallery)
    assert [cloud.name for cloud in scene.clouds] == pictures.rows
    assert [view.name for view in scene.clouds[0].views] == [
        *("mean cloud", "CAPNet", "DIFFER, colours", "DIFFER, parts", "3D supervised")
    ]
    colours = {view.name: [layer.color for layer in view.layers] for view in scene.clouds[0].views}
    assert [len(color) for color in colours["DIFFER, colours"]] == [1024, N]
    assert {*colours["DIFFER, parts"][1]} <= {*scripts.figures.PARTS[1:]}
    assert pictures.columns == [
        *("input", "true masks", "mean cloud", "CAPNet", "3D supervised"),
        *("true colours", "DIFFER, colours", "true points"),
        *("true labels", "DIFFER, parts", "true points"),
    ]
    assert len(pictures.placed()) == 2 * len(pictures.columns)
    for maker in (scripts.figures.clouds, scripts.figures.views):
        assert maker(None, {}) is None
    for name in ("clouds.png", "clouds.html", "views.png"):
        assert (out / name).stat().st_size > 100


def test_saved_clouds_are_read_as_of_shapenet(scripts, evaluated, runs, objects):
    _, folder = evaluated
    assert sorted(path.name for path in folder.iterdir()) == sorted(runs)
    files = sorted(path.name for path in (folder / "rgb" / "03001627").iterdir())
    assert files == sorted(f"{name.rpartition('/')[2]}.ply" for name in objects.ids)
    found = shapenet.ply.read_folder(folder / "rgb" / "03001627", [])
    net, _ = scripts.networks.load_run(runs["rgb"])
    points = net(objects.on_black()[:, 0] / np.float32(255)).points
    wanted = cameras.object_frame(points)[np.argsort(objects.ids)]
    np.testing.assert_allclose(found.first([0, 1], N), wanted, atol=1e-5)


def test_two_classes_have_rows_each_and_options_count(evaluate, make_run, read_results, tmp_path):
    run = make_run("both", classes=["chair", "cup"], features="parts", parts=5)
    flags = ("--networks", run, "--no-emd", "--scale-outlier", "--true-points", "100")
    evaluate(*flags, "--split", "val", "--out", tmp_path)
    results = read_results(tmp_path)
    assert results["data"] == "chair, cup of the built-in shapes, validation"
    rows = select(results["rows"], network="DIFFER, parts")
    both = {metric: values(rows, **{"class": metric}) for metric in ("chair", "cup")}
    whole = {row["metric"]: row["value"] for row in rows if "class" not in row}
    assert "emd" not in whole and both["chair"]["chamfer"] != both["cup"]["chamfer"]
    mean = (both["chair"]["chamfer"] + both["cup"]["chamfer"]) / 2
    assert whole["chamfer"] == pytest.approx(mean, rel=1e-5)


def test_what_the_data_set_lacks_is_said(
    evaluate, runs, objects, tmp_path, data, read_results, capsys
):
    (source,) = data.glob("views-chair-10*/")
    shutil.copytree(source, tmp_path / "views")
    for path in (tmp_path / "views/gt/chair").iterdir():
        points = truths.read_cloud(path).points
        truths.write_cloud(path, Truth(points))
    flags = ("--networks", runs["rgb"], "--data-root", tmp_path / "views", "--out")
    evaluate(*flags, tmp_path / "out")
    assert "DIFFER, colours: no colour_error, as an object lacks" in capsys.readouterr().out
    found = {row["metric"] for row in read_results(tmp_path / "out")["rows"]}
    assert "psnr" in found and "colour_error" not in found


def test_too_few_true_points_are_refused(evaluate, runs, tmp_path):
    flags = ("--networks", runs["mask"], "--out", tmp_path)
    with pytest.raises(InputError, match="has 9 true points that count, .* needs 24: raise"):
        evaluate(*flags, "--true-points", "9")
    evaluate(*flags, "--true-points", "9", "--no-emd")
