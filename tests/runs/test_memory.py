"""Freed memory stays with a training."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource
import numpy as np
from samplenet.runs.memory import keep_freed_memory
kept = {keep} and keep_freed_memory()
for _ in range(2):
    np.ones(100 << 20, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(100 << 20, np.uint8)
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep):
    """Count the pages that five large arrays make the system hand out."""
    command = [sys.executable, "-c", PROGRAM.format(keep=keep)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    kept, pages = map(int, output.split())
    return kept, pages


def test_large_arrays_are_handed_out_once():
    kept, pages = faults(True)
    if not kept:
        pytest.skip("the C library has no mallopt, or refuses these settings")
    _, usual = faults(False)
    assert pages < max(usual, 1000) / 5
