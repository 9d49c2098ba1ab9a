"""Open trained samplers: the library's by name, those of finished runs, of files and of a hub.

The library's weights were trained by the committed presets on the built-in shapes: `card` has their
data, command and accuracy. Clouds must be normalised as in the training, with y up:

    sampler = samplenet.load_pretrained("classification-32", framework="torch")
    card = samplenet.pretrained.card("classification-32")
    clouds = samplenet.normalise(scans, card["normalisation"])  # tensors (B, N, 3)
    sampled = sampler(clouds)  # sampled.idx (B, 32): which points of the scans

"hf:owner/name" in place of a name is a repository of the Hugging Face hub (extra `hub`), or
"hf:owner/name@revision" one of its branches, tags or commits.

The frozen task network of each experiment is in tasks/, as a run folder with float16 weights.
"""

import importlib.util
import itertools
import json
import math
import sys
from pathlib import Path

from samplenet import weights
from samplenet.errors import InputError
from samplenet.normalisation import NORMALISATIONS
from samplenet.pretrained import hub
from samplenet.sampled import Prefix, Settings, is_count

FOLDER = Path(__file__).resolve().parent
TASKS = FOLDER / "tasks"
PACKAGES = {"torch": "torch", "tf": "tensorflow"}  # by framework, the preferred one first


def list_weights() -> list[str]:
    """Return the names of the trained samplers that come with the library."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def card(name) -> dict:
    """Read the record of the weights `name`, or of those in a file, a run folder or a hub.

    The library's weights have "m", "sizes" (several: a progressive sampler), "num_points",
    "normalisation" (see `normalise`), "experiment", "data", "command", "revision", "metrics", and
    "network", the settings of `SampleNet`. A run has the first four and "network"; another file has
    the metadata that `samplenet.weights.save` was given, and a hub's what was pushed there. "m",
    "sizes" and "normalisation" are always there: without the last "unit_sphere" is meant.

    Raises:
        InputError: unknown name, damaged file, or a hub that does not give the weights.
    """
    path = weights_file(name)
    metadata = weights.metadata(path)
    if "network" not in metadata:
        advice = "make one and use samplenet.weights.load"
        raise InputError(f"{path} does not hold the settings of a SampleNet; {advice}")
    network = metadata["network"]
    m = network.get("m") if isinstance(network, dict) else None
    if path.parent == FOLDER:
        metadata |= json.loads(path.with_suffix(".json").read_text())
    record = {"sizes": [m], "normalisation": "unit_sphere", **metadata, "m": m}
    sizes, normalisation = record["sizes"], record["normalisation"]
    if not (isinstance(sizes, list) and sizes and all(map(is_count, [m, *sizes]))):
        raise InputError(f"{path} is damaged: its sample sizes are {sizes!r}, its m is {m!r}")
    if normalisation not in [*NORMALISATIONS]:  # a list: what the file holds may be unhashable
        known = ", ".join(NORMALISATIONS)
        raise InputError(f"{path}: its normalisation is {normalisation!r}, not one of {known}")
    return record


def load_pretrained(name, m: int | None = None, framework: str | None = None):
    """Open a trained sampler, for inference.

    Args:
        name: one of `list_weights()`, a finished run folder, a file of `samplenet.weights.save`, or
            hf:owner/name[@revision], a repository of the Hugging Face hub.
        m: points to sample. A progressive sampler serves every m; other samplers only their own m.
            None: all that the sampler was trained for.
        framework: "torch" or "tf"; None: the one that is already imported, else the one that is
            installed; PyTorch if both are.

    Returns:
        `samplenet.torch.SampleNet` in eval mode or `samplenet.tf.SampleNet`; if m is given for a
        progressive sampler, a `samplenet.Prefix` of it. Call it on normalised clouds (B, N, 3).

    Raises:
        InputError: unknown name, damaged file, an m that these weights do not serve, a framework
            that is not installed, or a hub that does not give the weights.
    """
    path, framework = weights_file(name), choose_framework(framework)
    record, name = card(path), called(path)
    fixed_size = len(record["sizes"]) == 1
    if m is not None and m != record["m"] and fixed_size:
        progressive = [other for other in list_weights() if other.endswith("-progressive")]
        fault = f"weights {name} sample {record['m']} points, not {m}"
        raise InputError(f"{fault}; those for every m: {progressive}")
    try:
        settings = Settings(**record["network"])
    except TypeError as error:
        fault = f"weights {name} have settings that this version's SampleNet does not know"
        raise InputError(f"{fault} ({error})") from error
    except InputError as error:
        raise InputError(f"weights {name} are damaged: {error}") from error
    _check_size(path, settings)
    sampler = _build(framework, record["network"])
    weights.load(sampler, path)
    return sampler if m is None or fixed_size else Prefix(sampler, m)


def _build(framework: str, network: dict):
    if framework == "torch":
        from samplenet.torch import SampleNet

        return SampleNet(**network).eval()
    from samplenet.tf import SampleNet

    sampler = SampleNet(**network)
    sampler.build((None, None, 3))
    return sampler


def _check_size(path: Path, settings: Settings) -> None:
    """Refuse settings of more weights than the file has bytes: they could fill the memory."""
    widths = [3, *settings.conv_widths, *settings.fc_widths, 3 * settings.m]
    if sum(map(math.prod, itertools.pairwise(widths))) > path.stat().st_size:
        raise InputError(f"{path} is damaged: its settings are of another network than its weights")


def weights_file(name) -> Path:
    """Return the file of the sampler that `load_pretrained` calls `name`; fetch it from a hub."""
    if str(name).startswith(hub.PREFIX):
        return hub.fetch(str(name))
    path = Path(name)
    if path.is_dir():
        path = path / "sampler.safetensors"
    if path.suffix == ".safetensors":
        return path
    if str(name) not in list_weights():
        known = ", ".join(list_weights())
        others = "a .safetensors file, a run folder, or hf:owner/name"
        raise InputError(f"no weights {str(name)!r}; known: {known}, {others}")
    return FOLDER / f"{name}.safetensors"


def called(path: Path) -> str:
    """Return how messages call a file of weights: the library's by name, others by path."""
    return path.stem if path.parent == FOLDER else str(path)


def list_tasks() -> list[str]:
    """Return the names of the frozen task networks that come with the library."""
    return sorted(path.parent.name for path in TASKS.glob("*/card.json"))


def task_folder(name: str) -> Path:
    """Return the run folder of the library's task network `name`; of another name, its path."""
    return TASKS / name if name in list_tasks() else Path(name)


def task_card(name: str) -> dict:
    """Read the record of the library's task network `name`.

    It has "experiment", "num_points", "normalisation" (see `normalise`), "data", "command" and
    "revision" of the training, "evaluated_by", and "metrics": each on whole clouds, by the trained
    "float32" weights and by the "float16" ones, which the library has.
    """
    if name not in list_tasks():
        known = ", ".join(list_tasks())
        raise InputError(f"no task network {name!r} comes with the library; known: {known}")
    return json.loads((TASKS / name / "card.json").read_text())


def choose_framework(asked: str | None) -> str:
    """Return the given framework, or the default of `load_pretrained`; InputError without any."""
    if asked not in (None, *PACKAGES):
        raise InputError(f"framework must be 'torch' or 'tf', got {asked!r}")
    imported = [framework for framework, package in PACKAGES.items() if package in sys.modules]
    installed = [name for name, package in PACKAGES.items() if importlib.util.find_spec(package)]
    for framework in imported + installed:
        if asked in (None, framework):
            return framework
    advice = "install samplenet with its extra"
    if asked:
        raise InputError(f'{PACKAGES[asked]} is not installed; {advice} "{asked}"')
    raise InputError(f'neither PyTorch nor TensorFlow is installed; {advice} "torch" or "tf"')
