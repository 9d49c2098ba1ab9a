"""Export trained samplers to other runtimes.

    python -m samplenet.export --weights classification-32 -o sampler.onnx

| file | what it is | what running it needs |
| --- | --- | --- |
| `NAME.onnx` | ONNX, standard operations of opset 18 | an ONNX runtime |
| `NAME.pt2` | a `torch.export` program of PyTorch's own operations | PyTorch |
| `NAME/` | a SavedModel of TensorFlow's own operations | TensorFlow |
| `NAME.keras` | the Keras model, for further training | TensorFlow and `import samplenet.tf` |

All but `.keras` have batch norm folded into the layers. All map a normalised `cloud` (B, N, 3)
float32 of any B and N >= m to `points` (B, m, 3), the matched sample, `idx` (B, m), which input
points those are, and `queries` (B, m, 3), the simplified points. The first c points that a
progressive sampler gives are its sample of size c, for c up to m.

    python -m samplenet.export --fps -o fps.onnx

writes farthest point sampling alone, which has no weights: `cloud` (B, N, 3) float32 and the number
`m` (int64, at most N) to `points` (B, m, 3) and `idx` (B, m), as `samplenet.ops` gives them.
"""

import importlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from samplenet.atomic import write_atomic
from samplenet.errors import InputError, needs_extra
from samplenet.export.network import Network, fold

__all__ = ["Network", "export", "export_farthest_points", "fold", "framework", "load"]

FRAMEWORKS = {".onnx": None, ".pt2": "torch", "": "tf", ".keras": "tf"}  # by suffix; None: either


def framework(path) -> str | None:
    """Return the framework whose samplers `export` can write to this path; None: either's."""
    suffix = Path(path).suffix
    if suffix not in FRAMEWORKS:
        known = ".onnx, .pt2 or .keras, or be a folder's name without a suffix"
        raise InputError(f"{path} must end in {known}")
    return FRAMEWORKS[suffix]


def export(sampler, path) -> None:
    """Write a trained `SampleNet` to `path`, whole or not at all, in the format of its suffix.

    Raises:
        InputError: an unknown format, a missing package, or a folder that holds something else.
    """
    path, needed = Path(path), framework(path)
    suffix = path.suffix
    if suffix == ".keras" and not type(sampler).__module__.startswith("samplenet.tf"):
        raise InputError(f"{path}: only samplers of samplenet.tf can be saved as .keras")
    if path.is_dir() and not (path / "saved_model.pb").exists():
        raise InputError(f"{path} is a folder that holds no SavedModel; choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        needs_extra(needed or "export"),
        tempfile.TemporaryDirectory(prefix=f"{path.name}.", dir=path.parent) as folder,
    ):
        new = Path(folder) / path.name
        if suffix == ".keras":
            sampler.save(new)
        elif suffix == ".onnx":
            import samplenet.export.onnx as onnx

            new.write_bytes(onnx.build(fold(sampler)).SerializeToString())
        else:
            writer = importlib.import_module(f"samplenet.{needed}.export")
            writer.save(fold(sampler), new)
        if suffix:
            os.replace(new, path)
        else:
            from samplenet.data.archive import replace_folder

            replace_folder(path, new)


def export_farthest_points(path) -> None:
    """Write farthest point sampling to `path`, NAME.onnx, whole or not at all.

    Raises:
        InputError: another suffix, or onnx is missing.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise InputError(f"{path}: farthest point sampling is exported to ONNX; name it NAME.onnx")
    with needs_extra("export"):
        import samplenet.export.onnx as onnx
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, onnx.farthest_points().SerializeToString())


def load(path) -> Callable[..., dict[str, np.ndarray]]:
    """Return an exported sampler as a function of arrays.

    It maps clouds (B, N, 3) float32 to a dictionary of "points", "idx" and "queries"; farthest
    point sampling takes `m`, an int64 array without dimensions, as well, and has no queries.
    """
    path, needed = Path(path), framework(path)
    if not path.exists():
        raise InputError(f"no exported sampler {path}")
    with needs_extra(needed or "export"):
        if needed is None:
            import onnxruntime

            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            names = [output.name for output in session.get_outputs()]

            def run(clouds, **inputs):
                outputs = session.run(names, {"cloud": clouds, **inputs})
                return dict(zip(names, outputs, strict=True))

            return run
        if needed == "torch":
            import torch

            module = torch.export.load(path).module()
            return lambda clouds: _arrays(module(torch.from_numpy(clouds)))
        import tensorflow as tf

        if path.suffix:
            import samplenet.tf  # noqa: F401  (registers the Keras classes that the file names)

            model = tf.keras.models.load_model(path)
            return lambda clouds: _arrays(model(clouds)._asdict())
        saved = tf.saved_model.load(path)
        return lambda clouds: _arrays(saved(clouds))


def _arrays(outputs: dict) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in outputs.items()}
