"""Compare the projections of points with dense ones: python benchmarks/projections.py [--out FILE].

Silhouettes and colours of 4 clouds of 1024 points in 4 views, 64 x 64 pixels, and their gradients.
The dense formulation is that of the released codes, with a number for each pixel and point of a
cloud, in PyTorch and in a tf.function. The same run requires equal images and gradients. Times are
the median of seven runs (three above a second), in turns after a warm-up.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ops import times
from samplenet.atomic import write_json
from samplenet.runs.environment import environment
from samplenet.runs.parser import Parser

PAIRS, COUNT, SIDE = 16, 1024, 64  # of a cloud and a view; points; pixels
VARIANCE, RADIUS, BETA = 0.4, 1.0, 100.0
OPTIONS = {"height": SIDE, "width": SIDE, "as_released": True}


def inputs() -> dict[str, np.ndarray]:
    """Draw points of spheres as a camera sees them, colours, and weights of the pixels."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(PAIRS, COUNT, 3))
    points *= (20, 20, 0.4) / np.linalg.norm(points, axis=-1, keepdims=True)
    points += (SIDE / 2, SIDE / 2, 2)
    arrays = {"points": points, "colours": rng.random((PAIRS, COUNT, 3))}
    arrays |= {"of_mask": rng.normal(size=(PAIRS, SIDE, SIDE))}
    arrays |= {"of_features": rng.normal(size=(PAIRS, SIDE, SIDE, 3))}
    return {name: a.astype(np.float32) for name, a in arrays.items()}


def torch_cases() -> dict[str, dict[str, Callable]]:
    """Return the calls in PyTorch by op and name; each returns the image and its gradients."""
    import torch

    from samplenet.ops import torch as ops
    from samplenet.ops import use_native

    given = {name: torch.from_numpy(a) for name, a in inputs().items()}
    points, colours = (given[name].requires_grad_() for name in ("points", "colours"))
    at = torch.arange(SIDE, dtype=torch.float32)[:, None]

    def offsets(points):  # (P, H, 1, N), (P, 1, W, N)
        down, right = (points[:, None, :, axis] - at for axis in (0, 1))
        return down[:, :, None], right[:, None]

    def dense_mask(points, colours):
        down, right = (torch.exp(-o.square() / (2 * VARIANCE)) for o in offsets(points))
        return torch.tanh((down * right).sum(-1))

    def dense_features(points, colours):
        down, right = (torch.where(o.abs() <= RADIUS, 1.0, 10.0) for o in offsets(points))
        depth = (down * right * (points[:, None, None, :, 2] + 1)).clamp(0, 10)
        near = torch.softmax(BETA / (depth + 1e-5), -1) * (depth != 10)
        return near / (near.sum(-1, keepdim=True) + 1e-8) @ colours[:, None]

    def step(draw, weight, native=True):
        def run():
            old = use_native(native)
            image = draw(points, colours)
            loss = (image * weight).sum()
            slopes = torch.autograd.grad(loss, (points, colours), materialize_grads=True)
            use_native(old)
            return image.detach(), *slopes

        return run

    return cases(ops, dense_mask, dense_features, step, given)


def tf_cases() -> dict[str, dict[str, Callable]]:
    """Return the calls in TensorFlow by op and name; each returns the image and its gradients."""
    import samplenet.quiet_tensorflow  # noqa: F401

    import tensorflow as tf

    from samplenet.ops import tf as ops
    from samplenet.ops import use_native

    given = {name: tf.constant(a) for name, a in inputs().items()}

    def step(draw, weight, native=True):
        @tf.function
        def run(points, colours):
            with tf.GradientTape() as tape:
                tape.watch([points, colours])
                image = draw(points, colours)
                loss = tf.reduce_sum(image * weight)
            zero = tf.UnconnectedGradients.ZERO
            return image, *tape.gradient(loss, [points, colours], unconnected_gradients=zero)

        def call():
            old = use_native(native)  # which the graph keeps
            results = [result.numpy() for result in run(given["points"], given["colours"])]
            use_native(old)
            return results

        return call

    return cases(ops, lambda points, _: tf_dense_mask(points), tf_dense_features, step, given)


def tf_dense_mask(points, height=SIDE, width=SIDE, variance=VARIANCE, before_tanh=False):
    """Draw silhouettes as released, (P, N, 3) -> (P, H, W), with tensors (P, H, W, N)."""
    import tensorflow as tf

    down, right = (
        tf.exp(-tf.square(offset) / (2 * variance)) for offset in _tf_offsets(points, height, width)
    )
    sums = tf.reduce_sum(down * right, -1)
    return sums if before_tanh else tf.tanh(sums)


def tf_dense_features(points, features, height=SIDE, width=SIDE, radius=RADIUS, beta=BETA):
    """Draw features as released, (P, N, C) -> (P, H, W, C), with tensors (P, H, W, N)."""
    import tensorflow as tf

    down, right = (
        tf.where(tf.abs(offset) <= radius, 1.0, 10.0)
        for offset in _tf_offsets(points, height, width)
    )
    depth = tf.clip_by_value(down * right * (points[:, None, None, :, 2] + 1), 0, 10)
    near = tf.nn.softmax(beta / (depth + 1e-5)) * tf.cast(depth != 10, tf.float32)
    return near / (tf.reduce_sum(near, -1, keepdims=True) + 1e-8) @ features[:, None]


def _tf_offsets(points, height: int, width: int):
    """Return how far points are from the pixels: rows (P, H, 1, N) and columns (P, 1, W, N)."""
    import tensorflow as tf

    sizes = {0: height, 1: width}
    down, right = (
        points[:, None, :, axis] - tf.range(size, dtype=tf.float32)[:, None]
        for axis, size in sizes.items()
    )
    return down[:, :, None], right[:, None]


def cases(ops, dense_mask, dense_features, step, given) -> dict[str, dict[str, Callable]]:
    """Return the calls by op and name."""

    def mask(points, colours):
        return ops.project_mask(points, variance=VARIANCE, **OPTIONS)

    def features(points, colours):
        options = {"radius": RADIUS, "beta": BETA, **OPTIONS}
        return ops.project_features(points, colours, **options).features

    pairs = {"mask": (dense_mask, mask), "features": (dense_features, features)}
    return {
        f"project_{op}": {
            "dense": step(dense, given[f"of_{op}"]),
            "ours, framework operations": step(ours, given[f"of_{op}"], native=False),
            "ours": step(ours, given[f"of_{op}"]),
        }
        for op, (dense, ours) in pairs.items()
    }


def check(calls: dict[str, Callable]) -> None:
    """Require equal images and gradients of all cases."""
    wanted = calls["dense"]()
    for name, call in calls.items():
        for what, want, got in zip(("image", "points", "colours"), wanted, call(), strict=True):
            error = np.abs(np.asarray(got) - np.asarray(want)).max()
            if not error <= 1e-4 * np.abs(np.asarray(want)).max():
                raise AssertionError(f"{name}: {what} differs from the dense formulation: {error}")


def main() -> None:
    """Run the command line."""
    parser = Parser(prog="projections.py", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the times as JSON to this file")
    text = "threads of every case (default: the number of cores)"
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help=text)
    flags = parser.parse_args()
    # before any framework is imported, which then starts as many threads
    os.environ["OMP_NUM_THREADS"] = os.environ["TF_NUM_INTRAOP_THREADS"] = str(flags.threads)
    # PyTorch's threads else wait in loops, which takes the cores from what else the machine does
    os.environ["OMP_WAIT_POLICY"] = "passive"
    print("| framework | op | case | ms | to ours |")
    print("| --- " * 5 + "|")
    rows = []
    for framework, make in {"torch": torch_cases, "tf": tf_cases}.items():
        for op, calls in make().items():
            check(calls)
            spent = times(calls)
            for name, ms in spent.items():
                ratio = ms / spent["ours"]
                row = {"framework": framework, "op": op, "case": name, "ms": ms, "to_ours": ratio}
                rows.append(row)
                print(f"| {framework} | {op} | {name} | {ms:.3g} | {ratio:.1f} |", flush=True)
    if flags.out:
        done = {"environment": environment(), "threads": flags.threads, "rows": rows}
        write_json(flags.out, done)


if __name__ == "__main__":
    main()
