"""One process or several, started by torchrun: which one this is, its part of a batch, what all must agree on."""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from samplenet.errors import InputError

DEVICES = ("auto", "cpu", "cuda")
LEFT = []  # process groups that were left, see `start`


@dataclass(frozen=True)
class Processes:
    """This process among `world`, and the device it works on. The first one (rank 0) writes for all."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0

    def part(self, rows: Tensor) -> Tensor:
        """This process's clouds of global batches: (..., B) -> (..., B / world)."""
        return rows[..., self.rank :: self.world]

    def parallel(self, net: nn.Module) -> nn.Module:
        """The network with gradients averaged over the processes: those of the mean loss of the global batch."""
        if self.world == 1:
            return net
        return nn.parallel.DistributedDataParallel(net, [self.device] if self.device.type == "cuda" else None)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes of a tensor each of them has."""
        if self.world > 1:
            dist.all_reduce(values)
            values /= self.world
        return values

    def check_identical(self, net: nn.Module) -> None:
        """RuntimeError unless every process has the first one's weights, bit for bit."""
        if self.world == 1:
            return
        mine = torch.cat([p.detach().flatten() for p in net.parameters()])
        first = mine.clone()
        dist.broadcast(first, 0)
        apart = torch.tensor([not torch.equal(mine, first)], dtype=torch.int32, device=self.device)
        dist.all_reduce(apart)
        if apart.item():
            raise RuntimeError(f"the weights of {apart.item()} of {self.world} processes differ from the first one's")

    def agree(self, value):
        """The first process's value, on all."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, 0, device=self.device)
        return box[0]


def choose(device: str, number: int = 0) -> torch.device:
    """The device that --device means for the process of this `number` on its machine."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and number >= torch.cuda.device_count():
        raise InputError(f"--device cuda: process {number} here has no GPU, PyTorch sees {torch.cuda.device_count()}")
    return torch.device(device, number) if device == "cuda" else torch.device(device)


@contextlib.contextmanager
def start(device: str, batch_size: int) -> Iterator[Processes]:
    """Join the processes that torchrun started, or be the only one; gloo on the CPU, nccl on GPUs.

    Raises:
        InputError: there is no such device, or the processes cannot share a batch evenly.
    """
    world, rank, local = (
        int(os.environ.get(name, n)) for name, n in (("WORLD_SIZE", 1), ("RANK", 0), ("LOCAL_RANK", 0))
    )
    if batch_size % world:
        raise InputError(f"--batch-size {batch_size} is no multiple of the {world} processes that share each batch")
    place = choose(device, local)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    if world > 1:
        dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Processes(rank, world, place)
    finally:
        if world > 1:
            # A gloo thread drops the tensors of its last work under Python's lock. Without a second for that, PyTorch
            # 2.13 hangs whoever frees the group (the model may be its last owner) or aborts the ending process.
            LEFT.append(dist.group.WORLD)
            time.sleep(1)
            dist.destroy_process_group()
