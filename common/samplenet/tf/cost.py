"""What inference costs: parameters, multiply-adds (MACs), time and peak memory of any function of point clouds."""

import math
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from samplenet.errors import InputError
from samplenet.timing import in_turns

CALLS = ("PartitionedCall", "StatefulPartitionedCall")
CLEAR = Path("/proc/self/clear_refs")


class Count(NamedTuple):
    """Attributes:
    parameters: numbers in the variables a function reads, without batch norm's running statistics.
    macs: multiply-adds of the matrix products and convolutions that its result needs. Norms, activations and distances
        between points are no part of it.
    """

    parameters: int
    macs: int


def count(function: Callable, shape: tuple[int, ...]) -> Count:
    """What one call of `function` on float32 of this shape takes, read off its graph.

    Raises:
        InputError: a product of unknown size, of a kind not known here, or within a loop.
    """
    traced = _traced(function, shape)
    return Count(_parameters(traced), _macs(traced.graph))


def parameters(function: Callable, shape: tuple[int, ...]) -> int:
    """Those of `count`, also where the multiply-adds are not countable."""
    return _parameters(_traced(function, shape))


def _traced(function: Callable, shape: tuple[int, ...]):
    return tf.function(function, autograph=False).get_concrete_function(
        tf.TensorSpec(shape, tf.float32)
    )


def _parameters(traced) -> int:
    names = [(variable, variable.name.rsplit("/")[-1]) for variable in traced.variables]
    return sum(
        math.prod(variable.shape) for variable, name in names if not name.startswith("moving_")
    )


def _macs(graph: tf.Graph) -> int:
    """Of the operations that the outputs of a function's graph depend on."""
    pending, seen, total = [tensor.op for tensor in graph.outputs], set(), 0
    while pending:
        op = pending.pop()
        if op.name in seen:
            continue
        seen.add(op.name)
        pending += [tensor.op for tensor in op.inputs]
        bodies = [
            v.name for v in op.node_def.attr.values() for v in (v.func, *v.list.func) if v.name
        ]
        inside = sum(_macs(graph._get_function(name).graph) for name in bodies)
        if inside and op.type not in CALLS:
            raise InputError(
                f"{op.name} ({op.type}) has {inside} multiply-adds within a loop or branch: not countable"
            )
        total += inside + _products(op)
    return total


def _products(op: tf.Operation) -> int:
    """The multiply-adds of one operation: size of the output times the length of each of its sums."""
    if op.type not in ("Einsum",) and not any(kind in op.type for kind in ("MatMul", "Conv")):
        return 0
    shapes = [
        tensor.shape.as_list() if tensor.shape.rank is not None else [None] for tensor in op.inputs
    ]
    size = (
        math.prod(op.outputs[0].shape.as_list()) if op.outputs[0].shape.is_fully_defined() else None
    )
    if size is None or any(None in shape for shape in shapes):
        raise InputError(
            f"{op.name} ({op.type}) has inputs of unknown size {shapes}: not countable"
        )
    if op.type == "MatMul":
        return size * shapes[0][0 if op.get_attr("transpose_a") else 1]
    if op.type in ("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"):
        return size * shapes[0][-2 if op.get_attr("adj_x") else -1]
    if op.type in ("Conv2D", "Conv3D"):
        return size * math.prod(shapes[1][:-1])  # kernel: window, inputs (of the group), outputs
    if op.type == "Einsum" and "." not in (equation := op.get_attr("equation").decode()):
        names = equation.split("->")[0].split(",")
        lengths = dict(zip("".join(names), sum(shapes, []), strict=True))
        return math.prod(lengths.values()) if len(names) > 1 else 0
    raise InputError(f"{op.name} is a product of a kind not known here, {op.type}: not countable")


def seconds(functions: dict, repeats: int) -> dict:
    """Time the functions in turns, after two turns of warm-up; returns the median seconds of a call by key.

    A call ends when its result has reached the host.
    """
    calls = {
        key: lambda function=function: np.asarray(function()) for key, function in functions.items()
    }
    return {key: times.median for key, times in in_turns(calls, repeats, warm_up=2).items()}


def peak_memory(function: Callable, warm_up: Callable, gpu: str | None = None) -> int:
    """Bytes that `function()` takes at most, above what is held after `warm_up()`, the same on little data.

    On the CPU that is the growth of the resident set, true in a process that did nothing large before (see
    `in_fresh_process`): memory that was used once is used again without growth. Linux only.

    Args:
        gpu: the device's name, as "GPU:0"; without it, the CPU.
    """
    warm_up()
    if gpu:
        tf.config.experimental.reset_memory_stats(gpu)
        before = tf.config.experimental.get_memory_info(gpu)["current"]
        np.asarray(function())
        return tf.config.experimental.get_memory_info(gpu)["peak"] - before
    CLEAR.write_text("5")  # the high-water mark starts again from what is resident now
    before = _status("VmRSS")
    np.asarray(function())
    return _status("VmHWM") - before


def _status(field: str) -> int:
    """Bytes, of this process."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(lines[field].split()[0])


def in_fresh_process(function: Callable, *args):
    """`function(*args)` in a new interpreter; the function is one of an importable module.

    Raises:
        InputError: the process was killed.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(function, *args).result()
        except BrokenProcessPool as error:
            raise InputError(
                f"a process that measures was killed, perhaps for want of memory ({error})"
            ) from error
