"""A task network of the user's own, `--model FILE.py:CLASS`: loaded from its file, and checked before it is trained."""

import importlib.util
import re
import sys
from pathlib import Path

import keras
import numpy as np

from samplenet.errors import InputError
from samplenet.runs import sources

HELP = "see “Your own network” in classification/README.md"
NEEDED = ("describe", "forward", "last")


def load(model: str) -> tuple[str, type]:
    """FILE.py:CLASS -> the same with the file's whole path, and the class.

    Raises:
        InputError: no such file or class, or the file cannot be imported.
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
        sys.path.append(str(path.parent))  # for what the file imports from beside it
    module = sys.modules[module_name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(
            f"--model: {path} cannot be imported: {_words(error)}; --debug shows where"
        ) from error
    if not isinstance(getattr(module, name, None), type):
        raise InputError(f"--model: {path} has no class {name}")
    return f"{path}:{name}", getattr(module, name)


def build(model: str, num_classes: int, num_points: int) -> keras.Model:
    """The network CLASS(num_classes), built and tried on clouds of `num_points`.

    Raises:
        InputError: it lacks something that the scripts need, or that returns something else.
    """
    model, made = load(model)
    clouds = np.zeros((2, num_points, 3), np.float32)
    try:
        tried, net = made(num_classes), made(num_classes)
        _check(model, tried, num_classes, clouds)
        net(clouds)  # before anything else: so its weights lie below its name
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"--model {model} fails on clouds of {num_points} points: {_words(error)}; --debug shows where"
        ) from error
    numbered = _weights(net) - _weights(tried)
    if numbered:
        raise InputError(
            f"--model {model}: name every layer, as Dense(64, name='first'): weights are saved under the names of "
            f"their layers, and Keras calls {min(numbered)} differently in every network it makes"
        )
    return net


def _check(model: str, net: keras.Model, num_classes: int, clouds: np.ndarray) -> None:
    """InputError unless all that the scripts call is there and returns what they need."""
    if not isinstance(net, keras.Model):
        raise InputError(f"--model {model} is no keras.Model; {HELP}")
    if lacking := [name for name in NEEDED if not callable(getattr(net, name, None))]:
        raise InputError(
            f"--model {model} lacks {', '.join(lacking)}; derive it from pointnet.Classifier, or {HELP}"
        )
    descriptors = _first(model, net, "describe", clouds)
    if len(descriptors.shape) != 2:
        raise InputError(
            f"--model {model}: describe must give descriptors of shape (B, any width), got {tuple(descriptors.shape)} "
            "for two clouds"
        )
    found = {"last": net.last(descriptors), "forward": _first(model, net, "forward", clouds)}
    found["call"] = net(clouds, training=False)
    for name, value in found.items():
        if tuple(value.shape) != (2, num_classes):
            raise InputError(
                f"--model {model}: {name} must give logits (B, {num_classes}), one a class, got {tuple(value.shape)} "
                "for two clouds"
            )


def _first(model: str, net: keras.Model, name: str, clouds: np.ndarray):
    """The first of the two things that `describe` and `forward` return."""
    found = getattr(net, name)(clouds, training=False)
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise InputError(
            f"--model {model}: {name} must return two things, the second a loss of its own (0.0: none)"
        )
    return found[0]


def _weights(net: keras.Model) -> set[str]:
    return {weight.path.removeprefix(f"{net.name}/") for weight in net.weights}


def _words(error: Exception) -> str:
    """The error in one line, without the colours that Keras gives some."""
    plain = re.sub(r"\x1b\[\d+m", "", str(error))
    return f"{type(error).__name__}: {' '.join(plain.split())[:300]}"
