"""The blocks are their plain layers, the pooled one also in several processes."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from samplenet.torch.layers import point_block, pooled_block

SHAPE, WIDTH = (4, 60, 6), 10


def layers(norm: type[_BatchNorm] = nn.BatchNorm1d, **settings):
    """Return a linear layer and a batch norm with scales of both signs, in float64."""
    generator = torch.Generator().manual_seed(0)
    linear, norm = nn.Linear(SHAPE[2], WIDTH).double(), norm(WIDTH, **settings).double()
    for parameter in (linear.weight, linear.bias, norm.weight, norm.bias):
        nn.init.normal_(parameter, generator=generator)
    return linear, norm


def inputs():
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(SHAPE, generator=generator, dtype=torch.float64),
        torch.randn((SHAPE[0], WIDTH), generator=generator, dtype=torch.float64),
    )


def plain_block(features, linear, norm):
    out = linear(features)
    if norm is not None:
        out = norm(out.flatten(0, 1)).view_as(out)
    return torch.relu(out).amax(1)


def results(block, features, grad, linear, norm):
    """Return outputs, gradients and the norm's buffers of a block after one step."""
    features = features.clone().requires_grad_()
    out = block(features, linear, norm)
    parameters = [p for module in (linear, norm) if module for p in module.parameters()]
    gradients = torch.autograd.grad((out * grad).sum(), [features, *parameters])
    return [out.detach(), *gradients, *(norm.buffers() if norm else ())]


def ours(features, linear, norm):
    return pooled_block(features, linear.weight.t(), linear.bias, norm)


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("training", [True, False])
def test_a_block_of_points_is_the_plain_layers(training, momentum):
    linear, norm = layers(nn.BatchNorm2d, momentum=momentum)
    nn.init.normal_(norm.running_mean)
    twin = copy.deepcopy(norm)

    def plain(features, linear, norm):
        return torch.relu(norm(linear(features).transpose(1, 2)[..., None]))[..., 0].amax(2)

    def block(features, linear, norm):
        return point_block(features, linear.weight.t(), linear.bias, norm).amax(1)

    want = results(plain, *inputs(), linear, norm.train(training))
    got = results(block, *inputs(), linear, twin.train(training))
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("training", [True, False])
def test_it_is_the_plain_layers(training, momentum):
    linear, norm = layers(momentum=momentum)
    nn.init.normal_(norm.running_mean)
    twin = copy.deepcopy(norm)
    want = results(plain_block, *inputs(), linear, norm.train(training))
    got = results(ours, *inputs(), linear, twin.train(training))
    torch.testing.assert_close(got, want)


def test_it_is_the_plain_layers_without_a_norm():
    linear, _ = layers()
    want = results(plain_block, *inputs(), linear, None)
    torch.testing.assert_close(results(ours, *inputs(), linear, None), want)


def test_a_synchronised_norm_is_that_of_the_whole_batch(monkeypatch):
    # two threads are the processes: each takes half of the batch and meets the other to add up
    meeting, held = threading.Barrier(2, timeout=60), {}

    def all_reduce(value, group):
        held[threading.get_ident()] = value.clone()
        meeting.wait()
        total = sum(held.values())
        meeting.wait()
        value.copy_(total)

    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda group: 2)
    monkeypatch.setattr(dist, "all_reduce", all_reduce)

    def half(rank):
        features, grad = (part.chunk(2)[rank] for part in inputs())
        return results(ours, features, grad, *layers(nn.SyncBatchNorm))

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(half, range(2))
    out, features, *rest = results(plain_block, *inputs(), *layers())
    halves = zip(first[:2], second[:2], strict=True)
    for want, got in zip((out, features), map(torch.cat, halves), strict=True):
        torch.testing.assert_close(got, want)
    gradients, buffers = rest[:4], rest[4:]  # of weight and bias of both layers
    for want, one, two in zip(gradients, first[2:6], second[2:6], strict=True):
        torch.testing.assert_close(one + two, want)
    torch.testing.assert_close(first[6:], buffers)
