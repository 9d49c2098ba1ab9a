"""Build the CUDA kernels, check them against the CPU kernels and time them.

    python benchmarks/gpu.py [--out FILE]

Needs an NVIDIA GPU, nvcc and PyTorch with CUDA; takes 38 seconds on 16 cores and an H200. Without a
C++ compiler, as in a container image, the existing build is checked. Distances and indices must
agree in every bit, images and gradients up to rounding, and a second backward pass must repeat the
first in every bit. Each case is timed twice: as a program calls it, one call after another from
Python, and as the GPU alone runs it, from a captured CUDA graph. `--device cpu` compares the CPU
kernels with themselves, to try this script. `gpu_tf.py` checks TensorFlow's kernels.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

import gpu_cases
from samplenet.atomic import write_atomic
from samplenet.errors import InputError
from samplenet.ops import build, native, use_native
from samplenet.ops import torch as ops
from samplenet.runs.environment import environment
from samplenet.runs.parser import Parser

TIMED = {  # op, B, M (of farthest points: m; of images: rows and columns), N, k (or taps)
    "Chamfer forward B32 1024x1024": ("chamfer", 32, 1024, 1024, 0),
    "Chamfer forward+backward B32 1024x1024": ("chamfer backward", 32, 1024, 1024, 0),
    "Chamfer forward B50 2048x2048": ("chamfer", 50, 2048, 2048, 0),
    "kNN k=8 B32 64x1024": ("knn", 32, 64, 1024, 8),
    "kNN k=8 forward+backward B32 64x1024": ("knn backward", 32, 64, 1024, 8),
    "kNN k=16 B50 64x2048": ("knn", 50, 64, 2048, 16),
    "kNN k=16 B32 1024x1024": ("knn", 32, 1024, 1024, 16),
    "kNN k=1 100k x 100k": ("knn", 1, 100_000, 100_000, 1),
    "ball query r=0.2 k=64 B8 2048x20000": ("ball_query", 8, 2048, 20_000, 64),
    "FPS 1024 -> 512 B32": ("farthest_points", 32, 512, 1024, 0),
    "FPS 2048 -> 64 B32": ("farthest_points", 32, 64, 2048, 0),
    "render_voxels 64³ forward+backward B16 N8000": ("render_voxels backward", 16, 64, 8000, 21),
    "project_mask 64x64 forward+backward B16 N1024": ("project_mask backward", 16, 64, 1024, 0),
    "project_features 64x64 forward+backward B16": ("project_features backward", 16, 64, 1024, 0),
}


def same(
    device: str, what: str, function, *arrays: np.ndarray, require=gpu_cases.require_equal
) -> None:
    """Require outputs of `function(*arrays)` on `device` that equal the CPU's."""
    tensors = [torch.from_numpy(a) for a in arrays]
    expected, actual = function(*tensors), function(*(t.to(device) for t in tensors))
    for want, got in zip(expected, actual, strict=True):
        require(what, want.numpy(), got.cpu().numpy())


def same_gradient(device: str, what: str, function, *clouds: np.ndarray) -> None:
    """Require gradients close to the CPU's and, the second time, the same bits."""

    def gradients(on: str) -> list[torch.Tensor]:
        leaves = [torch.from_numpy(c).to(on, copy=True).requires_grad_() for c in clouds]
        outputs = function(*leaves)
        generator = torch.Generator().manual_seed(7)
        weights = [torch.randn(o.shape, generator=generator, dtype=o.dtype).to(on) for o in outputs]
        return list(torch.autograd.grad(outputs, leaves, weights))

    first, second = gradients(device), gradients(device)
    for a, b, want in zip(first, second, gradients("cpu"), strict=True):
        if not torch.equal(a, b):
            raise AssertionError(f"{what}: two backward passes differ")
        message = f"{what}: {{}}".format
        torch.testing.assert_close(a.cpu(), want, rtol=1e-4, atol=1e-4, msg=message)


def public_call(op: str, batch: int, m: int, n: int, k: int, device: str) -> Callable[[], object]:
    """Return a function that calls an op on random clouds; "<op> backward" takes gradients too."""
    a = torch.from_numpy(gpu_cases.cloud(0, batch, m)).to(device)
    b = torch.from_numpy(gpu_cases.cloud(1, batch, n)).to(device)
    call = {
        "knn": lambda: ops.knn(a, b, k)[:1],
        "ball_query": lambda: ops.ball_query(a, b, 0.2, k),
        "chamfer": lambda: ops.chamfer(a, b)[:2],
        "farthest_points": lambda: ops.farthest_points(b, m),
        "render_voxels": lambda: ops.render_voxels(b / 9, 3.0, 0.5, size=m, kernel_size=k)[:1],
        "project_mask": lambda: [ops.project_mask(m * (b / 6 + 0.5), m, m)],
        "project_features": lambda: ops.project_features(m * (b / 6 + 0.5), b, m, m)[:1],
    }[op.removesuffix(" backward")]
    if not op.endswith(" backward"):
        return call
    clouds = [a.requires_grad_(), b.requires_grad_()]
    weights = [torch.ones_like(dist2) for dist2 in call()]
    return lambda: torch.autograd.grad(call(), clouds, weights, allow_unused=True)


def called(call: Callable[[], object], device: str, rounds: int = 50) -> float:
    """Return the mean seconds of a call, from many calls made one after another in Python."""

    def run(times: int) -> None:
        for _ in range(times):
            call()
        if device == "cuda":
            torch.cuda.synchronize()

    run(3)  # warm-up
    start = time.perf_counter()
    run(rounds)
    return (time.perf_counter() - start) / rounds


def on_device(call: Callable[[], object], rounds: int = 50) -> float:
    """Return the median seconds of a captured graph by the GPU's clock, without Python's launch."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    marks = []
    for _ in range(rounds):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        graph.replay()
        end.record()
        marks.append((begin, end))
    torch.cuda.synchronize()  # an event has a time only once the GPU has passed it
    return sorted(begin.elapsed_time(end) for begin, end in marks)[rounds // 2] / 1e3


def bench(device: str) -> list[dict]:
    """Print and return each case's microseconds; the CPU has no graph to capture."""
    rows = []
    print("| case | as called, µs | on the GPU alone, µs |\n| --- | --- | --- |")
    for name, case in TIMED.items():
        call = public_call(*case, device)
        spent = 1e6 * called(call, device)
        alone = 1e6 * on_device(call) if device == "cuda" else None
        rows.append({"case": name, "called_microseconds": spent, "device_microseconds": alone})
        print(f"| {name} | {spent:.1f} | {f'{alone:.1f}' if alone else ''} |", flush=True)
    return rows


def main() -> None:
    """Run the command line."""
    parser = Parser(prog="python benchmarks/gpu.py", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the times as JSON to this file")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    args = parser.parse_args()
    use_native(True)
    if args.device == "cuda":
        if not torch.cuda.is_available():
            advice = "--device cpu tries the script without one"
            sys.exit(f"gpu.py: error: PyTorch sees no GPU here; {advice}")
        try:
            if build.compiler() or native.missing("torch", torch.__version__):
                build.build("torch", cuda=True)
        except InputError as error:
            sys.exit(f"gpu.py: error: {error}")
    if why := native.missing("torch", torch.__version__):
        sys.exit(f"gpu.py: error: {why}")
    start = time.perf_counter()
    calls = gpu_cases.check(ops, partial(same, args.device), partial(same_gradient, args.device))
    print(f"{calls} calls agree with the CPU kernels ({time.perf_counter() - start:.0f} s)")
    rows = bench(args.device)
    if args.out:
        gpu = torch.cuda.get_device_name() if args.device == "cuda" else None
        args.out.parent.mkdir(parents=True, exist_ok=True)
        done = {"environment": environment(), "gpu": gpu, "rows": rows}
        write_atomic(args.out, json.dumps(done, indent=1).encode())


if __name__ == "__main__":
    main()
