"""Time a sampler in every runtime: one cloud at a time, matching included.

    python benchmarks/export.py --weights classification-progressive --size 64 --threads 2

Each runtime runs in a separate process and is timed call by call. On a busy machine read the best
time; the median needs an idle one.
"""

import dataclasses
import importlib.util
import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from samplenet import export, load_pretrained, weights
from samplenet.data import shapes
from samplenet.errors import InputError
from samplenet.runs.checkpoint import save_checkpoint
from samplenet.runs.parser import Parser
from samplenet.runs.script import main
from samplenet.timing import Seconds, in_turns

RUNTIMES = {  # with the packages that each needs
    "PyTorch, eager": ("torch",),
    "torch.export": ("torch",),
    "torch.compile": ("torch",),
    "ONNX": ("onnx", "onnxruntime"),
    "Keras, eager": ("tensorflow",),
    "SavedModel": ("tensorflow",),
}


def first_points(name: str, size: int, file: Path) -> None:
    """Write a sampler that returns the first `size` points of the sampler `name`."""
    sampler = load_pretrained(name)
    if size > sampler.m or sampler.settings.output_order != "m3":
        raise InputError(
            f"--size must be at most the {sampler.m} points of {name}, a sampler of classification"
        )
    last = f"fc{len(sampler.settings.fc_widths) + 1}."
    arrays = dict(weights.arrays(sampler))
    for key, array in arrays.items():
        if last in key and array.ndim:  # the last layer returns m3: each point's x, y, z in turn
            arrays[key] = array[: 3 * size]
    save_checkpoint(file, arrays, {"network": {**dataclasses.asdict(sampler.settings), "m": size}})


def prepare(runtime: str, file: Path, cloud: np.ndarray):
    """Return a function that samples the cloud once in the given runtime."""
    if runtime == "ONNX":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
        export.export(load_pretrained(file), file.with_suffix(".onnx"))
        session = onnxruntime.InferenceSession(file.with_suffix(".onnx"), options)
        return lambda: session.run(None, {"cloud": cloud})
    if runtime in ("Keras, eager", "SavedModel"):
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(int(os.environ["OMP_NUM_THREADS"]))
        sampler, cloud = load_pretrained(file, framework="tf"), tf.constant(cloud)
        if runtime == "SavedModel":
            export.export(sampler, file.with_suffix(""))
            sampler = tf.saved_model.load(file.with_suffix(""))
        return lambda: sampler(cloud)
    import torch

    from samplenet.torch.export import Inference

    torch.set_grad_enabled(False)
    sampler, cloud = load_pretrained(file, framework="torch"), torch.from_numpy(cloud)
    if runtime == "torch.export":
        export.export(sampler, file.with_suffix(".pt2"))
        sampler = torch.export.load(file.with_suffix(".pt2")).module()
    elif runtime == "torch.compile":
        sampler = torch.compile(Inference(export.fold(sampler)))
    return lambda: sampler(cloud)


def timed(runtime: str, file: Path, cloud: np.ndarray, repeats: int) -> Seconds:
    """Time single calls after three warm-up calls."""
    return in_turns({runtime: prepare(runtime, file, cloud)}, repeats, warm_up=3)[runtime]


def start() -> None:
    parser = Parser("benchmarks/export.py", description=__doc__.splitlines()[0])
    usual, text = "classification-progressive", "name or file (default: %(default)s)"
    parser.add_argument("--weights", default=usual, help=text)
    every = list(RUNTIMES)
    parser.add_argument("--only", nargs="+", choices=every, default=every, help="(default: all)")
    counts = {"--size": 64, "--num-points": 1024, "--threads": os.cpu_count(), "--repeats": 300}
    for name, value in counts.items():
        parser.add_argument(name, type=int, default=value, help="(default: %(default)s)")
    flags = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(flags.threads)  # read by the processes below
    cloud = shapes.generate("chair", 0, split="test", num_points=flags.num_points)[None]
    title = f"{flags.weights}, m {flags.size}, N {flags.num_points}, B 1, {flags.threads} threads"
    print(f"{title}; machine load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print("| runtime | best, ms | median, ms |\n| --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sampler.safetensors"
        first_points(flags.weights, flags.size, file)
        for runtime in flags.only:
            missing = [n for n in RUNTIMES[runtime] if importlib.util.find_spec(n) is None]
            if missing:
                print(f"| {runtime} | {' and '.join(missing)} not installed | |")
                continue
            # a new process, because runtimes set threads and options for the whole process
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                seconds = pool.submit(timed, runtime, file, cloud, flags.repeats).result()
            best, median = 1e3 * seconds.best, 1e3 * seconds.median
            print(f"| {runtime} | {best:.2f} | {median:.2f} |", flush=True)


if __name__ == "__main__":
    main(start)
