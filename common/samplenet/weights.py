"""Weights of a network in one safetensors file that either framework reads.

Names and layouts are those of the released PyTorch code:

    conv1.weight (out, in, 1), conv1.bias    bn1.weight, bn1.bias, bn1.running_mean, bn1.running_var
    fc1.weight (out, in), fc1.bias           bn_fc1.weight, ...          project._temperature ()

For a PyTorch module that is its state dict. The weights of a Keras model of `samplenet.tf` layers
are renamed and transposed: conv1/fc/kernel (in, out) is conv1.weight, fc1/bn/gamma is
bn_fc1.weight. Importing this module loads no framework.

The file of a `SampleNet` also holds its settings, so that `samplenet.load_pretrained` can build it.
"""

import dataclasses
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from samplenet.errors import InputError
from samplenet.runs.checkpoint import misfits, read, save_checkpoint
from samplenet.sampled import Settings

KERAS_NAMES = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "temperature": "_temperature",
}
LAYOUTS = {  # from a Keras weight to the array in the file, and back
    "conv": (lambda a: a.T[..., None], lambda a: a[..., 0].T),
    "dense": (np.transpose, np.transpose),
    "as it is": (np.asarray, np.asarray),
}
COUNTER = "num_batches_tracked"  # PyTorch's count of batch norm steps, which Keras does not have
PTH_ERRORS = (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, AttributeError)


class _Slot(NamedTuple):
    """How to read and write a weight of a model, as an array in the file's layout."""

    read: Callable[[], np.ndarray]
    write: Callable[[np.ndarray], object]


def save(model, path, metadata: dict | None = None) -> None:
    """Write the weights of a torch module or a built Keras model to `path`, whole or not at all.

    bfloat16 is written as float32.

    Args:
        metadata: JSON to keep in the file; a `SampleNet`'s settings are added as "network".
            `samplenet.load_pretrained` and `samplenet sample` read two more keys. "sizes" lists the
            sample sizes it was trained for: a sampler of several sizes is progressive and serves
            every m, without the key it serves its own m. "normalisation" says how its clouds were
            normalised, as `samplenet.normalise` calls it; without the key "unit_sphere".
    """
    metadata = dict(metadata or {})
    settings = getattr(model, "settings", None)
    if isinstance(settings, Settings):
        metadata["network"] = dataclasses.asdict(settings)
    save_checkpoint(Path(path), arrays(model), metadata)


def arrays(model) -> dict[str, np.ndarray]:
    """Return the weights of a torch module or a built Keras model under their released names."""
    return {name: slot.read() for name, slot in _slots(model).items()}


def metadata(path) -> dict:
    """Read the metadata that `save` wrote with the weights; {} for files of other programs."""
    return read(_existing(path))[1]


def load(model, path, part: str = "") -> None:
    """Read weights of either framework into a torch module or a built Keras model.

    Batch norm's count of steps, which Keras does not have, may be missing.

    Args:
        path: any safetensors file with these names, or a .pth file of the released code (a state
            dict, or a snapshot with one under "model"; needs PyTorch, and unpickles tensors only).
        part: read only the names below this one, as "sampler" in a PCRNet saved with its sampler.

    Raises:
        InputError: the file is missing or damaged, or its names and shapes differ from the model's;
            every difference is listed, and the model is unchanged.
    """
    path, slots = _existing(path), _slots(model)
    stored = _read_pth(path) if path.suffix in (".pth", ".pt") else read(path)[0]
    if part:
        below = [name for name in stored if name.startswith(f"{part}.")]
        stored = {name.removeprefix(f"{part}."): stored[name] for name in below}
    optional = {name for name in slots.keys() ^ stored.keys() if name.endswith(COUNTER)}
    needed = sorted(slots.keys() - optional)
    faults = misfits(stored, {name: slots[name].read().shape for name in needed})
    unknown = sorted(stored.keys() - slots.keys() - optional)
    faults += [f"{name} is not in the model" for name in unknown]
    if faults:
        raise InputError(f"weights {path} do not fit this model: {'; '.join(faults)}")
    for name in slots.keys() & stored.keys():
        slots[name].write(stored[name])


def _existing(path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no weights {path}")
    return path


def _read_pth(path: Path) -> dict[str, np.ndarray]:
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = state.get("model", state)
        return {name: _array(tensor) for name, tensor in state.items()}
    except PTH_ERRORS as error:
        raise InputError(
            f"weights {path} are damaged or hold more than tensors ({error})"
        ) from error


def _array(tensor) -> np.ndarray:
    tensor = tensor.detach().cpu()
    if str(tensor.dtype) == "torch.bfloat16":  # NumPy has no such type
        tensor = tensor.float()
    return tensor.numpy()


def _slots(model) -> dict[str, _Slot]:
    """Return the weights of a model by their released names."""
    # a model of a framework that was never imported cannot be here, so none is imported for it
    torch, keras = sys.modules.get("torch"), sys.modules.get("keras")
    if torch and isinstance(model, torch.nn.Module):
        return _torch_slots(model)
    if keras and isinstance(model, keras.layers.Layer):
        return _keras_slots(model)
    got = type(model).__name__
    raise InputError(f"weights: the model must be a torch module or a Keras model, got {got}")


def _torch_slots(module) -> dict[str, _Slot]:
    torch = sys.modules["torch"]

    def slot(tensor):
        return _Slot(lambda: _array(tensor), lambda a: tensor.copy_(torch.tensor(a)))

    slots = {}
    for name, tensor in module.state_dict().items():
        # torch.compile and DistributedDataParallel add to the names of what they wrap
        slots[name.replace("_orig_mod.", "").removeprefix("module.")] = slot(tensor)
    return slots


def _keras_slots(model) -> dict[str, _Slot]:
    if not model.built:
        raise InputError(
            f"weights: the Keras model {model.name} has no weights yet; call it on a cloud first"
        )

    def slot(variable, layout):
        to_file, from_file = LAYOUTS[layout]
        return _Slot(lambda: to_file(np.asarray(variable)), lambda a: variable.assign(from_file(a)))

    slots = {}
    for variable in model.weights:
        name, layout = _released(variable.path.removeprefix(model.name + "/"), len(variable.shape))
        if name in slots:
            raise InputError(f"weights: two weights of {model.name} would be called {name}")
        slots[name] = slot(variable, layout)
    return slots


def _released(path: str, rank: int) -> tuple[str, str]:
    """Return the released name of a Keras path below its model, and the key of its layout."""
    *scopes, leaf = path.split("/")
    layout = "dense" if leaf == "kernel" else "as it is"
    if leaf == "kernel" and rank != 2:
        raise InputError(
            f"weights: {path} has rank {rank}; only kernels of dense layers have a released layout"
        )
    # a Block holds a dense layer "fc" and a batch norm "bn": the released code has one layer each
    if len(scopes) > 1 and scopes[-1] in ("fc", "bn"):
        half, block = scopes.pop(), scopes.pop()
        if half == "fc" and "conv" in block and leaf == "kernel":
            layout = "conv"
        if half == "bn":
            block = block.replace("conv", "bn") if "conv" in block else f"bn_{block}"
        scopes.append(block)
    return ".".join([*scopes, KERAS_NAMES.get(leaf, leaf)]), layout
