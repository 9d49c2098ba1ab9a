"""What the evaluation scores: every cloud, progressive samplers, retrieval, samples in files."""

import os

import h5py
import numpy as np
import pytest

import evaluate
import pointnet
from samplenet.runs.entries import Entry


def test_a_progressive_sampler_serves_every_size(tmp_path, script, trained, results, tiny):
    task = ["--task", trained / "cls"]
    script(
        "train_samplenet",
        *tiny,
        *task,
        "--sample-sizes",
        4,
        8,
        "--no-projection",
        "--out",
        tmp_path / "net",
    )
    runs = [trained / "progressive", tmp_path / "net", trained / "samplenet"]
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
    sources = [trained / "cls", *runs]
    assert [run["folder"] for run in found["runs"]] == [
        os.path.relpath(run, tmp_path / "out") for run in sources
    ]
    assert all("train_samplenet.py" in run["command"] for run in found["runs"][1:3])
    assert [run.get("sizes") for run in found["runs"]] == [
        None,
        [64, 16, 8, 4],
        [64, 16, 8, 4],
        None,
    ]


def test_every_cloud_counts_and_the_batch_size_makes_no_difference(
    tmp_path, script, trained, results
):
    flags = [
        "--task",
        trained / "cls",
        "--sizes",
        "16",
        "8",
        "--gallery-size",
        "8",
        "--samplers",
        "random",
        "fps",
    ]
    flags += [trained / "samplenet", trained / "snet"]
    for batch in (5, 32):
        script("evaluate", *flags, "--batch-size", batch, "--out", tmp_path / str(batch))
    five, many = results(tmp_path / "5"), results(tmp_path / "32")
    assert five["rows"] == many["rows"] and five["curves"] == many["curves"]
    assert {row["n"] for row in five["rows"]} == {
        42
    }  # 21 classes, 2 test shapes each; no multiple of 5 or 32
    scored = {(row["sampler"], row["m"], row["protocol"]) for row in five["rows"]}
    for metric in ("map_macro", "map_micro", "map_paper"):
        mine = [row for row in five["rows"] if row["metric"] == metric]
        assert {(row["sampler"], row["m"], row["protocol"]) for row in mine} == scored and len(
            mine
        ) == len(scored)
    assert [(c["sampler"], c["m"], c["protocol"]) for c in five["curves"]] == list(
        dict.fromkeys((row["sampler"], row["m"], row["protocol"]) for row in five["rows"])
    )
    assert (
        {len(c["recall"]) for c in five["curves"]}
        == {len(c["precision"]) for c in five["curves"]}
        == {21}
    )


def test_with_one_cloud_a_class_there_is_no_retrieval_and_the_script_says_so(
    tmp_path, script, trained, shapes_folder, capsys, results, broken_copy
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
    script(
        "evaluate",
        "--task",
        trained / "cls",
        "--sizes",
        "8",
        "--out",
        tmp_path / "out",
        data_root=data,
    )
    found = results(tmp_path / "out")
    assert {row["n"] for row in found["rows"]} == {21} and found["curves"] == []
    assert not [row for row in found["rows"] if row["metric"].startswith("map")]
    assert "no class has two test clouds" in capsys.readouterr().out


def test_without_a_data_root_the_classifier_is_scored_on_its_own_data(
    tmp_path, script, trained, shapes_folder, results
):
    flags = ["--task", trained / "cls", "--sizes", "8", "--samplers", "fps", "--out", tmp_path]
    script("evaluate", *flags, data_root=None)
    assert results(tmp_path)["data"] == shapes_folder.name


def test_predictions_score_what_they_say(trained, shapes_folder):
    from samplenet.data import modelnet40

    net, *_ = pointnet.load_task(str(trained / "cls"))
    test = modelnet40.load(shapes_folder, "test", 64)
    sampler = evaluate.load_sampler(trained / "samplenet")
    found = evaluate.predict(net, sampler, test, 10)
    indices = found["matched"]["idx"]
    subset = np.take_along_axis(
        test.points, indices[..., None], 1
    )  # matched means: rows of the input
    np.testing.assert_array_equal(
        found["matched"]["classes"], net(subset, training=False).numpy().argmax(1)
    )
    assert indices.shape == (42, sampler.m) == (42, 8)
    for arrays in found.values():
        logits = net.last(arrays["descriptors"]).numpy()
        np.testing.assert_array_equal(logits.argmax(1), arrays["classes"])
    labels = np.array([0, 0, 0, 1])
    rows = evaluate.accuracy_rows(
        Entry("fps", 8, None, 0), {"matched": {"classes": np.array([0, 0, 1, 1])}}, labels
    )
    assert [row["value"] for row in rows] == [0.75, round((2 / 3 + 1) / 2, 6)]


# samples in files


def matched(found, *names):
    """The rows of these samplers' matched points, or of all that sample."""
    rows = (r for r in found["rows"] if r["protocol"] == "matched" and r["sampler"] != "none")
    return sorted((r for r in rows if r["sampler"] in (names or [r["sampler"]])), key=str)


def test_saved_samples_score_as_their_samplers_do(tmp_path, script, trained, results):
    task = ["--task", trained / "cls"]
    runs = [trained / "samplenet", trained / "snet", trained / "progressive"]
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
    script(
        "evaluate",
        *flags,
        "--samplers",
        "none",
        "--samples",
        tmp_path / "s",
        "--out",
        tmp_path / "b",
    )
    direct, read = results(tmp_path / "a"), results(tmp_path / "b")
    assert matched(read) == matched(direct)
    assert len(matched(read)) == 5 * (
        2 * 3 + 2 + 3
    )  # five metrics of random, fps, SampleNet and S-NET, progressive
    assert {row["protocol"] for row in read["rows"]} == {"matched"}
    some = [
        "--samples",
        tmp_path / "s" / "snet-8-seed0",
        tmp_path / "s" / "samplenet_progressive-ordered-seed0",
    ]
    script(
        "evaluate",
        *task,
        "--sizes",
        4,
        "--samplers",
        "fps",
        *some,
        "--batch-size",
        5,
        "--out",
        tmp_path / "c",
    )
    assert {(r["sampler"], r["m"]) for r in matched(results(tmp_path / "c"))} == {
        *(
            (name, m) for name in ("fps", "samplenet_progressive") for m in (8, 4)
        ),  # S-NET's size too
        ("snet", 8),
    }
    assert all(row in direct["rows"] for row in results(tmp_path / "c")["rows"])


def test_generated_points_are_scored_as_such(tmp_path, script, trained, shapes_folder, results):
    from samplenet.data import modelnet40, saved_samples
    from samplenet.data.saved_layouts import MODELNET40

    test = modelnet40.load(shapes_folder, "test", 64)
    sampler = evaluate.load_sampler(trained / "samplenet")
    queries = (
        np.asarray(sampler(test.points[:32]).queries),
        np.asarray(sampler(test.points[32:]).queries),
    )
    originals = saved_samples.Originals({"": test}, MODELNET40)
    folder = saved_samples.write(tmp_path, "ours", 7, originals, points=[np.concatenate(queries)])
    flags = [
        "--task",
        trained / "cls",
        "--sizes",
        8,
        "--samplers",
        trained / "samplenet",
        "--samples",
        folder,
    ]
    script("evaluate", *flags, "--save-samples", tmp_path / "again", "--out", tmp_path / "out")
    rows = results(tmp_path / "out")["rows"]
    ours = [row for row in rows if row["sampler"] == "ours"]
    its = [row for row in rows if (row["sampler"], row["protocol"]) == ("samplenet", "generated")]
    assert ours == [{**row, "sampler": "ours", "seed": 7} for row in its] and ours
    assert os.listdir(tmp_path / "again") == [
        "samplenet-8-seed0"
    ]  # what came from a folder is in one


def test_samples_that_cannot_be_scored_or_saved(tmp_path, script, trained):
    flags, out = ["--task", trained / "cls", "--sizes", "8"], ["--out", tmp_path / "out"]
    script(
        "evaluate",
        *flags,
        "--samplers",
        "fps",
        "--save-samples",
        tmp_path / "s",
        "--out",
        tmp_path / "first",
    )
    folder = tmp_path / "s" / "fps-8-seed0"
    with pytest.raises(
        SystemExit, match=f"error: fps and {folder} are both fps, m = 8, seed 0; score them apart"
    ):
        script("evaluate", *flags, "--samplers", "random", "fps", "--samples", tmp_path / "s", *out)
    with pytest.raises(
        SystemExit, match=f"error: {folder} is there already; remove it, or choose another"
    ):
        script(
            "evaluate",
            *flags,
            "--samplers",
            "random",
            "fps",
            "--save-samples",
            tmp_path / "s",
            *out,
        )
    assert os.listdir(tmp_path / "s") == ["fps-8-seed0"]
    (folder / "sampler.yaml").write_text("{sampler: mine, ordered: true}")
    with pytest.raises(
        SystemExit, match=f"{folder} orders 8 points; give one of --sizes that is at most that"
    ):
        script(
            "evaluate", *flags[:2], "--sizes", 16, "--samplers", "none", "--samples", folder, *out
        )
    (folder / "sampler.yaml").write_text("name: mine")
    with pytest.raises(SystemExit, match=r"sampler\.yaml: unknown key 'name'"):
        script("evaluate", *flags, "--samples", folder, *out)
    assert not (tmp_path / "out").exists()


def test_greedy_samplers_ask_the_chooser(tmp_path, script, trained, results):
    flags = [
        "--task",
        trained / "cls",
        "--samplers",
        "greedy",
        "--sizes",
        8,
        4,
        "--gallery-size",
        8,
    ]
    script("evaluate", *flags, "--out", tmp_path / "own")
    script("evaluate", *flags, "--chooser", trained / "cls", "--out", tmp_path / "same")
    own, same = results(tmp_path / "own")["rows"], results(tmp_path / "same")["rows"]
    assert {(r["sampler"], r["m"]) for r in own} == {("none", 64), ("greedy", 8), ("greedy", 4)}
    assert own == same
    # the library's network is another, and chooses other points
    script("evaluate", *flags, "--chooser", "classification", "--out", tmp_path / "other")
    with (
        np.load(tmp_path / "own" / "gallery.npz") as own,
        np.load(tmp_path / "other" / "gallery.npz") as other,
    ):
        assert (own["idx_greedy"] != other["idx_greedy"]).any()
    with pytest.raises(SystemExit, match="--chooser is for greedy samplers"):
        script("evaluate", *flags[:2], "--chooser", trained / "cls", "--out", tmp_path / "none")
