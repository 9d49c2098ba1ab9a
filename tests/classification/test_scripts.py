"""The training scripts on tiny shapes; tests/faults has them killed and continued."""

import shutil

import pytest


@pytest.mark.parametrize(
    "served, model",
    [
        (True, "pointnet"),
        (False, "vanilla"),
        pytest.param(True, "vanilla", marks=pytest.mark.slow),
        pytest.param(False, "pointnet", marks=pytest.mark.slow),
    ],
    indirect=["served"],
    ids=["native-pointnet", "framework-vanilla", "native-vanilla", "framework-pointnet"],
)
def test_gradients_are_added_in_one_order(script, tmp_path, tiny, served, most_added, model):
    script("train_classifier", *tiny, "--model", model, "--no-xla", "--out", tmp_path / "task")
    sizes = ["--sample-sizes", 4, 8, 16]
    for kind in ("--projection", "--no-projection"):
        script(
            "train_samplenet",
            *tiny,
            *sizes,
            kind,
            "--task",
            tmp_path / "task",
            "--out",
            tmp_path / kind,
        )
    assert len(most_added) == 3 and max(most_added) <= 2


def test_a_damaged_own_checkpoint_is_kept_and_named(script, tmp_path, trained, tiny):
    shutil.copytree(trained / "cls", tmp_path / "cls")
    last = tmp_path / "cls" / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-100])
    before = (tmp_path / "cls" / "metrics.jsonl").read_bytes()
    with pytest.raises(SystemExit, match=r"last\.safetensors is damaged"):
        flags = [*tiny, "--model", "vanilla", "--no-xla", "--out", tmp_path / "cls", "--resume"]
        script("train_classifier", *flags)
    assert (tmp_path / "cls" / "metrics.jsonl").read_bytes() == before
