"""Arrays of numbers in .mat and .npy files of strangers."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samplenet.errors import InputError, needs_extra


def read_mat(path: Path) -> dict:
    """Return what a .mat file holds, by name; InputError if it is missing or damaged."""
    with needs_extra("render"):
        import scipy.io
    try:
        return scipy.io.loadmat(path)
    except Exception as error:  # SciPy raises whatever a damaged file leads to
        raise InputError(f"{path} cannot be read: {type(error).__name__} {error}") from error


def of_mat(path: Path, arrays: dict, key: str) -> NDArray[np.float64]:
    """Return an array of numbers of a .mat file's content; InputError if it has none."""
    try:
        return np.asarray(arrays[key], float)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} holds no array of numbers {key!r}") from error


def read_npy(path: Path, kinds: str = "biuf") -> NDArray:
    """Return the array in a .npy file; InputError if it is damaged or of another kind of dtype.

    Args:
        kinds: as NumPy names them; "US" for names.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in kinds:
        raise InputError(f"{path} holds no array of {'names' if 'U' in kinds else 'numbers'}")
    return array
