"""The GPU that is found, and the advice if a framework cannot use it. No GPU is needed."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from samplenet import device

ROOT = Path(__file__).parents[1]
GPU = device.Gpu("NVIDIA H200", "580.65.06")


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """Return a function that installs an nvidia-smi with a given output and exit status."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def write(text="NVIDIA H200, 580.65.06\nNVIDIA H200, 580.65.06", status=0):
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\necho '{text}'\nexit {status}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)

    return write


def test_the_first_gpu_is_the_one_that_nvidia_smi_names(smi):
    smi()
    assert device.gpu() == GPU


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_no_gpu_is_visible_where_cuda_visible_devices_hides_all(smi, monkeypatch, hidden):
    smi()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert device.gpu() is None


def test_a_driver_that_does_not_answer_is_no_gpu(smi):
    smi("NVIDIA-SMI has failed", 9)
    assert device.gpu() is None


def test_cuda_13_needs_driver_580_and_cuda_12_525():
    assert GPU.runs("13.0") and GPU.runs("12.5.1")
    old = GPU._replace(driver="570.1")
    assert old.runs("12.9") and not old.runs("13.0")
    assert old.runs("unknown release")


@pytest.mark.parametrize(
    ("cuda", "driver", "available", "words"),
    [
        (
            "13.0",
            "580.65.06",
            True,
            "computes on the GPU (NVIDIA H200, driver 580.65.06; 580 or later is needed)",
        ),
        (None, "580.65.06", False, "this build of it has no CUDA"),
        ("13.0", "550.1", False, "its CUDA 13.0 needs driver 580 or later; update the driver"),
        ("13.0", "580.65.06", False, "torch.cuda.init() says why"),
    ],
)
def test_pytorch_says_which_device_serves_it_and_why(cuda, driver, available, words, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    serves, sentence = device.serving("torch", GPU._replace(driver=driver))
    assert serves == available and words in sentence


def test_debug_shows_tensorflows_log_and_an_idle_gpu_is_reported_once(smi):
    """Without it the log is not shown: tests/faults/test_bad_input.py."""
    tf = pytest.importorskip("tensorflow")
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("TensorFlow has a GPU here")
    smi()
    environment = {
        name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"
    }
    flags = [
        "--config",
        ROOT / "classification/configs/smoke.yaml",
        "--task",
        "nowhere",
        "--out",
        "nowhere",
        "--debug",
    ]
    command = [sys.executable, ROOT / "classification/evaluate.py", *flags]
    said = subprocess.run(command, env=environment, capture_output=True, text=True).stderr
    assert "before absl::InitializeLog" in said
    sentence = "TensorFlow computes on the CPU, not on the GPU (NVIDIA H200, driver 580.65.06)"
    assert said.count(f"evaluate.py: {sentence}") == 1
    assert "bash setup.sh tf viz makes .venv-tf" in said


@pytest.mark.parametrize("experiment", ["classification", "reconstruction"])
def test_each_script_imports_the_quiet_tensorflow_first(experiment):
    scripts = [p for p in (ROOT / experiment).glob("*.py") if "__main__" in p.read_text()]
    assert len(scripts) == 4
    for script in scripts:
        imports = [
            node
            for node in ast.parse(script.read_text()).body
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        names = [getattr(node, "module", None) or node.names[0].name for node in imports]
        others = [name for name in names if name.partition(".")[0] not in sys.stdlib_module_names]
        assert others[0] == "samplenet.quiet_tensorflow", script
