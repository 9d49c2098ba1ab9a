"""Share each batch of a training among the processes that torchrun started."""

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
_KEPT_GROUPS = []  # keeps destroyed process groups alive, see `start`


@dataclass(frozen=True)
class Processes:
    """This process among `count`, and its device. The first process, rank 0, writes for all."""

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

    def part(self, rows: np.ndarray) -> Tensor:
        """Take this process's part of whole batches to its device: (..., B) -> (..., B / count)."""
        return torch.from_numpy(rows[..., self.rank :: self.count]).to(self.device)

    def parallel(self, net: nn.Module) -> nn.Module:
        """Wrap a network to average gradients over the processes: those of the whole batch."""
        if self.single_process:
            return net
        devices = [self.device] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(net, devices)

    def gather(self, rows: Tensor) -> Tensor:
        """Join the rows (b, ...) of all processes to (b * count, ...), differentiably.

        For a loss of the whole batch that each process computes alike: `parallel` then averages its
        gradients to those of one process.
        """
        return rows if self.single_process else _Gather.apply(rows)

    def mean(self, measured: list[Tensor]) -> np.ndarray:
        """Read the results of several steps, (steps, values), averaged over the processes."""
        values = torch.stack(measured).reshape(len(measured), -1)
        if not self.single_process:
            dist.all_reduce(values)
            values /= self.count
        return values.cpu().numpy()

    def check_identical(self, net: nn.Module) -> None:
        """Raise RuntimeError unless every process has the first one's weights, bit for bit."""
        if self.single_process:
            return
        weights = torch.cat([p.detach().flatten() for p in net.parameters()])
        first = weights.clone()
        dist.broadcast(first, 0)
        differing = torch.tensor(int(not torch.equal(weights, first)), device=self.device)
        dist.all_reduce(differing)
        if n := differing.item():
            raise RuntimeError(
                f"the weights of {n} of {self.count} processes differ from the first one's"
            )

    def agree(self, value):
        """Return the first process's value in all of them; it must pickle."""
        if self.single_process:
            return value
        box = [value]
        dist.broadcast_object_list(box, 0, device=self.device)
        return box[0]


class _Gather(torch.autograd.Function):
    """Concatenate the processes' rows; each gets the sum of the gradients of its own."""

    @staticmethod
    def forward(ctx, rows):
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient):
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient.chunk(dist.get_world_size())[dist.get_rank()]


def choose(device: str, number: int = 0) -> torch.device:
    """Return the device that --device means for process `number` of a machine."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count()
    if number >= count:
        raise InputError(f"--device cuda: process {number} here has no GPU, PyTorch sees {count}")
    return torch.device("cuda", number)


@contextlib.contextmanager
def start(device: str, batch_size: int, deterministic: bool = False) -> Iterator[Processes]:
    """Join the processes that torchrun started, or be the only one; gloo on the CPU, nccl on GPUs.

    Args:
        device: one of `DEVICES`.
        batch_size: of a whole batch.
        deterministic: the same seed on the same device gives the same weights, bit for bit.

    Raises:
        InputError: there is no such device, or the processes cannot share a batch evenly.
    """
    torch.use_deterministic_algorithms(deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid, and slow
    if deterministic:  # cuBLAS is deterministic only with a workspace of fixed size
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    count, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    if batch_size % count:
        raise InputError(
            f"--batch-size {batch_size} is no multiple of the {count} processes that share a batch;"
            " choose another"
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
            # A gloo thread frees the tensors of its last work under Python's lock. Without a second
            # for that PyTorch 2.13 aborts the ending process, or hangs whoever frees the group: the
            # model may be its last owner, so it is kept.
            _KEPT_GROUPS.append(dist.group.WORLD)
            time.sleep(1)
            dist.destroy_process_group()
