"""The state of a Keras model and its optimizer as named arrays, which a checkpoint holds."""

import keras
import numpy as np

from samplenet.errors import InputError
from samplenet.runs.checkpoint import misfits


class State:
    """A built model and its optimizer, for `samplenet.runs.training` to save and restore.

    Weights are named by their path below the model. With the optimizer, there is all that a
    training needs to continue: its variables, "optimizer/<number>", and the seeds of dropout,
    "seed/<number>". Without it, there are only the weights.
    """

    def __init__(self, model: keras.Model, optimizer=None):
        self.model, self.optimizer = model, optimizer

    def _variables(self) -> dict[str, keras.Variable]:
        inside = self.model.name + "/"
        named = {v.path.removeprefix(inside): v for v in self.model.weights}
        if len(named) != len(self.model.weights):
            raise ValueError(
                f"two weights of {self.model.name} share a name; name its layers apart"
            )
        if self.optimizer is not None:
            # numbered anew: Keras counts seed generators in the process, not in the model
            seeds = [v for v in self.model.variables if not v.path.startswith(inside)]
            named |= {f"seed/{i}": v for i, v in enumerate(seeds)}
            named |= {f"optimizer/{i:03d}": v for i, v in enumerate(self.optimizer.variables)}
        return named

    def arrays(self) -> dict[str, np.ndarray]:
        """Copy the state to NumPy arrays."""
        return {name: np.asarray(v) for name, v in self._variables().items()}

    def restore(self, arrays: dict[str, np.ndarray], source="the checkpoint") -> None:
        """Copy the arrays back; those that are not of this state are ignored.

        Raises:
            InputError: names or shapes do not agree; the model is unchanged.
        """
        variables = self._variables()
        if faults := misfits(arrays, {name: tuple(v.shape) for name, v in variables.items()}):
            raise InputError(f"{source} does not fit this network: {faults[0]}")
        for name, variable in variables.items():
            variable.assign(arrays[name])
