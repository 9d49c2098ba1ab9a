"""The settings of every script that trains with PyTorch: on which device, and how its steps run."""

from dataclasses import dataclass

from samplenet.runs.settings import RunConfig, option
from samplenet.torch.processes import DEVICES


@dataclass
class DeviceConfig(RunConfig):
    """Settings that other classes of a script's settings are joined with."""

    device: str = option("auto", "'auto': a GPU where there is one", choices=DEVICES)
    amp: bool = option(False, "bfloat16 where autocast takes it")
    compile: bool = option(False, "compile networks and losses by torch.compile")
    capture: bool | None = option(
        None, "replay the step as one CUDA graph; if unset: on one GPU, without --compile"
    )
