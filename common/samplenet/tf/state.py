"""The state of a Keras model and its optimizer as named arrays, for `samplenet.runs.checkpoint`."""

import keras
import numpy as np

from samplenet.errors import InputError


def _named(model: keras.Model, optimizer=None) -> dict[str, keras.Variable]:
    """Name the weights by their path below the model; with an optimizer also what continuing a training needs.

    That is the optimizer's variables, "optimizer/<number>", and the seeds of dropout, "seed/<number>": Keras numbers
    seed generators by process, not by model.
    """
    inside = model.name + "/"
    named = {v.path.removeprefix(inside): v for v in model.weights}
    if len(named) != len(model.weights):
        raise ValueError(f"two weights of {model.name} share a name; name its layers apart")
    if optimizer is not None:
        seeds = [v for v in model.variables if not v.path.startswith(inside)]
        named |= {f"seed/{i}": v for i, v in enumerate(seeds)}
        named |= {f"optimizer/{i:03d}": v for i, v in enumerate(optimizer.variables)}
    return named


def get_state(model: keras.Model, optimizer=None) -> dict[str, np.ndarray]:
    """Copy the weights of a built model to NumPy arrays; with its optimizer, all that continuing needs."""
    return {name: np.asarray(v) for name, v in _named(model, optimizer).items()}


def set_state(
    model: keras.Model, arrays: dict[str, np.ndarray], optimizer=None, source="the checkpoint"
) -> None:
    """Put the arrays of `get_state` back; InputError, and nothing changed, unless names and shapes agree.

    Without an optimizer, only the weights are read.
    """
    variables = _named(model, optimizer)
    for name, variable in variables.items():
        if name not in arrays or arrays[name].shape != tuple(variable.shape):
            found = f"has shape {arrays[name].shape}" if name in arrays else "is missing"
            raise InputError(
                f"{source} does not fit this model: {name} {found}, needed {tuple(variable.shape)}"
            )
    for name, variable in variables.items():
        variable.assign(arrays[name])


class State:
    """A model and its optimizer, as `samplenet.runs.training.Training` saves and restores them."""

    def __init__(self, model, optimizer):
        self.model, self.optimizer = model, optimizer

    def arrays(self) -> dict[str, np.ndarray]:
        """Copy the state to named arrays."""
        return get_state(self.model, self.optimizer)

    def restore(self, arrays: dict[str, np.ndarray], source: str) -> None:
        """Put the arrays back; errors name their `source`."""
        set_state(self.model, arrays, self.optimizer, source)
