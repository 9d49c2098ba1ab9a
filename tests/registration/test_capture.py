"""Captured training steps: what they train, what they ask of the host, what they refuse."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from samplenet import InputError
from samplenet.ops import check_inputs
from samplenet.torch import capture
from samplenet.torch.processes import Processes

# A learning rate that changes at each step. Of its eight steps a captured run replays five.
TINY = "--batch-size 8 --epochs 2 --deterministic --lr-schedule cosine"
PAIRS = "--shapes-per-class 10 --pairs 40 --num-points 32"
CPU = ("--device", "cpu")
NETWORKS = ("train_pcrnet", "train_samplenet")


@pytest.fixture(scope="module")
def benchmark():
    """The benchmark that counts the host's work, with its stand-in for CUDA graphs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        import captured_steps

        yield captured_steps


@pytest.fixture
def graphs(benchmark):
    """CUDA graphs, recorded and replayed on the CPU."""
    with benchmark.cpu_graphs():
        yield


@pytest.fixture(autouse=True)
def as_in_training():
    """Coordinates are not checked, for that reads them; what scripts set is put back."""
    check_inputs(False)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def flags(scripts, call_script, tmp_path_factory):
    """The flags of each script; a sampler's name a trained PCRNet."""
    task = tmp_path_factory.mktemp("task") / "pcrnet"
    call_script(scripts.train_pcrnet, PAIRS, TINY, *CPU, "--out", task)
    torch.use_deterministic_algorithms(False)
    return {
        "train_pcrnet": [*PAIRS.split(), *TINY.split()],
        "train_samplenet": [*TINY.split(), "--task", str(task), "--sample-sizes", "3", "6"],
    }


@pytest.fixture
def train(scripts, call_script, flags):
    """Train one of the networks in this process."""
    return lambda name, out, *more: call_script(
        getattr(scripts, name), *flags[name], "--out", out, *more
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_captured_steps_train_what_plain_ones_do_and_ask_a_third_of_the_host_at_most(
    name, benchmark, graphs, scripts, flags, tmp_path, assert_same
):
    script, counts = getattr(scripts, name), {}
    for way in ("--no-capture", "--capture"):
        out = tmp_path / way
        counts[way] = benchmark.count(script, *flags[name], *CPU, way, "--out", str(out))
    print(f"{name}: operations from the host and values that it reads, a step: {counts}")
    assert_same(tmp_path / "--no-capture", tmp_path / "--capture")
    (plain, _), (captured, reads) = counts.values()
    # a batch of four tensors is loaded and copied, the learning rate set, the result copied
    assert captured == 4 + 4 + 1 + 1 and reads == 0
    assert 3 * (captured + 1) <= plain  # with the start of the graph


def test_mixed_precision_is_captured(graphs, train, tmp_path, assert_same):
    for way in ("--no-capture", "--capture"):
        train("train_samplenet", tmp_path / way, *CPU, "--amp", way)
    assert_same(tmp_path / "--no-capture", tmp_path / "--capture")


@pytest.mark.parametrize("first, then", [("--capture", "--no-capture"), ("--no-capture", "")])
def test_a_run_goes_on_the_other_way(
    first, then, graphs, train, scripts, tmp_path, monkeypatch, assert_same
):
    train("train_samplenet", tmp_path / "whole", *CPU, "--no-capture")
    learning_rate = scripts.train_samplenet.schedules.learning_rate

    def stopping(config, step, steps):
        if step == 6:
            raise KeyboardInterrupt
        return learning_rate(config, step, steps)

    monkeypatch.setattr(scripts.train_samplenet.schedules, "learning_rate", stopping)
    with pytest.raises(KeyboardInterrupt):
        train("train_samplenet", tmp_path / "parts", *CPU, first)
    monkeypatch.undo()
    train("train_samplenet", tmp_path / "parts", *CPU, then, "--resume")
    assert_same(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", NETWORKS)
def test_a_gpu_gives_the_same_weights_captured_and_plain(name, train, tmp_path, assert_same):
    for way in ("--no-capture", "--capture"):
        train(name, tmp_path / way, "--device", "cuda", way)
    assert_same(tmp_path / "--no-capture", tmp_path / "--capture")


@pytest.mark.parametrize("name", NETWORKS)
def test_capture_where_it_cannot_be_is_an_error(name, train, tmp_path):
    with pytest.raises(InputError, match="--capture needs a GPU, one process, no --compile and"):
        train(name, tmp_path / "run", *CPU, "--capture")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "device, processes, compiles, checks, possible",
    [
        ("cuda", 1, False, False, True),
        ("cpu", 1, False, False, False),
        ("cuda", 2, False, False, False),
        ("cuda", 1, True, False, False),
        ("cuda", 1, False, True, False),
    ],
)
def test_steps_are_captured_on_one_gpu(device, processes, compiles, checks, possible):
    check_inputs(checks)
    peers = Processes(0, processes, torch.device(device))
    assert capture.serves(peers, SimpleNamespace(compile=compiles)) is possible


def warm_step(read=lambda loss: None):
    """Return a captured step of a linear layer that has been warmed up; `read` sees its loss."""
    net = torch.nn.Linear(3, 1)
    optimizer = capture.adam(net, 1e-3)

    def step(points):
        optimizer.zero_grad()
        loss = net(points).square().mean()
        loss.backward()
        read(loss)
        optimizer.step()
        return loss.detach()

    captured = capture.CapturedStep(step, optimizer)
    for _ in range(capture.WARM_UP):
        captured(torch.ones(2, 3))
    return captured


def test_measurements_outlive_the_next_step(graphs):
    step = warm_step()
    losses = [step(torch.full((2, 3), float(scale))) for scale in (1, 2)]
    assert losses[0] != losses[1]


def test_a_batch_of_another_size_is_an_error(graphs):
    step = warm_step()
    step(torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"shape \(2, 3\), got \(1, 3\); all batches must have"):
        step(torch.ones(1, 3))


@pytest.mark.parametrize("read", [lambda loss: loss.item(), lambda loss: loss > 0 and None])
def test_a_step_that_reads_a_value_cannot_be_captured(graphs, read):
    step = warm_step(read)
    with pytest.raises(InputError, match="cannot be captured as a CUDA graph.*--no-capture"):
        step(torch.ones(2, 3))


def test_adam_has_the_numbers_of_a_learning_rate_that_is_no_tensor():
    weights = []
    for build in (capture.adam, plain_adam):
        torch.manual_seed(0)
        net = torch.nn.Linear(5, 5)
        optimizer = build(net, 1e-3)
        for step in range(20):
            set_rate(optimizer.param_groups[0], 1e-3 * 0.9**step)
            optimizer.zero_grad()
            net(torch.randn(8, 5)).square().sum().backward()
            optimizer.step()
        weights.append(net.weight.detach())
    assert torch.equal(*weights)


def plain_adam(net, lr):
    return torch.optim.Adam(net.parameters(), lr, fused=True)


def set_rate(group, lr):
    if isinstance(group["lr"], torch.Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr
