"""A training step, compiled or captured as the settings say."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from samplenet.errors import InputError
from samplenet.torch import capture
from samplenet.torch.processes import Processes
from samplenet.torch.settings import DeviceConfig


def training_step(
    learner: nn.Module,
    optimizer: torch.optim.Optimizer,
    peers: Processes,
    config: DeviceConfig,
    one_size: bool = True,
) -> Callable[..., Tensor]:
    """Return the function of a training step: the learner's inputs -> what it measured.

    Args:
        learner: returns the loss, and what is measured, without gradient. It is one module, because
            torch.compile and DistributedDataParallel wrap a module.
        one_size: whether all batches have the same shapes, as a captured step needs; voxels do not.
    """
    model = peers.parallel(learner)
    model = torch.compile(model) if config.compile else model

    def train_step(*batch):
        optimizer.zero_grad()
        with torch.autocast(peers.device.type, torch.bfloat16, enabled=config.amp):
            loss, measured = model(*batch)
        loss.backward()
        optimizer.step()
        return measured

    if not one_size:
        if config.capture:
            raise InputError("--capture needs batches of one size, not voxels; leave it out")
        return train_step
    return capture.captured(train_step, optimizer, peers, config)
