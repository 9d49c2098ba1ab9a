"""The evaluation: its numbers against plain NumPy, what it writes."""

import numpy as np
import pytest

from samplenet import InputError, load_pretrained
from samplenet.data import saved_samples
from samplenet.data.clouds import Clouds
from samplenet.data.saved_layouts import SHAPENET
from samplenet.ops import reference

TINY = "--batch-size 8 --epochs 1"


@pytest.fixture(scope="module")
def runs(tmp_path_factory, scripts, task, call_script):
    """Run folders of a SampleNet-6, an S-NET-6 and a progressive SampleNet of two sizes."""
    folder = tmp_path_factory.mktemp("runs")
    for name, more in {
        "samplenet": "--sample-sizes 6",
        "snet": "--sample-sizes 6 --no-projection",
        "progressive": "--sample-sizes 3 6",
    }.items():
        call_script(scripts.train_samplenet, TINY, more, "--task", task, "--out", folder / name)
    return folder


@pytest.fixture
def evaluate(scripts, task, call_script, read_results, without_figures):
    """Evaluate in this process; returns results.json."""

    def run(out, *flags):
        call_script(scripts.evaluate, "--task", task, "--out", out, *flags, action="evaluate")
        return read_results(out)

    return run


def values(results, metric, class_=None):
    rows = (r for r in results["rows"] if (r["metric"], r.get("class")) == (metric, class_))
    return {(r["sampler"], r["m"], r["protocol"]): r["value"] for r in rows}


def test_metrics_of_known_distances(scripts):
    test = Clouds(
        np.zeros((3, 4, 3), np.float32), np.array([0, 1, 1]), ("chair", "car"), ["a", "b", "c"]
    )
    found = scripts.evaluate.metrics(
        np.array([2.0, 6.0, 1.0]), np.array([1.0, 2.0, 1.0]), test, "chamfer"
    )
    found = {(metric, class_): value for metric, class_, value in found}
    assert found["chamfer", None] == 3 and found["chamfer_median", None] == 2
    assert (
        found["nre", None] == 2 and found["nre_median", None] == 2
    )  # of 2, 3 and 1: a mean of ratios
    assert found["nre_std", None] == pytest.approx((2 / 3) ** 0.5)
    assert (found["nre", "chair"], found["nre", "car"], found["chamfer", "car"]) == (2, 2, 3.5)


def test_everything_is_scored_and_the_batch_size_makes_no_difference(evaluate, runs, tmp_path):
    flags = ["--samplers", "random", "fps", runs / "samplenet", runs / "snet", "--sizes", 32, 12]
    results = evaluate(tmp_path / "a", *flags)
    other = evaluate(tmp_path / "b", *flags, "--batch-size", 3)
    found = values(results, "nre")
    assert set(found) == {
        ("none", 32, "matched"),
        *((s, m, "matched") for s in ("random", "fps") for m in (32, 12, 6)),
        *(("samplenet", 6, p) for p in ("matched", "soft", "generated")),
        *(("snet", 6, p) for p in ("matched", "generated")),
    }
    assert {row["n"] for row in results["rows"]} == {4}  # two test chairs, two test cars
    for sampler in ("none", "random", "fps"):  # m = N: the same points in another order
        assert found[sampler, 32, "matched"] == pytest.approx(1, rel=1e-4)
    for one, two in zip(results["rows"], other["rows"], strict=True):
        assert one["value"] == pytest.approx(two["value"], rel=1e-3, abs=1e-5)
        assert {**one, "value": 0} == {**two, "value": 0}


def test_the_saved_clouds_give_the_numbers_again(evaluate, scripts, task, runs, tmp_path):
    results = evaluate(tmp_path, "--samplers", "fps", runs / "samplenet", "--sizes", 12)
    test = scripts.autoencoder.open_clouds(scripts.autoencoder.load_task(str(task))[1], "test")
    whole = {}
    names = {file.name: file for file in (tmp_path / "clouds").iterdir()}
    kinds = ("matched", "soft", "generated")
    learned = [f"samplenet-6-seed0-{kind}.npz" for kind in kinds]
    assert sorted(names) == sorted(
        [
            "none-32-seed0-matched.npz",
            "fps-12-seed0-matched.npz",
            "fps-6-seed0-matched.npz",
            *learned,
        ]
    )
    for name in sorted(
        names, key=lambda name: not name.startswith("none")
    ):  # the whole clouds first
        sampler, m, _, protocol = name.removesuffix(".npz").split("-")
        with np.load(names[name]) as saved:
            assert list(saved["ids"]) == test.ids
            assert saved["sample"].shape == (4, int(m), 3) and saved["reconstruction"].shape == (
                4,
                32,
                3,
            )
            if protocol == "matched" and sampler != "none":
                picked = np.take_along_axis(test.points, saved["idx"][..., None].astype(int), 1)
                np.testing.assert_array_equal(saved["sample"], picked)
            near = reference.chamfer(saved["reconstruction"], test.points)
            chamfer = near.a2b.mean(1) + near.b2a.mean(1)
            whole.setdefault("none", chamfer)
            np.testing.assert_allclose(saved["nre"], chamfer / whole["none"], rtol=1e-3)
        key = (sampler, int(m), protocol)
        assert values(results, "chamfer")[key] == pytest.approx(chamfer.mean(), rel=1e-3)
        assert values(results, "nre")[key] == pytest.approx(
            (chamfer / whole["none"]).mean(), rel=1e-3
        )
        for label, name in enumerate(("chair", "car")):
            mine = test.labels == label
            want = (chamfer / whole["none"])[mine].mean()
            assert values(results, "nre", name)[key] == pytest.approx(want, rel=1e-3)


def test_clouds_are_left_out_on_request_and_emd_joins(evaluate, tmp_path):
    results = evaluate(tmp_path, "--samplers", "random", "--sizes", 6, "--no-save-clouds", "--emd")
    assert not (tmp_path / "clouds").exists()
    assert values(results, "emd")["random", 6, "matched"] > 0
    assert values(results, "nre_emd")["none", 32, "matched"] == 1


def test_the_report_is_beside_the_results(evaluate, runs, tmp_path, capsys, without_figures):
    without_figures.undo()
    evaluate(tmp_path, "--samplers", "random", "fps", runs / "samplenet", "--sizes", 6)
    for name in (
        "table.md",
        "nre.png",
        "gallery.png",
        "histogram.png",
        "gallery.npz",
        "config.yaml",
    ):
        assert (tmp_path / name).stat().st_size > 100
    assert "| 6 | 5.33333 |" in capsys.readouterr().out


def matched(results):
    """The rows of matched points of all that sample."""
    rows = (r for r in results["rows"] if r["protocol"] == "matched" and r["sampler"] != "none")
    return sorted(rows, key=str)


def test_saved_samples_score_as_their_samplers_do(evaluate, runs, tmp_path):
    samplers = ["random", "fps", runs / "samplenet", runs / "snet", runs / "progressive"]
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
    names = [f"{name}-{m}-seed0" for name in ("fps", "random") for m in (3, 32, 6)]
    names += ["samplenet-6-seed0", "samplenet_progressive-ordered-seed0", "snet-6-seed0"]
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == names
    assert len(list((tmp_path / "s").glob("*/*/*.ply"))) == 4 * len(names)  # four test clouds each
    read = evaluate(
        tmp_path / "b", "--samplers", "none", "--samples", tmp_path / "s", "--sizes", 32, 6, 3
    )
    assert (
        matched(read) == matched(direct)
        and len({(r["sampler"], r["m"]) for r in matched(read)}) == 11
    )
    assert {row["protocol"] for row in read["rows"]} == {"matched"}
    some = tmp_path / "s" / "snet-6-seed0"
    other = evaluate(tmp_path / "c", "--samplers", "fps", "--samples", some, "--sizes", 3)
    assert {(r["sampler"], r["m"]) for r in matched(other)} == {("fps", 6), ("fps", 3), ("snet", 6)}
    assert all(row in direct["rows"] for row in other["rows"])


def test_generated_points_are_scored_as_such(evaluate, scripts, task, runs, tmp_path):
    test = scripts.autoencoder.open_clouds(scripts.autoencoder.load_task(str(task))[1], "test")
    sampler = load_pretrained(runs / "samplenet", framework="tf")
    originals = saved_samples.Originals({"": test}, SHAPENET)
    folder = saved_samples.write(
        tmp_path, "ours", 7, originals, points=[np.asarray(sampler(test.points).queries)]
    )
    results = evaluate(tmp_path / "out", "--samplers", runs / "samplenet", "--samples", folder)
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
    with np.load(tmp_path / "out" / "clouds" / "ours-6-seed7-generated.npz") as saved:
        assert "idx" not in saved and saved["sample"].shape == (4, 6, 3)


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
    next(folder.glob("*/*.ply")).unlink()
    with pytest.raises(
        InputError, match=f"{folder} lacks .*, one of 1 test clouds; give a sample of each"
    ):
        evaluate(out, "--samplers", "none", "--samples", folder)
    assert not out.exists()
