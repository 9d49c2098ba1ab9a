"""Build the CUDA kernels, check them against the CPU kernels and time them: python -m samplenet.ops.gpu [--out FILE].

For a machine with an NVIDIA GPU, nvcc and PyTorch with CUDA; 38 seconds on 16 cores and an H200. Without a C++
compiler, as in a container image, what is built already is checked. Distances and indices must agree in every bit,
gradients to rounding, and a second backward pass must repeat the first in every bit. Each case is timed twice: as a
program calls it, one call after the other from Python, and as the GPU alone runs it, from a captured CUDA graph.
`--device cpu` puts the CPU kernels on both sides, to try this script. `samplenet.ops.gpu_tf` checks TensorFlow's.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from samplenet.atomic import write_atomic
from samplenet.errors import InputError
from samplenet.ops import build, gpu_cases, native, use_native
from samplenet.ops import torch as ops
from samplenet.runs.environment import environment
from samplenet.runs.settings import Parser

TIMED = {  # op, B, M (of farthest points: m), N, k
    "Chamfer forward B32 1024x1024": ("chamfer", 32, 1024, 1024, 0),
    "Chamfer forward+backward B32 1024x1024": ("chamfer backward", 32, 1024, 1024, 0),
    "Chamfer forward B50 2048x2048": ("chamfer", 50, 2048, 2048, 0),
    "kNN k=8 B32 64x1024": ("knn", 32, 64, 1024, 8),
    "kNN k=8 forward+backward B32 64x1024": ("knn backward", 32, 64, 1024, 8),
    "kNN k=16 B50 64x2048": ("knn", 50, 64, 2048, 16),
    "kNN k=16 B32 1024x1024": ("knn", 32, 1024, 1024, 16),
    "kNN k=1 100k x 100k": ("knn", 1, 100_000, 100_000, 1),
    "FPS 1024 -> 512 B32": ("farthest_points", 32, 512, 1024, 0),
    "FPS 2048 -> 64 B32": ("farthest_points", 32, 64, 2048, 0),
}


def cloud(*args) -> torch.Tensor:
    """`gpu_cases.cloud` on the CPU."""
    return torch.from_numpy(gpu_cases.cloud(*args))


def same(what: str, expected, found) -> None:
    """Equal in every bit."""
    for a, b in zip(expected, found, strict=True):
        if not torch.equal(a, b.cpu()):
            raise AssertionError(f"{what}: GPU and CPU differ in {int((a != b.cpu()).sum())} of {a.numel()} values")


def check_gradient(what: str, function, device: str, *clouds: torch.Tensor) -> None:
    """Close to the CPU's, and twice the same."""

    def gradients(on: str) -> list[torch.Tensor]:
        leaves = [c.to(on, copy=True).requires_grad_() for c in clouds]
        outputs = function(*leaves)
        generator = torch.Generator().manual_seed(7)
        weights = [torch.randn(o.shape, generator=generator, dtype=o.dtype).to(on) for o in outputs]
        return list(torch.autograd.grad(outputs, leaves, weights))

    first, second = gradients(device), gradients(device)
    for a, b, want in zip(first, second, gradients("cpu"), strict=True):
        if not torch.equal(a, b):
            raise AssertionError(f"{what}: two backward passes differ")
        torch.testing.assert_close(a.cpu(), want, rtol=1e-4, atol=1e-4, msg=lambda m: f"{what}: {m}")  # noqa: B023


def check(device: str) -> int:
    """Compare every op on a grid of sizes and kinds of clouds; how many calls were compared."""
    calls = 0
    for kind in gpu_cases.KINDS:
        for dtype in ("float32", "float64"):
            for batch, m, n, k in gpu_cases.KNN:
                q, p = cloud(0, batch, m, kind, dtype), cloud(1, batch, n, kind, dtype)
                what = f"knn {(batch, m, n, k)} {kind} {dtype}"
                same(what, ops.knn(q, p, k), ops.knn(q.to(device), p.to(device), k))
                if kind != "non-finite":
                    check_gradient(what, lambda a, b, k=k: ops.knn(a, b, k)[:1], device, q, p)
                calls += 1
            for batch, m, n in gpu_cases.CHAMFER:
                a, b = cloud(0, batch, m, kind, dtype), cloud(1, batch, n, kind, dtype)
                what = f"chamfer {(batch, m, n)} {kind} {dtype}"
                same(what, ops.chamfer(a, b), ops.chamfer(a.to(device), b.to(device)))
                if kind != "non-finite":
                    check_gradient(what, lambda a, b: ops.chamfer(a, b)[:2], device, a, b)
                calls += 1
            for batch, n, m in gpu_cases.FPS:
                p = cloud(0, batch, n, kind, dtype)
                chosen = torch.randint(0, n, (batch, 3), generator=torch.Generator().manual_seed(0))
                what = f"farthest_points {(batch, n, m)} {kind} {dtype}"
                found = ops.farthest_points(p.to(device), m, chosen=chosen.to(device))
                same(what, [ops.farthest_points(p, m, chosen=chosen)], [found])
                calls += 1
    return calls


def public_call(op: str, batch: int, m: int, n: int, k: int, device: str) -> Callable[[], object]:
    """A call of the public function on random clouds; of "<op> backward" also the gradients of both, by autograd."""
    a, b = (cloud(seed, batch, size).to(device) for seed, size in ((0, m), (1, n)))
    call = {
        "knn": lambda: ops.knn(a, b, k)[:1],
        "chamfer": lambda: ops.chamfer(a, b)[:2],
        "farthest_points": lambda: ops.farthest_points(b, m),
    }[op.removesuffix(" backward")]
    if not op.endswith(" backward"):
        return call
    clouds = [a.requires_grad_(), b.requires_grad_()]
    weights = [torch.ones_like(dist2) for dist2 in call()]
    return lambda: torch.autograd.grad(call(), clouds, weights)


def called(call: Callable[[], object], device: str, rounds: int = 50) -> float:
    """Mean seconds of a call among many, one after the other: with the launch from Python."""

    def run(times: int) -> None:
        for _ in range(times):
            call()
        if device == "cuda":
            torch.cuda.synchronize()

    run(3)
    start = time.perf_counter()
    run(rounds)
    return (time.perf_counter() - start) / rounds


def on_device(call: Callable[[], object], rounds: int = 50) -> float:
    """Median seconds of a call by the GPU's clock, from a captured graph: without the launch from Python."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    marks = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(rounds)]
    for begin, end in marks:
        begin.record()
        graph.replay()
        end.record()
    torch.cuda.synchronize()
    return sorted(begin.elapsed_time(end) for begin, end in marks)[rounds // 2] / 1e3


def bench(device: str) -> list[dict]:
    """Print and return the microseconds of each case; on the CPU there is no graph to capture."""
    rows = []
    print("| case | as called, µs | on the GPU alone, µs |\n| --- | --- | --- |")
    for name, case in TIMED.items():
        call = public_call(*case, device)
        row = {"case": name, "called_microseconds": 1e6 * called(call, device), "device_microseconds": None}
        if device == "cuda":
            row["device_microseconds"] = 1e6 * on_device(call)
        rows.append(row)
        alone = row["device_microseconds"]
        print(f"| {name} | {row['called_microseconds']:.1f} | {'' if alone is None else f'{alone:.1f}'} |", flush=True)
    return rows


def main() -> None:
    """The command line."""
    parser = Parser(prog="python -m samplenet.ops.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the times as JSON to this file")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    args = parser.parse_args()
    use_native(True)
    if args.device == "cuda":
        if not torch.cuda.is_available():
            sys.exit("samplenet.ops.gpu: error: PyTorch sees no GPU here; --device cpu tries the script without one")
        try:
            if build.compiler() or native.missing("torch", torch.__version__):
                build.build("torch", cuda=True)
        except InputError as error:
            sys.exit(f"samplenet.ops.gpu: error: {error}")
    if why := native.missing("torch", torch.__version__):
        sys.exit(f"samplenet.ops.gpu: error: {why}")
    start = time.perf_counter()
    calls = check(args.device)
    print(f"{calls} calls agree with the CPU kernels ({time.perf_counter() - start:.0f} s)")
    rows = bench(args.device)
    if args.out:
        gpu = torch.cuda.get_device_name() if args.device == "cuda" else None
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(args.out, json.dumps({"environment": environment(), "gpu": gpu, "rows": rows}, indent=1).encode())


if __name__ == "__main__":
    main()
