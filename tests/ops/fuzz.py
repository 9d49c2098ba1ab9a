"""Compare random calls of the native ops with the reference, in every index and every bit.

    python tests/ops/fuzz.py --framework torch --calls 10000

Sizes from nothing to those for which a tree is built; normal, gridded (ties), tiny, huge,
coinciding, collinear, clustered and non-finite clouds; float32 and float64; views that are not
contiguous. SAMPLENET_ISA=baseline or avx2 tries narrower instruction sets. Under the sanitizers
(without a search for leaks, because Python itself leaks):

    export SAMPLENET_NATIVE_DIR=sanitized
    python -m samplenet.ops.build --torch --sanitize
    LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libubsan.so)" \\
        ASAN_OPTIONS=detect_leaks=0 python tests/ops/fuzz.py --framework torch --calls 2000
"""

import argparse
import sys

import numpy as np

from samplenet.ops import native, reference


def cloud(rng: np.random.Generator, batch: int, n: int, kind: str, dtype) -> np.ndarray:
    """Draw clouds (batch, n, 3) of a kind that has caused trouble somewhere."""
    points = rng.normal(size=(batch, n, 3))
    if kind == "grid":
        points = rng.integers(-2, 3, points.shape)
    elif kind == "scaled":
        points *= 10.0 ** rng.integers(-25, 20)
    elif kind == "coinciding":
        points = np.repeat(points[:, :1], n, 1)
    elif kind == "collinear":
        points = np.repeat(np.sort(points[..., :1], 1), 3, 2)
    elif kind == "clustered":
        points = points * 1e-3 + rng.integers(0, 4, (batch, n, 1)) * 1e3
    elif kind == "non-finite":
        for value in (np.nan, np.inf, -np.inf):
            points[rng.random(points.shape) < rng.choice([0.003, 0.1])] = value
    with np.errstate(over="ignore"):
        points = np.ascontiguousarray(points, dtype)
    return points.transpose(0, 2, 1).copy().transpose(0, 2, 1) if rng.random() < 0.2 else points


KINDS = ["normal", "grid", "scaled", "coinciding", "collinear", "clustered", "non-finite"]


def compare(want, got, what: tuple) -> None:
    """End the program and name the call unless the arrays are equal in every bit."""
    for expected, found in zip(want, got, strict=True):
        if not np.array_equal(expected, np.asarray(found), equal_nan=True):
            sys.exit(f"mismatch: {what}")


def one_call(ops, rng: np.random.Generator, convert) -> None:
    """Make a random call of each op."""
    large = rng.random() < 0.03
    batch = int(rng.integers(0, 2 if large else 4))
    m = int(rng.integers(600, 800) if large else rng.integers(0, 150))
    n = int(
        rng.integers(3000, 6000) if large else rng.integers(1, 40 if rng.random() < 0.3 else 400)
    )
    k = int(rng.integers(1, n + 1) if rng.random() < 0.3 else rng.integers(1, min(n, 40) + 1))
    kind, dtype = KINDS[rng.integers(len(KINDS))], [np.float32, np.float64][rng.integers(2)]
    queries, points = cloud(rng, batch, m, kind, dtype), cloud(rng, batch, n, kind, dtype)
    what = (batch, m, n, k, kind, dtype.__name__)
    tensors = [convert(queries), convert(points)]
    compare(reference.knn(queries, points, k), ops.knn(*tensors, k), ("knn", *what))
    dist2 = reference.distances(queries[:1, :1], points[:1])
    dist2 = dist2[(dist2 > 0) & np.isfinite(dist2)]
    radius = float(dist2[0]) ** 0.5 if len(dist2) else 1.0  # holds any share of the points
    got = ops.ball_query(*tensors, radius, k)
    compare(reference.ball_query(queries, points, radius, k), got, ("ball_query", radius, *what))
    if m:
        compare(reference.chamfer(queries, points), ops.chamfer(*tensors), ("chamfer", *what))
    picks = 600 if large else k
    chosen = rng.integers(0, n, (batch, rng.integers(1, 6)))
    want = reference.farthest_points(points, picks, chosen=chosen)
    got = ops.farthest_points(tensors[1], picks, chosen=convert(chosen))
    compare([want], [got], ("farthest_points", picks, *what))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--framework", choices=["torch", "tf"], required=True)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.framework == "torch":
        import torch

        from samplenet.ops import torch as ops

        version, convert = torch.__version__, torch.as_tensor
    else:
        import tensorflow as tf

        from samplenet.ops import tf as ops

        version, convert = tf.__version__, tf.convert_to_tensor
    if why := native.missing(args.framework, version):
        sys.exit(f"no native ops to try: {why}")
    rng = np.random.default_rng(args.seed)
    for _ in range(args.calls):
        one_call(ops, rng, convert)
    print(f"{args.calls} calls of each op without a mismatch")


if __name__ == "__main__":
    main()
