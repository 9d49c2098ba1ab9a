"""One training on two machines by torchrun, as docs/cluster.md says.

The machines are two network namespaces of this one, joined by a cable: each has an address of its
own and does not reach the other's loopback. Where there can be none, the test is skipped.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "registration" / "train_pcrnet.py"
TINY = "--shapes-per-class 4 --pairs 8 --num-points 32 --batch-size 4 --epochs 2 --device cpu"
NAMES, ADDRESSES = ("samplenet-a", "samplenet-b"), ("10.77.0.1", "10.77.0.2")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("two machines")]


def ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, capture_output=True)


@pytest.fixture
def machines():
    """Two namespaces; yields the words that run a command in each."""
    if os.getuid() or not shutil.which("ip"):
        pytest.skip("network namespaces need root and the command ip")
    try:
        ip(f"netns add {NAMES[0]}")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces: {error.stderr.decode().strip()}")
    try:
        ip(f"netns add {NAMES[1]}")
        ip(f"link add cable netns {NAMES[0]} type veth peer name cable netns {NAMES[1]}")
        for name, address in zip(NAMES, ADDRESSES, strict=True):
            ip(f"-n {name} addr add {address}/24 dev cable")
            ip(f"-n {name} link set cable up")
            ip(f"-n {name} link set lo up")
        yield [["ip", "netns", "exec", name] for name in NAMES]
    finally:
        for name in NAMES:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def test_two_machines_give_the_losses_of_one(tmp_path, machines, metrics):
    env = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "cable"}
    train = [SCRIPT, *TINY.split(), "--deterministic", "--out"]
    flags = f"--nnodes 2 --nproc-per-node 1 --master-addr {ADDRESSES[0]} --master-port 29500"
    torchrun = [sys.executable, "-m", "torch.distributed.run", *flags.split(), "--node-rank"]
    both = []
    for rank, machine in enumerate(machines):
        # each has its own folder, as on two disks; only the first writes
        command = [*machine, *torchrun, str(rank), *train, tmp_path / f"machine{rank}"]
        with open(tmp_path / f"log{rank}", "w") as log:
            both.append(subprocess.Popen(command, env=env, stdout=log, stderr=log))
    try:
        for rank, process in enumerate(both):
            assert process.wait(timeout=600) == 0, (tmp_path / f"log{rank}").read_text()
    finally:
        for process in both:
            process.kill()
    subprocess.run([sys.executable, *train, tmp_path / "one"], env=env, check=True)
    one, two = ([line["loss"] for line in metrics(tmp_path / run)] for run in ("one", "machine0"))
    assert len(one) == 2
    np.testing.assert_allclose(two, one, atol=1e-4)
    assert not (tmp_path / "machine1").exists()
