"""What the networks share: the batch norm momentum in the convention of the whole library."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def set_momentum(model: nn.Module, momentum: float) -> None:
    """Set the decay of the running statistics of every batch norm of a model.

    `momentum` is the share kept at each step, as in `samplenet.tf`; PyTorch's own attribute is the share replaced,
    1 - momentum. A compiled model compiles again when it changes.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = 1 - momentum
