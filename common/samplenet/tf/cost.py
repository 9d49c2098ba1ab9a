"""Measure a function of point clouds: parameters, multiply-adds (MACs), time and peak memory."""

import math
import multiprocessing
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from samplenet.errors import InputError
from samplenet.timing import in_turns

CALLS = ("PartitionedCall", "StatefulPartitionedCall")  # run their body once
CLEAR = Path("/proc/self/clear_refs")


class Count(NamedTuple):
    """Attributes:
    parameters: numbers in the variables a function reads, without batch norm's running statistics.
    macs: multiply-adds of the matrix products and convolutions that its result needs. Norms,
        activations and distances between points are not counted.
    """

    parameters: int
    macs: int


def count(function: Callable, shape: tuple[int, ...]) -> Count:
    """Count what one call of `function` on float32 of this shape takes, from its graph.

    Raises:
        InputError: a product's size or kind is not known, or it is in a branch, or in a loop of an
            unknown number of turns.
    """
    traced = _traced(function, shape)
    return Count(_parameters(traced), _macs(traced.graph))


def parameters(function: Callable, shape: tuple[int, ...]) -> int:
    """Count the parameters alone, where `count` cannot count the multiply-adds."""
    return _parameters(_traced(function, shape))


def _traced(function: Callable, shape: tuple[int, ...]):
    spec = tf.TensorSpec(shape, tf.float32)
    return tf.function(function, autograph=False).get_concrete_function(spec)


def _parameters(traced) -> int:
    weights = [v for v in traced.variables if not v.name.split("/")[-1].startswith("moving_")]
    return sum(math.prod(weight.shape) for weight in weights)


def _macs(graph: tf.Graph) -> int:
    """Count the multiply-adds of the operations that a graph's outputs depend on."""
    pending, seen, total = [tensor.op for tensor in graph.outputs], set(), 0
    while pending:
        op = pending.pop()
        if op.name in seen:
            continue
        seen.add(op.name)
        pending += [tensor.op for tensor in op.inputs]
        # bodies of calls, loops and branches are attributes of the operation
        inside = 0
        for attribute in op.node_def.attr.values():
            for body in (attribute.func, *attribute.list.func):
                if body.name:
                    inside += _macs(graph._get_function(body.name).graph)
        turns = 1 if op.type in CALLS else _turns(op)
        if inside and turns is None:
            raise InputError(
                f"{op.name} ({op.type}) has {inside} multiply-adds within a branch, or a loop of "
                "unknown length: not countable"
            )
        total += inside * turns if inside else _products(op)
    return total


def _turns(op: tf.Operation) -> int | None:
    """Return how often a loop runs its body, if its maximum is stated; it must not end before."""
    if op.type not in ("While", "StatelessWhile"):
        return None
    maximum = tf.get_static_value(op.inputs[1])
    return None if maximum is None or maximum < 0 else int(maximum)


def _products(op: tf.Operation) -> int:
    """Count an operation's multiply-adds: size of the output times the length of each sum."""
    if not re.search("Einsum|MatMul|Conv|PooledLinear", op.type):
        return 0
    if not all(tensor.shape.is_fully_defined() for tensor in (*op.inputs, op.outputs[0])):
        sizes = ", ".join(str(tensor.shape) for tensor in op.inputs)
        raise InputError(f"{op.name} ({op.type}) has inputs of unknown size {sizes}: not countable")
    size, shapes = math.prod(op.outputs[0].shape), [list(tensor.shape) for tensor in op.inputs]
    if op.type == "MatMul":
        return size * shapes[0][0 if op.get_attr("transpose_a") else 1]
    if op.type in ("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"):
        return size * shapes[0][-2 if op.get_attr("adj_x") else -1]
    if op.type == "SamplenetPooledLinear":  # features (B, N, C), weight (C, F)
        return math.prod(shapes[0]) * shapes[1][1]
    if op.type in ("Conv2D", "Conv3D"):
        return size * math.prod(shapes[1][:-1])  # kernel: window, inputs (of the group), outputs
    if op.type == "Einsum" and "." not in (equation := op.get_attr("equation").decode()):
        # every letter is a loop, over what is summed as well as over the output
        names = equation.split("->")[0].split(",")
        lengths = dict(zip("".join(names), sum(shapes, []), strict=True))
        return math.prod(lengths.values()) if len(names) > 1 else 0
    raise InputError(f"{op.name} is a product of a kind not known here, {op.type}: not countable")


def seconds(functions: dict, repeats: int) -> dict:
    """Time functions in turns, after two turns of warm-up: the median seconds of a call, by key."""

    def to_host(function):  # a GPU's result is there only when it has reached the host
        return lambda: np.asarray(function())

    calls = {key: to_host(function) for key, function in functions.items()}
    return {key: times.median for key, times in in_turns(calls, repeats, warm_up=2).items()}


def peak_memory(function: Callable, warm_up: Callable, gpu: str | None = None) -> int:
    """Measure the bytes that `function()` takes at most, above what is held after `warm_up()`.

    `warm_up` is the same function on little data. On the CPU the peak is the growth of the resident
    set. That is right only in a process that did nothing large before (see `in_fresh_process`):
    memory that was used once is used again without growth. Linux only.

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
    """Read a size of this process from Linux, in bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"^{field}:\s*(\d+) kB$", status, re.MULTILINE)[1])


def in_fresh_process(function: Callable, *args):
    """Call a function of an importable module in a new interpreter and return its result.

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
