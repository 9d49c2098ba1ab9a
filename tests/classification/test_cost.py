"""The published sizes of the networks, and the table of what they cost."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import cost
import pointnet
from samplenet.report import cost_table
from samplenet.runs.script import main
from samplenet.tf import GreedySampler, SampleNet
from samplenet.tf.cost import count

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "model, parameters, macs", [("pointnet", 3.48e6, 448e6), ("vanilla", 0.82e6, 152e6)]
)
def test_the_classifiers_have_the_published_sizes(model, parameters, macs):
    net = pointnet.build(model, 40)
    net.trainable = False  # as the frozen one of a run
    assert count(partial(net, training=False), (1, 1024, 3)) == pytest.approx(
        (parameters, macs), rel=0.01
    )


def test_samplenet_has_the_published_size_and_the_paper_s_claim_holds():
    sampler = SampleNet(32)
    sampler(np.zeros((1, 64, 3), np.float32))
    own = count(lambda points: sampler(points).points, (1, 1024, 3))
    assert own == pytest.approx((0.225e6, 33.9e6), rel=0.01)
    net = partial(pointnet.build("pointnet", 40), training=False)
    full, small = count(net, (1, 1024, 3)), count(net, (1, 32, 3))
    assert own.parameters / full.parameters == pytest.approx(0.06, abs=0.005)
    assert 1 - (own.macs + small.macs) / full.macs == pytest.approx(0.90, abs=0.015)


def test_the_parameters_of_a_classifier_that_samples_count_once():
    net = pointnet.build("vanilla", 10)
    greedy = GreedySampler(net, 2, pool="fps", size=4)
    found = cost.counts(net, {("none", 16): None, ("greedy_fps_128", 2): greedy}, 16)
    alone, sampled = (
        {row["metric"]: row["value"] for row in found if row["sampler"] == name}
        for name in ("none", "greedy_fps_128")
    )
    assert sampled["parameters"] == sampled["sampler_parameters"] == alone["parameters"]
    assert sampled["sampler_macs"] < sampled["macs"] < sampled["sampler_macs"] + alone["macs"]


def rows(sampler, m, device, **values):
    return [cost.row(sampler, m, metric, value, device) for metric, value in values.items()]


ROWS = [
    *rows("none", 64, "any", parameters=3_480_000, macs=448_000_000, sampler_macs=0),
    *rows("samplenet", 2, "any", parameters=3_705_000, macs=50_900_000, sampler_macs=33_900_000),
    *rows("none", 64, "cpu", ms_per_cloud=20, peak_memory_bytes=100e6),
    *rows("samplenet", 2, "cpu", ms_per_cloud=5, peak_memory_bytes=25e6),
    *rows("none", 64, "gpu", ms_per_cloud=0.5, peak_memory_bytes=200e6),
    *rows("samplenet", 2, "gpu", ms_per_cloud=0.6, peak_memory_bytes=20e6),
]
RESULTS = {
    "command": "python cost.py",
    "environment": {"machine": "Linux", "native_ops": ["tf"]},
    "task": "vanilla",
    "gpu": "a large one",
    "batch_size": 32,
    "repeats": 7,
    "rows": ROWS,
}


def test_each_device_has_its_columns_and_each_value_its_change():
    head, _, full, sampled, paper = (
        cost_table.table(RESULTS, cost.EXPERIMENT).markdown().splitlines()[2:]
    )
    columns = [
        *("time a cloud, CPU, ms", "time a cloud, GPU, ms"),
        *("peak memory, CPU, MB", "peak memory, GPU, MB"),
    ]
    assert (
        head == "|  | m | ratio | parameters, M | MACs a cloud, M | " + " | ".join(columns) + " |"
    )
    assert (
        full == "| task network alone | 64 | 1 | 3.480 | 448.0 | 20.000 | 0.500 | 100.0 | 200.0 |"
    )
    assert sampled == (
        "| SampleNet + task network | 2 | 32 | 3.705 (+6 %) | 50.9 (−89 %) | 5.000 (−75 %) "
        "| 0.600 (+20 %) | 25.0 (−75 %) | 20.0 (−90 %) |"
    )
    assert paper.startswith(
        "| the paper, as quoted, unverified |  | 32 | “memory” +6 % | −90 % |"
    ) and paper.count("|") == head.count("|")


def test_the_text_says_which_devices_were_seen_and_what_was_not_measured():
    text = cost.report(RESULTS)
    assert "vanilla PointNet. Linux;" in text and "memory is taken to be the parameters" in text
    assert "GPU: a large one." in text and "native ops" in text and "not measured" not in text
    alone = [r for r in ROWS if r["device"] != "gpu" and r["metric"] != "peak_memory_bytes"]
    text = cost.report({**RESULTS, "gpu": None, "rows": alone})
    assert (
        "No GPU seen: CPU only." in text
        and "peak memory, " not in text
        and "not measured here" in text
    )


@pytest.fixture
def measure_cost(monkeypatch):
    """Run cost.py in this process, apart from the processes that it starts."""

    def run(*flags):
        monkeypatch.setattr(
            "sys.argv", [str(ROOT / "classification" / "cost.py"), *map(str, flags)]
        )
        main(cost.measure_all, cost.Config)

    return run


@pytest.fixture
def one_fresh_process(monkeypatch):
    """Measure the memory of the classifier alone in a fresh process, of the others in this one."""
    fresh = cost.cost.in_fresh_process

    def call(function, config, key):
        return fresh(function, config, key) if key[0] == "none" else function(config, key)

    monkeypatch.setattr(cost.cost, "in_fresh_process", call)


def test_cost_of_a_trained_sampler_beside_the_classifier_alone(
    tmp_path, measure_cost, one_fresh_process, trained, capsys
):
    flags = ["--task", trained / "cls", "--samplers", "random", trained / "samplenet"]
    flags += ["--sizes", 8, "--batch-size", 512, "--repeats", 2]
    measure_cost(*flags, "--out", tmp_path)
    found = json.loads((tmp_path / "cost.json").read_text())
    assert (found["schema"], found["task"]) == (1, "vanilla")
    assert "cost.py" in found["command"] and "libraries" in found["environment"]
    names = {"sampler", "m", "metric", "value", "device"}
    assert all(set(row) == names for row in found["rows"])
    values = {(r["sampler"], r["m"], r["metric"], r["device"]): r["value"] for r in found["rows"]}
    assert len(values) == len(found["rows"])
    counted = ("parameters", "macs", "sampler_parameters", "sampler_macs")
    measured = {*((metric, "any") for metric in counted)}
    measured |= {("ms_per_cloud", "cpu"), ("peak_memory_bytes", "cpu")}
    alone = values["none", 64, "parameters", "any"]
    for line in ("none", 64), ("random", 8), ("samplenet", 8):
        assert {key[2:] for key in values if key[:2] == line} >= measured
        assert values[*line, "ms_per_cloud", "cpu"] > 0
        own = values[*line, "sampler_parameters", "any"]
        assert (own > 0) == (line[0] == "samplenet")
        assert values[*line, "parameters", "any"] == alone + own
    # bytes of the batch before the pooled layer, whose own activations are not held; small batches
    # may find room in what loading has freed
    widest_held = 512 * 64 * 128 * 4
    assert values["none", 64, "peak_memory_bytes", "cpu"] > widest_held
    text = (tmp_path / "cost.md").read_text()
    assert text in capsys.readouterr().out and "the paper" in text
    assert text.count("+ task network |") == 2
