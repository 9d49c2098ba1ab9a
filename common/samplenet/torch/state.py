"""The state of a network and its optimizer as named arrays, which a checkpoint holds."""

import numpy as np
import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from samplenet.errors import InputError
from samplenet.runs.checkpoint import misfits


class State:
    """A network and its optimizer, for `samplenet.runs.training` to save and restore.

    Weights have their names in the state dict. With the optimizer, there is all that a training
    needs to continue: its quantities are named "optimizer/<number of the weight>/<quantity>", and
    for a network with dropout the state of PyTorch's generator, "seed/<device>".
    """

    def __init__(self, net: nn.Module, optimizer: torch.optim.Optimizer | None = None):
        self.model, self.optimizer = net, optimizer

    def arrays(self) -> dict[str, np.ndarray]:
        """Copy the state to NumPy arrays."""
        tensors = dict(self.model.state_dict())
        if self.optimizer is not None:
            for number, quantities in self.optimizer.state_dict()["state"].items():
                for quantity, value in quantities.items():
                    tensors[f"optimizer/{number:03d}/{quantity}"] = value
            for device, generator in self._generators().items():
                tensors[f"seed/{device}"] = generator.get_state()
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}

    def restore(self, arrays: dict[str, np.ndarray], source="the checkpoint") -> None:
        """Copy the arrays back; those that are not of this state are ignored.

        Raises:
            InputError: names or shapes of the weights do not agree; the network is unchanged.
        """
        weights = self.model.state_dict()
        if faults := misfits(arrays, {name: tuple(t.shape) for name, t in weights.items()}):
            raise InputError(f"{source} does not fit this network: {faults[0]}")
        self.model.load_state_dict(
            {name: torch.from_numpy(arrays[name].copy()) for name in weights}
        )
        if self.optimizer is not None:
            state = {}
            for name, array in arrays.items():
                if name.startswith("optimizer/"):
                    _, number, quantity = name.split("/")
                    state.setdefault(int(number), {})[quantity] = torch.from_numpy(array.copy())
            groups = self.optimizer.state_dict()["param_groups"]  # learning rate and the like
            self.optimizer.load_state_dict({"state": state, "param_groups": groups})
            for device, generator in self._generators().items():
                if f"seed/{device}" in arrays:  # not in checkpoints of earlier versions
                    generator.set_state(torch.from_numpy(arrays[f"seed/{device}"].copy()))

    def _generators(self) -> dict[str, torch.Generator]:
        """Return PyTorch's generators that dropout draws from, by device; none without dropout."""
        if not any(isinstance(module, _DropoutNd) for module in self.model.modules()):
            return {}
        device = next(self.model.parameters()).device
        if device.type == "cpu":
            return {"cpu": torch.default_generator}
        return {"cuda": torch.cuda.default_generators[device.index]}
