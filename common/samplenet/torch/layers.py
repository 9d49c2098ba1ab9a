"""The batch norm momentum, in the convention of the whole library."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def set_momentum(model: nn.Module, momentum: float) -> None:
    """Set the share of the running statistics that every batch norm of a model keeps.

    That is `samplenet.tf`'s convention; PyTorch's attribute is the share replaced, 1 - momentum.
    A compiled model is compiled again when it changes.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = 1 - momentum
