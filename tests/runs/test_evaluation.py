"""What the evaluations share: rows and the size of the pictures."""

from samplenet.runs import evaluation
from samplenet.runs.entries import Entry
from samplenet.runs.evaluation import EvaluationConfig


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


def test_the_pictures_have_the_size_that_most_trained_samplers_share():
    def size(*entries, wanted=32):
        none = Entry("none", 64, None, 0, "task")
        return evaluation.gallery_size(EvaluationConfig(gallery_size=wanted), [none, *entries])

    def entry(name, m, folder="run"):
        return Entry(name, m, len, 0, folder)

    assert size() == 32 and size(entry("fps", 8, "")) == 32
    assert size(entry("snet", 8), entry("samplenet", 8), entry("samplenet", 32)) == 8
    assert size(entry("snet", 16), entry("samplenet", 48)) == 16  # equally near: the smaller one
