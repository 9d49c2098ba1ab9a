"""Compare `render_voxels` with the dense formulation: python benchmarks/rendering.py [--out FILE].

The silhouettes of clouds, and their gradients by points and scale, at the sizes of the released
configuration (64) and of half its resolution. The dense formulation is that of the released code:
scatter, three one-channel convolutions, ray termination in logarithms, each of whole grids, in
PyTorch, the same under torch.compile, and in a tf.function. The same run requires equal images and
gradients. Times are the median of seven runs (three above a second), in turns after a warm-up.
Peak memory is that of a process that runs only this case, minus its memory before.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np

from layers import CLEAR, resident
from ops import times
from samplenet.atomic import write_json
from samplenet.runs.environment import environment
from samplenet.runs.parser import Parser

# pairs of a cloud and a view, points of a cloud, voxels along a side, taps, sigma
SIZES = {"half": (128, 1500, 32, 11, 1.5), "full": (16, 8000, 64, 21, 3.0)}


def inputs(pairs: int, count: int, size: int) -> tuple[np.ndarray, ...]:
    """Draw points on spheres, scales, and weights of the pixels."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(pairs, count, 3)) * (1, 0.8, 1.2)
    points *= 0.3 / np.linalg.norm(points, axis=-1, keepdims=True)
    scale, weights = rng.uniform(0.3, 0.7, pairs), rng.normal(size=(pairs, size, size))
    return tuple(a.astype(np.float32) for a in (points, scale, weights))


def taps(count: int, sigma: float) -> np.ndarray:
    """Return a normalised Gaussian."""
    weights = np.exp(-0.5 * ((np.arange(count) - count // 2) / sigma) ** 2)
    return (weights / weights.sum()).astype(np.float32)


def torch_cases(pairs, count, size, kernel_size, sigma) -> dict[str, Callable]:
    """Return the cases in PyTorch by name; each returns the image and both gradients."""
    import torch
    from torch.nn.functional import conv3d

    from samplenet.ops import use_native
    from samplenet.ops.torch import render_voxels

    points, scale, weights = (torch.from_numpy(a) for a in inputs(pairs, count, size))
    points.requires_grad_(), scale.requires_grad_()
    kernel = torch.from_numpy(taps(kernel_size, sigma))

    def dense(points, scale):
        at = (points + 0.5) * (size - 1)
        low = at.detach().floor()
        over, grid = at - low, points.new_zeros(pairs, size**3)
        for corner in product((0, 1), repeat=3):
            shift = torch.tensor(corner)
            z, y, x = (low.long() + shift).unbind(-1)
            share = (shift * over + (1 - shift) * (1 - over)).prod(-1)
            grid = grid.scatter_add(1, (z * size + y) * size + x, share)
        grid = grid.view(pairs, 1, size, size, size).clamp(0, 1)
        for axis in (4, 3, 2):
            shape = [kernel_size if a == axis else 1 for a in range(5)]
            grid = conv3d(grid, kernel.view(shape), padding=[n // 2 for n in shape[2:]])
        occupancy = (grid[:, 0] * scale[:, None, None, None]).clamp(0, 1).clamp(1e-5, 1 - 1e-5)
        e = torch.full_like(occupancy[:, :1], 1e-5)
        passed = torch.cat([e, torch.log(1 - occupancy).cumsum(1)], 1)
        ends = torch.exp(torch.cat([torch.log(occupancy), e], 1) + passed)
        return ends[:, :-1].sum(1).flip(1)

    def op(points, scale):
        options = {"size": size, "kernel_size": kernel_size, "as_released": True}
        return render_voxels(points, sigma, scale, **options).silhouette

    def step(render, native=True):
        def run():
            old = use_native(native)
            image = render(points, scale)
            gradients = torch.autograd.grad((image * weights).sum(), (points, scale))
            use_native(old)
            return image.detach(), *gradients

        return run

    return {
        "dense": step(dense),
        "dense, torch.compile": step(torch.compile(dense)),
        "ours, framework operations": step(op, native=False),
        "ours": step(op),
    }


def tf_cases(pairs, count, size, kernel_size, sigma) -> dict[str, Callable]:
    """Return the cases in TensorFlow by name; each returns the image and both gradients."""
    import samplenet.quiet_tensorflow  # noqa: F401

    import tensorflow as tf

    from samplenet.ops import use_native
    from samplenet.ops.tf import render_voxels

    points, scale, weights = (tf.constant(a) for a in inputs(pairs, count, size))
    kernel, clouds = taps(kernel_size, sigma), tf.range(pairs)[:, None]

    def dense(points, scale):
        at = (points + 0.5) * (size - 1)
        low = tf.stop_gradient(tf.floor(at))
        over, grid = at - low, tf.zeros((pairs, size, size, size))
        for corner in product((0, 1), repeat=3):
            shift = np.array(corner, np.float32)
            cells = tf.unstack(tf.cast(low + shift, tf.int32), axis=-1)
            share = tf.reduce_prod(shift * over + (1 - shift) * (1 - over), -1)
            where = tf.stack([tf.broadcast_to(clouds, share.shape), *cells], -1)
            grid += tf.scatter_nd(where, share, grid.shape)
        grid = tf.clip_by_value(grid, 0, 1)[..., None]
        for axis in (2, 1, 0):
            shape = [kernel_size if a == axis else 1 for a in range(5)]
            grid = tf.nn.conv3d(grid, kernel.reshape(shape), [1] * 5, "SAME")
        occupancy = tf.clip_by_value(grid[..., 0] * scale[:, None, None, None], 0, 1)
        occupancy = tf.clip_by_value(occupancy, 1e-5, 1 - 1e-5)
        e = tf.fill((pairs, 1, size, size), 1e-5)
        passed = tf.concat([e, tf.cumsum(tf.math.log(1 - occupancy), 1)], 1)
        ends = tf.exp(tf.concat([tf.math.log(occupancy), e], 1) + passed)
        return tf.reduce_sum(ends[:, :-1], 1)[:, ::-1]

    def op(points, scale):
        options = {"size": size, "kernel_size": kernel_size, "as_released": True}
        return render_voxels(points, sigma, scale, **options).silhouette

    def step(render, native=True):
        @tf.function
        def run(points, scale):
            with tf.GradientTape() as tape:
                tape.watch([points, scale])
                image = render(points, scale)
                loss = tf.reduce_sum(image * weights)
            return image, *tape.gradient(loss, [points, scale])

        def call():
            old = use_native(native)  # which the graph keeps
            results = [result.numpy() for result in run(points, scale)]
            use_native(old)
            return results

        return call

    return {
        "dense": step(dense),
        "ours, framework operations": step(op, native=False),
        "ours": step(op),
    }


CASES = {"torch": torch_cases, "tf": tf_cases}


def check(calls: dict[str, Callable]) -> None:
    """Require equal images and gradients of all cases."""
    wanted = calls["dense"]()
    for name, call in calls.items():
        for what, want, got in zip(("image", "points", "scale"), wanted, call(), strict=True):
            error = np.abs(np.asarray(got) - np.asarray(want)).max()
            if not error <= 1e-3 * np.abs(np.asarray(want)).max():
                raise AssertionError(f"{name}: {what} differs from the dense formulation: {error}")


def run_case(framework: str, size: str, case: str) -> None:
    """Print the megabytes that a case takes at most, beyond what is held before."""
    call = CASES[framework](*SIZES[size])[case]
    before = resident("VmRSS")
    CLEAR.write_text("5")  # a new process begins with its parent's high-water mark
    for _ in range(2):
        call()
    print(resident("VmHWM") - before)


def peak_memory(framework: str, size: str, case: str) -> float:
    """Run a case in a separate process; return the megabytes that it took."""
    command = [sys.executable, __file__, "--case", framework, size, case]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(output.split()[-1])


def main() -> None:
    """Run the command line."""
    parser = Parser(prog="rendering.py", description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=list(SIZES), help="the size (default: both)")
    parser.add_argument("--out", type=Path, help="write the figures as JSON to this file")
    text = "FRAMEWORK SIZE NAME: print only the memory that this case takes"
    parser.add_argument("--case", nargs=3, help=text)
    flags = parser.parse_args()
    if flags.case:
        run_case(*flags.case)
        return
    print("| framework | pairs, points, grid, taps | case | ms | to ours | peak MB | to ours |")
    print("| --- " * 7 + "|")
    rows = []
    for (framework, cases), size in product(CASES.items(), SIZES):
        if flags.only not in (None, size):
            continue
        calls = cases(*SIZES[size])
        check(calls)
        spent = times(calls)
        memory = {name: peak_memory(framework, size, name) for name in calls}
        pairs, count, side, kernel_size, _ = SIZES[size]
        for name, ms in spent.items():
            ratios = ms / spent["ours"], memory[name] / memory["ours"]
            row = {"framework": framework, "size": size, "case": name, "ms": ms}
            rows.append(row | {"peak_mb": memory[name], "to_ours": ratios})
            print(
                f"| {framework} | {pairs}, {count}, {side}³, {kernel_size} | {name} | {ms:.3g} | "
                f"{ratios[0]:.1f} | {memory[name]:.0f} | {ratios[1]:.1f} |",
                flush=True,
            )
    if flags.out:
        write_json(flags.out, {"environment": environment(), "cores": os.cpu_count(), "rows": rows})


if __name__ == "__main__":
    main()
