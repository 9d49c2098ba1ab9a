"""What importing costs, and that the README's code runs as printed."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


WITHOUT = [
    f"samplenet{name}"
    for name in (
        "",
        ".cli",
        ".data.samples",
        ".data.shapes",
        ".export",
        ".ops",
        ".ops.reference",
        ".pretrained",
        ".weights",
    )
]


@pytest.mark.parametrize("module", WITHOUT)
def test_importing_loads_no_framework(module):
    code = f"import sys, {module}; print([m for m in ('tensorflow', 'keras', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_library_has_the_licence_of_the_repository():
    assert (ROOT / "common" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_the_code_of_the_readme_runs():
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    assert blocks
    rng = np.random.default_rng(0)
    clouds = rng.normal(size=(4, 256, 3)).astype(np.float32)
    scope = {"clouds": clouds, "labels": np.array([0, 1, 2, 3])}
    shapes = []
    for block in blocks:
        exec(compile(block, "README.md", "exec"), scope)
        shapes.append(tuple(scope["sampled"].points.shape))
    assert shapes == [(4, 32, 3), (4, 20, 3)]


def test_the_code_of_the_registration_readme_runs():
    torch = pytest.importorskip("torch")
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "registration" / "README.md").read_text(), re.S)
    scope = {"clouds": torch.randn(4, 256, 3), "task_loss": lambda points: points.square().mean()}
    exec(compile(block, "registration/README.md", "exec"), scope)
    assert scope["projected"].shape == (4, 64, 3) and scope["loss"].requires_grad


@pytest.mark.parametrize(
    "readme",
    [
        "README.md",
        *(f"{name}/README.md" for name in ("classification", "registration", "reconstruction", "docker", "examples")),
    ],
)
def test_the_files_that_the_readme_names_exist(readme):
    text = (ROOT / readme).read_text()
    assert "PLACEHOLDER" not in text
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / readme).parent.joinpath(target).exists(), target
    scripts = re.findall(r"(?:bash|python) ([\w./-]+\.(?:sh|py))", text)
    assert scripts
    for script in scripts:
        assert (ROOT / script).exists(), script
