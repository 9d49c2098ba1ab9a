"""Downstream networks, few labels, scores by eye, and their trainings on tiny data."""

import json

import numpy as np
import pytest
import torch

from samplenet import InputError
from samplenet.data.parts import PartClouds
from samplenet.runs.checkpoint import load_checkpoint

TINY = "--batch-size 4 --epochs 2 --num-points 24 --device cpu --deterministic"
CLASSIFIER = f"{TINY} --shapes-per-class 2"
PARTS = f"{TINY} --shapes-per-class 4 --classes chair table"
SAMPLER = "--batch-size 4 --epochs 1 --sample-sizes 6 --device cpu --deterministic"
VOXELS = (
    "--backbone srunet --unet-depth 14 --unet-width 4 --voxel-size 0.2 --augmentation scene "
    "--optimizer sgd --lr 0.1 --lr-schedule poly --rooms 2 --room-points 2000 --batch-size 2 "
    "--epochs 2 --device cpu --deterministic"
)
SCENES = f"{TINY} --rooms 1 --room-points 4000"


def parameters(net):
    return sum(p.numel() for p in net.parameters())


def test_networks_have_the_published_numbers_of_parameters(scripts):
    nets, trunks = scripts.segmentation, scripts.backbones
    for net, millions in (
        (scripts.classifiers.PointNetClassifier(trunks.PointNet(), 40), 3.48),
        (scripts.classifiers.DGCNNClassifier(trunks.DGCNN(), 40), 1.81),
        (nets.PointNetParts(50, 16), 7.85),
        (nets.DGCNNParts(50, 16), 1.46),
        (nets.PointNetScenes(13), 3.55),
        (nets.DGCNNScenes(13), 0.98),
    ):
        assert parameters(net) / 1e6 == pytest.approx(millions, abs=5e-3), type(net).__name__


@pytest.mark.parametrize("kind", ["pointnet", "dgcnn"])
def test_a_network_classifies_each_point_and_none_sees_another_cloud(scripts, kind):
    nets, points = scripts.segmentation, torch.rand(3, 20, 3)
    trunk = scripts.backbones.PointNet() if kind == "pointnet" else scripts.backbones.DGCNN(5)
    own = {
        "pointnet": (nets.PointNetParts(6, 2), nets.PointNetScenes(6)),
        "dgcnn": (nets.DGCNNParts(6, 2, 5), nets.DGCNNScenes(6, 5)),
    }[kind]
    category, features = torch.eye(2)[[0, 1, 0]], torch.rand(3, 20, 9)
    for net, extra in (
        (nets.OnTrunk(trunk, 6, 2), category),
        (nets.OnTrunk(trunk, 6, 9), features),
        (own[0], category),
        (own[1], features),
    ):
        net.eval()
        with torch.no_grad():
            logits, _ = net(points, extra)
            assert logits.shape == (3, 20, 6)
            alone, _ = net(points[1:2], extra[1:2])
            order = torch.randperm(20)  # and what it answers moves with the points
            moved = extra[:, order] if extra.dim() == 3 else extra
            permuted, _ = net(points[:, order], moved)
        torch.testing.assert_close(alone[0], logits[1], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(permuted, logits[:, order], rtol=1e-4, atol=1e-5)


def test_smoothed_labels_are_the_recorded_ones(scripts, selfsup):
    logits = torch.from_numpy(selfsup["ls_logits"]).requires_grad_()
    target = torch.from_numpy(selfsup["ls_target"]).long()
    loss = scripts.finetune.cross_entropy(logits, target, 0.2)
    loss.backward()
    np.testing.assert_allclose(loss.detach(), selfsup["ls_loss"], rtol=1e-5)
    np.testing.assert_allclose(logits.grad, selfsup["ls_grad"], rtol=1e-3, atol=1e-6)


def test_clouds_are_turned_as_recorded(scripts, selfsup):
    class Fixed:  # an angle whose sense is the other one in the recorded matrix
        uniform = staticmethod(lambda low, high, n: np.full(n, -0.7))
        standard_normal = staticmethod(lambda shape, dtype: np.zeros(shape, dtype))

    points = selfsup["du_pc"].astype(np.float32)[None]
    turned = scripts.labelled.augment(points, Fixed, "turn")[0]
    np.testing.assert_allclose(turned, selfsup["du_roty_0.7"], rtol=1e-4, atol=2e-6)


def test_scaling_keeps_within_its_bounds(scripts):
    points = np.ones((500, 2, 3), np.float32)
    moved = scripts.labelled.augment(points, np.random.default_rng(0), "scale")
    assert moved.dtype == np.float32 and np.ptp(moved, axis=1).max() == 0  # one draw a cloud
    assert 2 / 3 - 0.2 <= moved.min() < 0.6 and 1.6 < moved.max() <= 1.7
    np.testing.assert_array_equal(scripts.labelled.augment(points, None, "none"), points)


def test_few_labels_are_as_many_of_each_class_and_grow(scripts):
    labels = np.repeat([0, 1, 2], [5, 8, 6])
    few_rows = scripts.labelled.few_rows
    two, four = few_rows(labels, 2, seed=1), few_rows(labels, 4, seed=1)
    assert np.bincount(labels[four]).tolist() == [4, 4, 4] and {*two} < {*four}
    assert few_rows(labels, 2, seed=2).tolist() != two.tolist()
    assert few_rows(labels, None, 0).tolist() == [*range(19)]
    with pytest.raises(InputError, match="at most 5, the clouds of class 0; got 6"):
        few_rows(labels, 6, 0)


def test_scores_by_eye(scripts):
    found = scripts.scores.accuracies(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]))
    assert found == {"accuracy": 0.75, "accuracy_class_mean": pytest.approx(5 / 6)}
    clouds = PartClouds(
        points=np.zeros((3, 4, 3)),
        labels=np.array([0, 0, 1]),
        parts=np.array([[0, 0, 1, 1], [0, 0, 0, 0], [3, 3, 3, 3]]),
        names=("Bag", "Cap"),
        parts_of=((0, 1, 2), (3,)),
    )
    predicted = np.array([[0, 1, 1, 1], [0, 0, 0, 0], [3, 3, 3, 3]])
    # first cloud: 1/2, 2/3 and 1, as part 2 is neither there nor predicted; second: 1, 1, 1
    of_parts = scripts.scores.of_parts(predicted, clouds)
    first = (1 / 2 + 2 / 3 + 1) / 3
    assert of_parts["miou_instance"] == pytest.approx((first + 1 + 1) / 3)
    assert of_parts["miou_category"] == pytest.approx(((first + 1) / 2 + 1) / 2)
    assert of_parts["point_accuracy"] == pytest.approx(11 / 12)
    counts = scripts.scores.confusion(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), 3)
    assert counts.tolist() == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]
    of_scenes = scripts.scores.of_scenes(counts)
    assert of_scenes["miou_scenes"] == pytest.approx((1 / 2 + 2 / 3) / 2)  # class 2 is nowhere
    assert of_scenes["point_accuracy"] == 0.75
    assert of_scenes["point_accuracy_class_mean"] == pytest.approx((1 + 2 / 3) / 2)
    assert of_scenes["miou_majority"] == pytest.approx((3 / 4 + 0) / 2)


def test_unlabelled_points_count_nowhere(scripts):
    labels, predicted = np.array([0, -100, 1]), np.array([0, 1, 0])
    counts = scripts.scores.confusion(predicted, labels, 2)
    assert counts.tolist() == [[1, 0], [1, 0]]
    logits = torch.tensor([[5.0, 0], [0, 5.0], [5.0, 0]])
    config = scripts.train_scenes.Config()
    learner = scripts.finetune.Learner(lambda: (logits, None), config)
    loss, measured = learner(torch.from_numpy(labels))
    assert measured[1] == 0.5
    known = torch.tensor([0, 2])
    expected = torch.nn.functional.cross_entropy(logits[known], torch.tensor([0, 1]))
    torch.testing.assert_close(loss, expected)
    nothing = torch.full((3,), -100)
    assert learner(nothing)[0] == 0 and learner(nothing)[1].tolist() == [0, 0]
    with pytest.raises(InputError, match="no point of the test rooms has a label"):
        scripts.scores.of_scenes(scripts.scores.confusion(predicted, nothing.numpy(), 2))


def test_a_voxel_has_the_commonest_class_of_its_points(scripts):
    inverse = torch.tensor([0, 0, 0, 1, 2, 2, 3, 3])
    labels = torch.tensor([2, 1, 1, -100, -100, 0, 2, 1])
    found = scripts.scenes.labels_of_voxels(labels, inverse, 3)
    assert found.tolist() == [1, -100, 0, 1]


def test_whole_rooms_are_scored_on_points_and_voxels(scripts):
    """A network that says floor of the lowest voxels and wall of all others."""
    config = scripts.train_scenes.Config(
        backbone="srunet", rooms=1, room_points=3000, voxel_size=0.2
    )
    data = scripts.scenes.WholeRooms(config)
    labels, features, keys = data.batch(0, np.array([0, 0]), "cpu")
    assert len(labels) == len(features) == len(keys) and features.abs().max() <= 0.5
    assert labels.max() < 9 and (keys[: len(keys) // 2] < 2**48).all()

    class Floor(torch.nn.Module):
        def forward(self, features, keys):
            z = scripts.segmentation.Voxels(keys, 1).coordinates[:, 3]
            logits = torch.zeros(len(keys), 9)
            logits[z == 0, 1] = 1  # the floor, and the feet of all that stands on it
            logits[z > 0, 2] = 1  # a wall, or what is not
            return logits, None

    found, n, gallery = data.score(Floor(), "cpu")
    (room,) = scripts.scenes.open_rooms(config, "test")
    low = np.floor(room.points[:, 2].astype(np.float64) / 0.2) == 0
    right = np.where(low, room.labels == 1, room.labels == 2)
    assert n == 1 and found["point_accuracy"] == pytest.approx(right.mean())
    voxels = {}
    for place, label in zip(np.floor(room.points / 0.2), room.labels, strict=True):
        voxels.setdefault(tuple(place), []).append(label)
    hits = [
        np.bincount(own).argmax() == (1 if place[2] == 0 else 2) for place, own in voxels.items()
    ]
    assert found["voxel_accuracy"] == pytest.approx(np.mean(hits), abs=2e-3)
    assert {*found} > {"miou_scenes", "miou_voxels", "voxel_accuracy_class_mean"}

    # what the picture shows: every point that is below the ceiling, in the colour of its class
    own = {f"scenes, SR-UNet, random|{name}": array for name, array in gallery.items()}
    scene = scripts.figures.classified(None, own)
    assert [cloud.name for cloud in scene.clouds] == ["room 1"]
    true, predicted = scene.clouds[0].views
    assert (true.name, predicted.name) == ("true classes", "SR-UNet, random")
    shown = room.points[:, 2] < 0.8 * room.points[:, 2].max()
    there = {data.classes[label] for label in room.labels[shown]}
    *of_classes, wrong = predicted.layers
    for layers, classes in ((true.layers, there), (of_classes, {"floor", "wall"})):
        assert [layer.name for layer in layers] == [*data.classes]
        assert {layer.name for layer in layers if len(layer.points)} == classes
        assert sum(len(layer.points) for layer in layers) == shown.sum()
    assert len(wrong.points) == (shown & ~right).sum()
    assert predicted.note == f"{1 - right.mean():.0%} of all points are wrong"
    assert len(scripts.figures.PALETTE) >= len(scripts.scenes.scannet.CLASSES)
    assert scripts.figures.classified(None, {}) is None


@pytest.mark.parametrize(
    "files, message",
    [
        ({"Area_1_a.npy": ""}, "has no room Area_<a>_<room>.npy for its test split"),
        ({"splits/area1.txt": "a.ply"}, "area5.txt cannot be read"),
        ({"splits/area5.txt": "a.ply"}, "a.ply of a test room is missing"),
        ({"splits/area5.txt": "\n"}, "splits lists no room for its test split"),
        (
            {"all_files.txt": "", "room_filelist.txt": "Area_1_a\nArea_15_b"},
            "has no block for its test split, test area 5",
        ),
        ({"scannetv2_train.txt": "a"}, "scannetv2_val.txt cannot be read"),
        (
            {
                "scannetv2_train.txt": "a",
                "scannetv2_val.txt": "b",
                "scans/b/b_vh_clean_2.ply": "",
            },
            "b_vh_clean_2.labels.ply of a test room is missing",
        ),
    ],
)
def test_missing_test_rooms_are_found_before_the_training(scripts, tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        scripts.train_scenes.train(scripts.train_scenes.Config(data_root=str(tmp_path)))


@pytest.mark.parametrize(
    "files",
    [
        ("Area_5_a.npy",),
        ("splits/area5.txt", "Area_5_a"),
        ("all_files.txt", "room_filelist.txt"),
        (
            *("scannetv2_train.txt", "scannetv2_val.txt"),
            "scans/Area_5_a/Area_5_a_vh_clean_2.ply",
            "scans/Area_5_a/Area_5_a_vh_clean_2.labels.ply",
        ),
    ],
)
def test_test_rooms_are_not_opened_before_the_training(scripts, tmp_path, files):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("Area_5_a\n")
    scripts.scenes.check_test(scripts.train_scenes.Config(data_root=str(tmp_path)))


def test_every_point_of_the_test_rooms_is_scored_once(scripts):
    config = scripts.train_scenes.Config(rooms=1, room_points=1500, num_points=100)
    features, labels, counted = scripts.scenes.open_blocks(config, "test")
    assert counted.sum() == 1500 and counted.size > 1500
    points, _ = scripts.scenes.inputs(features, "cpu")
    torch.testing.assert_close(points.norm(dim=2).amax(1), torch.ones(len(points)))
    # z of the room is y of the trunk
    z, y = features[0, :, 2], points[0, :, 1].numpy()
    assert np.corrcoef(z, y)[0, 1] > 0.999


@pytest.fixture(scope="module")
def runs(tmp_path_factory, scripts, call_script):
    """A folder of one run of each kind, some of them started from the first."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMPLENET_DATA", str(tmp_path_factory.mktemp("data")))
        few, start = ["--labels-per-class", "1"], ["--pretrained", folder / "all"]
        for name, script, flags in (
            ("all", scripts.train_classifier, [CLASSIFIER]),
            ("few", scripts.train_classifier, [CLASSIFIER, *few, "--augmentation", "scale"]),
            ("few-started", scripts.train_classifier, [CLASSIFIER, *few, *start]),
            ("parts", scripts.train_parts, [PARTS, *start]),
            ("scenes", scripts.train_scenes, [SCENES, *start, "--network", "published"]),
            ("voxels", scripts.train_scenes, [VOXELS]),
            ("plain", scripts.train_classifier, [CLASSIFIER, *few, "--no-transforms"]),
            ("sampler", scripts.train_samplenet, [SAMPLER, "--task", folder / "plain"]),
            (
                *("sampler-started", scripts.train_samplenet),
                [SAMPLER, "--task", folder / "all", "--pretrained", folder / "plain"],
            ),
        ):
            call_script(script, *flags, "--out", folder / name)
    return folder


def test_a_run_says_where_it_started_and_how_it_did(runs):
    scores = {path.parent.name: json.loads(path.read_text()) for path in runs.glob("*/scores.json")}
    assert scores["few"]["method"] == {
        "task": "classification",
        "start": "random",
        "backbone": "pointnet",
        "labels": "1 a class",
    }
    assert scores["few-started"]["method"]["start"] == "supervised"
    assert scores["all"]["method"]["labels"] == "all" and scores["all"]["n"] == 21
    restored = {name: content["restored"] for name, content in scores.items()}
    assert restored["few"] == 0 and restored["few-started"] == 1
    assert restored["parts"] == pytest.approx(0.83, abs=0.03)
    assert restored["scenes"] == pytest.approx(0.79, abs=5e-3)  # as published
    assert {*scores["parts"]["scores"]} > {"miou_instance", "miou_category"}
    assert scores["scenes"]["n"] > 1  # blocks of the one room
    assert scores["voxels"]["n"] == 1 and scores["voxels"]["method"]["backbone"] == "srunet"
    for name in ("all", "few-started", "parts", "scenes", "voxels"):
        assert load_checkpoint(runs / name / "last.safetensors")[1]["done"]


def test_a_sampler_has_the_trunk_of_its_start(runs, scripts, call_script, tmp_path):
    own, started = (
        json.loads((runs / name / "scores.json").read_text())
        for name in ("sampler", "sampler-started")
    )
    assert own["method"] == {
        "task": "SampleNet, 6 points, classifier random",
        "start": "random",
        "backbone": "pointnet_plain",
        "labels": "1 a class",
    }
    assert {*own["scores"]} == {"accuracy", "accuracy_fps", "accuracy_whole"}
    assert started["method"]["start"] == "supervised" and 0.2 < started["restored"] < 0.4
    config = scripts.train_samplenet.Config(sample_sizes=[6], pretrained=str(runs / "plain"))
    sampler, share = scripts.train_samplenet.build(config, 24)
    assert share == pytest.approx(started["restored"], rel=1e-4)
    arrays, _ = load_checkpoint(runs / "plain" / "last.safetensors")
    trunk = scripts.backbones.PointNet(transforms=False).eval()
    trunk.load_state_dict(
        {
            name.removeprefix("trunk."): torch.from_numpy(array)
            for name, array in arrays.items()
            if name.startswith("trunk.")
        }
    )
    points, seen = torch.randn(2, 24, 3), []
    sampler.eval().fc1.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    with torch.no_grad():
        sampler(points)
        torch.testing.assert_close(seen[0], trunk.pool(points), rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="is no PointNet without T-Nets"):
        flags = [SAMPLER, "--task", runs / "plain", "--pretrained", runs / "all"]
        call_script(scripts.train_samplenet, *flags, "--out", tmp_path / "a")


@pytest.mark.parametrize("name, script", [("parts", "train_parts"), ("few", "train_classifier")])
def test_a_run_that_is_stopped_ends_alike(
    runs, scripts, call_script, tmp_path, monkeypatch, name, script
):
    """Stop a training in its second epoch, and continue it: the same weights, bit for bit."""
    script = getattr(scripts, script)
    flags = [PARTS, "--pretrained", runs / "all"]
    if name == "few":  # with dropout
        flags = [CLASSIFIER, "--labels-per-class 1 --augmentation scale"]
    flags += ["--out", tmp_path / name, "--resume"]
    add = script.Training.add

    def stop(training, measured):
        add(training, measured)
        if training.epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(script.Training, "add", stop)
        call_script(script, *flags)
    call_script(script, *flags)
    first, second = (
        load_checkpoint(folder / name / "last.safetensors")[0] for folder in (runs, tmp_path)
    )
    assert ("seed/cpu" in first) == (name == "few")
    for name, array in first.items():
        np.testing.assert_array_equal(second[name], array, err_msg=name)


def test_dgcnn_for_parts_refuses_to_start_from_next_to_nothing(
    runs, scripts, call_script, tmp_path
):
    flags = [PARTS, "--network", "published", "--pretrained", runs / "all", "--out", tmp_path / "a"]
    with pytest.raises(InputError, match="restores .* of the weights of this network, 15% are"):
        call_script(scripts.train_parts, *flags, "--backbone", "dgcnn", "--k", "5")


def test_the_scores_become_one_table(runs, scripts, call_script, tmp_path, without_figures, capsys):
    call_script(*(scripts.evaluate, "--runs", runs, "--out", tmp_path / "table"), action="evaluate")
    rows = json.loads((tmp_path / "table" / "results.json").read_text())["rows"]
    words = "classification, 1 a class, PointNet"
    few = [r for r in rows if r["metric"] == "accuracy" and r["method"]["task"] == words]
    assert [row["method"]["start"] for row in few] == ["random", "supervised"]
    assert f"| {words} |" in capsys.readouterr().out
    results = json.loads((tmp_path / "table" / "results.json").read_text())
    assert len(results["runs"]) == len([*runs.rglob("scores.json")])
    folders = {(tmp_path / "table" / run["folder"]).resolve() for run in results["runs"]}
    assert (runs / "few").resolve() in folders
    twice = ["--runs", runs, runs / "few", "--out", tmp_path / "twice"]
    call_script(scripts.evaluate, *twice, action="evaluate")
    assert json.loads((tmp_path / "twice" / "results.json").read_text())["rows"] == rows
    (runs / "few" / "scores.json").rename(tmp_path / "kept.json")
    (runs / "few" / "scores.json").write_text('{"method": {}, "scores": {"accuracy": "?"}}')
    with pytest.raises(InputError, match="scores.json cannot be read"):
        call_script(scripts.evaluate, "--runs", runs, "--out", tmp_path / "t", action="evaluate")
    (tmp_path / "kept.json").rename(runs / "few" / "scores.json")
    with pytest.raises(InputError, match="holds no run with scores.json"):
        call_script(
            scripts.evaluate, "--runs", tmp_path, "--out", tmp_path / "t", action="evaluate"
        )
