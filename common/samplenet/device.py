"""Which NVIDIA GPU there is and whether a framework computes on it: python -m samplenet.device tf|torch."""

import os
import shutil
import subprocess
from typing import NamedTuple

from samplenet.runs.parser import Parser

NAMES = {"torch": "PyTorch", "tf": "TensorFlow"}
OLDEST_DRIVERS = {11: 450, 12: 525, 13: 580}  # by CUDA's major version, on Linux


def oldest_driver(cuda: str) -> int | None:
    """The oldest driver that runs programs of a CUDA release such as "12.9"; None if that is not known here."""
    major = cuda.partition(".")[0]
    return OLDEST_DRIVERS.get(int(major)) if major.isdecimal() else None


class Gpu(NamedTuple):
    """The first visible GPU."""

    name: str
    driver: str

    def runs(self, cuda: str) -> bool:
        """Whether its driver is new enough for a CUDA release; True where either version is unknown."""
        needed, major = oldest_driver(cuda), self.driver.partition(".")[0]
        return needed is None or not major.isdecimal() or int(major) >= needed


def gpu() -> Gpu | None:
    """The first GPU that nvidia-smi shows; None without one, and where CUDA_VISIBLE_DEVICES is empty or -1."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") or not shutil.which("nvidia-smi"):
        return None
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.SubprocessError):  # of another machine, or its driver does not answer
        return None
    if done.returncode or not done.stdout.strip():
        return None
    name, _, driver = done.stdout.splitlines()[0].rpartition(", ")
    return Gpu(name, driver)


def serving(framework: str, found: Gpu) -> tuple[bool, str]:
    """Whether a framework, which this imports, computes on the GPU, and a sentence that says so or what to do."""
    if framework == "tf":
        from samplenet.quiet_tensorflow import tensorflow as tf

        serves = bool(tf.config.list_physical_devices("GPU"))
        cuda = tf.sysconfig.get_build_info().get("cuda_version")
        lacking = (
            "the CUDA libraries are not in its environment; bash setup.sh tf viz makes .venv-tf with them (without a "
            'checkout: pip install "tensorflow[and-cuda]" in an environment without PyTorch)'
        )
    else:
        import torch

        serves, cuda = torch.cuda.is_available(), torch.version.cuda
        lacking = "torch.cuda.is_available() is False; torch.cuda.init() tells why"
    if cuda is None:
        lacking = "this build of it has no CUDA; pytorch.org and tensorflow.org name builds that have"
    elif not found.runs(cuda):
        lacking = f"its CUDA {cuda} needs driver {oldest_driver(cuda)} or later; update the driver"
    at = f"{found.name}, driver {found.driver}"
    if serves:
        return True, f"{NAMES[framework]} computes on the GPU ({at}; {oldest_driver(cuda)} or later is needed)"
    return False, f"{NAMES[framework]} computes on the CPU, not on the GPU ({at}): {lacking}"


def main() -> None:
    """The command line."""
    parser = Parser(prog="python -m samplenet.device", description=__doc__.splitlines()[0])
    parser.add_argument("framework", choices=NAMES)
    asked, found = parser.parse_args(), gpu()
    print(serving(asked.framework, found)[1] if found else "no GPU is visible")


if __name__ == "__main__":
    main()
