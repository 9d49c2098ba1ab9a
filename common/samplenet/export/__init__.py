"""Trained samplers for other runtimes; batch norm is folded into the layers, batch and clouds may have any size.

    python -m samplenet.export --weights classification-32 -o sampler.onnx

| file | what it is | what running it needs |
| --- | --- | --- |
| `NAME.onnx` | ONNX, standard operations of opset 18 | an ONNX runtime |
| `NAME.pt2` | a `torch.export` program of PyTorch's own operations | PyTorch |
| `NAME/` | a SavedModel of TensorFlow's own operations | TensorFlow |
| `NAME.keras` | the Keras model as it is, which can be trained on | TensorFlow and `import samplenet.tf` |

All map a normalised `cloud` (B, N, 3) float32, N >= m, to `points` (B, m, 3), the matched sample, `idx` (B, m), which
input points those are, and `queries` (B, m, 3), the simplified points. The first c points that a progressive sampler
gives are its sample of size c, for c up to m.
"""

import importlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from samplenet.errors import InputError
from samplenet.export.network import Network, fold

__all__ = ["Network", "export", "fold", "framework", "load"]

OUTPUTS = ("points", "idx", "queries")
FRAMEWORKS = {".onnx": None, ".pt2": "torch", "": "tf", ".keras": "tf"}  # that a format needs


def framework(path) -> str | None:
    """The framework whose sampler `export` needs for this file; None: either's serves."""
    suffix = Path(path).suffix
    if suffix not in FRAMEWORKS:
        raise InputError(
            f"{path} must end in .onnx, .pt2 or .keras, or be a folder's name without a suffix"
        )
    return FRAMEWORKS[suffix]


def export(sampler, path) -> None:
    """Write a trained `SampleNet` to `path`, whole or not at all; the name's end is the format, see above.

    Raises:
        InputError: an unknown format, a package that is missing, or a folder that holds something else.
    """
    path, suffix = Path(path), Path(path).suffix
    if (
        framework(path) == "tf"
        and suffix
        and not type(sampler).__module__.startswith("samplenet.tf")
    ):
        raise InputError(f"{path}: only samplers of samplenet.tf can be saved as .keras")
    if path.is_dir() and not (path / "saved_model.pb").exists():
        raise InputError(f"{path} is a folder that holds no SavedModel; choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{path.name}.", dir=path.parent) as folder:
        new = Path(folder) / path.name
        if suffix == ".onnx":
            new.write_bytes(
                _module("samplenet.export.onnx").build(fold(sampler)).SerializeToString()
            )
        elif suffix == ".keras":
            sampler.save(new)
        else:
            _module(f"samplenet.{framework(path)}.export").save(fold(sampler), new)
        if suffix:
            os.replace(new, path)
        else:
            _module("samplenet.data.archive").replace_folder(path, new)


def load(path) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """What `export` wrote, as a function of clouds: float32 (B, N, 3) -> arrays "points", "idx" and "queries"."""
    path, kind = Path(path), framework(path)
    if not path.exists():
        raise InputError(f"no exported sampler {path}")
    if kind is None:
        session = _module("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])
        return lambda clouds: dict(
            zip(OUTPUTS, session.run(OUTPUTS, {"cloud": clouds}), strict=True)
        )
    if kind == "torch":
        torch = _module("torch")
        module = torch.export.load(path).module()
        return lambda clouds: {
            name: out.numpy() for name, out in module(torch.from_numpy(clouds)).items()
        }
    tf = _module("tensorflow")
    if path.suffix:
        _module("samplenet.tf")
        model = tf.keras.models.load_model(path)
        return lambda clouds: {name: out.numpy() for name, out in model(clouds)._asdict().items()}
    saved = tf.saved_model.load(path)
    return lambda clouds: {name: out.numpy() for name, out in saved(clouds).items()}


def _module(name: str):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        extra = {"torch": "torch", "tensorflow": "tf", "keras": "tf"}.get(error.name, "export")
        raise InputError(
            f'{error.name} is not installed: install samplenet with its extra "{extra}"'
        ) from error
