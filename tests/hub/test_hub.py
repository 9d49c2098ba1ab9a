"""Samplers to and from a hub, which is a small server on this machine: see server.py."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from samplenet import pretrained, scans, weights
from samplenet.data import shapes
from samplenet.runs.checkpoint import load_checkpoint, pack, save_checkpoint

pytest.importorskip("huggingface_hub", reason="the extra hub is not installed: bash setup.sh hub")
spec = importlib.util.spec_from_file_location("server", Path(__file__).with_name("server.py"))
server = importlib.util.module_from_spec(spec)
spec.loader.exec_module(server)

SHIPPED = "classification-progressive"
BYTES = (pretrained.FOLDER / f"{SHIPPED}.safetensors").read_bytes()


@pytest.fixture
def hub():
    """Start a hub with no repository."""
    hub = server.Hub()
    yield hub
    hub.close()


@pytest.fixture
def run(hub, tmp_path):
    """Return a function that runs Python as somebody who uses the hub, with a home of his own."""

    def run(*words, **environment):
        usual = {
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(tmp_path / "home"),
            "HF_TOKEN": server.TOKEN,
            "HF_HUB_DISABLE_XET": "1",  # the other storage of large files, too much to imitate
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "TMPDIR": str(tmp_path),
        }
        variables = {**os.environ, **usual, **environment}
        return subprocess.run(
            [sys.executable, *map(str, words)],
            env={name: value for name, value in variables.items() if value},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    return run


def good(done):
    """Return what a command printed."""
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(done):
    """Return the one sentence of a command that failed."""
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


PUSH = ("-m", "samplenet.pretrained", "push")
CARD = """
import json, sys
from samplenet import pretrained
print(json.dumps(pretrained.card(sys.argv[1])))
"""


def card(run, address, **environment):
    return json.loads(good(run("-c", CARD, address, **environment)))


TOLD = """
import json, sys
import samplenet
said = {}
for address in sys.argv[1:]:
    try:
        samplenet.load_pretrained(address, m=8)
    except samplenet.InputError as error:
        said[address] = str(error)
print(json.dumps(said))
"""


def told(run, *addresses, **environment):
    """Return what `load_pretrained` says of addresses that it refuses."""
    return json.loads(good(run("-c", TOLD, *addresses, **environment)))


def test_a_pushed_sampler_comes_back_with_its_card(hub, run, tmp_path):
    printed = good(run(*PUSH, SHIPPED, "me/sampler"))
    assert printed.strip() == f"{hub.address}/me/sampler"
    assert not list(tmp_path.rglob("*.safetensors")) and not list(tmp_path.rglob("README.md"))
    files = hub.repositories["me/sampler"].files()
    assert files.keys() == {"sampler.safetensors", "README.md"}
    page = files["README.md"].decode()
    header = server.yaml.safe_load(page.split("---\n")[1])
    assert header["library_name"] == "samplenet" and header["license"] == "mit"
    assert {"point-cloud", "classification"} <= {*header["tags"]}
    shipped = pretrained.card(SHIPPED)
    for said in (
        shipped["data"],
        shipped["command"],
        shipped["normalisation"],
        "| 128 | accuracy ",
    ):
        assert said in page
    assert 'load_pretrained("hf:me/sampler", m=8)' in page
    assert card(run, "hf:me/sampler") == json.loads(json.dumps(shipped))


def test_a_sampler_of_the_hub_samples_as_in_the_library_also_without_a_network(hub, run, tmp_path):
    pytest.importorskip("torch", reason="sampling by a network needs PyTorch")
    hub.repositories["me/sampler"] = server.Repository()
    hub.repositories["me/sampler"].commit({"sampler.safetensors": BYTES})
    scans.write(tmp_path / "scan.ply", scans.Scan(rows(shapes.generate("chair", 0, split="test"))))
    sample = ("sample", "scan.ply", "-m", "40", "--indices", "--framework", "torch")
    code = """
import sys, numpy as np, samplenet
from samplenet.console.cli import main
for weights in sys.argv[1:3]:
    out = weights.rpartition("/")[2] + ".npy"
    assert main([*sys.argv[3:], "--weights", weights, "-o", out]) == 0
sampler = samplenet.load_pretrained("hf:me/sampler", framework="torch")
assert sampler.m == 128 and not sampler.training
"""
    good(run("-c", code, "hf:me/sampler", SHIPPED, *sample))
    ours, theirs = (np.load(tmp_path / f"{name}.npy") for name in ("sampler", SHIPPED))
    np.testing.assert_array_equal(ours, theirs)
    asked = len(hub.requests)
    hub.close()  # the rest is from the cache
    for offline in ("", "1"):
        assert card(run, "hf:me/sampler", HF_HUB_OFFLINE=offline)["m"] == 128
    assert len(hub.requests) == asked


def rows(points):
    """Return points (N, 3) as rows of a scan."""
    found = np.zeros(len(points), [(axis, "f4") for axis in "xyz"])
    for axis, column in zip("xyz", points.T, strict=True):
        found[axis] = column
    return found


def test_a_revision_is_kept(hub, run):
    repository = hub.repositories["me/sampler"] = server.Repository()
    first = repository.commit({"sampler.safetensors": BYTES})
    good(run(*PUSH, "classification-32", "me/sampler"))
    assert card(run, "hf:me/sampler")["m"] == 32
    assert (
        card(run, f"hf:me/sampler@{first}")["m"] == card(run, f"hf:me/sampler@{first}")["m"] == 128
    )
    assert card(run, "hf:me/sampler@main", HF_HUB_OFFLINE="1")["sizes"] == [32]
    (said,) = told(run, "hf:me/sampler@v2").values()
    assert said == f"{hub.address}/me/sampler has no revision 'v2'"
    (said,) = told(run, "hf:me/sampler@v2", HF_HUB_OFFLINE="1").values()
    assert "me/sampler is not in the cache at 'v2'" in said


def test_a_dry_run_shows_the_page_and_asks_nothing(hub, run, tmp_path):
    shown = good(run(*PUSH, SHIPPED, "me/sampler", "--dry-run", HF_TOKEN=""))
    assert shown.startswith("---\nlibrary_name: samplenet\n") and "# me/sampler\n" in shown
    assert not hub.requests and not list(tmp_path.iterdir())


def test_faults_of_the_hub_are_sentences(hub, run, tmp_path):
    other, gated = server.Repository(), server.Repository()
    other.commit({"README.md": b"a language model", "model.safetensors": BYTES})
    gated.commit({"sampler.safetensors": BYTES})
    gated.gated = True
    hub.repositories |= {
        "me/other": other,
        "me/gated": gated,
        "me/private": server.Repository(True),
    }
    sentences = {
        "hf:me/gone": f"there is no {hub.address}/me/gone, or it is private: log in",
        "hf:me/gated": "me/gated asks for a permission",
        "hf:me/other": "me/other is no SampleNet's: it has no sampler.safetensors",
        "hf:sampler": "called owner/name, got 'sampler'",
        "hf:me/a--b": "me/a--b: ",
        "hf:me/other@": "ends without a revision",
    }
    said = told(run, *sentences)
    for address, sentence in sentences.items():
        assert sentence in said[address]
    private, new = "hf:me/private", "hf:me/new"
    assert "me/private, or it is private: log" in told(run, private, HF_TOKEN="")[private]
    assert "is not in the cache, and http" in told(run, new, HF_HUB_OFFLINE="1")[new]
    words = ("none.ply", "--weights", "hf:me/other", "-m", "8", "-o", "o.ply")
    assert "is no SampleNet's" in refused(run("-m", "samplenet", "sample", *words))
    for words, sentence in {
        "me/other": "me/other holds something else; choose a new name",
        "me/gated --private": "me/gated is public; make it private there",
        "you/sampler": "refuses you/sampler: You don't have the rights to create a model here; log",
        "me/sampler --license mine": 'Invalid metadata in README.md. - "license" must be one of',
        "me/sampler --results .": "--results is for run folders, and classification-prog",
        "sampler": "called owner/name, got 'sampler'",
    }.items():
        assert sentence in refused(run(*PUSH, SHIPPED, *words.split()))
    assert "log in with `hf auth login`" in refused(run(*PUSH, SHIPPED, "me/s", HF_TOKEN=""))
    assert "Invalid username or" in refused(run(*PUSH, SHIPPED, "me/s", HF_TOKEN="hf_old"))
    assert len(other.commits) == len(gated.commits) == 1
    hub.close()
    assert f"{hub.address} does not answer: " in refused(run(*PUSH, SHIPPED, "me/s"))


def test_files_of_strangers_are_refused_before_they_can_harm(hub, run):
    arrays, meta = load_checkpoint(pretrained.FOLDER / f"{SHIPPED}.safetensors")
    network = meta["network"]
    kinds = {
        "wide": {**meta, "network": {**network, "m": 10**8}},
        "deep": {**meta, "network": {**network, "conv_widths": [10**9, 10**9]}},
        "negative": {**meta, "network": {**network, "fc_widths": [-5]}},
        "words": {**meta, "network": {**network, "fc_widths": "many"}},
        "unknown": {**meta, "network": {**network, "heads": 2}},
        "number": {"network": 3},
        "sizes": {**meta, "sizes": "all"},
        "list": [1, 2],
        "empty": {},
    }
    for name, changed in kinds.items():
        repository = hub.repositories[f"me/{name}"] = server.Repository()
        repository.commit({"sampler.safetensors": pack(arrays, changed)})
    repository = hub.repositories["me/pickle"] = server.Repository()
    repository.commit({"sampler.safetensors": b"\x80\x04cos\nsystem\n"})
    said = told(run, *(f"hf:me/{name}" for name in (*kinds, "pickle")))
    for sentence, names in {
        "is damaged: its settings are of another network": ("wide", "deep"),
        "are damaged: SampleNet: fc_widths must be whole numbers of at": ("negative", "words"),
        "settings that this version's SampleNet does not know": ("unknown",),
        "is damaged: its sample sizes are": ("number", "sizes"),
        "is damaged or no safetensors file": ("list", "pickle"),
        "does not hold the settings of a SampleNet": ("empty",),
    }.items():
        for name in names:
            assert sentence in said[f"hf:me/{name}"]


def test_a_file_that_is_too_long_is_not_fetched(hub, run):
    repository = hub.repositories["me/long"] = server.Repository()
    repository.commit({"sampler.safetensors": bytes((1 << 27) + 1)})
    (said,) = told(run, "hf:me/long").values()
    assert "134217729 bytes; at most 134217728 are fetched" in said
    assert hub.requests and all(request.startswith("HEAD") for request in hub.requests)


def test_a_run_is_pushed_without_the_paths_of_its_machine(hub, run, tmp_path):
    folder = tmp_path / "samplenet-128-seed1"
    folder.mkdir()
    (folder / "sampler.safetensors").write_bytes(BYTES)
    settings = "{sample_sizes: [8, 128], projection: true, seed: 1, epochs: 1}"
    (folder / "config.yaml").write_text(settings)
    save_checkpoint(folder / "last.safetensors", {}, {"epoch": 1, "done": True})
    command = (
        "python /home/me/train_samplenet.py --data-root=/data/m40 --task /tmp/task --out /x/run"
    )
    environment = {"command": command, "revision": "abc", "machine": "mine"}
    (folder / "environment.json").write_text(json.dumps(environment))
    good(run(*PUSH, folder, "me/run", "--private"))
    assert hub.repositories["me/run"].private
    found = card(run, "hf:me/run")
    assert found["command"] == "python train_samplenet.py --data-root=m40 --task task"
    assert found["revision"] == "abc" and found["sizes"] == pretrained.card(SHIPPED)["sizes"]
    page = hub.repositories["me/run"].files()["README.md"].decode()
    assert "Not evaluated." in page and "license" not in page and str(tmp_path) not in page
    assert "machine" not in found
    row = {"method": {"sampler": "samplenet_progressive", "m": 8}, "protocol": "matched", "seed": 1}
    results = {"schema": 2, "experiment": "classification", "data": "cars"}
    results["rows"] = [{**row, "metric": "accuracy", "value": 0.625, "n": 40}]
    results["command"] = "python evaluate.py --runs /home/me/runs --out=/x"
    (tmp_path / "results.json").write_text(json.dumps(results))
    good(run(*PUSH, folder, "me/run", "--results", tmp_path))
    found = card(run, "hf:me/run")
    assert found["metrics"] == [{"m": 8, "metric": "accuracy", "value": 0.625, "n": 40}]
    assert found["evaluated_by"] == "python evaluate.py --runs runs" and found["data"] == "cars"
    assert (
        "| 8 | accuracy | 0.625 | 40 |" in hub.repositories["me/run"].files()["README.md"].decode()
    )
    good(run(*PUSH, folder / "sampler.safetensors", "me/run", "--license", "apache-2.0"))
    assert (
        weights.metadata(folder / "sampler.safetensors").items() <= card(run, "hf:me/run").items()
    )
    assert "command" not in card(run, "hf:me/run")
    assert "license: apache-2.0" in hub.repositories["me/run"].files()["README.md"].decode()
