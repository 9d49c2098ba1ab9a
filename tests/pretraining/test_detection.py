"""VoteNet: losses against loops, decoding, what moves with the room; its training on tiny rooms."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from samplenet import InputError
from samplenet.data import boxed
from samplenet.runs import settings
from samplenet.runs.checkpoint import load_checkpoint, save_checkpoint
from samplenet.torch.state import State

TINY = (
    "--rooms 3 --room-points 3000 --num-points 300 --num-seeds 32 --width 16 --proposals 12 "
    "--batch-size 2 --epochs 2 --device cpu --deterministic"
)
CLASSES, BINS, P, S, N, K = 3, 12, 9, 7, 20, 4
SIZES = torch.tensor([[1.0, 2, 1], [0.5, 0.5, 2], [2, 1, 0.7]])


def proposals(scripts, generator, centres):
    """Proposals at random near these centres (B, K, 3)."""
    b = len(centres)
    randn = lambda *shape: torch.randn(b, *shape, generator=generator)  # noqa: E731
    spread = torch.linspace(0.02, 0.3, P)[:, None]
    near = centres[:, torch.arange(P) % centres.shape[1]] + spread * randn(P, 3)
    return scripts.votenet.Proposals(
        seeds=torch.randint(N, (b, S), generator=generator),
        votes=randn(S, 3),
        clusters=near,
        objectness=randn(P, 2),
        centres=near + 0.1 * randn(P, 3),
        bins=randn(P, BINS),
        turns=randn(P, BINS),
        templates=randn(P, CLASSES),
        stretches=randn(P, CLASSES, 3),
        labels=randn(P, CLASSES),
    )


@pytest.fixture
def batch(scripts):
    """Proposals, points, votes, inside and objects of two rooms: one with three, one with none."""
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(2, K, 7, generator=generator) * torch.tensor([3.0, 3, 1, 2, 2, 2, 20]) + 0.1
    labels = torch.randint(CLASSES, (2, K), generator=generator)
    there = torch.tensor([[True, True, True, False], [False] * 4])
    found = proposals(scripts, generator, boxes[:, :3, :3])
    points = torch.rand(2, N, 3, generator=generator)
    votes = torch.randn(2, N, 3, 3, generator=generator)
    inside = torch.rand(2, N, generator=generator) < 0.6
    objects = scripts.detection_losses.Objects(boxes, labels, there)
    return found, points, votes, inside, objects


def by_loops(found, points, votes, inside, objects):
    """The losses as the paper's appendix and the release have them, one proposal at a time."""
    vote, objectness, centre, heading, size, scores, label, right = ([] for _ in range(8))
    for b in range(len(points)):
        for s in range(S):
            i = found.seeds[b, s]
            if inside[b, i]:
                aims = points[b, i] + votes[b, i]
                vote.append(min((found.votes[b, s] - aim).abs().sum() for aim in aims))
        true = [k for k in range(K) if objects.there[b, k]]
        for p in range(P):
            away = [(found.clusters[b, p] - objects.boxes[b, k, :3]).norm() for k in true]
            nearest = min(away, default=math.inf)
            near = int(nearest < 0.3)
            if near or nearest > 0.6:
                cross = -F.log_softmax(found.objectness[b, p], 0)[near]
                objectness.append((0.8 if near else 0.2) * cross)
                right.append(float(found.objectness[b, p].argmax() == near))
            if not near:
                continue
            k = true[int(np.argmin(away))]
            box, kind = objects.boxes[b, k], objects.labels[b, k]
            to = [(found.centres[b, p] - objects.boxes[b, j, :3]).square().sum() for j in true]
            angle = box[6].item() % (2 * math.pi)
            shifted = (angle + math.pi / BINS) % (2 * math.pi)
            bin_ = int(shifted / (2 * math.pi / BINS))
            turn = (shifted - (bin_ + 0.5) * 2 * math.pi / BINS) / (math.pi / BINS)
            centre.append(min(to))
            heading.append(huber(found.turns[b, p, bin_] - turn))
            stretch = (box[3:6] - SIZES[kind]) / SIZES[kind]
            size.append(sum(map(huber, found.stretches[b, p, kind] - stretch)) / 3)
            scores.append(-0.1 * F.log_softmax(found.bins[b, p], 0)[bin_])
            scores[-1] = scores[-1] - 0.1 * F.log_softmax(found.templates[b, p], 0)[kind]
            label.append(-F.log_softmax(found.labels[b, p], 0)[kind])
    reached = [
        (found.centres[b] - objects.boxes[b, k, :3]).square().sum(1).min()
        for b in range(len(points))
        for k in range(K)
        if objects.there[b, k]
    ]
    assert len(vote) > 3 and len(centre) > 3 and len(right) > len(centre)  # all cases are there
    mean = lambda values: float(sum(values) / len(values))  # noqa: E731
    box = mean(centre) + mean(reached) + mean(heading) + mean(size) + mean(scores)
    parts = [mean(vote), mean(objectness), box, mean(label)]
    return [10 * np.dot(parts, [1, 0.5, 1, 0.1]), *parts, mean(right)]


def huber(error):
    return 0.5 * error**2 if abs(error) < 1 else abs(error) - 0.5


def learner(scripts, found):
    """The learner of a network that proposes what is given."""

    class Given(torch.nn.Module):
        sizes = SIZES

        def forward(self, points):
            return found

    return scripts.detection_losses.Learner(Given())


def test_the_losses_are_those_of_single_proposals(scripts, batch):
    found, points, votes, inside, objects = batch
    loss, measured = learner(scripts, found)(points, votes, inside, *objects)
    wanted = by_loops(*batch)
    np.testing.assert_allclose(measured, wanted, rtol=1e-4)
    assert loss == measured[0] and not measured.requires_grad
    assert len(measured) == len(scripts.detection_losses.MEASURED)


def test_what_fills_a_batch_changes_nothing_and_rooms_without_objects_count(scripts, batch):
    found, points, votes, inside, objects = batch
    first, _ = learner(scripts, found)(points, votes, inside, *objects)
    boxes = objects.boxes.clone()
    boxes[~objects.there] = 0
    other, _ = learner(scripts, found)(points, votes, inside, boxes, *objects[1:])
    torch.testing.assert_close(first, other)
    nobody = torch.zeros_like(objects.there)
    leaves = [f.requires_grad_() if f.is_floating_point() else f for f in found]
    found = scripts.votenet.Proposals(*leaves)
    loss, measured = learner(scripts, found)(
        points, votes, torch.zeros_like(inside), boxes, objects.labels, nobody
    )
    loss.backward()
    assert torch.isfinite(loss) and measured[1] == measured[3] == measured[4] == 0
    assert torch.isfinite(found.objectness.grad).all() and found.objectness.grad.abs().sum() > 0


def ideal(scripts, boxes, labels, bins):
    """Proposals that say these boxes (B, K, 7), surely; the rest at random."""
    b, k = labels.shape
    generator = torch.Generator().manual_seed(1)
    half = math.pi / bins
    bin_ = torch.round(boxes[..., 6] / (2 * half)).long()
    rest = boxes[..., 6] - 2 * half * bin_
    turns = torch.randn(b, k, bins, generator=generator)
    turns.scatter_(2, (bin_ % bins)[..., None], (rest / half)[..., None])
    stretches = torch.randn(b, k, CLASSES, 3, generator=generator)
    own = (boxes[..., 3:6] / SIZES[labels] - 1)[:, :, None]
    stretches.scatter_(2, labels[..., None, None].expand(-1, -1, 1, 3), own)
    sure = lambda rows, n: 50.0 * F.one_hot(rows, n)  # noqa: E731
    return scripts.votenet.Proposals(
        seeds=torch.zeros(b, S, dtype=torch.long),
        votes=boxes[:, :1, :3].expand(-1, S, -1),
        clusters=boxes[..., :3],
        objectness=sure(torch.ones_like(labels), 2),
        centres=boxes[..., :3],
        bins=sure(bin_ % bins, bins),
        turns=turns,
        templates=sure(labels, CLASSES),
        stretches=stretches,
        labels=sure(labels, CLASSES),
    )


@pytest.mark.parametrize("bins", [12, 1, 5])
def test_ideal_proposals_decode_into_their_boxes_and_cost_nothing(scripts, bins):
    rng = np.random.default_rng(0)
    boxes = torch.from_numpy(rng.uniform(0.2, 3, (2, K, 7)).astype(np.float32))
    boxes[..., 6] = torch.from_numpy(rng.uniform(-7, 7, (2, K))) if bins > 1 else 0
    labels = torch.from_numpy(rng.integers(CLASSES, size=(2, K)))
    found = ideal(scripts, boxes, labels, bins)
    net = scripts.votenet.VoteNet(torch.nn.Identity(), 16, 16, 32, SIZES, bins, 8)
    decoded, objectness, shares = net.decode(found)
    torch.testing.assert_close(decoded[..., :6], boxes[..., :6])
    apart = (decoded[..., 6] - boxes[..., 6]) / (2 * math.pi)
    torch.testing.assert_close(apart, apart.round(), atol=1e-5, rtol=0)
    assert objectness.min() > 0.99 and (shares.argmax(2) == labels).all()
    points = torch.zeros(2, N, 3)
    votes = boxes[:, :1, None, :3].expand(-1, N, 1, 3)
    inside, there = torch.ones(2, N, dtype=torch.bool), torch.ones(2, K, dtype=torch.bool)
    loss, measured = learner(scripts, found)(points, votes, inside, boxes, labels, there)
    assert loss < 1e-3 and measured[-1] == 1


def test_kept_boxes_are_sure_hold_points_and_are_no_doubles(scripts):
    box = (0, 0, 0, 1, 1, 1, 0)
    boxes = np.array(
        [box, (0.05, 0, 0, 1, 1, 1, 0), (5, 0, 0, 1, 1, 1, 0), (9, 0, 0, 1, 1, 1, 0), box], float
    )
    points = np.repeat([[0.1, 0.1, 0.1], [5, 0, 0], [9, 0, 0]], [5, 4, 5], 0).astype(float)
    objectness = np.array([0.6, 0.7, 0.9, 0.05, 0.5])
    shares = np.array([[0.9, 0.1], [0.8, 0.2], [1, 0], [1, 0], [0.3, 0.7]])
    found = scripts.votenet.keep(points, boxes, objectness, shares)
    # of the first two the surer; the third is nearly empty, the fourth unsure, the last of another
    # class
    np.testing.assert_array_equal(found.boxes, boxes[[1, 4]])
    np.testing.assert_allclose(found.scores, [[0.56, 0.14], [0.15, 0.35]])


@pytest.mark.parametrize("turned", [True, False])
def test_boxes_and_votes_move_with_the_points(scripts, turned):
    room = boxed.generated(1, num_points=6000)[0]
    if not turned:  # boxes parallel to the axes
        corners = scripts.boxes.corners(room.boxes)
        room.boxes[:, 3:6] = np.ptp(corners, axis=1)
        room.boxes[:, 6] = 0
    draw, augment = scripts.boxed_rooms.draw, scripts.boxed_rooms.augment
    drawn = draw(room, 5000, np.random.default_rng(0))
    assert abs(np.percentile(drawn.points[:, 2], 0.99)) < 1e-6
    volumes = []
    for seed in range(8):
        moved = augment(drawn, np.random.default_rng(seed), turned)
        aims = moved.points[moved.inside] + moved.votes[moved.inside, 0]
        away = np.linalg.norm(aims[:, None] - moved.boxes[:, :3], axis=2)
        assert away.min(1).max() < 1e-4
        larger = moved.boxes + (0, 0, 0, 1e-3, 1e-3, 1e-3, 0)
        for k, own in enumerate(scripts.boxes.holds(larger, moved.points)):
            assert own[np.flatnonzero(moved.inside)[away.argmin(1) == k]].all()
        assert turned or (moved.boxes[:, 6] == 0).all()
        volumes.append(moved.boxes[0, 3:6].prod() / drawn.boxes[0, 3:6].prod())
    assert np.ptp(volumes) > 0.05
    assert len(draw(room, 9000, np.random.default_rng(0)).points) == 9000


@pytest.fixture(scope="module")
def net(scripts):
    torch.manual_seed(0)
    config = scripts.train_detector.Config(num_seeds=32, width=16, proposals=8)
    trunk, inputs = scripts.seeds.build(config)
    return scripts.votenet.VoteNet(trunk, inputs, 16, 32, SIZES, BINS, 8).eval()


def test_boxes_move_with_the_room_and_other_rooms_do_not_matter(net):
    points = torch.rand(3, 200, 3, generator=torch.Generator().manual_seed(0)) * 3
    with torch.no_grad():
        found, moved = net(points), net(points + torch.tensor([2.0, -1, 0]))
        alone = net(points[1:2])
    assert torch.equal(found.seeds, moved.seeds)
    assert found.centres.shape == (3, 8, 3) and found.stretches.shape == (3, 8, 3, 3)
    torch.testing.assert_close(
        found.centres + torch.tensor([2.0, -1, 0]), moved.centres, atol=1e-4, rtol=0
    )
    torch.testing.assert_close(found.labels, moved.labels, atol=1e-3, rtol=0)
    for whole, one in zip(found, alone, strict=True):
        torch.testing.assert_close(whole[1:2], one, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def run(tmp_path_factory, scripts, call_script):
    folder = tmp_path_factory.mktemp("detector")
    call_script(scripts.train_detector, TINY, "--out", folder / "whole")
    return folder


def test_a_training_scores_whole_test_rooms_by_class(run, scripts):
    found = json.loads((run / "whole/scores.json").read_text())
    assert found["method"]["task"] == "detection" and found["n"] == 1
    assert {*found["scores"]} == {"map_25", "map_50"}
    there = {name for name, scores in found["classes"].items() if scores}
    rooms = boxed.generated(1, "test", 3000)
    assert there == {rooms.classes[label] for label in rooms[0].labels}
    mean = np.mean([found["classes"][name]["map_25"] for name in there])
    assert found["scores"]["map_25"] == pytest.approx(mean)
    with np.load(run / "whole/gallery.npz") as gallery:
        assert gallery["points_0"].shape == (300, 3) and gallery["true_0"].shape[1:] == (8, 3)


def test_a_detector_that_is_stopped_ends_alike(run, scripts, call_script, monkeypatch):
    script = scripts.train_detector
    add = script.Training.add

    def stop(training, measured):
        add(training, measured)
        if training.epoch == 1:
            raise KeyboardInterrupt

    flags = [TINY, "--out", run / "stopped", "--resume"]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(script.Training, "add", stop)
        call_script(script, *flags)
    call_script(script, *flags)
    first, second = (
        load_checkpoint(run / name / "last.safetensors")[0] for name in ("whole", "stopped")
    )
    for name, array in first.items():
        np.testing.assert_array_equal(second[name], array, err_msg=name)


@pytest.mark.slow
def test_two_processes_share_a_batch_of_rooms(run, scripts, torchrun, tmp_path, metrics):
    printed = torchrun(str(scripts.folder / "train_detector.py"), TINY, "--out", tmp_path / "two")
    assert printed.count("epoch 2/2") == 1
    one, two = (metrics(folder)[0]["loss"] for folder in (run / "whole", tmp_path / "two"))
    assert two == pytest.approx(one, rel=0.3)
    found = json.loads((tmp_path / "two/scores.json").read_text())
    assert found["n"] == 1


def test_the_rate_falls_at_the_published_epochs(scripts):
    rate = scripts.train_detector.learning_rate
    config = scripts.train_detector.Config()
    found = [rate(config, epoch, 0, 0) for epoch in (0, 79, 80, 120, 179)]
    np.testing.assert_allclose(found, [1e-3, 1e-3, 1e-4, 1e-5, 1e-6])
    config.lr_schedule = "cosine"
    assert rate(config, 0, 50, 100) == pytest.approx(5e-4)
    config.lr_schedule = "poly"
    assert rate(config, 0, 50, 100) == pytest.approx(1e-3 * 0.5**0.9)


def test_missing_test_rooms_end_it_before_the_training(scripts, tmp_path, monkeypatch):
    def opened(config, split):
        if split == "test":
            raise InputError("no test rooms")
        return real(config, split)

    real = scripts.boxed_rooms.open_rooms
    monkeypatch.setattr(scripts.boxed_rooms, "open_rooms", opened)
    with pytest.raises(InputError, match="no test rooms"):
        scripts.train_detector.train(scripts.train_detector.Config(out=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_boxes_come_into_table_and_picture(run, scripts, call_script, tmp_path, without_figures):
    out = tmp_path / "table"
    call_script(scripts.evaluate, "--runs", run / "whole", "--out", out, action="evaluate")
    rows = json.loads((out / "results.json").read_text())["rows"]
    scores = json.loads((run / "whole/scores.json").read_text())
    found = {row.get("class"): row["value"] for row in rows if row["metric"] == "map_50"}
    assert found.pop(None) == scores["scores"]["map_50"]
    classes = {name: of_class for name, of_class in scores["classes"].items() if of_class}
    assert found == {name: of_class["map_50"] for name, of_class in classes.items()}
    with np.load(out / "gallery.npz") as arrays:
        gallery = dict(arrays)
    scene = scripts.figures.detected(None, gallery)
    assert [cloud.name for cloud in scene.clouds] == ["room 1"]
    points, true, found = scene.clouds[0].views[0].layers
    words = "detection, PointNet++, random"
    assert scene.clouds[0].views[0].name == "PointNet++, random"
    corners = gallery[f"{words}|true_0"]
    assert len(true.points) == 12 * 40 * len(corners) and points.points[:, 1].max() < 2.5
    # edges run along the boxes' sides, with y up
    sides = [np.linalg.norm(corners[:, 0] - corners[:, i], axis=1) for i in (1, 3, 4)]
    length = np.linalg.norm(np.diff(true.points.reshape(-1, 40, 3), axis=1), axis=2).sum()
    assert length == pytest.approx(4 * np.sum(sides))
    assert true.points[:, 1].max() == pytest.approx(corners[..., 2].max())
    assert scripts.figures.detected(None, {}) is None


def test_srunet_describes_seeds_as_it_does_in_its_pretraining(scripts, call_script, tmp_path):
    """All of the trunk's weights are restored."""
    torch.manual_seed(0)
    voxels = "--voxel-size 0.2 --unet-depth 14 --unet-width 4"
    flags = [TINY, voxels, "--backbone srunet --epochs 1"]
    call_script(scripts.train_detector, *flags, "--out", tmp_path / "scratch")
    config = scripts.train_points.Config(
        backbone="srunet", voxel_size=0.2, unet_depth=14, unet_width=4, losses=["point"], epochs=1
    )
    learner = scripts.train_points.Learner(config, 8, 8, 16)
    (tmp_path / "points").mkdir()
    (tmp_path / "points/config.yaml").write_text(settings.dump(config))
    done = {"epoch": 1, "step": 1, "done": True}
    save_checkpoint(tmp_path / "points/last.safetensors", State(learner).arrays(), done)
    start = ["--pretrained", tmp_path / "points", "--least-share 0.5"]
    call_script(scripts.train_detector, *flags, *start, "--lr 1e-9", "--out", tmp_path / "started")
    found = json.loads((tmp_path / "started/scores.json").read_text())
    assert found["method"]["start"] == "point" and found["method"]["backbone"] == "srunet"
    arrays = load_checkpoint(tmp_path / "started/last.safetensors")[0]
    own = {name: array for name, array in arrays.items() if name.startswith("trunk.")}
    size = sum(a.size for name, a in own.items() if "running" not in name and "num_" not in name)
    assert 0.5 < found["restored"] <= 1 and size > 1000
    for name, parameter in learner.trunk.named_parameters():
        kept = own[f"trunk.{name}"]
        np.testing.assert_allclose(kept, parameter.detach(), atol=1e-6, err_msg=name)


def test_any_trunk_gives_seeds_of_the_farthest_points(scripts):
    """A seed has the features that the trunk gives its point."""

    class Coordinates(torch.nn.Module):
        def forward(self, points):
            return scripts.backbones.Described(points * 2, points.amax(1), None)

    points = torch.rand(2, 50, 3)
    seeds, features = scripts.seeds.describe(Coordinates(), points, 10)
    assert [len({*row.tolist()}) for row in seeds] == [10, 10]
    for b in range(2):
        assert torch.equal(features[b], 2 * points[b, seeds[b]])


def test_settings_that_do_not_fit_are_refused(scripts):
    for changed, words in (
        ({"num_points": 300, "num_seeds": 200}, "at most 150 with --num-points 300, got 200 for"),
        ({"num_seeds": 100, "proposals": 101}, "at least --proposals .* got 100 for 101 proposals"),
        ({"ball_points": [4, 4]}, r"--ball-points must be 4 numbers, got \[4, 4\]"),
    ):
        with pytest.raises(InputError, match=words):
            scripts.seeds.check(scripts.train_detector.Config(**changed))
