"""The recipe of docs/own.md: a classifier is trained on scans that `convert` has read."""

import numpy as np

from samplenet.data import convert


def test_a_classifier_trains_on_converted_scans(tmp_path, script, tiny):
    rng = np.random.default_rng(0)
    for name, scale in (("flat", (3, 3, 0.1)), ("round", (1, 1, 1))):
        folder = tmp_path / "scans" / name
        folder.mkdir(parents=True)
        for i in range(15):
            np.savetxt(folder / f"{i}.xyz", rng.normal(size=(80, 3)) * scale)
    data, run = tmp_path / "my-data", tmp_path / "classifier"
    convert.main([str(tmp_path / "scans"), "--out", str(data), "--num-points", "64"])
    flags = ["--model", "vanilla", "--no-xla", "--out", run]
    script("train_classifier", *tiny, *flags, data_root=data)
    assert (run / "last.safetensors").is_file(), sorted(run.iterdir())
