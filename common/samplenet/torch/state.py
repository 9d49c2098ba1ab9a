"""The state of a network and its optimizer as named arrays, for `samplenet.runs.checkpoint`."""

import numpy as np
import torch
from torch import nn

from samplenet.errors import InputError


def get_state(
    net: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> dict[str, np.ndarray]:
    """Copy the weights to NumPy arrays by their names; with the optimizer, all that continuing needs.

    The optimizer's are named "optimizer/<number of the weight>/<quantity>".
    """
    tensors = dict(net.state_dict())
    if optimizer is not None:
        for number, quantities in optimizer.state_dict()["state"].items():
            tensors |= {
                f"optimizer/{number:03d}/{name}": value for name, value in quantities.items()
            }
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}


def set_state(
    net: nn.Module,
    arrays: dict[str, np.ndarray],
    optimizer: torch.optim.Optimizer | None = None,
    source="the checkpoint",
) -> None:
    """Put the arrays of `get_state` back; InputError, and nothing changed, unless names and shapes agree.

    Without an optimizer, only the weights are read.
    """
    for name, tensor in net.state_dict().items():
        if name not in arrays or arrays[name].shape != tuple(tensor.shape):
            found = f"has shape {arrays[name].shape}" if name in arrays else "is missing"
            raise InputError(
                f"{source} does not fit this network: {name} {found}, needed {tuple(tensor.shape)}"
            )
    net.load_state_dict({name: torch.from_numpy(arrays[name].copy()) for name in net.state_dict()})
    if optimizer is not None:
        state = {}
        for name, array in arrays.items():
            if name.startswith("optimizer/"):
                _, number, quantity = name.split("/")
                state.setdefault(int(number), {})[quantity] = torch.from_numpy(array.copy())
        optimizer.load_state_dict(
            {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
        )


class State:
    """A network and its optimizer, as `samplenet.runs.training.Training` saves and restores them."""

    def __init__(self, net, optimizer):
        self.net, self.optimizer = net, optimizer

    def arrays(self) -> dict[str, np.ndarray]:
        """Copy the state to named arrays."""
        return get_state(self.net, self.optimizer)

    def restore(self, arrays: dict[str, np.ndarray], source: str) -> None:
        """Put the arrays back; errors name their `source`."""
        set_state(self.net, arrays, self.optimizer, source)
