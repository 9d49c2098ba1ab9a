"""The trainings of the image network and of point networks from it, and the linear probe."""

import json

import numpy as np
import pytest
import torch

from samplenet import InputError
from samplenet.runs.checkpoint import load_checkpoint

DATA = "--classes chair cup --shapes-per-class 4 --num-views 4 --image-size 16 --device cpu "
RUN = "--batch-size 4 --epochs 2 --deterministic "
IMAGES = DATA + RUN + "--depth 10 --width 4 --outputs 16"
POINTS = DATA + RUN + "--num-points 32 --pairs 8 --k 4"
PROBE = "--shapes-per-class 3 --num-points 32 --device cpu"


@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory):
    """Draw the built-in shapes once, in a folder of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMPLENET_DATA", str(tmp_path_factory.mktemp("data")))
        yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def images(scripts, call_script, tmp_path_factory):
    """The run folder of an image network."""
    out = tmp_path_factory.mktemp("runs") / "images"
    call_script(scripts.train_images, IMAGES, "--out", out)
    return out


@pytest.fixture(scope="module")
def pretrained(scripts, call_script, images):
    """The run folder of a point network."""
    out = images.parent / "both"
    call_script(scripts.train_points, POINTS, "--images", images, "--out", out)
    return out


def test_an_image_network_learns_from_crops_or_views(scripts, call_script, tmp_path, metrics):
    call_script(scripts.train_images, IMAGES, "--epochs 30 --lr 3e-3 --out", tmp_path / "crops")
    losses = [line["loss"] for line in metrics(tmp_path / "crops")]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.1, losses
    out = tmp_path / "views"
    call_script(scripts.train_images, IMAGES, "--positives views --views 2 --out", out)
    assert len(metrics(out)) == 2
    with pytest.raises(InputError, match="--views 3 needs 6 views, got 4"):
        call_script(scripts.train_images, IMAGES, "--positives views --views 3 --out", out)


def test_the_sides_of_a_pair_are_what_positives_names(scripts):
    config = scripts.train_images.Config(num_views=4, views=2)
    (first, second), numbers = scripts.train_images.draw(config, step=3, row=5)
    assert first.tolist() == second.tolist() and len({*first}) == 2
    assert numbers.shape == (2, 2, scripts.augmentation.NUMBERS)
    config.positives = "views"
    views, _ = scripts.train_images.draw(config, step=3, row=5)
    assert len({*views.ravel()}) == 4


def test_a_resumed_run_ends_as_an_unbroken_one(scripts, call_script, pretrained, images, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        save = scripts.train_points.Training.end_epoch

        def stop_after_one(training, *words, **values):
            save(training, *words, **values)
            if training.epoch == 0:
                raise KeyboardInterrupt

        patch.setattr(scripts.train_points.Training, "end_epoch", stop_after_one)
        with pytest.raises(KeyboardInterrupt):
            call_script(scripts.train_points, POINTS, "--images", images, "--out", tmp_path / "run")
    call_script(
        scripts.train_points, POINTS, "--images", images, "--out", tmp_path / "run", "--resume"
    )
    whole, broken = (
        load_checkpoint(folder / "last.safetensors")[0] for folder in (pretrained, tmp_path / "run")
    )
    for name, array in whole.items():
        np.testing.assert_array_equal(broken[name], array, err_msg=name)


@pytest.mark.parametrize(
    "flags, zero",
    [
        ("--losses point --choose sps --exclude-duplicates", "global_loss"),
        ("--losses global --image-mode train", "point_loss"),
        ("--backbone dgcnn --amp", "regulariser"),
        ("--no-transforms", "regulariser"),
    ],
)
def test_options(scripts, call_script, images, tmp_path, metrics, flags, zero):
    call_script(scripts.train_points, POINTS, flags, "--images", images, "--out", tmp_path / "run")
    last = metrics(tmp_path / "run")[-1]
    parts = {"point_loss": 1, "global_loss": 1, "regulariser": 0.001}
    total = sum(weight * last[name] for name, weight in parts.items())
    assert last["loss"] == pytest.approx(total, rel=1e-5)
    assert [name for name in parts if last[name] == 0] == (
        [zero] if "--losses" in flags or zero == "regulariser" else []
    )


def test_views_of_rooms_teach_srunet(scripts, call_script, tmp_path, metrics):
    rooms = f"--rooms 1 --num-views 2 --image-size 16 --num-points 200 --device cpu {RUN}"
    images = ["--depth 10 --width 4 --outputs 16", "--out", tmp_path / "images"]
    call_script(scripts.train_images, rooms, *images)
    small = f"{rooms} --backbone srunet --unet-depth 14 --unet-width 4 --voxel-size 0.1 --pairs 8"
    flags = [small, "--images", tmp_path / "images", "--augmentation", "scene"]
    call_script(scripts.train_points, *flags, "--out", tmp_path / "points")
    last = metrics(tmp_path / "points")[-1]
    assert last["point_loss"] > 0 and last["global_loss"] > 0 and last["regulariser"] == 0
    arrays, _ = load_checkpoint(tmp_path / "points" / "last.safetensors")
    assert "trunk.net.up.3.blocks.0.second.conv.weight" in arrays
    with pytest.raises(InputError, match="must be of pointnet or dgcnn, got srunet"):
        probe = ["--pretrained", tmp_path / "points", "--out", tmp_path / "probe"]
        call_script(scripts.linear_probe, PROBE, *probe, action="probe")
    with pytest.raises(InputError, match="--capture needs batches of one size, not voxels"):
        call_script(scripts.train_points, *flags, "--capture", "--out", tmp_path / "captured")
    with pytest.raises(InputError, match="--augmentation scene needs scenes"):
        call_script(scripts.train_points, POINTS, *flags[1:], "--out", tmp_path / "none")


def test_the_image_network_stays_as_it_is(scripts, pretrained, images):
    """Its cached maps and descriptions are those of its pictures, whatever trains on them."""
    net, config = scripts.resnet.load_images(images)
    assert not net.training and config.outputs == 16
    pictures = torch.randint(256, (3, 4, 16, 16, 3), dtype=torch.uint8)
    maps, objects = scripts.train_points.look_at_all(net, pictures, 2)
    assert maps.shape == (3, 4, 32, 2, 2) and maps.dtype == torch.float16
    expected = net(pictures.movedim(-1, 2).float() / 255)
    torch.testing.assert_close(objects, expected, rtol=1e-4, atol=1e-5)


def test_two_processes_share_a_batch(scripts, torchrun, images, pretrained, tmp_path, metrics):
    """They agree on the weights (Training checks it); batch norm sees a half in each."""
    for script, run, flags in (
        ("train_images", images, IMAGES),
        ("train_points", pretrained, f"{POINTS} --images {images}"),
    ):
        out = tmp_path / script
        printed = torchrun(str(scripts.folder / f"{script}.py"), flags, "--out", out)
        assert printed.count("epoch 2/2") == 1
        one, two = (metrics(folder)[0]["loss"] for folder in (run, out))
        assert two == pytest.approx(one, rel=0.2)


def test_a_probe_scores_random_and_pretrained_weights(scripts, call_script, pretrained, tmp_path):
    probe = scripts.linear_probe
    for start, flags in (
        ("random", "--k 4"),
        ("initial", "--no-settle"),
        ("both", f"--pretrained {pretrained} --labels-per-class 2 --kernel rbf"),
    ):
        out = tmp_path / "probe"
        call_script(probe, PROBE, flags, "--out", out, action="probe")
        found = json.loads((out / "scores.json").read_text())
        assert found["method"]["start"] == start and found["n"] == 21
        assert found["restored"] == (start == "both")
        assert 1 / 21 < found["scores"]["accuracy"] <= 1


def test_a_probe_needs_enough_labels_and_spares_runs(scripts, call_script, pretrained, tmp_path):
    probe, flags = scripts.linear_probe, [PROBE, "--pretrained", pretrained]
    with pytest.raises(InputError, match="grid needs two classes of 5 labelled clouds or more"):
        call_script(probe, *flags, "--kernel grid --out", tmp_path / "few", action="probe")
    before = (pretrained / "config.yaml").read_bytes()
    with pytest.raises(InputError, match="holds a training run; choose another --out"):
        call_script(probe, *flags, "--out", pretrained, action="probe")
    assert (pretrained / "config.yaml").read_bytes() == before


def test_restoring_too_little_is_refused_and_changes_nothing(scripts, pretrained):
    net = torch.nn.Module()
    net.trunk = scripts.backbones.DGCNN()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(InputError, match=r"restores 0.0% of the weights.*30% are needed.*trunk\."):
        scripts.restore.restore(net, pretrained, 0.3)
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_the_restored_share_is_of_the_parameters_of_the_new_network(scripts, pretrained, capsys):
    net = torch.nn.Module()
    net.trunk, net.out = scripts.backbones.PointNet(), torch.nn.Linear(1024, 40)
    share = scripts.restore.restore(net, pretrained, 0.9)
    trunk = sum(p.numel() for p in net.trunk.parameters())
    assert share == pytest.approx(trunk / (trunk + 1025 * 40))
    assert f"{share:.1%} of the weights are from {pretrained}" in capsys.readouterr().out
    arrays, _ = load_checkpoint(pretrained / "last.safetensors")
    widest = net.trunk.widest.linear.weight.detach().numpy()
    np.testing.assert_array_equal(widest, arrays["trunk.widest.linear.weight"])
