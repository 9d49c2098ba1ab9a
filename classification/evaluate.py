"""Score samplers by a trained classifier: its accuracy on their samples, and retrieval.

    python classification/evaluate.py --task results/classifier \\
        --samplers random fps results/samplenet-32 \\
        --sizes 512 256 128 64 32 16 8 --out results/evaluation

`random` and `fps` are scored at all of --sizes and at the sizes of the trained samplers. A trained
sampler is a run folder, or one of the library by name, as `classification-progressive`; it is
scored at its own size, a progressive one at every size. `--runs` scores all samplers that finished
in a folder, `--samples` folders of saved samples (see --save-samples).

Three protocols: `matched` gives the classifier a subset of the input, `soft` the softly projected
points and `generated` the simplified points themselves. Retrieval compares clouds by the
classifier's second-last layer; see retrieval.py.
"""

from functools import partial
from pathlib import Path

import samplenet.quiet_tensorflow  # noqa: F401

import keras
import numpy as np
from tqdm import tqdm

import pointnet
import retrieval
from samplenet import load_pretrained
from samplenet.data import saved_samples
from samplenet.data.clouds import Clouds
from samplenet.data.saved_layouts import MODELNET40
from samplenet.ops import check_inputs
from samplenet.report import summary
from samplenet.runs import evaluation, experiments
from samplenet.runs.entries import Entry, choose, greedy_samplers
from samplenet.runs.evaluation import EvaluationConfig as Config
from samplenet.runs.script import main
from samplenet.tf import FarthestPointSampler, GreedySampler, RandomSampler

BASELINES = {"random": RandomSampler, "fps": lambda m, seed: FarthestPointSampler(m)}
load_sampler = partial(load_pretrained, framework="tf")


def predict(net, sampler, test: Clouds, batch_size: int) -> dict[str, dict[str, np.ndarray]]:
    """Classify every test cloud from its sample, or from all points where `sampler` is None.

    Returns:
        By protocol: `classes` (n,) and `descriptors` (n, C); of matched samples also `idx` (n, m).
    """
    batches = []
    for start in range(0, len(test), batch_size):
        points = test.points[start : start + batch_size]
        clouds, idx = {"matched": points}, None
        if sampler is not None:
            sampled = sampler(points, np.arange(start, start + len(points)))
            clouds, idx = evaluation.protocols(sampler, points, sampled), sampled.idx
        found = {}
        for protocol, cloud in clouds.items():
            described, _ = net.describe(cloud, training=False)
            classes = net.last(described).numpy().argmax(1)
            found[protocol] = {"classes": classes, "descriptors": described.numpy()}
        if idx is not None:
            found["matched"]["idx"] = np.asarray(idx)
        batches.append(found)
    return evaluation.joined(batches)


def accuracy_rows(entry: Entry, found: dict, labels: np.ndarray) -> list[dict]:
    """List the rows of accuracy: the share of all clouds, and the mean of the classes' shares."""
    rows = []
    for protocol, arrays in found.items():
        right = arrays["classes"] == labels
        by_class = [right[labels == c].mean() for c in np.unique(labels)]
        means = {"accuracy": right.mean(), "accuracy_class_mean": np.mean(by_class)}
        for metric, value in means.items():
            rows.append(evaluation.row(entry, protocol, metric, value, len(labels)))
    return rows


def retrieval_rows(entry: Entry, found: dict, labels: np.ndarray) -> tuple[list[dict], list[dict]]:
    """List the rows of mean average precision, and the precision-recall curves."""
    rows, curves, recall = [], [], retrieval.RECALL.tolist()
    for protocol, arrays in found.items():
        score = retrieval.score(arrays["descriptors"], labels)
        for metric in ("map_macro", "map_micro", "map_paper"):
            value = getattr(score, metric)
            rows.append(evaluation.row(entry, protocol, metric, value, score.queries))
        curves.append(evaluation.curve(entry, protocol, score.precision, recall=recall))
    return rows, curves


def gallery_clouds(test: Clouds, count: int = 5) -> np.ndarray:
    """Choose the first test cloud of `count` classes spread over the list of names."""
    classes = np.unique(test.labels)
    chosen = classes[np.linspace(0, len(classes) - 1, min(count, len(classes))).round().astype(int)]
    return np.array([np.flatnonzero(test.labels == c)[0] for c in chosen])


def evaluate(config: Config) -> None:
    evaluation.check(config)
    check_inputs(True)
    net, names, task_config = pointnet.load_task(config.task)
    test, folder = pointnet.open_clouds(config, task_config, names, "test")
    originals = saved_samples.Originals({"": test}, MODELNET40)
    saved = saved_samples.read(config.samples, originals)
    chooser = pointnet.load_task(config.chooser)[0] if config.chooser else net
    baselines = BASELINES | greedy_samplers(chooser, GreedySampler)
    near = partial(GreedySampler, chooser, pool="near")
    entries = choose(
        config, "classification", task_config.num_points, baselines, load_sampler, saved, near
    )
    out = evaluation.prepare(config, entries)

    gallery_size, names = evaluation.gallery_size(config, entries), np.array(names)
    rows, curves, shown = [], [], gallery_clouds(test)
    gallery = {"points": test.points[shown], "names": names[test.labels[shown]]}
    for entry in tqdm(entries, "evaluate", disable=None):
        found = predict(net, entry.sampler, test, config.batch_size)
        rows += accuracy_rows(entry, found, test.labels)
        if retrieval.possible(test.labels):
            map_rows, precision_recall = retrieval_rows(entry, found, test.labels)
            rows += map_rows
            curves += precision_recall
        matched = found.get("matched", {})  # saved samples can be `generated` alone
        # of several seeds the first is shown
        if entry.m == gallery_size and "idx" in matched and f"idx_{entry.name}" not in gallery:
            gallery[f"idx_{entry.name}"] = matched["idx"][shown]
            gallery[f"predicted_{entry.name}"] = names[matched["classes"][shown]]
    if not curves:
        print("retrieval is left out: no class has two test clouds")
    more = {"network": pointnet.called(task_config.model), "curves": curves}
    evaluation.write(out, "classification", folder.resolve().name, entries, rows, gallery, **more)
    evaluation.save_samples(config, entries, originals)
    print(summary.write(out, experiments.load(Path(__file__).parent)))


if __name__ == "__main__":
    # for the draws of first weights, which are then replaced: no number depends on this seed
    keras.utils.set_random_seed(0)
    main(evaluate, Config, __doc__)
