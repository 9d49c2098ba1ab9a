"""Check TensorFlow's CUDA kernels against its CPU kernels: python benchmarks/gpu_tf.py.

Needs an NVIDIA GPU and ops built by `python -m samplenet.ops.build --tf --cuda`. Like `gpu.py` for
PyTorch, but without times: distances and indices must agree in every bit, images and gradients up
to rounding, and a second backward pass must repeat the first in every bit. `--device cpu` compares
the CPU kernels with themselves, to try the script.
"""

import sys
import time
from functools import partial

import numpy as np
import tensorflow as tf

import gpu_cases
from samplenet.ops import native, use_native
from samplenet.ops import tf as ops
from samplenet.runs.parser import Parser


def same(
    device: str, what: str, function, *arrays: np.ndarray, require=gpu_cases.require_equal
) -> None:
    """Require outputs of `function(*arrays)` on `device` that equal the CPU's."""
    outputs = []
    for on in ("CPU", device):
        with tf.device(on):
            outputs.append([output.numpy() for output in function(*map(tf.constant, arrays))])
    for want, got in zip(*outputs, strict=True):
        require(what, want, got)


def same_gradient(device: str, what: str, function, *clouds: np.ndarray) -> None:
    """Require gradients close to the CPU's and, the second time, the same bits."""

    def gradients(on: str) -> list[np.ndarray]:
        rng, loss = np.random.default_rng(7), 0
        with tf.device(on):
            leaves = [tf.constant(c) for c in clouds]
            with tf.GradientTape() as tape:
                tape.watch(leaves)
                for output in function(*leaves):
                    weights = rng.normal(size=output.shape).astype(output.dtype.name)
                    loss += tf.reduce_sum(output * weights)
            return [gradient.numpy() for gradient in tape.gradient(loss, leaves)]

    first, second = gradients(device), gradients(device)
    for a, b, want in zip(first, second, gradients("CPU"), strict=True):
        if not np.array_equal(a, b):
            raise AssertionError(f"{what}: two backward passes differ")
        np.testing.assert_allclose(a, want, rtol=1e-4, atol=1e-4, err_msg=what)


def main() -> None:
    """Run the command line."""
    parser = Parser(prog="python benchmarks/gpu_tf.py", description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    args = parser.parse_args()
    use_native(True)
    if args.device == "cuda" and not tf.config.list_physical_devices("GPU"):
        advice = "--device cpu tries the script without one"
        sys.exit(f"gpu_tf.py: error: TensorFlow sees no GPU here; {advice}")
    why = native.missing("tf", tf.__version__)
    if not why and args.device == "cuda" and native.built("tf", tf.__version__)["device"] != "cuda":
        command = "python -m samplenet.ops.build --tf --cuda"
        why = f"the ops are built for the CPU; build them with: {command}"
    if why:
        sys.exit(f"gpu_tf.py: error: {why}")
    # otherwise an op without a GPU kernel would silently run on the CPU
    tf.config.set_soft_device_placement(False)
    device, start = {"cuda": "GPU", "cpu": "CPU"}[args.device], time.perf_counter()
    calls = gpu_cases.check(ops, partial(same, device), partial(same_gradient, device))
    print(f"{calls} calls agree with the CPU kernels ({time.perf_counter() - start:.0f} s)")


if __name__ == "__main__":
    main()
