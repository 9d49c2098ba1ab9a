"""Compare a pooled layer with the framework's own layers: python benchmarks/layers.py [--out FILE].

The layer is PointNet's last per-point layer: linear 128 -> 1024, batch norm, ReLU and the maximum
over the points, forward and backward. Times are the median and the best of seven runs (--turns), in
turns after a warm-up, with the memory settings of the training scripts. Peak memory is that of a
process that runs only this case, without those settings, minus its memory before. "of one product"
is the time divided by that of the framework's matrix product, the least arithmetic of the layer.

Then the search alone, the op `pooled_linear` forward, beside the time in which the same threads do
as many fused multiply-adds from registers (peak.cc, the processor's bound), and beside as many in
PyTorch's product of two square matrices of 2048 (no bound, but the best that the framework does).
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ops import peak
from samplenet.atomic import write_json
from samplenet.runs.environment import environment
from samplenet.runs.memory import keep_freed_memory
from samplenet.runs.parser import Parser
from samplenet.timing import in_turns

SIZES = ((32, 1024), (8, 4096))
INNER, OUTER, SQUARE = 128, 1024, 2048
CLEAR = Path("/proc/self/clear_refs")


def features(batch: int, count: int) -> np.ndarray:
    """Draw features like those after a ReLU, (B, N, C)."""
    return np.random.default_rng(0).normal(size=(batch, count, INNER)).clip(0).astype(np.float32)


def torch_cases(batch: int, count: int) -> dict[str, Callable]:
    """Return the cases in PyTorch by name."""
    import torch
    from torch import nn

    from samplenet.torch.layers import pooled_block

    x = torch.from_numpy(features(batch, count)).requires_grad_()
    grad = torch.randn(batch, OUTER)
    linear, conv, norm = nn.Linear(INNER, OUTER), nn.Conv1d(INNER, OUTER, 1), nn.BatchNorm1d(OUTER)
    weight = linear.weight.detach().t()

    def by_linear(x):
        layer = norm(linear(x).flatten(0, 1)).view(batch, count, OUTER)
        return torch.relu(layer).amax(1)

    def by_conv(x):
        return torch.relu(norm(conv(x.transpose(1, 2)))).amax(2)

    def ours(x):
        return pooled_block(x, linear.weight.t(), linear.bias, norm)

    def step(forward):
        return lambda: forward(x).backward(grad)

    return {
        "product alone": lambda: x.detach() @ weight,
        "Linear": step(by_linear),
        "Conv1d": step(by_conv),
        "torch.compile": step(torch.compile(by_linear)),
        "ours": step(ours),
    }


def tf_cases(batch: int, count: int) -> dict[str, Callable]:
    """Return the cases in TensorFlow by name."""
    import samplenet.quiet_tensorflow  # noqa: F401

    import tensorflow as tf

    from samplenet.tf.layers import Block, PooledBlock

    x, grad = tf.constant(features(batch, count)), tf.random.normal((batch, OUTER))
    plain, pooled = Block(OUTER), PooledBlock(OUTER)
    for layer in (plain, pooled):
        layer.build(x.shape)

    def step(layer, pool, xla=False):
        @tf.function(jit_compile=xla)
        def run(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                out = layer(x, training=True)
                out = tf.reduce_max(out, 1) if pool else out
            return tape.gradient(out, [x, *layer.trainable_variables], grad)

        return lambda: run(x)[0].numpy()

    return {
        "product alone": lambda: tf.matmul(x, plain.fc.kernel).numpy(),
        "graph": step(plain, pool=True),
        "XLA": step(plain, pool=True, xla=True),
        "ours": step(pooled, pool=False),
    }


def search_shares(batch: int, count: int, turns: int) -> dict[str, float | None]:
    """Return the best milliseconds of the search alone, and its shares of what could be done."""
    import torch

    from samplenet.ops.torch import pooled_linear

    x, weight = torch.from_numpy(features(batch, count)), torch.randn(INNER, OUTER)
    square, products = torch.randn(SQUARE, SQUARE), batch * count * INNER * OUTER
    calls = {"search": lambda: pooled_linear(x, weight), "square": lambda: square @ square}
    times = in_turns(calls, turns)
    bound = peak(products, torch.get_num_threads(), "fused")
    milliseconds = {name: 1e3 * seconds.best for name, seconds in times.items()}
    as_many = milliseconds["square"] * products / SQUARE**3
    return {
        "search_ms": milliseconds["search"],
        "bound_share": bound / milliseconds["search"] if bound else None,
        "product_share": as_many / milliseconds["search"],
    }


CASES = {"torch": torch_cases, "tf": tf_cases}


def peak_memory(framework: str, size: tuple[int, int], case: str) -> float:
    """Run a case in a separate process; return the megabytes that it took."""
    command = [sys.executable, __file__, "--case", framework, *map(str, size), case]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(output.split()[-1])


def run_case(framework: str, batch: str, count: str, case: str) -> None:
    """Print the megabytes that a case takes at most, beyond what is held before."""
    calls = CASES[framework](int(batch), int(count))
    before = resident("VmRSS")
    CLEAR.write_text("5")  # a new process begins with its parent's high-water mark
    for _ in range(3):
        calls[case]()
    print(resident("VmHWM") - before)


def resident(field: str) -> float:
    """Read a size of this process in megabytes."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{field}:\s*(\d+) kB$", status, re.MULTILINE)[1]) / 1024


def main() -> None:
    """Run the command line."""
    parser = Parser(prog="layers.py", description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=7, help="runs of each case (default: 7)")
    parser.add_argument("--out", type=Path, help="write the figures as JSON to this file")
    text = "FRAMEWORK B N LAYER: print only the memory that this case takes"
    parser.add_argument("--case", nargs=4, help=text)
    flags = parser.parse_args()
    if flags.case:
        run_case(*flags.case)
        return
    keep_freed_memory()
    rows = []
    names, figures = "framework | B x N | layer", "median ms | best ms | to ours | of one product"
    print(f"| {names} | {figures} | peak MB |\n{'| --- ' * 8}|")
    for framework, cases in CASES.items():
        for size in SIZES:
            times = in_turns(cases(*size), flags.turns)
            for name, seconds in times.items():
                row = {
                    "framework": framework,
                    "size": size,
                    "layer": name,
                    "median_ms": 1e3 * seconds.median,
                    "best_ms": 1e3 * seconds.best,
                    "to_ours": seconds.median / times["ours"].median,
                    "of_product": seconds.median / times["product alone"].median,
                    "peak_mb": peak_memory(framework, size, name),
                }
                rows.append(row)
                print(
                    f"| {framework} | {size[0]} x {size[1]} | {name} | {row['median_ms']:.0f} | "
                    f"{row['best_ms']:.0f} | {row['to_ours']:.1f} | {row['of_product']:.1f} | "
                    f"{row['peak_mb']:.0f} |",
                    flush=True,
                )
    print("\n| search, B x N | best ms | of the bound | of the framework's best product |")
    print("| --- | --- | --- | --- |")
    searches = {
        f"{batch} x {count}": search_shares(batch, count, flags.turns) for batch, count in SIZES
    }
    for size, row in searches.items():
        share = "no compiler" if row["bound_share"] is None else f"{row['bound_share']:.0%}"
        print(f"| {size} | {row['search_ms']:.1f} | {share} | {row['product_share']:.0%} |")
    if flags.out:
        result = {"environment": environment(), "cores": os.cpu_count(), "rows": rows}
        result["searches"] = searches
        write_json(flags.out, result)


if __name__ == "__main__":
    main()
