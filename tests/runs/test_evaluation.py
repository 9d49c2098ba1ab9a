"""What the evaluations share: rows, sizes, and which runs of a folder are scored."""

from types import SimpleNamespace

import numpy as np
import pytest

from samplenet import InputError, Sampled
from samplenet.runs import evaluation
from samplenet.runs.checkpoint import digest, save_checkpoint
from samplenet.runs.evaluation import Entry, EvaluationConfig

TASK = {"weight": [1.0, 2.0]}


def run(folder, sizes, *, projection=True, seed=0, task="", done=True):
    """Write what `finished_runs` reads of a sampler's run."""
    folder.mkdir()
    text = (
        f"{{sample_sizes: {sizes}, projection: {str(projection).lower()}, seed: {seed}, epochs: 3}}"
    )
    (folder / "config.yaml").write_text(text)
    save_checkpoint(folder / "last.safetensors", {}, {"epoch": 2, "done": done, "task": task})


def test_a_row_keeps_six_digits_of_small_and_large_numbers():
    entry = Entry("samplenet", 32, None, 1)
    assert evaluation.row(entry, "matched", "chamfer", 0.000123456789, 8, "chair") == {
        "method": {"sampler": "samplenet", "m": 32},
        "protocol": "matched",
        "metric": "chamfer",
        "class": "chair",
        "value": 0.000123457,
        "n": 8,
        "seed": 1,
    }
    row = evaluation.row(entry, "soft", "rotation_error_deg", 123.456789, 8)
    assert row["value"] == 123.457 and "class" not in row


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
    found = evaluation.finished_runs(runs, tmp_path)
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


def test_the_pictures_have_the_size_that_most_trained_samplers_share():
    def size(*entries, wanted=32):
        none = Entry("none", 64, None, 0, "task")
        return evaluation.gallery_size(EvaluationConfig(gallery_size=wanted), [none, *entries])

    def entry(name, m, folder="run"):
        return Entry(name, m, len, 0, folder)

    assert size() == 32 and size(entry("fps", 8, "")) == 32
    assert size(entry("snet", 8), entry("samplenet", 8), entry("samplenet", 32)) == 8
    assert size(entry("snet", 16), entry("samplenet", 48)) == 16  # equally near: the smaller one


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="--samplers: 'dog' is neither random nor a run folder"):
        evaluation.choose(EvaluationConfig(samplers=["dog"]), 64, {"random": None}, None)
    with pytest.raises(InputError, match="--runs: .*dog is not a folder"):
        evaluation.choose(EvaluationConfig(samplers=[], runs=str(tmp_path / "dog")), 64, {}, None)
    with pytest.raises(InputError, match="no run folder: it has no config.yaml"):
        evaluation.choose(EvaluationConfig(samplers=[str(tmp_path)]), 64, {}, None)


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
    baselines = evaluation.greedy_samplers(network, Sampler)
    config = EvaluationConfig(samplers=["greedy"], sizes=[512, 8, 64, 32])
    full, *entries = evaluation.choose(config, 1024, baselines, None)
    assert [(entry.name, entry.m) for entry in entries] == [("greedy", m) for m in (64, 32, 8)]
    points = np.random.default_rng(0).normal(size=(2, 100, 3))
    for entry in entries:
        for numbers in ([0, 1], [2, 3]):
            sampled = entry.sampler(points, numbers)
            np.testing.assert_array_equal(sampled.points, points[:, : entry.m])
            np.testing.assert_array_equal(sampled.idx[1], np.arange(entry.m))
    assert calls == [(64, [0, 1]), (64, [2, 3])]


def test_a_greedy_sampler_that_cannot_be_scored():
    baselines = evaluation.greedy_samplers(SimpleNamespace(discrepancy=None), None)
    assert baselines == {}
    config = EvaluationConfig(samplers=["greedy"], sizes=[8])
    with pytest.raises(InputError, match="asks the network for early_features, .*lacks one"):
        evaluation.choose(config, 64, baselines, None)
    network = SimpleNamespace(early_features=None, late_features=None, discrepancy=None)
    config = EvaluationConfig(samplers=["greedy"], sizes=[128])
    with pytest.raises(InputError, match="greedy is scored at up to 64 points; --sizes has none"):
        evaluation.choose(config, 256, evaluation.greedy_samplers(network, None), None)
