"""The scripts end to end on tiny shapes: the runner, same seed same numbers, kill and continue, bad input."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import cost
import evaluate
import train_classifier
import train_samplenet
from samplenet.checkpoint import load_checkpoint, save_checkpoint
from samplenet.run import main

ROOT = Path(__file__).parents[2]
SMOKE = str(ROOT / "classification" / "configs" / "smoke.yaml")
SCRIPTS = {
    "train_classifier": lambda c: train_classifier.train(c),
    "train_samplenet": lambda c: train_samplenet.train(c),
    "evaluate": lambda c: evaluate.evaluate(c),
}
TINY = ["--num-points", "64", "--batch-size", "8", "--epochs", "1", "--bn-decay-samples", "20"]


@pytest.fixture
def script(monkeypatch, shapes_folder):
    """Run a script in this process; returns nothing, or raises SystemExit with the message."""

    def run(name, *flags, data_root=shapes_folder):
        module = {"train_classifier": train_classifier, "train_samplenet": train_samplenet, "evaluate": evaluate}[name]
        flags = [*map(str, flags), *(["--data-root", str(data_root)] if data_root else [])]
        monkeypatch.setattr("sys.argv", [str(ROOT / "classification" / f"{name}.py"), *flags])
        main(lambda: SCRIPTS[name](train_classifier.configs.load(module.Config)))

    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory, shapes_folder):
    """A classifier, a SampleNet-8 and an S-NET-8, trained for one epoch each."""
    folder, base = tmp_path_factory.mktemp("runs"), [*TINY, "--data-root", str(shapes_folder)]
    load = train_classifier.configs.load

    def argv(name):
        sys.argv = [str(ROOT / "classification" / f"{name}.py")]

    old = sys.argv
    try:
        argv("train_classifier")
        flags = [*base, "--model", "vanilla", "--no-xla", "--out", str(folder / "cls")]
        train_classifier.train(load(train_classifier.Config, flags))
        argv("train_samplenet")
        for name, flag in (("samplenet", "--projection"), ("snet", "--no-projection")):
            flags = [*base, "--task", str(folder / "cls"), "--sample-sizes", "8", flag, "--out", str(folder / name)]
            train_samplenet.train(load(train_samplenet.Config, flags))
    finally:
        sys.argv = old
    return folder


def results(folder):
    return json.loads((folder / "results.json").read_text())


def metrics(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "time"} for line in lines]


# the whole pipeline


def test_runner_twice_gives_the_same_numbers_and_needs_no_pytorch(tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('the TensorFlow side imported torch')")
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "SAMPLENET_DATA": str(tmp_path / "data")}
    runner = ["bash", str(ROOT / "classification" / "runner_samplenet.sh"), "--preset", "smoke"]
    for out in ("a", "b"):
        done = subprocess.run([*runner, "--out", tmp_path / out], env=env, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    first, second = (tmp_path / out / "classification" for out in ("a", "b"))
    for run in ("classifier", "samplenet-8-seed0", "snet-8-seed0"):
        assert metrics(first / run) == metrics(second / run)
        assert len(metrics(first / run)) == 2
    first, second = (results(folder / "evaluation") for folder in (first, second))
    assert first["rows"] == second["rows"]
    assert {(r["sampler"], r["m"], r["protocol"]) for r in first["rows"]} == {
        ("none", 128, "matched"),
        *((s, m, "matched") for s in ("random", "fps") for m in (32, 8)),
        *(("samplenet", 8, p) for p in ("matched", "soft", "generated")),
        *(("snet", 8, p) for p in ("matched", "generated")),
    }
    for name in ("table.md", "accuracy.png", "gallery.png", "retrieval.png"):
        assert (tmp_path / "a" / "classification" / "evaluation" / name).stat().st_size > 100


@pytest.mark.parametrize(
    "name, extra",
    [
        ("train_classifier", ["--model", "vanilla"]),
        ("train_classifier", ["--model", "pointnet", "--no-xla"]),
        ("train_samplenet", ["--sample-sizes", "8"]),
    ],
)
def test_a_killed_run_continues_to_the_same_weights(tmp_path, trained, shapes_folder, name, extra):
    flags = [*TINY[:4], "--epochs", "3", "--bn-decay-samples", "20", "--deterministic", "--data-root", shapes_folder]
    flags += extra + (["--task", trained / "cls"] if name == "train_samplenet" else [])
    command = [sys.executable, ROOT / "classification" / f"{name}.py", *flags]
    subprocess.run([*command, "--out", tmp_path / "whole"], check=True, capture_output=True)
    victim = subprocess.Popen([*command, "--out", tmp_path / "cut"], stdout=subprocess.PIPE, text=True)
    for line in victim.stdout:
        if line.startswith("epoch 2/3"):  # printed before that epoch's checkpoint is written
            victim.send_signal(signal.SIGKILL)
            break
    victim.wait()
    victim.stdout.close()
    assert len(metrics(tmp_path / "cut")) < 3
    subprocess.run([*command, "--out", tmp_path / "cut", "--resume"], check=True, capture_output=True)
    whole, cut = (load_checkpoint(tmp_path / run / "last.safetensors") for run in ("whole", "cut"))
    assert whole[1]["epoch"] == cut[1]["epoch"] == 3
    for key, value in whole[0].items():
        np.testing.assert_array_equal(cut[0][key], value, err_msg=key)
    assert metrics(tmp_path / "cut") == metrics(tmp_path / "whole")


# evaluation


def test_a_progressive_sampler_serves_every_size(tmp_path, script, trained):
    task = ["--task", trained / "cls"]
    script("train_samplenet", *TINY, *task, "--sample-sizes", 4, 8, "--out", tmp_path / "progressive")
    script("train_samplenet", *TINY, *task, "--sample-sizes", 4, 8, "--no-projection", "--out", tmp_path / "net")
    runs = [tmp_path / "progressive", tmp_path / "net", trained / "samplenet"]
    script("evaluate", *task, "--sizes", 64, 16, "--samplers", *runs, "--out", tmp_path / "out")
    found = results(tmp_path / "out")
    scored = {(r["sampler"], r["m"], r["protocol"]) for r in found["rows"]}
    assert {(m, p) for s, m, p in scored if s == "samplenet_progressive"} == {
        *((m, "matched") for m in (64, 16, 8, 4)),
        *((m, p) for m in (8, 4) for p in ("soft", "generated")),  # of 8 simplified points
    }
    assert {p for s, _, p in scored if s == "progressivenet"} == {"matched", "generated"}
    assert {m for s, m, _ in scored if s == "samplenet"} == {8}
    of_all = {r["value"] for r in found["rows"] if (r["m"], r["metric"]) == (64, "accuracy")}
    assert len(of_all) == 1  # an order of the whole cloud loses nothing
    assert [run["folder"] for run in found["runs"]] == [os.path.relpath(run, tmp_path / "out") for run in runs]
    assert all("train_samplenet.py" in run["command"] for run in found["runs"][:2])


def test_every_cloud_counts_and_the_batch_size_makes_no_difference(tmp_path, script, trained):
    flags = ["--task", trained / "cls", "--sizes", "16", "8", "--gallery-size", "8", "--samplers", "random", "fps"]
    flags += [trained / "samplenet", trained / "snet"]
    for batch in (5, 32):
        script("evaluate", *flags, "--batch-size", batch, "--out", tmp_path / str(batch))
    five, many = results(tmp_path / "5"), results(tmp_path / "32")
    assert five["rows"] == many["rows"] and five["curves"] == many["curves"]
    assert {row["n"] for row in five["rows"]} == {42}  # 21 classes, 2 test shapes each; no multiple of 5 or 32
    scored = {(row["sampler"], row["m"], row["protocol"]) for row in five["rows"]}
    for metric in ("map_macro", "map_micro", "map_paper"):
        mine = [row for row in five["rows"] if row["metric"] == metric]
        assert {(row["sampler"], row["m"], row["protocol"]) for row in mine} == scored and len(mine) == len(scored)
    assert [(c["sampler"], c["m"], c["protocol"]) for c in five["curves"]] == list(
        dict.fromkeys((row["sampler"], row["m"], row["protocol"]) for row in five["rows"])
    )
    assert {len(c["recall"]) for c in five["curves"]} == {len(c["precision"]) for c in five["curves"]} == {21}


def test_with_one_cloud_a_class_there_is_no_retrieval_and_the_script_says_so(
    tmp_path, script, trained, shapes_folder, capsys
):
    def keep_one(folder, _):
        (folder / "ply_data_test_0_id2file.json").unlink()
        with h5py.File(folder / "ply_data_test0.h5", "r+") as h5:
            rows = np.unique(h5["label"][:], return_index=True)[1]
            for name in ("data", "label"):
                kept = h5[name][:][rows]
                del h5[name]
                h5[name] = kept

    data = broken_copy(shapes_folder, tmp_path / "data", keep_one)
    script("evaluate", "--task", trained / "cls", "--sizes", "8", "--out", tmp_path / "out", data_root=data)
    found = results(tmp_path / "out")
    assert {row["n"] for row in found["rows"]} == {21} and found["curves"] == []
    assert not [row for row in found["rows"] if row["metric"].startswith("map")]
    assert "no class has two test clouds" in capsys.readouterr().out


def test_without_a_data_root_the_classifier_is_scored_on_its_own_data(tmp_path, script, trained, shapes_folder):
    flags = ["--task", trained / "cls", "--sizes", "8", "--samplers", "fps", "--out", tmp_path]
    script("evaluate", *flags, data_root=None)
    assert results(tmp_path)["data"] == shapes_folder.name


def test_predictions_score_what_they_say(trained, shapes_folder):
    from samplenet.data import modelnet40

    net, *_ = train_samplenet.load_task(str(trained / "cls"))
    test = modelnet40.load(shapes_folder, "test", 64)
    _, sampler = evaluate.trained(str(trained / "samplenet"), 64)
    predicted, indices, descriptors = evaluate.predict(net, sampler, test, 10)
    subset = np.take_along_axis(test.points, indices[..., None], 1)  # matched means: rows of the input
    np.testing.assert_array_equal(predicted["matched"], net(subset, training=False).numpy().argmax(1))
    assert indices.shape == (42, sampler.m) == (42, 8)
    for protocol, described in descriptors.items():
        np.testing.assert_array_equal(net.last(described).numpy().argmax(1), predicted[protocol])
    labels = np.array([0, 0, 0, 1])
    rows = evaluate.rows_of("fps", 8, 0, {"matched": np.array([0, 0, 1, 1])}, labels)
    assert [row["value"] for row in rows] == [0.75, round((2 / 3 + 1) / 2, 6)]


# samples in files


def matched(found, *names):
    """The rows of these samplers' matched points, or of all that sample."""
    rows = (r for r in found["rows"] if r["protocol"] == "matched" and r["sampler"] != "none")
    return sorted((r for r in rows if r["sampler"] in (names or [r["sampler"]])), key=str)


def test_saved_samples_score_as_their_samplers_do(tmp_path, script, trained):
    task = ["--task", trained / "cls"]
    script("train_samplenet", *TINY, *task, "--sample-sizes", 4, 8, "--out", tmp_path / "progressive")
    runs = [trained / "samplenet", trained / "snet", tmp_path / "progressive"]
    flags = [*task, "--sizes", 64, 8, 4]
    script(
        "evaluate",
        *flags,
        "--samplers",
        "random",
        "fps",
        *runs,
        "--save-samples",
        tmp_path / "s",
        "--out",
        tmp_path / "a",
    )
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [
        *(f"{name}-{m}-seed0" for name in ("fps", "random") for m in (4, 64, 8)),
        "samplenet-8-seed0",
        "samplenet_progressive-ordered-seed0",  # once, for all sizes
        "snet-8-seed0",
    ]
    script("evaluate", *flags, "--samplers", "none", "--samples", tmp_path / "s", "--out", tmp_path / "b")
    direct, read = results(tmp_path / "a"), results(tmp_path / "b")
    assert matched(read) == matched(direct)
    assert len(matched(read)) == 5 * (2 * 3 + 2 + 3)  # five metrics of random, fps, SampleNet and S-NET, progressive
    assert {row["protocol"] for row in read["rows"]} == {"matched"}
    some = ["--samples", tmp_path / "s" / "snet-8-seed0", tmp_path / "s" / "samplenet_progressive-ordered-seed0"]
    script("evaluate", *task, "--sizes", 4, "--samplers", "fps", *some, "--batch-size", 5, "--out", tmp_path / "c")
    assert {(r["sampler"], r["m"]) for r in matched(results(tmp_path / "c"))} == {
        *((name, m) for name in ("fps", "samplenet_progressive") for m in (8, 4)),  # S-NET's size too
        ("snet", 8),
    }
    assert all(row in direct["rows"] for row in results(tmp_path / "c")["rows"])


def test_generated_points_are_scored_as_such(tmp_path, script, trained, shapes_folder):
    from samplenet.data import modelnet40, samples
    from samplenet.data.sample_layouts import MODELNET40

    test = modelnet40.load(shapes_folder, "test", 64)
    _, sampler = evaluate.trained(str(trained / "samplenet"), 64)
    queries = np.asarray(sampler(test.points[:32]).queries), np.asarray(sampler(test.points[32:]).queries)
    originals = samples.Originals({"": test}, MODELNET40)
    folder = samples.write(tmp_path, "ours", 7, originals, points=[np.concatenate(queries)])
    flags = ["--task", trained / "cls", "--sizes", 8, "--samplers", trained / "samplenet", "--samples", folder]
    script("evaluate", *flags, "--save-samples", tmp_path / "again", "--out", tmp_path / "out")
    rows = results(tmp_path / "out")["rows"]
    ours = [row for row in rows if row["sampler"] == "ours"]
    its = [row for row in rows if (row["sampler"], row["protocol"]) == ("samplenet", "generated")]
    assert ours == [{**row, "sampler": "ours", "seed": 7} for row in its] and ours
    assert os.listdir(tmp_path / "again") == ["samplenet-8-seed0"]  # what came from a folder is in one


def test_samples_that_cannot_be_scored_or_saved(tmp_path, script, trained):
    flags, out = ["--task", trained / "cls", "--sizes", "8"], ["--out", tmp_path / "out"]
    script("evaluate", *flags, "--samplers", "fps", "--save-samples", tmp_path / "s", "--out", tmp_path / "first")
    folder = tmp_path / "s" / "fps-8-seed0"
    with pytest.raises(SystemExit, match=f"error: fps and {folder} are both fps, m = 8, seed 0; score them apart"):
        script("evaluate", *flags, "--samplers", "random", "fps", "--samples", tmp_path / "s", *out)
    with pytest.raises(SystemExit, match=f"error: {folder} is there already; remove it, or choose another"):
        script("evaluate", *flags, "--samplers", "random", "fps", "--save-samples", tmp_path / "s", *out)
    assert os.listdir(tmp_path / "s") == ["fps-8-seed0"]
    (folder / "sampler.yaml").write_text("{sampler: mine, ordered: true}")
    with pytest.raises(SystemExit, match=f"{folder} orders 8 points; give one of --sizes that is at most that"):
        script("evaluate", *flags[:2], "--sizes", 16, "--samplers", "none", "--samples", folder, *out)
    (folder / "sampler.yaml").write_text("name: mine")
    with pytest.raises(SystemExit, match=r"sampler\.yaml: unknown key 'name'"):
        script("evaluate", *flags, "--samples", folder, *out)
    assert not (tmp_path / "out").exists()


# cost


@pytest.fixture
def measure_cost(monkeypatch):
    """Run cost.py in this process, apart from the processes that it starts."""

    def run(*flags):
        monkeypatch.setattr("sys.argv", [str(ROOT / "classification" / "cost.py"), *map(str, flags)])
        main(lambda: cost.measure_all(train_classifier.configs.load(cost.Config)))

    return run


def test_cost_of_a_trained_sampler_beside_the_classifier_alone(tmp_path, measure_cost, trained, capsys):
    flags = ["--task", trained / "cls", "--samplers", "random", trained / "samplenet", "--sizes", "8"]
    measure_cost(*flags, "--batch-size", "64", "--repeats", "2", "--out", tmp_path)
    found = json.loads((tmp_path / "cost.json").read_text())
    assert found["schema"] == 1 and "cost.py" in found["command"] and "libraries" in found["environment"]
    assert {frozenset(row) for row in found["rows"]} == {frozenset({"sampler", "m", "metric", "value", "device"})}
    values = {(r["sampler"], r["m"], r["metric"], r["device"]): r["value"] for r in found["rows"]}
    assert len(values) == len(found["rows"])
    lines = ("none", 64), ("random", 8), ("samplenet", 8)
    for line in lines:
        assert {key[2:] for key in values if key[:2] == line} >= {
            *((metric, "any") for metric in ("parameters", "macs", "sampler_parameters", "sampler_macs")),
            ("ms_per_cloud", "cpu"),
            ("peak_memory_bytes", "cpu"),
        }
        assert values[*line, "ms_per_cloud", "cpu"] > 0
        own, alone = values[*line, "sampler_parameters", "any"], values["none", 64, "parameters", "any"]
        assert values[*line, "parameters", "any"] == alone + own and (own > 0) == (line[0] == "samplenet")
    assert values["none", 64, "peak_memory_bytes", "cpu"] > 64 * 64 * 1024 * 4  # the widest layer of the batch
    text = (tmp_path / "cost.md").read_text()
    assert text in capsys.readouterr().out and text.count("+ classifier |") == 2 and "the paper" in text


def test_cost_names_bad_flags(tmp_path, measure_cost, trained):
    for flags, words in (
        (["--task", trained / "cls", "--batch-size", "1"], "--batch-size must be at least 2, got 1"),
        (["--task", trained / "cls", "--repeats", "0"], "--repeats must be at least 1, got 0"),
        (["--task", trained / "cls", "--sizes", "65"], "--sizes must be at most N = 64.*got 65"),
        (["--task", trained / "cls", "--samplers", "poisson"], "'poisson' is neither random nor fps nor a run folder"),
        (["--task", trained / "samplenet"], "another kind of run"),
        ([], "--task is needed"),
    ):
        with pytest.raises(SystemExit, match=f"cost.py: error: .*{words}"):
            measure_cost(*flags, "--out", tmp_path / "out")
        assert not (tmp_path / "out").exists()
    with pytest.raises(SystemExit, match="cost.py: error: --out is needed"):
        measure_cost("--task", trained / "cls")


# bad input: one sentence, no traceback, nothing half-written


def broken_copy(folder, target, change):
    shutil.copytree(folder, target)
    file = target / "ply_data_train0.h5"
    change(target, file)
    return target


def unfinished(run, target):
    """A copy of a run as a kill after its first of nine epochs leaves it."""
    shutil.copytree(run, target)
    arrays, meta = load_checkpoint(target / "last.safetensors")
    save_checkpoint(target / "last.safetensors", arrays, {**meta, "done": False})
    config = (target / "config.yaml").read_text()
    (target / "config.yaml").write_text(config.replace("epochs: 1", "epochs: 9"))
    return target


def put_nan(_, file):
    with h5py.File(file, "r+") as h5:
        h5["data"][3, 5, 1] = np.nan


def shuffle_names(folder, _):
    names = (folder / "shape_names.txt").read_text().split()
    (folder / "shape_names.txt").write_text("\n".join(reversed(names)))


BAD_DATA = {
    "NaN cloud": (put_nan, r"ply_data_train0\.h5.*not finite in cloud 3"),
    "empty file": (lambda _, f: f.write_bytes(b""), r"ply_data_train0\.h5"),
    "truncated h5": (lambda _, f: f.write_bytes(f.read_bytes()[:-2000]), r"ply_data_train0\.h5"),
    "unknown class": (lambda d, _: (d / "shape_names.txt").write_text("chair\n"), r"ply_data_train0\.h5 has labels"),
    "missing file": (lambda _, f: f.unlink(), r"ply_data_train0\.h5"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_named(script, tmp_path, shapes_folder, case):
    change, words = BAD_DATA[case]
    data = broken_copy(shapes_folder, tmp_path / "data", change)
    with pytest.raises(SystemExit, match=f"train_classifier.py: error: .*{words}"):
        script("train_classifier", *TINY, "--no-xla", "--out", tmp_path / "out", data_root=data)
    assert not (tmp_path / "out").exists()


BAD_FLAGS = {
    "missing data root": ("train_classifier", ["--data-root", "nowhere"], "nowhere is not a folder"),
    "more points than there are": ("train_classifier", ["--num-points", "4096"], "2048 points a cloud.*got 4096"),
    "no points": ("train_classifier", ["--num-points", "0"], "--num-points must be at least 1, got 0"),
    "batch too large": ("train_classifier", ["--batch-size", "4000"], "--batch-size 4000 is larger"),
    "unknown model": ("train_classifier", ["--model", "resnet"], "--model must be.*got 'resnet'"),
    "unknown schedule": ("train_classifier", ["--lr-schedule", "x"], "--lr-schedule must be.*got 'x'"),
    "negative seed": ("train_classifier", ["--seed", "-1"], "--seed must be at least 0, got -1"),
    "large seed": ("train_classifier", ["--seed", "4294967296"], "--seed must be at most 4294967295"),
    "empty data root": ("train_classifier", ["--data-root", ""], "--data-root is empty"),
    "other points than the task": (
        "train_samplenet",
        ["--num-points", "32"],
        "--num-points must be the classifier's, 64",
    ),
    "unfinished sampler": ("evaluate", ["--samplers", "{cut}"], "stands at epoch 1 of 9; continue it with --resume"),
    "unfinished task": ("train_samplenet", ["--task", "{cut}"], "stands at epoch 1 of 9; continue it with --resume"),
    "the same sampler twice": (
        "evaluate",
        ["--samplers", "{twin}", "{samplenet}"],
        "are both samplenet, m = 8, seed 0",
    ),
    "all held out": ("train_classifier", ["--hold-out", "1"], r"--hold-out must be in \[0, 1\), got 1"),
    "not finite": ("train_classifier", ["--lr", "nan"], "--lr must be.* got nan"),
    "no task": ("train_samplenet", ["--task", ""], "--task is empty"),
    "no such task": ("train_samplenet", ["--task", "nowhere"], "nowhere is no run folder"),
    "m above N": ("train_samplenet", ["--sample-sizes", "65"], r"--sample-sizes must be in .*64\], got 65"),
    "k above N": ("train_samplenet", ["--k", "65"], r"--k must be in .*64\], got 65"),
    "a size twice": ("train_samplenet", ["--sample-sizes", "4", "8", "4"], r"sizes that differ, got \[4, 8, 4\]"),
    "unknown reduction": (
        "train_samplenet",
        ["--over-sizes", "max"],
        "--over-sizes must be one of sum, mean",
    ),
    "size above N": ("evaluate", ["--sizes", "65"], "--sizes must be at most N = 64.*got 65"),
    "size zero": ("evaluate", ["--sizes", "0"], "--sizes must be at least 1"),
    "unknown sampler": ("evaluate", ["--samplers", "poisson"], "'poisson' is neither random nor fps nor a run folder"),
    "task as sampler": ("evaluate", ["--samplers", "{cls}"], "another kind of run"),
    "unknown key": ("evaluate", ["--config", "{yaml}"], "unknown key 'epoch'"),
}


@pytest.mark.parametrize("case", BAD_FLAGS)
def test_bad_flags_are_named(script, tmp_path, trained, case):
    name, flags, words = BAD_FLAGS[case]
    (tmp_path / "bad.yaml").write_text("epoch: 3\n")
    shutil.copytree(trained / "samplenet", tmp_path / "twin")
    cut = unfinished(trained / ("cls" if name == "train_samplenet" else "samplenet"), tmp_path / "cut")
    paths = {"cls": trained / "cls", "samplenet": trained / "samplenet", "twin": tmp_path / "twin", "cut": cut}
    flags = [f.format(yaml=tmp_path / "bad.yaml", **paths) for f in flags]
    base = {"evaluate": ["--task", trained / "cls", "--sizes", "8"]}.get(name, TINY)
    if name == "train_samplenet" and "--task" not in flags:
        flags += ["--task", trained / "cls"]
    with pytest.raises(SystemExit, match=f"{name}.py: error: .*{words}"):
        root = {} if "--data-root" not in flags else {"data_root": None}
        script(name, *base, "--out", tmp_path / "out", *flags, **root)
    assert not (tmp_path / "out").exists()


def test_fewer_points_than_m(script, tmp_path, trained):
    with pytest.raises(SystemExit, match=r"--sample-sizes must be in \[1, --num-points\] = \[1, 16\], got 32"):
        flags = ["--num-points", "16", "--task", trained / "cls", "--out", tmp_path / "out"]
        script("train_samplenet", *flags)


def test_other_classes_than_the_task_was_trained_on(script, tmp_path, trained, shapes_folder):
    data = broken_copy(shapes_folder, tmp_path / "data", shuffle_names)
    with pytest.raises(SystemExit, match="trained on other classes"):
        script("evaluate", "--task", trained / "cls", "--sizes", "8", "--out", tmp_path / "out", data_root=data)
    with pytest.raises(SystemExit, match="trained on other classes"):
        script("train_samplenet", *TINY, "--task", trained / "cls", "--out", tmp_path / "out", data_root=data)


def test_a_damaged_task_checkpoint_is_named(script, tmp_path, trained):
    shutil.copytree(trained / "cls", tmp_path / "cls")
    last = tmp_path / "cls" / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-100])
    with pytest.raises(SystemExit, match=r"last\.safetensors is damaged"):
        script("evaluate", "--task", tmp_path / "cls", "--sizes", "8", "--out", tmp_path / "out")


def test_a_damaged_own_checkpoint_is_kept_and_named(script, tmp_path, trained):
    shutil.copytree(trained / "cls", tmp_path / "cls")
    last = tmp_path / "cls" / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-100])
    before = (tmp_path / "cls" / "metrics.jsonl").read_bytes()
    with pytest.raises(SystemExit, match=r"last\.safetensors is damaged"):
        flags = [*TINY, "--model", "vanilla", "--no-xla", "--out", tmp_path / "cls", "--resume"]
        script("train_classifier", *flags)
    assert (tmp_path / "cls" / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("name", ["train_classifier", "train_samplenet", "evaluate"])
def test_an_out_folder_that_cannot_be_written(script, tmp_path, trained, name):
    (tmp_path / "file").touch()
    flags = {"train_classifier": [*TINY, "--no-xla"], "train_samplenet": [*TINY, "--sample-sizes", "8"]}
    flags = flags.get(name, ["--sizes", "8"])
    flags += [] if name == "train_classifier" else ["--task", trained / "cls"]
    for out in (tmp_path / "file" / "out", Path("/proc/no-such-folder")):
        with pytest.raises(SystemExit, match=rf"{name}.py: error: .*({out.name}|{out.parent.name}).*: \w+"):
            script(name, *flags, "--out", out)


def test_without_out(script, trained):
    for name in SCRIPTS:
        with pytest.raises(SystemExit, match="--out is needed"):
            flags = [*TINY] if name != "evaluate" else []
            script(name, *flags, *([] if name == "train_classifier" else ["--task", trained / "cls"]))


def test_the_shell_sees_one_line_and_a_code(tmp_path):
    command = [sys.executable, ROOT / "classification" / "train_classifier.py", "--data-root", "nowhere"]
    done = subprocess.run([*command, "--out", tmp_path / "out"], capture_output=True, text=True)
    assert done.returncode == 1
    assert re.match("train_classifier.py: error: .*nowhere is not a folder", done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stderr
    loud = subprocess.run([*command, "--debug", "--out", tmp_path / "out"], capture_output=True, text=True)
    assert "Traceback" in loud.stderr
