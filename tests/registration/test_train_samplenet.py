"""The sampler's training in front of PCRNet: losses, resuming, processes, edge sizes."""

import numpy as np
import pytest
import torch

from samplenet import InputError
from samplenet.ops import check_inputs
from samplenet.runs.checkpoint import load_checkpoint
from samplenet.runs.run import Run
from samplenet.torch import simplification_loss

DATA = "--shapes-per-class 10 --pairs 40 --num-points 32 --batch-size 8 --epochs 2"
TINY = "--batch-size 8 --epochs 2 --sample-sizes 6 --deterministic --device cpu"


@pytest.fixture(autouse=True)
def leave_nothing_set():
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def pcrnet(tmp_path_factory, scripts, call_script):
    """The run folder of a tiny PCRNet on ten cars."""
    folder = tmp_path_factory.mktemp("task") / "pcrnet"
    flags = [DATA, "--deterministic", "--device", "cpu", "--out", folder]
    call_script(scripts.train_pcrnet, *flags)
    return folder


@pytest.fixture
def train(scripts, pcrnet, call_script):
    """Train a sampler in this process."""
    return lambda out, *flags: call_script(
        scripts.train_samplenet, TINY, "--task", pcrnet, "--out", out, *flags
    )


def test_a_run_learns_and_leaves_what_explains_it(tmp_path, train, metrics):
    train(tmp_path / "a", "--epochs", 4)
    lines = metrics(tmp_path / "a")
    assert [line["step"] for line in lines] == [4, 8, 12, 16]
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert (
        lines[-1]["projection_loss"] < lines[0]["projection_loss"] < 1
    )  # the temperature falls from 1
    arrays, _ = load_checkpoint(tmp_path / "a" / "last.safetensors")
    assert arrays["fc4.weight"].shape == (18, 256) and "bn_fc3.running_var" in arrays
    assert all(0 < line["held_out_rotation_error_deg"] < 180 for line in lines)


def test_the_loss_is_that_of_both_clouds(scripts, pcrnet):
    """Every part against its formula, each cloud of the pairs for itself."""
    script = scripts.train_samplenet
    net, task = scripts.pcrnet.load_task(str(pcrnet))
    torch.manual_seed(0)
    settings = script.Config(sample_sizes=[5], alpha=0.3, lmbda=0.2, beta=2.0, gamma=0.5, delta=0.1)
    sampler = script.build(settings, 32).eval()
    both = script.SampledTask(sampler, net, settings, task.translation)
    made, _ = scripts.train_pcrnet.make_pairs(task)
    template, source, quaternion, shift = (torch.from_numpy(a[:8]) for a in made)
    loss, parts = both(template, source, quaternion, shift)
    first, second = sampler(template), sampler(source)
    twist, _ = net(first.points, second.points)
    expected = scripts.pcrnet.task_loss(twist, first.points, second.points, quaternion)
    simplify = [
        simplification_loss(s.queries, p, 2.0, 0.5, 0.1)
        for s, p in ((first, template), (second, source))
    ]
    torch.testing.assert_close(parts[1], expected.detach())
    torch.testing.assert_close(parts[2], (simplify[0] + simplify[1]).detach() / 2)
    assert parts[3] == 1  # the first temperature
    torch.testing.assert_close(loss, expected + 0.3 * sum(simplify) / 2 + 0.2)
    assert parts[4].item() == pytest.approx(
        scripts.rigid.angle_between(twist[:, :4], quaternion).mean().item()
    )


@pytest.mark.parametrize("over, share", [("sum", 1), ("mean", 1 / 3)])
def test_a_progressive_loss_adds_up_those_of_its_first_points(scripts, pcrnet, over, share):
    script = scripts.train_samplenet
    net, task = scripts.pcrnet.load_task(str(pcrnet))
    pairs = [torch.from_numpy(a[:8]) for a in scripts.train_pcrnet.make_pairs(task)[0]]

    class First(torch.nn.Module):
        """A sampler that gives the first m points of the same sample."""

        def __init__(self, m):
            super().__init__()
            torch.manual_seed(0)
            self.whole, self.m = script.build(script.Config(sample_sizes=[7]), 32).eval(), m
            self.project = self.whole.project

        def forward(self, clouds):
            sampled = self.whole(clouds)
            return sampled._replace(
                points=sampled.points[:, : self.m], queries=sampled.queries[:, : self.m]
            )

    def losses(sizes):
        settings = {"alpha": 0.3, "lmbda": 0.2, "gamma": 0.5, "delta": 0.1}
        config = script.Config(sample_sizes=sizes, over_sizes=over, **settings)
        return script.SampledTask(First(max(sizes)), net, config, task.translation)(*pairs)[1]

    together, apart = losses([2, 4, 7]), torch.stack([losses([m]) for m in (2, 4, 7)])
    torch.testing.assert_close(together[1:3], share * apart[:, 1:3].sum(0))
    assert together[3] == apart[0, 3]  # the projection loss counts once
    torch.testing.assert_close(
        together[4], apart[:, 4].mean()
    )  # degrees are a mean, whatever the losses are
    torch.testing.assert_close(together[0], together[1] + 0.3 * together[2] + 0.2 * together[3])


def test_the_task_network_stays_as_it_is(scripts, pcrnet, train, tmp_path, monkeypatch):
    nets, load = [], scripts.train_samplenet.load_task
    monkeypatch.setattr(
        scripts.train_samplenet, "load_task", lambda folder: nets.append(load(folder)) or nets[-1]
    )
    train(tmp_path / "run")
    arrays, _ = load_checkpoint(pcrnet / "last.safetensors")
    for name, tensor in nets[0][0].state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), arrays[name], err_msg=name)
        assert not tensor.requires_grad


def test_a_resumed_run_ends_with_the_same_weights(tmp_path, train, monkeypatch, assert_same):
    train(tmp_path / "whole", "--epochs", 3)
    checkpoint = Run.checkpoint

    def stop_after_the_first(run, *args, **more):
        checkpoint(run, *args, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "checkpoint", stop_after_the_first)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", "--epochs", 3)
    monkeypatch.setattr(Run, "checkpoint", checkpoint)
    train(tmp_path / "cut", "--epochs", 3, "--resume")
    assert_same(tmp_path / "whole", tmp_path / "cut")


def test_replicas_of_two_processes_stay_identical(tmp_path, scripts, torchrun, pcrnet, metrics):
    """`Processes.check_identical` ends a run whose replicas part; its own test is below."""
    out = tmp_path / "two"
    flags = [TINY, "--epochs", 3, "--task", pcrnet, "--out", out]
    printed = torchrun(scripts.train_samplenet.__file__, *flags)
    assert printed.count("epoch 3/3") == 1  # only the first process speaks
    lines = metrics(out)
    assert len(lines) == 3 and lines[-1]["loss"] < lines[0]["loss"]


PARTED = """
import sys, torch
from samplenet.torch import processes
with processes.start("cpu", 2) as peers:
    net = torch.nn.Linear(2, 2)
    torch.manual_seed(0)
    torch.nn.init.ones_(net.weight), torch.nn.init.zeros_(net.bias)
    peers.check_identical(net)
    if not peers.first:
        net.bias.data[1] = 1e-7
    try:
        peers.check_identical(net)
    except RuntimeError as error:
        sys.stdout.write(f"noticed: {error}\\n")  # in one piece: two processes write
"""


def test_processes_notice_replicas_that_have_parted(tmp_path, torchrun):
    (tmp_path / "parted.py").write_text(PARTED)
    printed = torchrun(tmp_path / "parted.py")
    assert (
        printed.count("noticed: the weights of 1 of 2 processes differ from the first one's") == 2
    )


@pytest.mark.parametrize(
    "flags",
    [
        ["--no-projection"],
        ["--sample-sizes", "32"],  # m = N
        ["--sample-sizes", "1", "--k", "1"],
        ["--k", "32"],
        ["--amp", "--checkpoint-epochs", "3"],
        pytest.param(["--compile"], marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:torch.*"
)  # PyTorch's compiler of its own parts
def test_options(tmp_path, train, flags, metrics):
    train(tmp_path / "run", *flags)
    lines = metrics(tmp_path / "run")
    assert len(lines) == 2 and np.isfinite(lines[-1]["loss"])
    assert load_checkpoint(tmp_path / "run" / "last.safetensors")[1]["done"]
    if "--no-projection" in flags:
        assert lines[-1]["projection_loss"] == 0


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(tmp_path, train):
    check_inputs(False)  # as in training
    with pytest.raises(
        InputError, match=r"the loss became (nan|inf) at step [1-3]; try a lower --lr"
    ):
        train(tmp_path / "run", "--lr", 1e30)
    assert not (tmp_path / "run" / "last.safetensors").exists()
