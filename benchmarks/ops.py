"""Time the native CPU ops against other libraries: python benchmarks/ops.py [--out FILE].

All get the same number of threads, the same random clouds and a warm-up. Times are the median of
seven runs (three if a run takes above a second, one above twenty), taken in turns. The same run
checks kNN and balls (some of the queries) and farthest points (the first thousand) against
samplenet.ops.reference, and gradients against framework operations. The extra `bench` installs the
other libraries (pykdtree, scipy, scikit-learn, fpsample, KeOps); missing ones are reported.
"""

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from samplenet.atomic import write_atomic
from samplenet.ops import build, native, reference, use_native
from samplenet.runs.environment import environment
from samplenet.runs.parser import Parser
from samplenet.timing import in_turns

Calls = dict[str, Callable]


def clouds(*shape: int, seed: int = 0) -> np.ndarray:
    """Draw uniform points in the unit cube, (..., 3)."""
    return np.random.default_rng(seed).random((*shape, 3), np.float32)


def times(calls: Calls) -> dict[str, float]:
    """Return each call's median milliseconds, timed in turns after a warm-up."""
    warm_up = in_turns(calls, 1, warm_up=0)
    slowest = max(seconds.median for seconds in warm_up.values())
    turns = 7 if slowest < 1 else 3 if slowest < 20 else 1
    timed = in_turns(calls, turns, warm_up=0)
    return {name: 1e3 * seconds.median for name, seconds in timed.items()}


class Peers:
    """The installed libraries to compare with."""

    def __init__(self, threads: int):
        self.threads, self.missing = threads, []
        self.pykdtree = self._import("pykdtree.kdtree")
        self.spatial = self._import("scipy.spatial")
        self.neighbors = self._import("sklearn.neighbors")
        self.fpsample = self._import("fpsample")
        self.keops = self._import("pykeops.torch")

    def _import(self, name: str):
        try:
            return importlib.import_module(name)
        except ImportError:
            self.missing.append(name.split(".")[0])
            return None

    def knn(self, queries: np.ndarray, points: np.ndarray, k: int) -> Calls:
        """Return the tree libraries' calls on NumPy clouds, building the tree included."""
        pairs, calls = list(zip(queries, points, strict=True)), {}
        if self.pykdtree:
            calls["pykdtree"] = lambda: [self.pykdtree.KDTree(p).query(q, k=k) for q, p in pairs]
        if self.spatial:
            calls["scipy cKDTree"] = lambda: [
                self.spatial.cKDTree(p).query(q, k=k, workers=self.threads) for q, p in pairs
            ]
        if self.neighbors and points.size < 1e6:
            calls["scikit-learn"] = lambda: [
                self.neighbors.NearestNeighbors(n_neighbors=k, n_jobs=self.threads)
                .fit(p)
                .kneighbors(q)
                for q, p in pairs
            ]
        if self.keops and points.size < 1e6:
            import torch

            q, p = torch.from_numpy(queries), torch.from_numpy(points)
            lazy = self.keops.LazyTensor
            calls["KeOps"] = lambda: (
                ((lazy(q[:, :, None]) - lazy(p[:, None])) ** 2).sum(-1).Kmin_argKmin(k, dim=2)
            )
        return calls

    def ball_query(self, queries: np.ndarray, points: np.ndarray, radius: float, k: int) -> Calls:
        """Return scipy's call on two clouds; its sorted lists are not padded."""
        if not self.spatial:
            return {}
        search = dict(r=radius, return_sorted=True, workers=self.threads)
        tree = self.spatial.cKDTree
        return {
            "scipy cKDTree": lambda: [
                found[:k] for found in tree(points).query_ball_point(queries, **search)
            ]
        }

    def farthest_points(self, points: np.ndarray, m: int) -> Calls:
        """Return fpsample's exact samplers; its bucket variant with two tree heights."""
        if not self.fpsample:
            return {}
        calls = {
            f"fpsample kd-line h{h}": lambda h=h: self.fpsample.bucket_fps_kdline_sampling(
                points, m, h=h, start_idx=0
            )
            for h in (3, 7)
        }
        if len(points) <= 10_000:
            calls["fpsample"] = lambda: self.fpsample.fps_sampling(points, m, start_idx=0)
        return calls


def check_knn(queries: np.ndarray, points: np.ndarray, k: int, idx: np.ndarray) -> None:
    """Require the reference's indices; only of two clouds and 200 queries, as it is slow."""
    some = slice(None, 2), slice(None, None, max(1, queries.shape[1] // 200))
    if not np.array_equal(idx[some], reference.knn(queries[some], points[:2], k)[1]):
        case = f"{queries.shape}, {points.shape}, k={k}"
        raise AssertionError(f"knn differs from the reference: {case}")


def bench_knn(peers: Peers, batch: int, m: int, n: int, k: int) -> dict:
    """Time native kNN against torch's dense distances and the tree libraries."""
    import torch

    from samplenet.ops import torch as ops

    queries, points = clouds(batch, m), clouds(batch, n, seed=1)
    q, p = torch.from_numpy(queries), torch.from_numpy(points)
    calls = {"samplenet": lambda: ops.knn(q, p, k)} | peers.knn(queries, points, k)
    if m * n * batch < 2e8 and k == 1:
        calls["torch.cdist+min"] = lambda: torch.cdist(q, p).min(-1)
    elif m * n * batch < 2e8:
        calls["torch.cdist+topk"] = lambda: torch.cdist(q, p).topk(k, largest=False)
    check_knn(queries, points, k, ops.knn(q, p, k)[1].numpy())
    return times(calls)


def bench_ball_query(peers: Peers, side: float, m: int, n: int, radius: float, k: int) -> dict:
    """Time the native ball query in a cube of this side, against framework operations and scipy."""
    import torch

    from samplenet.ops import torch as ops

    points = clouds(1, n) * np.float32(side)
    queries = points[:, :: n // m][:, :m]
    q, p = torch.from_numpy(queries), torch.from_numpy(points)

    def find(on: bool):
        old = use_native(on)
        found = ops.ball_query(q, p, radius, k)
        use_native(old)
        return found

    want = reference.ball_query(queries[:, ::10], points, radius, k)
    for expected, found in zip(want, find(True), strict=True):
        if not np.array_equal(expected, found.numpy()[:, ::10]):
            raise AssertionError(f"ball_query differs from the reference: side {side}")
    calls = {"samplenet": lambda: find(True), "framework operations": lambda: find(False)}
    return times(calls | peers.ball_query(queries[0], points[0], radius, k))


def bench_farthest_points(peers: Peers, n: int, m: int) -> dict:
    """Time native farthest point sampling of one cloud on one thread."""
    import torch

    from samplenet.ops import torch as ops

    points = clouds(1, n)
    p = torch.from_numpy(points)
    got = ops.farthest_points(p, m).numpy()[0]
    if not np.array_equal(got[:1000], reference.farthest_points(points, min(m, 1000))[0]):
        raise AssertionError(f"farthest_points differs from the reference: {n} -> {m}")
    calls = {"samplenet": lambda: ops.farthest_points(p, m)}
    return times(calls | peers.farthest_points(points[0], m))


def bench_chamfer_torch(batch: int, n: int) -> dict:
    """Time Chamfer forward and backward in PyTorch, native and with framework operations."""
    import torch

    from samplenet.ops import torch as ops

    a, b = (torch.from_numpy(clouds(batch, n, seed=s)).requires_grad_() for s in (0, 1))

    def step(on: bool):
        old = use_native(on)
        near = ops.chamfer(a, b)
        grads = torch.autograd.grad(near.a2b.sum() + near.b2a.sum(), (a, b))
        use_native(old)
        return grads

    for native_grad, grad in zip(step(True), step(False), strict=True):
        torch.testing.assert_close(native_grad, grad)
    return times({"samplenet": lambda: step(True), "framework operations": lambda: step(False)})


def bench_chamfer_tf(batch: int, n: int) -> dict:
    """Time Chamfer forward and backward in a tf.function, native and with framework operations."""
    import tensorflow as tf

    from samplenet.ops import tf as ops

    a, b = (tf.constant(clouds(batch, n, seed=s)) for s in (0, 1))

    def traced(on: bool):
        old = use_native(on)

        @tf.function
        def step():
            with tf.GradientTape() as tape:
                tape.watch([a, b])
                near = ops.chamfer(a, b)
                loss = tf.reduce_sum(near.a2b) + tf.reduce_sum(near.b2a)
            return tape.gradient(loss, [a, b])

        step()
        use_native(old)
        return step

    fast, slow = traced(True), traced(False)
    for native_grad, grad in zip(fast(), slow(), strict=True):
        np.testing.assert_allclose(native_grad, grad, rtol=1e-4, atol=1e-5)
    return times(
        {"samplenet": lambda: fast()[0].numpy(), "framework operations": lambda: slow()[0].numpy()}
    )


def bench_sampler_step(m: int) -> dict:
    """Time a training step of SampleNet without a task in TensorFlow, with both kinds of ops."""
    import tensorflow as tf

    from samplenet.tf import SampleNet, projection_loss, simplification_loss

    points = tf.constant(clouds(32, 1024))

    def traced(on: bool):
        old = use_native(on)
        sampler = SampleNet(m=m, k=7)
        sampler(points)

        @tf.function
        def step():
            with tf.GradientTape() as tape:
                sampled = sampler(points, training=True)
                loss = simplification_loss(sampled.queries, points) + projection_loss(sampler)
                loss += tf.reduce_sum(sampled.points**2)
            return tape.gradient(loss, sampler.trainable_variables)

        step()
        use_native(old)
        return step

    fast, slow = traced(True), traced(False)
    return times(
        {"samplenet": lambda: fast()[0].numpy(), "framework operations": lambda: slow()[0].numpy()}
    )


def peak(count: int, threads: int, *kind: str) -> float | None:
    """Return the milliseconds that the mere arithmetic of so many pairs takes on all threads.

    A bound for every nearest-neighbour search; None without a compiler for peak.cc. Of the kind
    "fused": of so many multiply-adds, a bound for every matrix product.
    """
    compiler = build.compiler()
    if not compiler:
        return None
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "peak")
        flags = "-O3 -std=c++17 -ffp-contract=off -march=native -mprefer-vector-width=512 -w"
        include = ["-DSAMPLENET_ISA=native", "-I", str(native.SOURCES)]
        source = str(Path(__file__).with_name("peak.cc"))
        command = [compiler, *flags.split(), *include, source, "-o", program]
        if subprocess.run(command, check=False).returncode:
            return None
        repeats = max(1, 10**9 // count)  # for a time that a clock can measure
        command, running = [program, str(count // threads * repeats), *kind], []
        for _ in range(threads):
            running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return max(float(process.communicate()[0]) for process in running) / repeats / 1e6


CASES = {
    "nearest B32 1024x1024": lambda peers: bench_knn(peers, 32, 1024, 1024, 1),
    "nearest B32 2048x2048": lambda peers: bench_knn(peers, 32, 2048, 2048, 1),
    "kNN k=8 B32 64x1024": lambda peers: bench_knn(peers, 32, 64, 1024, 8),
    "kNN k=16 B50 64x2048": lambda peers: bench_knn(peers, 50, 64, 2048, 16),
    "kNN k=16 B32 1024x1024": lambda peers: bench_knn(peers, 32, 1024, 1024, 16),
    "nearest 100k x 100k": lambda peers: bench_knn(peers, 1, 100_000, 100_000, 1),
    "kNN k=16 10k x 10k": lambda peers: bench_knn(peers, 1, 10_000, 10_000, 16),
    "kNN k=16 100k x 100k": lambda peers: bench_knn(peers, 1, 100_000, 100_000, 16),
    "kNN k=16 1M x 1M": lambda peers: bench_knn(peers, 1, 1_000_000, 1_000_000, 16),
    "ball query r=0.2 k=64 2048x20k in 1 m³": lambda peers: bench_ball_query(
        peers, 1.0, 2048, 20_000, 0.2, 64
    ),
    "ball query r=0.2 k=64 2048x20k in 125 m³": lambda peers: bench_ball_query(
        peers, 5.0, 2048, 20_000, 0.2, 64
    ),
    "FPS 1024 -> 512": lambda peers: bench_farthest_points(peers, 1024, 512),
    "FPS 2048 -> 64": lambda peers: bench_farthest_points(peers, 2048, 64),
    "FPS 4096 -> 1024": lambda peers: bench_farthest_points(peers, 4096, 1024),
    "FPS 50k -> 4096": lambda peers: bench_farthest_points(peers, 50_000, 4096),
    "FPS 100k -> 50k": lambda peers: bench_farthest_points(peers, 100_000, 50_000),
    "Chamfer forward+backward B32 1024x1024, PyTorch": lambda peers: bench_chamfer_torch(32, 1024),
    "Chamfer forward+backward B32 1024x1024, TensorFlow": lambda peers: bench_chamfer_tf(32, 1024),
    "SampleNet m=32 sampler step B32 N1024, TensorFlow": lambda peers: bench_sampler_step(32),
}


def main() -> None:
    """Run the command line."""
    parser = Parser(prog="python benchmarks/ops.py", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the times as JSON to this file")
    cores = os.cpu_count()
    parser.add_argument("--threads", type=int, default=cores, help="threads of every library")
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    args = parser.parse_args()
    use_native(True)
    # before any library is imported, which then starts as many threads
    os.environ["OMP_NUM_THREADS"] = os.environ["TF_NUM_INTRAOP_THREADS"] = str(args.threads)
    peers, rows = Peers(args.threads), []
    if peers.missing:
        print(f"left out, not installed: {', '.join(peers.missing)}", file=sys.stderr)
    print("| case | ms | against | ms | ratio |\n| --- | --- | --- | --- | --- |")
    for case, run in CASES.items():
        if args.only not in case:
            continue
        framework = "tf" if "TensorFlow" in case else "torch"
        version = build.framework_version(framework)
        if version is None or native.missing(framework, version):
            print(f"left out: {case}: no native ops for {build.NAMES[framework]}", file=sys.stderr)
            continue
        spent = run(peers)
        if case.startswith("nearest B32"):
            bound = peak(32 * int(case.split("x")[1]) ** 2, args.threads)
            spent |= {"arithmetic bound": bound} if bound else {}
        ours = spent.pop("samplenet")
        rows.append({"case": case, "samplenet_ms": ours, "peers_ms": spent})
        for i, (name, ms) in enumerate(sorted(spent.items(), key=lambda item: item[1])):
            first = f"{case} | {ours:.3g}" if i == 0 else " | "
            print(f"| {first} | {name} | {ms:.3g} | {ms / ours:.2f} |", flush=True)
    if args.out:
        done = {"environment": environment(), "threads": args.threads, "rows": rows}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(args.out, json.dumps(done, indent=1).encode())


if __name__ == "__main__":
    main()
