"""The training scripts on tiny shapes; tests/faults has them killed and continued."""

import shutil

import pytest


@pytest.mark.parametrize(
    "served, kind",
    [
        (False, "--projection"),
        pytest.param(True, "--projection", marks=pytest.mark.slow),
        pytest.param(False, "--no-projection", marks=pytest.mark.slow),
        pytest.param(True, "--no-projection", marks=pytest.mark.slow),
    ],
    indirect=["served"],
)
def test_gradients_of_several_sizes_are_added_in_one_order(
    script, tmp_path, tiny, served, trained, kind
):
    sizes = ["--sample-sizes", 4, 8, 16, kind]
    script("train_samplenet", *tiny, *sizes, "--task", trained / "cls", "--out", tmp_path)


def test_gradients_of_the_whole_pointnet_are_added_in_one_order(script, tmp_path, tiny):
    """Those of the vanilla one are checked where its fixture trains it."""
    script("train_classifier", *tiny, "--model", "pointnet", "--no-xla", "--out", tmp_path)


@pytest.mark.slow
def test_xla_compiles_a_sampler_s_step(script, tmp_path, tiny, trained):
    flags = ["--sample-sizes", 4, 8, "--xla", "--task", trained / "cls", "--out", tmp_path]
    script("train_samplenet", *tiny, *flags)


def test_a_damaged_own_checkpoint_is_kept_and_named(script, tmp_path, trained, tiny):
    shutil.copytree(trained / "cls", tmp_path / "cls")
    last = tmp_path / "cls" / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-100])
    before = (tmp_path / "cls" / "metrics.jsonl").read_bytes()
    with pytest.raises(SystemExit, match=r"last\.safetensors is damaged"):
        flags = [*tiny, "--model", "vanilla", "--no-xla", "--out", tmp_path / "cls", "--resume"]
        script("train_classifier", *flags)
    assert (tmp_path / "cls" / "metrics.jsonl").read_bytes() == before
