"""Time a sampler's training step against the same step with plain PyTorch (cdist, topk), in turns.

    python registration/bench.py --num-points 1024 --size 64

Random clouds, untrained networks: the work is the same. --device cuda measures a GPU.
"""

from dataclasses import dataclass
from types import SimpleNamespace
from unittest import mock

import torch

import pcrnet
import rigid
import train_samplenet
from pairs import Pairs
from samplenet.ops import Chamfer
from samplenet.ops import torch as ops
from samplenet.runs.environment import environment
from samplenet.runs.script import main
from samplenet.runs.settings import option
from samplenet.timing import in_turns
from samplenet.torch import losses, processes, projection


@dataclass
class Config:
    num_points: int = option(1024, "points of each cloud, N", at_least=1)
    size: int = option(64, "points to sample, m")
    batch_size: int = option(32, "clouds a step, B", at_least=1)
    steps: int = option(10, "steps a turn", at_least=1)
    turns: int = option(7, "turns whose median is the time", at_least=1)
    device: str = option("auto", "'auto': a GPU where there is one", choices=processes.DEVICES)


def plain_knn(queries, points, k):
    """Return what `samplenet.ops.torch.knn` does, but ties in any order."""
    dist2, idx = torch.cdist(queries, points).square().topk(k, largest=False)
    return dist2, idx


def plain_chamfer(a, b):
    """Return what `samplenet.ops.torch.chamfer` does."""
    dist2 = torch.cdist(a, b).square()  # (B, M, N)
    (a2b, idx_ab), (b2a, idx_ba) = dist2.min(2), dist2.min(1)
    return Chamfer(a2b, b2a, idx_ab, idx_ba)


PLAIN = SimpleNamespace(knn=plain_knn, chamfer=plain_chamfer, gather=ops.gather)


def measure(config: Config) -> None:
    """Print the milliseconds of both steps, and their ratio."""
    torch.manual_seed(0)
    device = processes.choose(config.device)
    net = pcrnet.PCRNet().requires_grad_(False).to(device)
    training = train_samplenet.Config(sample_sizes=[config.size])
    sampler = train_samplenet.build(training, config.num_points).to(device)
    model = train_samplenet.SampledTask(sampler, net, training, translation=False)
    optimizer = torch.optim.Adam(sampler.parameters(), 1e-3, fused=True)
    clouds = torch.rand(config.batch_size, config.num_points, 3, device=device) - 0.5
    quaternion = rigid.from_euler(90 * torch.rand(config.batch_size, 3, device=device) - 45)
    pairs = Pairs(
        clouds, rigid.rotate(quaternion, clouds), quaternion, torch.zeros_like(clouds[:, 0])
    )

    def ours():
        for _ in range(config.steps):
            optimizer.zero_grad()
            model(*pairs)[0].backward()
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    def reference():
        with (
            mock.patch.object(projection, "ops", PLAIN),
            mock.patch.object(losses, "ops", PLAIN),
            mock.patch.object(pcrnet, "chamfer", plain_chamfer),
        ):
            ours()

    times = in_turns({"reference": reference, "ours": ours}, config.turns)
    reference_ms, ours_ms = (1e3 * seconds.median / config.steps for seconds in times.values())
    on_cpu, threads = device.type == "cpu", f"{torch.get_num_threads()} threads"
    machine = threads if on_cpu else torch.cuda.get_device_name(device)
    print(
        f"B {config.batch_size}, N {config.num_points}, m {config.size}, {machine}: "
        f"a sampler step {ours_ms:.1f} ms, with cdist and topk {reference_ms:.1f} ms, "
        f"ratio {reference_ms / ours_ms:.2f}; "
        f"native ops: {environment()['native_ops']}"
    )


if __name__ == "__main__":
    main(measure, Config, __doc__)
