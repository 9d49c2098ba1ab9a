"""Check TensorFlow's CUDA kernels against its CPU kernels: python -m samplenet.ops.gpu_tf.

For a machine with an NVIDIA GPU and ops built by `python -m samplenet.ops.build --tf --cuda`. As `samplenet.ops.gpu`
does for PyTorch, without times: distances and indices must agree in every bit, gradients to rounding, and a second
backward pass must repeat the first in every bit. `--device cpu` tries the script with the CPU kernels on both sides.
"""

import sys
import time

import numpy as np
import tensorflow as tf

from samplenet.ops import gpu_cases, native, use_native
from samplenet.ops import tf as ops
from samplenet.ops.gpu_cases import cloud
from samplenet.runs.settings import Parser


def same(what: str, function, device: str, *clouds: np.ndarray) -> None:
    """The outputs of `function(*clouds)` on the CPU and on `device`, equal in every bit."""
    outputs = []
    for on in ("CPU", device):
        with tf.device(on):
            outputs.append([output.numpy() for output in function(*map(tf.constant, clouds))])
    for want, found in zip(*outputs, strict=True):
        if not np.array_equal(want, found, equal_nan=True):
            raise AssertionError(f"{what}: {device} and CPU differ in {(want != found).sum()} of {want.size} values")


def same_gradient(what: str, function, device: str, *clouds: np.ndarray) -> None:
    """Close to the CPU's, and twice the same."""

    def gradients(on: str) -> list[np.ndarray]:
        with tf.device(on), tf.GradientTape() as tape:
            leaves = [tf.constant(c) for c in clouds]
            tape.watch(leaves)
            rng = np.random.default_rng(7)
            loss = tf.add_n(
                [tf.reduce_sum(o * rng.normal(size=o.shape).astype(o.dtype.name)) for o in function(*leaves)]
            )
        with tf.device(on):
            return [gradient.numpy() for gradient in tape.gradient(loss, leaves)]

    first, second = gradients(device), gradients(device)
    for a, b, want in zip(first, second, gradients("CPU"), strict=True):
        if not np.array_equal(a, b):
            raise AssertionError(f"{what}: two backward passes differ")
        np.testing.assert_allclose(a, want, rtol=1e-4, atol=1e-4, err_msg=what)


def check(device: str) -> int:
    """Compare every op on a grid of sizes and kinds of clouds; how many calls were compared."""
    calls = 0
    for kind in gpu_cases.KINDS:
        for dtype in ("float32", "float64"):
            for batch, m, n, k in gpu_cases.KNN:
                clouds = cloud(0, batch, m, kind, dtype), cloud(1, batch, n, kind, dtype)
                what = f"knn {(batch, m, n, k)} {kind} {dtype}"
                same(what, lambda a, b, k=k: ops.knn(a, b, k), device, *clouds)
                if kind != "non-finite":
                    same_gradient(what, lambda a, b, k=k: ops.knn(a, b, k)[:1], device, *clouds)
                calls += 1
            for batch, m, n in gpu_cases.CHAMFER:
                clouds = cloud(0, batch, m, kind, dtype), cloud(1, batch, n, kind, dtype)
                what = f"chamfer {(batch, m, n)} {kind} {dtype}"
                same(what, ops.chamfer, device, *clouds)
                if kind != "non-finite":
                    same_gradient(what, lambda a, b: ops.chamfer(a, b)[:2], device, *clouds)
                calls += 1
            for batch, n, m in gpu_cases.FPS:
                chosen = np.random.default_rng(0).integers(0, n, (batch, 3))
                what = f"farthest_points {(batch, n, m)} {kind} {dtype}"

                def picked(points, m=m, chosen=chosen):
                    idx = ops.farthest_points(points, m, chosen=tf.constant(chosen))  # indices in the GPU's memory
                    return idx, ops.gather(points, idx)

                same(what, picked, device, cloud(0, batch, n, kind, dtype))
                calls += 1
    return calls


def main() -> None:
    """The command line."""
    parser = Parser(prog="python -m samplenet.ops.gpu_tf", description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    args = parser.parse_args()
    use_native(True)
    if args.device == "cuda" and not tf.config.list_physical_devices("GPU"):
        sys.exit("samplenet.ops.gpu_tf: error: TensorFlow sees no GPU here; --device cpu tries the script without one")
    why = native.missing("tf", tf.__version__)
    if not why and args.device == "cuda" and native.built("tf", tf.__version__)["device"] != "cuda":
        why = "the ops are built for the CPU; build them with: python -m samplenet.ops.build --tf --cuda"
    if why:
        sys.exit(f"samplenet.ops.gpu_tf: error: {why}")
    tf.config.set_soft_device_placement(False)  # else the CPU would do what the GPU has no kernel for
    start = time.perf_counter()
    calls = check({"cuda": "GPU", "cpu": "CPU"}[args.device])
    print(f"{calls} calls agree with the CPU kernels ({time.perf_counter() - start:.0f} s)")


if __name__ == "__main__":
    main()
