"""One process or several, started by torchrun: which one this is, its part of a batch, what all must agree on."""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from samplenet.errors import InputError

DEVICES = ("auto", "cpu", "cuda")
_KEPT_GROUPS = []  # keeps destroyed groups alive: freeing them hangs PyTorch 2.13, see `start`


@dataclass(frozen=True)
class Processes:
    """This process among `count`, and the device it works on. The first one (rank 0) writes for all."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    @property
    def single_process(self) -> bool:
        """Whether there is no other process."""
        return self.count == 1

    def part(self, rows: Tensor) -> Tensor:
        """Take this process's clouds of global batches: (..., B) -> (..., B / count)."""
        return rows[..., self.rank :: self.count]

    def parallel(self, net: nn.Module) -> nn.Module:
        """Average the network's gradients over the processes: those of the mean loss of the global batch."""
        if self.single_process:
            return net
        return nn.parallel.DistributedDataParallel(
            net, [self.device] if self.device.type == "cuda" else None
        )

    def mean(self, measured: list[Tensor]) -> np.ndarray:
        """Read a tensor of each of several steps, (steps, values): means over the processes."""
        values = torch.stack(measured).reshape(len(measured), -1)
        if not self.single_process:
            dist.all_reduce(values)
            values /= self.count
        return values.cpu().numpy()

    def check_identical(self, net: nn.Module) -> None:
        """Raise RuntimeError unless every process has the first one's weights, bit for bit."""
        if self.single_process:
            return
        mine = torch.cat([p.detach().flatten() for p in net.parameters()])
        first = mine.clone()
        dist.broadcast(first, 0)
        differing = torch.tensor(
            [not torch.equal(mine, first)], dtype=torch.int32, device=self.device
        )
        dist.all_reduce(differing)
        if n := differing.item():
            raise RuntimeError(
                f"the weights of {n} of {self.count} processes differ from the first one's"
            )

    def agree(self, value):
        """Return the first process's value in all of them."""
        if self.single_process:
            return value
        box = [value]
        dist.broadcast_object_list(box, 0, device=self.device)
        return box[0]


def choose(device: str, number: int = 0) -> torch.device:
    """Choose the device that --device means for the process of this `number` on its machine."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and number >= torch.cuda.device_count():
        raise InputError(
            f"--device cuda: process {number} here has no GPU, PyTorch sees {torch.cuda.device_count()}"
        )
    return torch.device(device, number) if device == "cuda" else torch.device(device)


@contextlib.contextmanager
def start(device: str, batch_size: int) -> Iterator[Processes]:
    """Join the processes that torchrun started, or be the only one; gloo on the CPU, nccl on GPUs.

    Raises:
        InputError: there is no such device, or the processes cannot share a batch evenly.
    """
    count, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    if batch_size % count:
        raise InputError(
            f"--batch-size {batch_size} is no multiple of the {count} processes that share each batch"
        )
    own_device = choose(device, int(os.environ.get("LOCAL_RANK", 0)))
    on_gpu = own_device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(own_device)
    if count > 1:
        dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Processes(rank, count, own_device)
    finally:
        if count > 1:
            # A gloo thread drops the tensors of its last work under Python's lock. Without a second for that, PyTorch
            # 2.13 hangs whoever frees the group (the model may be its last owner) or aborts the ending process.
            _KEPT_GROUPS.append(dist.group.WORLD)
            time.sleep(1)
            dist.destroy_process_group()
