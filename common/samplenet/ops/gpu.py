"""Build the CUDA kernels, check them against the CPU kernels and time them: python -m samplenet.ops.gpu [--out FILE].

For a machine with an NVIDIA GPU, nvcc and PyTorch with CUDA; a few minutes. Without a C++ compiler, as in a container
image, what is built already is checked. Distances and indices must agree in every
bit, gradients to rounding, and a second backward pass must repeat the first in every bit. `--device cpu` goes through
the same motions with the CPU kernels on both sides, to try this script. `samplenet.ops.gpu_tf` checks TensorFlow's.
"""

import json
import sys
import time
from pathlib import Path

import torch

from samplenet.checkpoint import write_atomic
from samplenet.config import Parser
from samplenet.errors import InputError
from samplenet.ops import build, gpu_cases, native, use_native
from samplenet.ops import torch as ops
from samplenet.run import environment

TIMED = {
    "Chamfer forward B32 1024x1024": ("chamfer", 32, 1024, 1024, 0),
    "Chamfer forward+backward B32 1024x1024": ("chamfer backward", 32, 1024, 1024, 0),
    "Chamfer forward B50 2048x2048": ("chamfer", 50, 2048, 2048, 0),
    "kNN k=8 B32 64x1024": ("knn", 32, 64, 1024, 8),
    "kNN k=16 B50 64x2048": ("knn", 50, 64, 2048, 16),
    "kNN k=16 B32 1024x1024": ("knn", 32, 1024, 1024, 16),
    "kNN k=1 100k x 100k": ("knn", 1, 100_000, 100_000, 1),
    "FPS 1024 -> 512 B32": ("fps", 32, 512, 1024, 0),
    "FPS 2048 -> 64 B32": ("fps", 32, 64, 2048, 0),
}
TARGETS = {  # microseconds on an H200
    "Chamfer forward B32 1024x1024": 20,
    "Chamfer forward+backward B32 1024x1024": 40,
    "kNN k=16 B32 1024x1024": 60,
    "FPS 1024 -> 512 B32": 130,
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


def seconds(call, device: str, rounds: int = 50) -> float:
    """Median time of a call, on a GPU by its own clock, from a captured graph: without the launch from Python."""
    for _ in range(3):
        call()
    if device == "cpu":
        start = time.perf_counter()
        call()
        return time.perf_counter() - start
    torch.cuda.synchronize()
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
    """Microseconds of each case."""
    rows = []
    for name, (op, batch, m, n, k) in TIMED.items():
        a, b = (cloud(s, batch, size).to(device) for s, size in ((0, m), (1, n)))
        if op == "knn":
            spent = seconds(lambda a=a, b=b, k=k: ops.knn(a, b, k), device)
        elif op == "fps":
            spent = seconds(lambda b=b, m=m: ops.farthest_points(b, m), device)
        elif op == "chamfer":
            spent = seconds(lambda a=a, b=b: ops.chamfer(a, b), device)
        else:
            ones = [torch.ones(batch, size, device=device) for size in (m, n)]

            def both(a=a, b=b, ones=ones):
                a2b, b2a, ab, ba = torch.ops.samplenet.chamfer(a, b)
                return torch.ops.samplenet.chamfer_backward(*ones, a, b, ab, ba)

            spent = seconds(both, device)
        rows.append({"case": name, "microseconds": 1e6 * spent, "target_h200": TARGETS.get(name)})
        print(f"| {name} | {1e6 * spent:.1f} | {TARGETS.get(name, '')} |", flush=True)
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
    print("| case | microseconds | target on an H200 |\n| --- | --- | --- |")
    rows = bench(args.device)
    if args.out:
        gpu = torch.cuda.get_device_name() if args.device == "cuda" else None
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(args.out, json.dumps({"environment": environment(), "gpu": gpu, "rows": rows}, indent=1).encode())


if __name__ == "__main__":
    main()
