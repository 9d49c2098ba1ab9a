"""Checkpoints: named arrays and some JSON in one safetensors file, written whole or not at all."""

import hashlib
import json
from pathlib import Path

import numpy as np
import safetensors
from safetensors.numpy import save

from samplenet.atomic import write_atomic
from samplenet.errors import InputError


def digest(arrays: dict[str, np.ndarray]) -> str:
    """Compute the SHA-256 of the arrays' names, types, shapes and bytes."""
    hashed = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        hashed.update(f"{name} {array.dtype} {array.shape}\n".encode())
        hashed.update(array.tobytes())
    return hashed.hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def save_checkpoint(
    path: Path, arrays: dict[str, np.ndarray], meta: dict, previous: Path | None = None
) -> None:
    """Write the arrays and `meta` (JSON) to `path`, with digests that `load_checkpoint` verifies.

    An existing checkpoint is kept as `previous`, if that is given.
    """
    write_atomic(path, pack(arrays, meta), previous)


def pack(arrays: dict[str, np.ndarray], meta: dict) -> bytes:
    """Return the bytes that `save_checkpoint` writes."""
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    text = json.dumps(meta)
    return save(arrays, {"meta": text, "meta_sha256": _sha256(text), "sha256": digest(arrays)})


def read(path: Path, ours: bool = False) -> tuple[dict[str, np.ndarray], dict]:
    """Read the arrays and meta of a safetensors file and verify whichever digests it has.

    Files of earlier versions have no digest of the meta; files of other programs have neither
    digests nor meta.

    Raises:
        InputError: the file is damaged, or has no meta although `ours` says that we wrote it.
    """
    try:
        with safetensors.safe_open(path, framework="np") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        text = header["meta"] if ours else header.get("meta", "{}")
        meta = json.loads(text)
        if not isinstance(meta, dict):
            raise TypeError(f"its meta is {type(meta).__name__}, not dict")
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is damaged or no safetensors file ({error})") from error
    found = {"sha256": digest(arrays), "meta_sha256": _sha256(text)}
    if any(header.get(name, value) != value for name, value in found.items()):
        raise InputError(f"{path} is damaged (its digest differs)")
    return arrays, meta


def load_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """Read the arrays and meta of a checkpoint; InputError when it is missing or damaged."""
    if not path.is_file():
        raise InputError(f"there is no checkpoint {path}")
    return read(path, ours=True)


def misfits(arrays: dict[str, np.ndarray], shapes: dict[str, tuple]) -> list[str]:
    """Name each of `shapes` that the arrays lack or have in another shape."""
    faults = []
    for name, shape in shapes.items():
        if name not in arrays:
            faults.append(f"{name} is missing")
        elif arrays[name].shape != shape:
            faults.append(f"{name} has shape {arrays[name].shape}, needed {shape}")
    return faults
