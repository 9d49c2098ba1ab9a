"""The evaluation: its numbers by eye and against plain NumPy, saved samples."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import pairs
from samplenet import InputError, load_pretrained
from samplenet.data import saved_samples
from samplenet.runs import settings
from samplenet.sampled import Sampled

DATA = "--shapes-per-class 10 --pairs 20 --num-points 32 --batch-size 8 --epochs 1 --device cpu"
TINY = "--batch-size 8 --epochs 1 --device cpu"


@pytest.fixture(scope="module")
def runs(tmp_path_factory, scripts, call_script):
    """Run folders of two PCRNets, one trained on moved pairs, and of samplers, one of two sizes."""
    folder = tmp_path_factory.mktemp("runs")
    for name, more in {"pcrnet": "", "moved": "--translation --noise 0.01"}.items():
        call_script(scripts.train_pcrnet, DATA, more, "--out", folder / name)
    for name, more in {
        "samplenet": "--sample-sizes 6",
        "snet": "--sample-sizes 6 --no-projection",
        "progressive": "--sample-sizes 3 6",
    }.items():
        task = ["--task", folder / "pcrnet", "--out", folder / name]
        call_script(scripts.train_samplenet, TINY, more, *task)
    return folder


@pytest.fixture
def evaluate(scripts, runs, call_script, read_results, without_figures):
    """Evaluate in this process; returns results.json."""

    def run(out, *flags):
        flags = ["--task", runs / "pcrnet", "--device", "cpu", "--out", out, *flags]
        call_script(scripts.evaluate, *flags, action="evaluate")
        return read_results(out)

    return run


def values(results, **match):
    rows = (r for r in results["rows"] if all(r[key] == value for key, value in match.items()))
    return {(r["sampler"], r["m"], r["protocol"], r["metric"]): r["value"] for r in rows}


def quaternions(degrees):
    """Turns about x by so many degrees, (P, 7) with no translation."""
    half = torch.deg2rad(torch.tensor(degrees)) / 2
    zeros = torch.zeros(len(degrees), 5)
    return torch.cat([half.cos()[:, None], half.sin()[:, None], zeros], 1)


def test_metrics_of_known_errors(scripts):
    degrees = [0.0, 4.9, 9.9, 60.1, 180.0]
    made = pairs.Pairs(None, None, torch.eye(4)[:1].expand(5, 4), torch.zeros(5, 3))
    found, curve = scripts.evaluate.metrics(quaternions(degrees), made, translation=False)
    assert "translation_error" not in found
    assert found["rotation_error_deg"] == pytest.approx(np.mean(degrees), abs=1e-4)
    assert found["rotation_error_median_deg"] == pytest.approx(9.9, abs=1e-4)
    assert found["rotation_error_std_deg"] == pytest.approx(np.std(degrees), abs=1e-4)
    assert found["rotation_error_paper_deg"] == pytest.approx(2 * np.mean(degrees), abs=1e-4)
    assert (found["share_under_5_deg"], found["share_under_10_deg"]) == (0.4, 0.6)
    thresholds = np.arange(361) / 2
    by_hand = [np.mean([d <= t + 1e-4 for d in degrees]) for t in thresholds]
    assert len(curve) == 361 and curve[0] == 0.2 and curve[-1] == 1
    np.testing.assert_allclose(curve, by_hand)
    assert found["auc"] == pytest.approx(np.mean(by_hand))
    doubled = [
        np.mean([2 * d <= t + 1e-4 for d in degrees]) for t in thresholds[:-1]
    ]  # the released code's: 0..179.5
    assert found["auc_paper"] == pytest.approx(np.mean(doubled))


def test_a_translation_error_is_a_length(scripts):
    twist = quaternions([0.0, 0.0])
    twist[:, 4:] = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 0.0]])
    made = pairs.Pairs(None, None, torch.eye(4)[:1].expand(2, 4), torch.zeros(2, 3))
    assert scripts.evaluate.metrics(twist, made, translation=True)[0]["translation_error"] == 2.5


def test_consistency_is_chamfer_between_the_samples_moved_back(scripts):
    clouds = np.random.default_rng(0).normal(size=(3, 20, 3)).astype(np.float32)
    made = pairs.Pairs(*map(torch.from_numpy, pairs.make(clouds, 20, 6, seed=1, translation=True)))
    chosen = {}

    def sampler(points, cloud):
        idx = (torch.as_tensor(cloud)[:, None] * 3 + torch.arange(5)) % 20
        chosen.update(zip(map(int, cloud), idx, strict=True))
        return Sampled(scripts.evaluate.ops.gather(points, idx), idx, None)

    def net(template, source):
        return torch.eye(7)[:1].expand(len(template), 7), None

    found = scripts.evaluate.register(net, sampler, made, 4)
    first, second = found["matched"]["idx_template"], found["matched"]["idx_source"]
    assert sorted(chosen) == list(
        range(12)
    )  # templates 0, 2, ...; sources 1, 3, ...: every cloud its own number
    for i in range(6):
        assert torch.equal(first[i], chosen[2 * i]) and torch.equal(second[i], chosen[2 * i + 1])
        template = made.template[i].numpy()  # the source is the template, moved
        a, b = template[first[i]], template[second[i]]
        distances = np.square(a[:, None] - b).sum(-1)
        expected = distances.min(1).mean() + distances.min(0).mean()
        assert found["matched"]["consistency"][i].item() == pytest.approx(
            expected, rel=1e-3, abs=1e-6
        )


def test_everything_is_scored_and_the_batch_size_makes_no_difference(evaluate, runs, tmp_path):
    flags = [
        "--samplers",
        "random",
        "fps",
        "fps_same_start",
        runs / "samplenet",
        runs / "snet",
        "--sizes",
        32,
        12,
    ]
    results = evaluate(tmp_path / "a", *flags)
    other = evaluate(tmp_path / "b", *flags, "--batch-size", 7)
    found = values(results, metric="rotation_error_deg")
    assert {key[:3] for key in found} == {
        ("none", 32, "matched"),
        *((s, m, "matched") for s in ("random", "fps", "fps_same_start") for m in (32, 12, 6)),
        *(("samplenet", 6, p) for p in ("matched", "soft", "generated")),
        *(("snet", 6, p) for p in ("matched", "generated")),
    }
    assert {row["n"] for row in results["rows"]} == {20}  # four test cars, five times
    assert all(0 <= value <= 180 for value in found.values())
    for one, two in zip(results["rows"], other["rows"], strict=True):
        assert one["value"] == pytest.approx(two["value"], rel=1e-4, abs=1e-4)
        assert {**one, "value": 0} == {**two, "value": 0}
    consistency = values(results, metric="sampling_consistency")
    assert not any(sampler == "none" for sampler, *_ in consistency)
    assert (
        consistency["fps_same_start", 12, "matched", "sampling_consistency"] < 1e-6
    )  # the same points in both
    assert consistency["fps", 12, "matched", "sampling_consistency"] > 1e-4
    everything = [
        found[s, 32, "matched", "rotation_error_deg"]
        for s in ("none", "random", "fps", "fps_same_start")
    ]
    np.testing.assert_allclose(
        everything, everything[0], rtol=1e-4
    )  # m = N: the same points in another order
    assert len(results["curves"]) == len(found)
    assert all(len(line["precision"]) == 361 for line in results["curves"])
    with np.load(tmp_path / "a" / "gallery.npz") as gallery:
        assert gallery["idx_source_snet"].shape == (4, 6) and gallery["moved_none"].shape == (
            4,
            32,
            3,
        )
        assert gallery["error_before"].shape == gallery["error_samplenet"].shape == (4,)


def matched(results):
    """The rows of matched points of all that sample."""
    rows = (r for r in results["rows"] if r["protocol"] == "matched" and r["sampler"] != "none")
    return sorted(rows, key=str)


def test_saved_samples_score_as_their_samplers_do(evaluate, runs, tmp_path):
    names = ("random", "fps", "fps_same_start")
    samplers = [*names, runs / "samplenet", runs / "snet", runs / "progressive"]
    direct = evaluate(
        tmp_path / "a",
        "--samplers",
        *samplers,
        "--sizes",
        32,
        6,
        3,
        "--save-samples",
        tmp_path / "s",
    )
    assert {path.name for path in (tmp_path / "s").iterdir()} == {
        *(f"{name}-{m}-seed0" for name in names for m in (3, 32, 6)),
        *("samplenet-6-seed0", "samplenet_progressive-ordered-seed0", "snet-6-seed0"),
    }
    read = evaluate(
        tmp_path / "b", "--samplers", "none", "--samples", tmp_path / "s", "--sizes", 32, 6, 3
    )
    assert (
        matched(read) == matched(direct)
        and len({(r["sampler"], r["m"]) for r in matched(read)}) == 14
    )
    assert any(row["metric"] == "sampling_consistency" for row in matched(read))
    assert {row["protocol"] for row in read["rows"]} == {"matched"}
    some = (
        tmp_path / "s" / "fps-6-seed0"
    )  # its starts differ from cloud to cloud: none may be taken for another
    (some / "sampler.yaml").unlink()
    other = evaluate(
        tmp_path / "c", "--samplers", "fps", "--samples", some, "--sizes", 3, "--batch-size", 7
    )
    renamed = [
        {**row, "sampler": "fps-6-seed0"}
        for row in matched(other)
        if (row["sampler"], row["m"]) == ("fps", 6)
    ]
    assert [row for row in matched(other) if row["sampler"] == "fps-6-seed0"] == renamed and renamed
    with (
        np.load(tmp_path / "b" / "gallery.npz") as shown,
        np.load(tmp_path / "a" / "gallery.npz") as before,
    ):
        np.testing.assert_array_equal(shown["idx_source_fps"], before["idx_source_fps"])


def test_generated_points_are_scored_as_such(evaluate, scripts, runs, tmp_path):
    task = scripts.pcrnet.load_task(str(runs / "pcrnet"))[1]
    config = settings.load(scripts.evaluate.Config, [])
    made, _ = scripts.evaluate.open_pairs(config, task)
    sampler = load_pretrained(runs / "samplenet", framework="torch")
    with torch.no_grad():
        queries = [sampler(clouds).queries.numpy() for clouds in made[:2]]
    folder = saved_samples.write(
        tmp_path, "ours", 7, scripts.evaluate.originals_of(made, "car"), points=queries
    )
    results = evaluate(
        tmp_path / "out", "--samplers", runs / "samplenet", "--samples", folder, "--sizes", 6
    )
    ours = [row for row in results["rows"] if row["sampler"] == "ours"]
    its = [
        row
        for row in results["rows"]
        if (row["sampler"], row["protocol"]) == ("samplenet", "generated")
    ]
    its = [
        {**row, "value": pytest.approx(row["value"], rel=1e-4, abs=2e-6)} for row in its
    ]  # in other batches
    assert ours == [{**row, "sampler": "ours", "seed": 7} for row in its] and ours


def test_samples_that_cannot_be_scored_or_saved(evaluate, tmp_path):
    evaluate(
        tmp_path / "first", "--samplers", "fps", "--sizes", 6, "--save-samples", tmp_path / "s"
    )
    folder, out = tmp_path / "s" / "fps-6-seed0", tmp_path / "out"
    with pytest.raises(
        InputError, match=f"fps and {folder} are both fps, m = 6, seed 0; score them apart"
    ):
        evaluate(out, "--samplers", "fps", "--samples", tmp_path / "s", "--sizes", 6)
    with pytest.raises(
        InputError, match=f"{folder} is there already; remove it, or choose another"
    ):
        evaluate(out, "--samplers", "fps", "--save-samples", tmp_path / "s", "--sizes", 6)
    (folder / "source").rename(folder / "target")
    with pytest.raises(InputError, match="source is missing; give the samples of the sources too"):
        evaluate(out, "--samplers", "none", "--samples", folder)
    assert not out.exists()


def test_pairs_are_judged_as_pcrnet_was_trained(evaluate, runs, tmp_path):
    results = evaluate(
        tmp_path / "out", "--task", runs / "moved", "--samplers", "fps", "--sizes", 8
    )
    assert results["data"] == "car of the built-in shapes, noise 0.01, translation"
    assert (
        values(results, metric="translation_error")["none", 32, "matched", "translation_error"]
        > 0.01
    )


def test_icp_finds_small_turns(scripts, evaluate, tmp_path):
    pytest.importorskip(
        "open3d", reason="Open3D is not installed (bash setup.sh icp)", exc_type=ImportError
    )
    clouds = np.random.default_rng(0).normal(size=(2, 60, 3)).astype(np.float32)
    made = pairs.Pairs(*map(torch.from_numpy, pairs.make(clouds, 60, 4, seed=1, translation=True)))
    quaternion = torch.nn.functional.normalize(
        made.quaternion + torch.tensor([6.0, 0, 0, 0]), dim=1
    )  # a few degrees
    source = scripts.rigid.apply(torch.cat([quaternion, made.translation / 5], 1), made.template)
    twist = scripts.evaluate.run_icp(made._replace(source=source))
    assert scripts.rigid.angle_between(twist[:, :4], quaternion).max() < 0.1
    torch.testing.assert_close(twist[:, 4:], made.translation / 5, atol=1e-3, rtol=0)
    results = evaluate(tmp_path / "out", "--samplers", "icp", "--sizes", 8)
    assert ("icp", 32, "matched", "auc") in values(results)


def test_icp_without_open3d(evaluate, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(InputError, match="ICP needs Open3D .*bash setup.sh icp.*libusb-1.0-0"):
        evaluate(tmp_path / "out", "--samplers", "icp")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow  # tests/pipeline/test_smoke.py runs it without set-up
def test_runner_from_set_up_to_table_needs_no_tensorflow(scripts, tmp_path, read_results):
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text(
        "raise ImportError('the PyTorch side imported tensorflow')"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    runner = [
        "bash",
        str(scripts.folder / "runner_samplenet.sh"),
        "--preset",
        "smoke",
        "--out",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(
        runner, env=env, capture_output=True, text=True, cwd=tmp_path, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    out = tmp_path / "out" / "registration" / "evaluation"
    found = values(read_results(out), metric="rotation_error_deg")
    assert {("none", 64), ("samplenet", 8), ("snet", 8), ("fps", 32)} <= {key[:2] for key in found}
    for name in ("table.md", "rotation_error.png", "precision.png", "pairs.png", "pair.html"):
        assert (out / name).stat().st_size > 100
    again = subprocess.run(runner, env=env, capture_output=True, text=True, timeout=900)
    assert again.stdout.count("is finished") == 4
