"""Several processes that share a batch."""

import threading
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.distributed as dist

from samplenet.torch.processes import Processes


def test_a_loss_of_gathered_rows_has_the_gradients_of_one_process(monkeypatch):
    # two threads are the processes; each holds half of the rows and meets the other to exchange
    meeting, own, held = threading.Barrier(2, timeout=60), threading.local(), {}

    def exchange(value):
        held[own.rank] = value.detach().clone()
        meeting.wait()
        both = [held[0], held[1]]
        meeting.wait()
        return both

    def all_gather(parts, value):
        for part, other in zip(parts, exchange(value), strict=True):
            part.copy_(other)

    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "get_rank", lambda: own.rank)
    monkeypatch.setattr(dist, "all_gather", all_gather)
    monkeypatch.setattr(dist, "all_reduce", lambda value: value.copy_(sum(exchange(value))))

    rows, start = torch.randn(6, 3), torch.randn(3, 2)

    def loss_of(features):  # all rows meet all others
        return (features @ features.mT).softmax(1).diagonal().log().mean()

    def process(rank):
        own.rank, weight = rank, start.clone().requires_grad_()
        peers = Processes(rank, 2, torch.device("cpu"))
        loss = loss_of(peers.gather(rows.chunk(2)[rank] @ weight))
        loss.backward()
        return loss.detach(), weight.grad

    with ThreadPoolExecutor(2) as pool:
        (one, first), (two, second) = pool.map(process, range(2))
    weight = start.clone().requires_grad_()
    whole = loss_of(Processes(0, 1, torch.device("cpu")).gather(rows @ weight))
    whole.backward()
    torch.testing.assert_close((one, two), (whole.detach(), whole.detach()))
    torch.testing.assert_close((first + second) / 2, weight.grad)  # as `parallel` averages them
