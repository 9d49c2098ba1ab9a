"""The weights of a network in one safetensors file, for either framework, under the released PyTorch code's names.

    conv1.weight (out, in, 1), conv1.bias    bn1.weight, bn1.bias, bn1.running_mean, bn1.running_var
    fc1.weight (out, in), fc1.bias           bn_fc1.weight, ...          project._temperature ()

A PyTorch module's file holds its state dict. A Keras model made of `samplenet.tf` layers has its weights renamed and
transposed: conv1/fc/kernel (in, out) is conv1.weight, fc1/bn/gamma is bn_fc1.weight. Importing this loads no framework.

The file of a `SampleNet` also holds its settings, from which `samplenet.load_pretrained` makes the sampler.
"""

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from samplenet.errors import InputError
from samplenet.runs.checkpoint import read, save_checkpoint

KERAS = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "temperature": "_temperature",
}
COUNTER = "num_batches_tracked"  # PyTorch's, and no weight: Keras has none


class _Slot(NamedTuple):
    """A weight of a model: its shape in the file, and how to get and set it."""

    shape: tuple
    read: Callable[[], np.ndarray]
    write: Callable[[np.ndarray], object]


def save(model, path, metadata: dict | None = None) -> None:
    """Write the weights of a torch module or a built Keras model to `path`, whole or not at all.

    bfloat16 is written as float32.

    Args:
        metadata: JSON that the file shall hold as well; a `SampleNet`'s settings are added as "network".
            `samplenet.load_pretrained` and `samplenet sample` read two more: "sizes", what it was trained for (several:
            a progressive sampler, which serves every m; without it one of its own m), and "normalisation", how its
            clouds were normalised (a word of `samplenet.normalise`; without it "unit_sphere").
    """
    network = getattr(model, "config", None)  # of a SampleNet
    metadata = dict(metadata or {})
    if isinstance(network, dict):
        metadata["network"] = network
    save_checkpoint(Path(path), arrays(model), metadata)


def arrays(model) -> dict[str, np.ndarray]:
    """The weights of a torch module or a built Keras model under their released names, as `save` writes them."""
    return {name: slot.read() for name, slot in _slots(model).items()}


def metadata(path) -> dict:
    """Read what `save` was given as metadata of the weights in `path`; {} for those of other programs."""
    return read(_existing(path))[1]


def load(model, path, part: str = "") -> None:
    """Put the weights in `path` into a torch module or a built Keras model, whichever framework wrote them.

    Batch norm's count of steps, which Keras does not have, may be missing.

    Args:
        path: any safetensors file with these names, or a .pth file of the released code (a state dict, or a
            snapshot that holds one under "model"; needs PyTorch, and unpickles tensors only).
        part: read only the names below it: "sampler" of a PCRNet saved with its sampler.

    Raises:
        InputError: when the file is missing or damaged, or its names and shapes are not the model's; all that differ
            are listed, and nothing is changed.
    """
    path, slots = _existing(path), _slots(model)
    arrays = _read_pth(path) if path.suffix in (".pth", ".pt") else read(path)[0]
    if part:
        inside = part + "."
        arrays = {
            name.removeprefix(inside): a for name, a in arrays.items() if name.startswith(inside)
        }
    needed = {name for name in slots if not name.endswith(COUNTER)}
    extra = {name for name in arrays if not name.endswith(COUNTER)} - set(slots)
    faults = [f"{name} is missing" for name in sorted(needed - set(arrays))]
    faults += [f"{name} is not in the model" for name in sorted(extra)]
    shared = [name for name in slots if name in arrays]
    for name in shared:
        if arrays[name].shape != slots[name].shape:
            faults.append(f"{name} has shape {arrays[name].shape}, needed {slots[name].shape}")
    if faults:
        raise InputError(f"weights {path} do not fit this model: {'; '.join(faults)}")
    for name in shared:
        slots[name].write(arrays[name])


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
    except (
        pickle.UnpicklingError,
        RuntimeError,
        OSError,
        EOFError,
        ValueError,
        AttributeError,
    ) as error:
        raise InputError(
            f"weights {path} are damaged or hold more than tensors ({error})"
        ) from error


def _array(tensor) -> np.ndarray:
    cpu = tensor.detach().cpu()
    return (cpu.float() if str(cpu.dtype) == "torch.bfloat16" else cpu).numpy()


def _slots(model) -> dict[str, _Slot]:
    torch, keras = sys.modules.get("torch"), sys.modules.get("keras")
    if torch and isinstance(model, torch.nn.Module):
        return _torch_slots(model)
    if keras and isinstance(model, keras.layers.Layer):
        return _keras_slots(model)
    raise InputError(
        f"weights: the model must be a torch module or a Keras model, got {type(model).__name__}"
    )


def _torch_slots(module) -> dict[str, _Slot]:
    """The state dict of a module; what torch.compile and DDP put around it leaves no trace in the names."""
    torch = sys.modules["torch"]

    def slot(tensor):
        return _Slot(
            tuple(tensor.shape), lambda: _array(tensor), lambda a: tensor.copy_(torch.tensor(a))
        )

    state = module.state_dict().items()
    return {
        name.replace("_orig_mod.", "").removeprefix("module."): slot(tensor)
        for name, tensor in state
    }


def _keras_slots(model) -> dict[str, _Slot]:
    """The weights of a built Keras model by their released names."""
    if not model.built:
        raise InputError(
            f"weights: the Keras model {model.name} has no weights yet; call it on a cloud first"
        )
    slots = {}
    for variable in model.weights:
        name, layout = _released(variable.path.removeprefix(model.name + "/"), len(variable.shape))
        if name in slots:
            raise InputError(f"weights: two weights of {model.name} would be called {name}")
        slots[name] = _keras_slot(variable, layout)
    return slots


def _keras_slot(variable, layout: str) -> _Slot:
    shape = tuple(variable.shape)
    if layout == "conv":
        return _Slot(
            (*shape[::-1], 1),
            lambda: np.asarray(variable).T[..., None],
            lambda a: variable.assign(a[..., 0].T),
        )
    if layout == "dense":
        return _Slot(shape[::-1], lambda: np.asarray(variable).T, lambda a: variable.assign(a.T))
    return _Slot(shape, lambda: np.asarray(variable), variable.assign)


def _released(path: str, rank: int) -> tuple[str, str]:
    """A Keras path below its model -> the released name, and how its array lies ("conv", "dense" or "as it is")."""
    *where, leaf = path.split("/")
    layout = "dense" if leaf == "kernel" else "as it is"
    if leaf == "kernel" and rank != 2:
        raise InputError(
            f"weights: {path} has rank {rank}; only the kernels of dense layers have a released layout"
        )
    if len(where) > 1 and where[-1] in ("fc", "bn"):  # the two halves of a Block
        half, block = where.pop(), where.pop()
        if half == "fc" and "conv" in block and leaf == "kernel":
            layout = "conv"
        if half == "bn":
            block = block.replace("conv", "bn") if "conv" in block else f"bn_{block}"
        where.append(block)
    return ".".join([*where, KERAS.get(leaf, leaf)]), layout
