"""Compile the CUDA kernels for the CPU, with cuda_emulator.h, and call them with arrays."""

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from samplenet.ops import native

HERE = Path(__file__).parent
COMPILER = shutil.which("g++")
FLAGS = ["-std=c++17", "-O2", "-ffp-contract=off", "-fPIC", "-Wall", "-Wextra", "-Werror"]
FLAGS += ["-Wno-unknown-pragmas"]
SEEDS = (0, 1, 2, 3)  # orders in which blocks and threads run; see cuda_emulator.h
GUARD = 16  # elements before and after each output that must stay as they are

needs_compiler = pytest.mark.skipif(
    COMPILER is None, reason="no g++ to compile the emulated CUDA kernels with"
)


class Emulated:
    """Calls a kernel on NumPy arrays: inputs, numbers, outputs as (shape, dtype)."""

    def __init__(self, library: ctypes.CDLL):
        self.library = library

    def call(self, op: str, kind: str, inputs, numbers, outputs, seed: int) -> list[np.ndarray]:
        """Return the outputs.

        Args:
            op, kind: parts of the name: `op_kind`, and `op_workspace_kind` if it has a workspace.
            inputs: arrays; None for a null pointer.
            numbers: bool, int (int64) or float (double).
            outputs: pairs (shape, dtype); None for a null pointer.
            seed: of the emulator.
        """
        types = {bool: ctypes.c_bool, int: ctypes.c_int64, float: ctypes.c_double}
        numbers = [types[type(n)](n) for n in numbers]
        ask = getattr(self.library, f"{op}_workspace_{kind}")
        ask.restype = ctypes.c_size_t
        workspace = np.full(ask(*numbers) + 1, 0xAB, np.uint8)
        workspace[-1] = 0xCD
        inputs = [None if a is None else np.ascontiguousarray(a) for a in inputs]
        buffers = [
            None if out is None else np.full(int(np.prod(out[0])) + 2 * GUARD, -77, out[1])
            for out in outputs
        ]

        def pointer(array, skipped=0):
            if array is None:
                return ctypes.c_void_p(None)
            return ctypes.c_void_p(array.ctypes.data + skipped * array.itemsize)

        self.library.emulator_seed(ctypes.c_uint32(seed))
        error = getattr(self.library, f"{op}_{kind}")(
            *map(pointer, inputs),
            *numbers,
            *(pointer(b, GUARD) for b in buffers),
            pointer(workspace),
        )
        assert error == 0
        assert workspace[-1] == 0xCD
        filled = [(b, out[0]) for b, out in zip(buffers, outputs, strict=True) if out is not None]
        for b, _ in filled:
            assert (b[:GUARD] == -77).all() and (b[-GUARD:] == -77).all()
        return [b[GUARD:-GUARD].reshape(shape) for b, shape in filled]


def load(cache: pytest.Cache) -> ctypes.CDLL:
    """Load the compiled kernels, which are kept until a source or a flag changes."""
    sources = [HERE / "emulated_kernels.cc", *sorted(native.SOURCES.glob("*.cu"))]
    emulator = (HERE / "cuda_emulator.h").read_text() + sources[0].read_text()
    made_of = native.source_hash() + emulator + str(FLAGS)
    folder = cache.mkdir("emulated_kernels")
    library = folder / f"{hashlib.sha256(made_of.encode()).hexdigest()[:16]}.so"
    with FileLock(folder / ".lock"):  # one of several workers compiles
        if not library.exists():
            _compile(sources, library)
    return ctypes.CDLL(str(library))


def _compile(sources, library):
    """Compile the sources one by one, because cores may be shared; replace earlier libraries."""
    for old in library.parent.glob("*.so"):
        old.unlink()
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        objects = [Path(folder, f"{source.name}.o") for source in sources]
        for source, output in zip(sources, objects, strict=True):
            include = ["-I", HERE, "-I", native.SOURCES]
            command = [COMPILER, *FLAGS, "-x", "c++", *include, "-c", source, "-o", output]
            subprocess.run(command, check=True)
        linked = Path(folder, "kernels.so")
        subprocess.run([COMPILER, "-shared", "-o", linked, *objects], check=True)
        os.replace(linked, library)
