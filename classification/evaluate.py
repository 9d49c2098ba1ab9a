"""Score samplers by the accuracy of a trained classifier on what they leave of each test cloud, and by retrieval.

    python classification/evaluate.py --task results/classifier --samplers random fps results/samplenet-32 \\
        --sizes 512 256 128 64 32 16 8 --out results/evaluation

`random` and `fps` are scored at every size, also those of the trained samplers; a trained one (its run folder) at its
own, a progressive one at every size. Three protocols: `matched` gives the classifier a subset of the input, `soft` the
softly projected points and `generated` the simplified points themselves. `--runs` scores all samplers that finished in
a folder, `--samples` folders that `--save-samples` or anybody wrote. Retrieval compares clouds by the classifier's
second-last layer; see retrieval.py.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import samplenet.quiet_tensorflow  # noqa: F401

import keras
import numpy as np
from tqdm import tqdm

import pointnet
import retrieval
from samplenet import load_pretrained
from samplenet.data import batches, modelnet40, saved_samples
from samplenet.data.clouds import Clouds
from samplenet.data.saved_layouts import MODELNET40
from samplenet.errors import InputError
from samplenet.ops import check_inputs
from samplenet.report import summary
from samplenet.runs import evaluation, experiments
from samplenet.runs.evaluation import Entry, EvaluationConfig
from samplenet.runs.script import main
from samplenet.tf import FarthestPointSampler, RandomSampler

BASELINES = {"random": RandomSampler, "fps": lambda m, seed: FarthestPointSampler(m)}
load_sampler = partial(load_pretrained, framework="tf")


@dataclass
class Config(EvaluationConfig):
    """What is scored on which data."""


def predict(net, sampler, test: Clouds, batch_size: int) -> tuple[dict, np.ndarray | None, dict]:
    """Of every test cloud: classes (n,) by protocol, matched indices (n, m), descriptors (n, C) by protocol."""
    predicted, indices, descriptors = {}, [], {}
    for start in range(0, len(test), batch_size):
        points = test.points[start : start + batch_size]
        if sampler is None:
            clouds = {"matched": points}
        else:
            sampled = sampler(points, np.arange(start, start + len(points)))
            clouds = evaluation.protocols(sampler, points, sampled)
            if sampled.idx is not None:
                indices.append(np.asarray(sampled.idx))
        for protocol, cloud in clouds.items():
            described, _ = net.describe(cloud, training=False)
            descriptors.setdefault(protocol, []).append(described.numpy())
            predicted.setdefault(protocol, []).append(net.last(described).numpy().argmax(1))
    predicted = {protocol: np.concatenate(parts) for protocol, parts in predicted.items()}
    descriptors = {protocol: np.concatenate(parts) for protocol, parts in descriptors.items()}
    return predicted, np.concatenate(indices) if indices else None, descriptors


def accuracy_rows(entry: Entry, predicted: dict, labels: np.ndarray) -> list[dict]:
    """Rows of the share of clouds that are classified right: over all, and the mean over classes."""
    rows = []
    for protocol, classes in predicted.items():
        right = classes == labels
        by_class = [right[labels == c].mean() for c in np.unique(labels)]
        rows.append(evaluation.row(entry, protocol, "accuracy", right.mean(), len(labels)))
        rows.append(
            evaluation.row(entry, protocol, "accuracy_class_mean", np.mean(by_class), len(labels))
        )
    return rows


def retrieval_rows(
    entry: Entry, descriptors: dict, labels: np.ndarray
) -> tuple[list[dict], list[dict]]:
    """Rows of mean average precision, and precision-recall curves."""
    rows, curves = [], []
    for protocol, described in descriptors.items():
        score = retrieval.score(described, labels)
        for metric in ("map_macro", "map_micro", "map_paper"):
            rows.append(
                evaluation.row(entry, protocol, metric, getattr(score, metric), score.queries)
            )
        curves.append(
            evaluation.curve(entry, protocol, score.precision, recall=retrieval.RECALL.tolist())
        )
    return rows, curves


def gallery_clouds(test: Clouds, count: int = 5) -> np.ndarray:
    """The first test cloud of `count` classes spread over the list of names."""
    classes = np.unique(test.labels)
    chosen = classes[np.linspace(0, len(classes) - 1, min(count, len(classes))).round().astype(int)]
    return np.array([np.flatnonzero(test.labels == c)[0] for c in chosen])


def evaluate(config: Config) -> None:
    evaluation.check(config)
    check_inputs(True)
    net, names, task_config = pointnet.load_task(config.task)
    n = task_config.num_points
    folder = batches.open_set(
        config.data_root or task_config.data_root, task_config.shapes_per_class
    )
    test = modelnet40.load(folder, "test", n)
    if list(test.names) != names:
        raise InputError(f"--task {config.task} was trained on other classes than {folder} has")
    originals = saved_samples.Originals({"": test}, MODELNET40)
    saved = saved_samples.read(config.samples, originals)
    entries = evaluation.choose(config, n, BASELINES, load_sampler, saved)
    out = evaluation.prepare(config, entries)

    gallery_size = evaluation.gallery_size(config, entries)
    rows, curves, shown = [], [], gallery_clouds(test)
    gallery = {
        "points": test.points[shown],
        "names": np.array([test.names[c] for c in test.labels[shown]]),
    }
    for entry in tqdm(entries, "evaluate", disable=None):
        predicted, indices, descriptors = predict(net, entry.sampler, test, config.batch_size)
        rows += accuracy_rows(entry, predicted, test.labels)
        if retrieval.possible(test.labels):
            retrieved, found_curves = retrieval_rows(entry, descriptors, test.labels)
            rows += retrieved
            curves += found_curves
        if entry.m == gallery_size and indices is not None and f"idx_{entry.name}" not in gallery:
            gallery[f"idx_{entry.name}"] = indices[shown]
            gallery[f"predicted_{entry.name}"] = np.array(
                [test.names[c] for c in predicted["matched"][shown]]
            )
    if not curves:
        print("retrieval is left out: no class has two test clouds")
    more = {"network": pointnet.called(task_config.model), "curves": curves}
    evaluation.write(out, "classification", folder.resolve().name, entries, rows, gallery, **more)
    evaluation.save_samples(config, entries, originals)
    print(summary.write(out, experiments.load(Path(__file__).parent)))


if __name__ == "__main__":
    keras.utils.set_random_seed(
        0
    )  # of Dropout's and the initialisers' draws, which no number depends on
    main(evaluate, Config, __doc__)
