"""The user's own task network, `--model FILE.py:CLASS`: load it, and check it before training."""

import importlib.util
import re
import sys
from pathlib import Path

import keras
import numpy as np

from samplenet.errors import InputError
from samplenet.runs import sources

HELP = "see “Your own network” in docs/own.md"
NEEDED = ("describe", "forward", "last")


def load(model: str) -> tuple[str, type]:
    """Return FILE.py:CLASS with the file's absolute path, and the class.

    Raises:
        InputError: there is no such file or class, or the file cannot be imported.
    """
    file, _, name = model.rpartition(":")
    if not (file and name):
        raise InputError(f"--model must be pointnet, vanilla or FILE.py:CLASS, got {model!r}")
    path = Path(file).resolve()
    if not path.is_file():
        raise InputError(f"--model: there is no file {path}")
    module_name = f"own_network_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None:
        raise InputError(f"--model: {path} is no Python file; its name must end in .py")
    sources.own_folders.add(path.parent)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # the file may import its neighbours
    module = sys.modules[module_name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        message = f"--model: {path} cannot be imported: {_message(error)}; --debug shows where"
        raise InputError(message) from error
    if not isinstance(getattr(module, name, None), type):
        raise InputError(f"--model: {path} has no class {name}")
    return f"{path}:{name}", getattr(module, name)


def build(model: str, num_classes: int, num_points: int) -> keras.Model:
    """Build the network CLASS(num_classes), and try it on clouds of `num_points`.

    Raises:
        InputError: it lacks a method that the scripts need, or a method returns something else.
    """
    model, network_class = load(model)
    clouds = np.zeros((2, num_points, 3), np.float32)
    try:
        # two: the checks call layers apart, and Keras names weights by the call that makes them.
        # A whole call comes first in the one that is returned, so its weights lie below its name.
        tried, net = network_class(num_classes), network_class(num_classes)
        _check(model, tried, num_classes, clouds)
        net(clouds)
    except InputError:
        raise
    except Exception as error:
        message = f"--model {model} fails on clouds of {num_points} points: {_message(error)}"
        raise InputError(f"{message}; --debug shows where") from error
    numbered = _weights(net) - _weights(tried)
    if numbered:
        raise InputError(
            f"--model {model}: name every layer, as Dense(64, name='first'): weights are saved "
            f"under the names of their layers, and Keras calls {min(numbered)} differently in each "
            "network it makes"
        )
    return net


def _check(model: str, net: keras.Model, num_classes: int, clouds: np.ndarray) -> None:
    """Raise InputError unless the network has what the scripts call, and returns what they need."""
    if not isinstance(net, keras.Model):
        raise InputError(f"--model {model} is no keras.Model; {HELP}")
    if lacking := [name for name in NEEDED if not callable(getattr(net, name, None))]:
        raise InputError(
            f"--model {model} lacks {', '.join(lacking)}; derive it from pointnet.Classifier, "
            f"or {HELP}"
        )
    descriptors = _first(model, net, "describe", clouds)
    if len(descriptors.shape) != 2:
        raise InputError(
            f"--model {model}: describe must give descriptors of shape (B, any width), "
            f"got {tuple(descriptors.shape)} for two clouds"
        )
    logits = {"last": net.last(descriptors), "forward": _first(model, net, "forward", clouds)}
    logits["call"] = net(clouds, training=False)
    for name, value in logits.items():
        if tuple(value.shape) != (2, num_classes):
            raise InputError(
                f"--model {model}: {name} must give logits (B, {num_classes}), one a class, "
                f"got {tuple(value.shape)} for two clouds"
            )


def _first(model: str, net: keras.Model, name: str, clouds: np.ndarray):
    """Return the first of the two values of `describe` or `forward`."""
    values = getattr(net, name)(clouds, training=False)
    if not isinstance(values, tuple | list) or len(values) != 2:
        raise InputError(
            f"--model {model}: {name} must return two things, the second a loss of its own "
            "(0.0: none)"
        )
    return values[0]


def _weights(net: keras.Model) -> set[str]:
    return {weight.path.removeprefix(f"{net.name}/") for weight in net.weights}


def _message(error: Exception) -> str:
    """Return the error in one line, without the colours that Keras gives some."""
    plain = re.sub(r"\x1b\[\d+m", "", str(error))
    return f"{type(error).__name__}: {' '.join(plain.split())[:300]}"
