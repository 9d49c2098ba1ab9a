"""Which samplers, at which sizes, an evaluation scores."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from samplenet import InputError, Sampled
from samplenet.greedy import VARIANTS
from samplenet.runs.checkpoint import digest, save_checkpoint
from samplenet.runs.entries import choose, finished_runs, greedy_samplers
from samplenet.runs.evaluation import EvaluationConfig, sources

TASK = {"weight": [1.0, 2.0]}


def run(folder, sizes, *, projection=True, seed=0, task="", done=True):
    """Write what `finished_runs` reads of a sampler's run."""
    folder.mkdir()
    text = (
        f"{{sample_sizes: {sizes}, projection: {str(projection).lower()}, seed: {seed}, epochs: 3}}"
    )
    (folder / "config.yaml").write_text(text)
    save_checkpoint(folder / "last.safetensors", {}, {"epoch": 2, "done": done, "task": task})


def test_the_finished_samplers_of_one_task_network_come_in_the_order_of_the_tables(
    tmp_path, capsys
):
    save_checkpoint(tmp_path / "last.safetensors", TASK, {})
    runs, task = tmp_path / "runs", digest(TASK)
    runs.mkdir()
    run(runs / "a", [128], task=task)
    run(runs / "b", [16], task=task, seed=10)
    run(runs / "c", [16], task=task, seed=9)
    run(runs / "d", [8, 16], task=task)
    run(runs / "e", [64], projection=False, task=task)
    run(runs / "f", [8, 16], projection=False, task=task)
    run(runs / "other", [16], task="of another network")
    run(runs / "short", [16], task=task, seed=1, done=False)
    (runs / "classifier").mkdir()
    (runs / "classifier" / "config.yaml").write_text("model: vanilla")
    found = finished_runs(runs, tmp_path)
    assert [(one.name, one.sizes, one.seed) for one in found] == [
        ("snet", [64], 0),
        ("progressivenet", [8, 16], 0),
        ("samplenet", [16], 9),
        ("samplenet", [16], 10),
        ("samplenet", [128], 0),
        ("samplenet_progressive", [8, 16], 0),
    ]
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1 and "short stands at epoch 2 of 3" in said[0]


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(
        InputError, match="--samplers: 'dog' is neither a run folder nor one of ran"
    ):
        choose(EvaluationConfig(samplers=["dog"]), "", 64, {"random": None}, None)
    with pytest.raises(InputError, match="--runs: .*dog is not a folder"):
        choose(EvaluationConfig(samplers=[], runs=str(tmp_path / "dog")), "", 64, {}, None)
    with pytest.raises(InputError, match="no run folder: it has no config.yaml"):
        choose(EvaluationConfig(samplers=[str(tmp_path)]), "", 64, {}, None)


def test_a_greedy_sampler_chooses_the_points_of_every_size_once():
    calls = []

    class Sampler:
        def __init__(self, network, m, **settings):
            self.m = m

        def __call__(self, points, cloud):
            calls.append((self.m, list(cloud)))
            order = np.tile(np.arange(self.m), (len(points), 1))
            return Sampled(np.take_along_axis(points, order[..., None], 1), order, None)

    network = SimpleNamespace(early_features=None, late_features=None, discrepancy=None)
    baselines = greedy_samplers(network, Sampler)
    config = EvaluationConfig(samplers=["greedy"], sizes=[512, 8, 64, 32])
    full, *entries = choose(config, "", 1024, baselines, None)
    assert [(entry.name, entry.m) for entry in entries] == [("greedy", m) for m in (64, 32, 8)]
    points = np.random.default_rng(0).normal(size=(2, 100, 3))
    for entry in entries:
        for numbers in ([0, 1], [2, 3]):
            sampled = entry.sampler(points, numbers)
            np.testing.assert_array_equal(sampled.points, points[:, : entry.m])
            np.testing.assert_array_equal(sampled.idx[1], np.arange(entry.m))
    assert calls == [(64, [0, 1]), (64, [2, 3])]


def test_a_greedy_sampler_that_cannot_be_scored():
    baselines = greedy_samplers(SimpleNamespace(discrepancy=None), None)
    assert baselines == {}
    config = EvaluationConfig(samplers=["greedy"], sizes=[8])
    with pytest.raises(InputError, match="asks the network for early_features, .*lacks one"):
        choose(config, "", 64, baselines, None)
    network = SimpleNamespace(early_features=None, late_features=None, discrepancy=None)
    config = EvaluationConfig(samplers=["greedy"], sizes=[128])
    with pytest.raises(InputError, match="greedy is scored at up to 64 points; --sizes has none"):
        choose(config, "", 256, greedy_samplers(network, None), None)


def test_a_trained_sampler_narrows_the_pool_of_a_greedy_one():
    sampler = SimpleNamespace(project=None, simplify=lambda points: points[:, :5])
    config = EvaluationConfig(samplers=["registration-progressive"], sizes=[8], near=[2])
    baselines = dict.fromkeys(VARIANTS)
    made = choose(
        config,
        "registration",
        512,
        baselines,
        lambda name: sampler,
        near=lambda m, **more: (m, more),
    )
    near = [entry for entry in made if entry.name == "samplenet_progressive_near_2"]
    assert [(entry.m, entry.seed) for entry in near] == [(64, 0), (32, 0), (16, 0), (8, 0)]
    m, more = near[-1].sampler
    assert (m, more["size"]) == (8, 16) and more["queries"](np.zeros((1, 9, 3))).shape == (1, 5, 3)
    with pytest.raises(InputError, match="--near needs a trained sampler of at most 64 points"):
        choose(
            EvaluationConfig(samplers=["greedy"], sizes=[8], near=[2]),
            "",
            512,
            {"greedy": lambda m, seed: None},
            None,
            near=len,
        )
    with pytest.raises(InputError, match="--near asks the network for early_features, .*lacks"):
        choose(config, "registration", 512, {}, lambda name: sampler, near=len)


def test_a_sampler_of_the_library_is_scored_by_its_name():
    config = EvaluationConfig(samplers=["classification-progressive"], sizes=[32])
    _, *found = choose(
        config, "classification", 1024, {}, lambda name: SimpleNamespace(name=name, project=None)
    )
    assert [entry.m for entry in found] == [128, 64, 32, 16, 8]
    assert {entry.name for entry in found} == {"samplenet_progressive"}
    assert found[0].sampler.sampler.name == "classification-progressive"
    (made,) = sources(Path("out"), found)
    assert made["command"].startswith("python classification/train_samplenet.py")
    with pytest.raises(InputError, match="classification-32 was trained on 1024 points, the task"):
        choose(EvaluationConfig(samplers=["classification-32"]), "classification", 512, {}, None)
    with pytest.raises(InputError, match="reconstruction-progressive was trained for reconstruc"):
        config = EvaluationConfig(samplers=["reconstruction-progressive"])
        choose(config, "registration", 512, {}, None)
