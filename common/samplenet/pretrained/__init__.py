"""Trained samplers by name, and the sampler of a finished run or of a file that `samplenet.weights.save` wrote.

The weights were trained by the committed presets on the built-in shapes: `card` says on what, by which command, and
how well they do. Clouds have to be normalised as theirs were, and turned the same way (y up):

    sampler = samplenet.load_pretrained("classification-32", framework="torch")
    clouds = samplenet.normalise(scans, samplenet.pretrained.card("classification-32")["normalisation"])  # tensors
    sampled = sampler(clouds)  # sampled.idx (B, 32): which points of the scans
"""

import importlib.util
import json
import sys
from pathlib import Path

from samplenet import weights
from samplenet.errors import InputError
from samplenet.sampled import Prefix

FOLDER = Path(__file__).resolve().parent
PACKAGES = {
    "torch": "torch",
    "tf": "tensorflow",
}  # by framework, in the order in which they are taken


def list_weights() -> list[str]:
    """The names of the trained samplers that come with the library."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def card(name) -> dict:
    """Read what is known of the weights `name`, or of those in a file or a run folder.

    Of those that come with the library: "m", "sizes" (several: a progressive sampler), "num_points", "normalisation"
    (see `normalise`), "experiment", "data", "command", "revision", "metrics", and "network", the settings of
    `SampleNet`. Of a run: the first four and "network"; of another file: the metadata that `samplenet.weights.save`
    was given.
    """
    path = _file(name)
    metadata = weights.metadata(path)
    if "network" not in metadata:
        raise InputError(
            f"{path} does not say which SampleNet it is of; make one and use samplenet.weights.load"
        )
    m = metadata["network"]["m"]
    beside = json.loads(path.with_suffix(".json").read_text()) if path.parent == FOLDER else {}
    return {"m": m, "sizes": [m], **metadata, **beside}


def load_pretrained(name, m: int | None = None, framework: str | None = None):
    """Open a trained sampler, for inference.

    Args:
        name: one of `list_weights()`, a finished run folder, or a file that `samplenet.weights.save` wrote.
        m: points to sample. A progressive sampler serves every m; of others it is their own, or None.
        framework: "torch" or "tf"; without it the one that is imported already, else the one that is installed;
            PyTorch if both are.

    Returns:
        `samplenet.torch.SampleNet` in eval mode, `samplenet.tf.SampleNet`, or with m of a progressive one a
        `samplenet.Prefix` of it: call it on normalised clouds (B, N, 3).

    Raises:
        InputError: unknown name, damaged file, an m that these weights do not serve, or a framework that is not
            installed.
    """
    about, framework = card(name), choose_framework(framework)
    fixed_size = len(about["sizes"]) == 1
    if m is not None and m != about["m"] and fixed_size:
        progressive = [other for other in list_weights() if other.endswith("-progressive")]
        raise InputError(
            f"weights {name} sample {about['m']} points, not {m}; those for every m: {progressive}"
        )
    try:
        sampler = _make(framework, about["network"])
    except TypeError as error:
        raise InputError(
            f"weights {name} are of a SampleNet with other settings than this one's ({error})"
        ) from error
    weights.load(sampler, _file(name))
    return sampler if m is None or fixed_size else Prefix(sampler, m)


def _make(framework: str, network: dict):
    if framework == "torch":
        from samplenet.torch import SampleNet

        return SampleNet(**network).eval()
    from samplenet.tf import SampleNet

    sampler = SampleNet(**network)
    sampler.build((None, None, 3))
    return sampler


def _file(name) -> Path:
    path = Path(name)
    if path.is_dir():
        path = path / "sampler.safetensors"
    if path.suffix == ".safetensors":
        return path
    if str(name) not in list_weights():
        raise InputError(
            f"no weights {str(name)!r}; known: {', '.join(list_weights())}, or a .safetensors file"
        )
    return FOLDER / f"{name}.safetensors"


def choose_framework(asked: str | None) -> str:
    """Choose the framework that is asked for, else as `load_pretrained` says; InputError if it is not installed."""
    if asked not in (None, *PACKAGES):
        raise InputError(f"framework must be 'torch' or 'tf', got {asked!r}")
    imported = [framework for framework, package in PACKAGES.items() if package in sys.modules]
    others = [framework for framework in PACKAGES if framework not in imported]
    installed = [framework for framework in others if importlib.util.find_spec(PACKAGES[framework])]
    for framework in imported + installed:
        if asked in (None, framework):
            return framework
    if asked:
        raise InputError(
            f'{PACKAGES[asked]} is not installed; install samplenet with its extra "{asked}"'
        )
    raise InputError(
        'neither PyTorch nor TensorFlow is installed; install samplenet with its extra "torch" or "tf"'
    )
