"""Report whether a framework computes on the NVIDIA GPU: python -m samplenet.device tf|torch."""

import os
import shutil
import subprocess
from typing import NamedTuple

from samplenet.runs.parser import Parser

NAMES = {"torch": "PyTorch", "tf": "TensorFlow"}
OLDEST_DRIVERS = {11: 450, 12: 525, 13: 580}  # by CUDA's major version, on Linux


def oldest_driver(cuda: str) -> int | None:
    """Return the oldest driver that can run a CUDA release such as "12.9"; None if unknown."""
    major = cuda.partition(".")[0]
    return OLDEST_DRIVERS.get(int(major)) if major.isdecimal() else None


class Gpu(NamedTuple):
    """The first visible GPU."""

    name: str
    driver: str

    def runs(self, cuda: str) -> bool:
        """Return whether its driver can run a CUDA release; True if either version is unknown."""
        needed, major = oldest_driver(cuda), self.driver.partition(".")[0]
        return needed is None or not major.isdecimal() or int(major) >= needed


def gpu() -> Gpu | None:
    """Return nvidia-smi's first GPU, or None; None also if CUDA_VISIBLE_DEVICES hides all."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") or not shutil.which("nvidia-smi"):
        return None
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.SubprocessError):  # built for another machine, or no answer in time
        return None
    if done.returncode or not done.stdout.strip():
        return None
    name, _, driver = done.stdout.splitlines()[0].rpartition(", ")
    return Gpu(name, driver)


def serving(framework: str, gpu: Gpu) -> tuple[bool, str]:
    """Import a framework; return whether it computes on the GPU, and a sentence with the reason."""
    if framework == "tf":
        from samplenet.quiet_tensorflow import tensorflow as tf

        serves = bool(tf.config.list_physical_devices("GPU"))
        cuda = tf.sysconfig.get_build_info().get("cuda_version")
        advice = (
            "the CUDA libraries are not in its environment; bash setup.sh tf viz makes .venv-tf "
            'with them (without a checkout: pip install "tensorflow[and-cuda]" in an environment '
            "without PyTorch)"
        )
    else:
        import torch

        serves, cuda = torch.cuda.is_available(), torch.version.cuda
        advice = "torch.cuda.is_available() is False; torch.cuda.init() says why"
    name, oldest = f"{gpu.name}, driver {gpu.driver}", oldest_driver(cuda or "")
    if serves:
        sentence = f"computes on the GPU ({name}; {oldest} or later is needed)"
        return True, f"{NAMES[framework]} {sentence}"
    if cuda is None:
        advice = "this build of it has no CUDA; pytorch.org and tensorflow.org name builds that do"
    elif not gpu.runs(cuda):
        advice = f"its CUDA {cuda} needs driver {oldest} or later; update the driver"
    return False, f"{NAMES[framework]} computes on the CPU, not on the GPU ({name}): {advice}"


def main() -> None:
    """Run the command."""
    parser = Parser(prog="python -m samplenet.device", description=__doc__.splitlines()[0])
    parser.add_argument("framework", choices=NAMES)
    framework, first = parser.parse_args().framework, gpu()
    print(serving(framework, first)[1] if first else "no GPU is visible")


if __name__ == "__main__":
    main()
