"""A stand-in for CUDA graphs on the CPU, to try and to count captured steps without a GPU."""

import contextlib
from collections.abc import Iterator
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from samplenet.ops.torch import _gather
from samplenet.torch import capture

READS = (  # operations whose result the host reads, so it waits for the device
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.equal.default,
    torch.ops.aten.nonzero.default,
)


def _tensors(tree) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class Graph:
    """The operations of a captured step, each with its arguments and results, as a CUDA graph."""

    def __init__(self):
        self.operations = []

    @torch.no_grad()
    def replay(self) -> None:
        """Do the operations again, from and to the memory of the capture."""
        with _disable_current_modes():  # nobody counts them: for the host this is one operation
            for operation, args, kwargs, results in self.operations:
                again = operation(*args, **kwargs)
                for held, new in zip(_tensors(results), _tensors(again), strict=True):
                    if _place(held) != _place(new):  # neither a view nor written in place
                        held.copy_(new)


class Recorder(TorchDispatchMode):
    """Record operations to a graph; on leaving, put back the memory that they have written."""

    def __init__(self, graph: Graph, stream=None):
        super().__init__()
        self._graph, self._before = graph, {}

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation in READS:
            raise RuntimeError(f"{operation} reads a value on the host")
        kwargs = kwargs or {}
        for tensor in _tensors((args, kwargs)):
            if _place(tensor) not in self._before:
                storage = tensor.untyped_storage()
                self._before[_place(tensor)] = storage, storage.clone()
        results = operation(*args, **kwargs)
        self._graph.operations.append((operation, args, kwargs, results))
        return results

    def __exit__(self, *error):
        super().__exit__(*error)
        for storage, content in self._before.values():
            storage.copy_(content)


@contextlib.contextmanager
def cpu_graphs() -> Iterator[None]:
    """Let training scripts capture their steps on the CPU."""

    def unchecked(op, name, idx, points, rank=None):
        return idx  # indices are read on the CPU alone, see samplenet.ops.torch.checks

    with (
        mock.patch.object(capture, "serves", lambda peers, config: True),
        mock.patch.object(_gather, "check_indices", unchecked),
        mock.patch("torch.cuda.CUDAGraph", Graph),
        mock.patch("torch.cuda.graph", Recorder),
        mock.patch("torch.cuda.Stream", mock.MagicMock),
        mock.patch("torch.cuda.stream", contextlib.nullcontext),
        mock.patch("torch.cuda.current_stream", mock.MagicMock),
    ):
        yield
