"""The trained samplers that come with the library, and those in files."""

import json

import numpy as np
import pytest

import samplenet
from samplenet import InputError, pretrained, subset, weights
from samplenet.data import pairs, shapes

NAMES = samplenet.list_weights()
CARD = {"m", "sizes", "num_points", "network", "experiment", "data", "normalisation", "command", "revision", "metrics"}


@pytest.fixture(scope="module")
def clouds():
    """Two clouds that no sampler was trained on, (2, 1024, 3)."""
    return np.stack([shapes.generate(name, 0, split="test", num_points=1024) for name in ("chair", "car")])


def call(framework, sampler, clouds):
    """points, idx of a sampler of either framework, as arrays."""
    if framework == "torch":
        import torch

        with torch.no_grad():
            sampled = sampler(torch.from_numpy(clouds))
    else:
        sampled = sampler(clouds)
    return np.asarray(sampled.points), np.asarray(sampled.idx)


def test_some_come_with_the_library_and_are_small():
    assert {name.split("-")[0] for name in NAMES} == {"classification", "reconstruction", "registration"}
    assert sum(path.stat().st_size for path in pretrained.FOLDER.glob("*.*s*")) < 5e6


@pytest.mark.parametrize("name", NAMES)
def test_a_card_tells_what_the_weights_are(name):
    card = pretrained.card(name)
    assert set(card) >= CARD
    assert name.endswith("-progressive") == (len(card["sizes"]) > 1)
    assert {row["m"] for row in card["metrics"]} == set(card["sizes"])
    assert f"--sample-sizes {' '.join(map(str, card['sizes']))} " in card["command"]


@pytest.mark.parametrize("name", NAMES)
def test_both_frameworks_give_the_same_sample(name, clouds):
    clouds = samplenet.normalise(clouds, pretrained.card(name)["normalisation"])
    pytest.importorskip("torch", reason="the PyTorch side needs PyTorch")
    pytest.importorskip("tensorflow", reason="the Keras side needs TensorFlow")
    m = 20 if name.endswith("-progressive") else None
    (points, idx), (_, same) = (
        call(framework, samplenet.load_pretrained(name, m, framework), clouds) for framework in ("torch", "tf")
    )
    assert idx.shape == (2, m or pretrained.card(name)["m"])
    assert all(len(set(row)) == len(row) for row in idx.tolist())
    np.testing.assert_array_equal(points, np.take_along_axis(clouds, idx[..., None].astype(int), 1))
    # rounding may tip a match between two points that are as near; nothing else may differ
    assert np.mean(idx == same) > 0.9


def test_a_file_makes_its_sampler(tmp_path, clouds):
    torch = pytest.importorskip("torch", reason="the PyTorch side needs PyTorch")
    from samplenet.torch import SampleNet

    torch.manual_seed(0)
    sampler = SampleNet(6, k=4, conv_widths=(8, 8), fc_widths=(16,), output_order="3m").eval()
    about = {"sizes": [3, 6], "normalisation": "box_side"}
    weights.save(sampler, tmp_path / "sampler.safetensors", about)
    for place in (tmp_path, tmp_path / "sampler.safetensors"):  # a run folder as well
        again = samplenet.load_pretrained(place, framework="torch")
        assert again.config == sampler.config
        np.testing.assert_array_equal(call("torch", again, clouds)[1], call("torch", sampler, clouds)[1])
    assert call("torch", samplenet.load_pretrained(tmp_path, m=4), clouds)[1].shape == (2, 4)
    assert about.items() <= pretrained.card(tmp_path).items()
    assert subset.Learned(tmp_path, 4, framework="torch").how == "box_side"
    weights.save(sampler, tmp_path / "sampler.safetensors")  # which tells neither
    with pytest.raises(InputError, match="sample 6 points, not 4"):
        samplenet.load_pretrained(tmp_path, m=4)
    assert subset.Learned(tmp_path, 6, framework="torch").how == "unit_sphere"


def test_what_cannot_be_loaded_is_named(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch", reason="the PyTorch side needs PyTorch")
    load = samplenet.load_pretrained
    with pytest.raises(InputError, match=r"no weights 'clasification-32'; known: classification-32, "):
        load("clasification-32")
    with pytest.raises(InputError, match=r"classification-32 sample 32 points, not 20; those for every m: \['classif"):
        load("classification-32", 20)
    with pytest.raises(InputError, match="framework must be 'torch' or 'tf', got 'jax'"):
        load("classification-32", framework="jax")
    with pytest.raises(InputError, match=r"no weights .*gone\.safetensors"):
        load(tmp_path / "gone.safetensors")
    weights.save(torch.nn.Linear(2, 2), tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"other\.safetensors does not tell which SampleNet it is of"):
        load(tmp_path / "other.safetensors")
    weights.save(torch.nn.Linear(2, 2), tmp_path / "newer.safetensors", {"network": {"m": 3, "heads": 2}})
    with pytest.raises(InputError, match=r"newer\.safetensors are of a SampleNet with other settings .*'heads'"):
        load(tmp_path / "newer.safetensors", framework="torch")
    whole = (pretrained.FOLDER / f"{NAMES[0]}.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:-100])
    with pytest.raises(InputError, match=r"cut\.safetensors are damaged"):
        load(tmp_path / "cut.safetensors")
    monkeypatch.setattr(pretrained, "PACKAGES", {"torch": "no_torch", "tf": "no_tensorflow"})
    with pytest.raises(InputError, match="neither PyTorch nor TensorFlow is installed"):
        load(NAMES[0])


def test_a_run_becomes_one_of_the_weights(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch", reason="the PyTorch side needs PyTorch")
    from samplenet.pretrained import __main__ as releasing
    from samplenet.torch import SampleNet

    run, results, kept = tmp_path / "samplenet-4-seed1", tmp_path / "evaluation", tmp_path / "kept"
    for folder in (run, results, kept):
        folder.mkdir()
    monkeypatch.setattr(releasing, "FOLDER", kept)
    torch.manual_seed(0)
    weights.save(SampleNet(4), run / "sampler.safetensors", {"sizes": [4], "num_points": 16})
    (run / "environment.json").write_text(json.dumps({"command": "python train_samplenet.py", "revision": "abc"}))
    row = {"sampler": "samplenet", "m": 4, "protocol": "matched", "metric": "accuracy", "value": 0.5, "n": 8, "seed": 1}
    found = {"experiment": "classification", "data": "d", "command": "c", "rows": [{**row, "seed": 0}]}
    (results / "results.json").write_text(json.dumps(found))
    (results / "environment.json").write_text("{}")
    with pytest.raises(InputError, match=r"evaluation must have a name that tells sampler and seed"):
        releasing.release("mine", results, results)
    with pytest.raises(InputError, match=r"has no row of samplenet, seed 1, m in \[4\]"):
        releasing.release("mine", run, results)
    assert not list(kept.iterdir())
    (results / "results.json").write_text(json.dumps({**found, "rows": [{**row, "seed": 0, "value": 0.1}, row]}))
    releasing.release("mine", run, results)
    assert {path.name for path in kept.iterdir()} == {"mine.safetensors", "mine.json"}
    card = json.loads((kept / "mine.json").read_text())
    assert card["metrics"] == [{"m": 4, "metric": "accuracy", "value": 0.5, "n": 8}]


def test_clouds_are_normalised_as_the_experiments_are(clouds):
    far = 7 * clouds.astype(np.float64) + [100, -20, 3]
    np.testing.assert_allclose(samplenet.normalise(far), clouds, atol=1e-6)  # the shapes have zero mean and norm 1
    np.testing.assert_allclose(samplenet.normalise(far, "box_side"), pairs.normalise(clouds, 1024), atol=1e-6)
    boxed = samplenet.normalise(far, "box_diagonal")
    np.testing.assert_allclose(boxed.max(1), -boxed.min(1), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(np.ptp(boxed, axis=1), axis=1), 1, atol=1e-6)
    assert not samplenet.normalise(np.ones((1, 1, 3))).any()
    with pytest.raises(InputError, match=r"clouds must have shape \(B, N, 3\), got \(5, 3\)"):
        samplenet.normalise(np.ones((5, 3)))
    with pytest.raises(
        InputError, match="normalisation must be one of unit_sphere, box_side, box_diagonal, got 'cube'"
    ):
        samplenet.normalise(clouds, "cube")
    far[1, 5, 2] = np.nan
    with pytest.raises(InputError, match="point 5 of cloud 1 is not finite"):
        samplenet.normalise(far)
