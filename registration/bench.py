"""Time a sampler's training step against the same step with plain PyTorch operations (cdist, topk), in turns.

python registration/bench.py --num-points 1024 --size 64

Random clouds, untrained networks: the work is the same. --device cuda measures a GPU.
"""

import argparse
import contextlib
import statistics
import time
from unittest import mock

import torch

import pcrnet
import rigid
import train_samplenet
from samplenet.ops import Chamfer
from samplenet.ops import torch as ops
from samplenet.runs import settings
from samplenet.runs.environment import environment
from samplenet.runs.script import main
from samplenet.torch import losses, processes, projection


class Plain:
    """The ops of a training step in PyTorch's own operations: all distances, then the smallest."""

    gather = staticmethod(ops.gather)

    @staticmethod
    def knn(queries, points, k):
        """As `samplenet.ops.torch.knn`, ties in any order."""
        dist2, idx = torch.cdist(queries, points).square().topk(k, largest=False)
        return dist2, idx

    @staticmethod
    def chamfer(a, b):
        """As `samplenet.ops.torch.chamfer`."""
        dist2 = torch.cdist(a, b).square()  # (B, M, N)
        (a2b, idx_ab), (b2a, idx_ba) = dist2.min(2), dist2.min(1)
        return Chamfer(a2b, b2a, idx_ab, idx_ba)


@contextlib.contextmanager
def plain():
    """The training step without this library's ops."""
    with (
        mock.patch.object(projection, "ops", Plain),
        mock.patch.object(losses, "ops", Plain),
        mock.patch.object(pcrnet, "chamfer", Plain.chamfer),
    ):
        yield


def timed(step, device: torch.device, steps: int) -> float:
    """Milliseconds a step."""
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - begin) / steps


def measure(flags) -> None:
    torch.manual_seed(0)
    device = processes.choose(flags.device)
    net = pcrnet.PCRNet(input_shape="bnc").requires_grad_(False).to(device)
    config = train_samplenet.Config(sample_sizes=[flags.size])
    sampler = train_samplenet.build(config, flags.num_points).to(device)
    model = train_samplenet.SampledTask(sampler, net, config, translation=False)
    optimizer = torch.optim.Adam(sampler.parameters(), 1e-3, fused=True)
    clouds = torch.rand(flags.batch_size, flags.num_points, 3, device=device) - 0.5
    quaternion = rigid.from_euler(90 * torch.rand(flags.batch_size, 3, device=device) - 45)
    pair = clouds, rigid.rotate(quaternion, clouds), quaternion, torch.zeros(flags.batch_size, 3, device=device)

    def step():
        optimizer.zero_grad()
        model(*pair)[0].backward()
        optimizer.step()

    found = {"plain": [], "ours": []}
    for turn in range(flags.turns + 1):  # the first one warms up
        for name, times in found.items():
            with plain() if name == "plain" else contextlib.nullcontext():
                times.append(timed(step, device, flags.steps if turn else 2))
    reference, ours = (statistics.median(times[1:]) for times in found.values())
    at = f"{torch.get_num_threads()} threads" if device.type == "cpu" else torch.cuda.get_device_name(device)
    print(
        f"B {flags.batch_size}, N {flags.num_points}, m {flags.size}, {at}: a sampler step {ours:.1f} ms, with cdist "
        f"and topk {reference:.1f} ms, ratio {reference / ours:.2f}; native ops: {environment()['native_ops']}"
    )


def arguments() -> argparse.Namespace:
    """The flags, checked."""
    parser = settings.Parser(description=__doc__.splitlines()[0])
    for name, value in (("num-points", 1024), ("size", 64), ("batch-size", 32), ("steps", 10), ("turns", 7)):
        parser.add_argument(f"--{name}", type=int, default=value, help="(default: %(default)s)")
    parser.add_argument("--device", default="auto", choices=processes.DEVICES)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    flags = parser.parse_args()
    settings.at_least(flags, num_points=1, batch_size=1, steps=1, turns=1)
    return flags


if __name__ == "__main__":
    main(lambda: measure(arguments()))
