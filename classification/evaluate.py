"""Score samplers by the accuracy of a trained classifier on what they leave of each test cloud, and by retrieval.

    python classification/evaluate.py --task results/classifier --samplers random fps results/samplenet-32 \\
        --sizes 512 256 128 64 32 16 8 --out results/evaluation

`random` and `fps` are scored at every size, also those of the trained samplers; a trained one (its run folder) at its
own, a progressive one at every size. Three protocols: `matched` gives the classifier a subset of the input, `soft` the
softly projected points and `generated` the simplified points themselves. `--samples` scores folders that
`--save-samples` or anybody wrote. Retrieval compares clouds by the classifier's second-last layer; see retrieval.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import samplenet.quiet_tensorflow  # noqa: F401

import keras
import numpy as np
from tqdm import tqdm

import pointnet
import retrieval
import train_samplenet
from samplenet import report
from samplenet.data import batches, modelnet40, saved_samples
from samplenet.data.clouds import Clouds
from samplenet.data.saved_layouts import MODELNET40
from samplenet.errors import InputError
from samplenet.ops import check_inputs
from samplenet.runs import evaluation
from samplenet.runs.run import finished_run
from samplenet.runs.script import main
from samplenet.runs.settings import option
from samplenet.tf import FarthestPointSampler, RandomSampler, SampleNet
from samplenet.tf.state import set_state

UNTRAINED = {"random": RandomSampler, "fps": lambda m, seed: FarthestPointSampler(m)}


@dataclass
class Config:
    """What is scored on which data."""

    task: str = option("", "run folder of the trained classifier", path=True)
    samplers: list[str] = option(["random", "fps"], "random, fps, and run folders of trained samplers")
    sizes: list[int] = option([512, 256, 128, 64, 32, 16, 8], "sample sizes of random and fps", at_least=1)
    data_root: str | None = option(None, "data set folder; without it, the classifier's own data set", path=True)
    out: str = option("", "folder for results.json, table and figures", path=True)
    batch_size: int = option(32, "clouds scored at once; makes no difference to the result", at_least=1)
    seed: int = option(0, "of the random sampler", at_least=0)
    samples: list[str] = option([], "folders of saved samples, or of several such, to score as well")
    save_samples: str | None = option(None, "folder to write what each sampler picked to, for --samples", path=True)
    gallery_size: int = option(32, "sample size of the picture (of the trained ones, the nearest to it)")


def trained(folder: str, num_points: int) -> tuple[train_samplenet.Config, SampleNet]:
    """The settings and the sampler of a run folder."""
    config, arrays, _ = finished_run(folder, train_samplenet.Config)
    if config.num_points != num_points:
        raise InputError(f"{folder} was trained on {config.num_points} points, the classifier on {num_points}")
    sampler = train_samplenet.build(config)
    set_state(sampler, arrays, source=folder)
    return config, sampler


def protocols(sampler, points, sampled) -> Iterator[tuple[str, object]]:
    """The clouds (B, m, 3) that a sample is scored as, by protocol."""
    yield "generated" if sampled.idx is None else "matched", sampled.points
    if sampled.queries is not None:
        yield "generated", sampled.queries
        if sampler.project:
            yield "soft", sampler.project(points, sampled.queries)


def predict(net, sampler, test: Clouds, batch_size: int) -> tuple[dict, np.ndarray | None, dict]:
    """Of every test cloud: classes (n,) by protocol, matched indices (n, m), descriptors (n, C) by protocol."""
    predicted, indices, descriptors = {}, [], {}
    for start in range(0, len(test), batch_size):
        points = test.points[start : start + batch_size]
        if sampler is None:
            scored = [("matched", points)]
        else:
            sampled = sampler(points, np.arange(start, start + len(points)))
            if sampled.idx is not None:
                indices.append(np.asarray(sampled.idx))
            scored = protocols(sampler, points, sampled)
        for protocol, cloud in scored:
            described, _ = net.describe(cloud, training=False)
            descriptors.setdefault(protocol, []).append(described.numpy())
            predicted.setdefault(protocol, []).append(net.last(described).numpy().argmax(1))
    predicted, descriptors = ({p: np.concatenate(v) for p, v in found.items()} for found in (predicted, descriptors))
    return predicted, np.concatenate(indices) if indices else None, descriptors


def rows_of(name: str, m: int, seed: int, predicted: dict, labels: np.ndarray) -> list[dict]:
    """One row of results.json a number."""
    rows = []
    for protocol, classes in predicted.items():
        right = classes == labels
        by_class = [right[labels == c].mean() for c in np.unique(labels)]
        for metric, value in (("accuracy", right.mean()), ("accuracy_class_mean", np.mean(by_class))):
            row = {"sampler": name, "m": m, "protocol": protocol, "metric": metric}
            rows.append({**row, "value": round(float(value), 6), "n": len(labels), "seed": seed})
    return rows


def retrieved(name: str, m: int, seed: int, descriptors: dict, labels: np.ndarray) -> tuple[list[dict], list[dict]]:
    """Rows and precision-recall curves of results.json."""
    rows, curves = [], []
    for protocol, described in descriptors.items():
        found, line = retrieval.score(described, labels), {"sampler": name, "m": m, "protocol": protocol}
        for metric in ("map_macro", "map_micro", "map_paper"):
            value = round(getattr(found, metric), 6)
            rows.append({**line, "metric": metric, "value": value, "n": found.queries, "seed": seed})
        precision = [round(float(v), 6) for v in found.precision]
        curves.append({**line, "seed": seed, "recall": retrieval.RECALL.tolist(), "precision": precision})
    return rows, curves


def gallery_clouds(test: Clouds, count: int = 5) -> np.ndarray:
    """The first test cloud of `count` classes spread over the list of names."""
    classes = np.unique(test.labels)
    chosen = classes[np.linspace(0, len(classes) - 1, min(count, len(classes))).round().astype(int)]
    return np.array([np.flatnonzero(test.labels == c)[0] for c in chosen])


def evaluate(config: Config) -> None:
    evaluation.check(config)
    check_inputs(True)
    net, names, task_config = train_samplenet.load_task(config.task)
    n = task_config.num_points
    folder = batches.open_set(config.data_root or task_config.data_root, task_config.shapes_per_class)
    test = modelnet40.load(folder, "test", n)
    if list(test.names) != names:
        raise InputError(f"--task {config.task} was trained on other classes than {folder} has")
    originals = saved_samples.Originals({"": test}, MODELNET40)
    saved = saved_samples.read(config.samples, originals)
    samplers = evaluation.choose(config, n, UNTRAINED, lambda folder: trained(folder, n), saved)
    out = evaluation.prepare(config, samplers)

    gallery_size = evaluation.gallery_size(config, samplers)
    rows, curves, shown = [], [], gallery_clouds(test)
    gallery = {"points": test.points[shown], "names": np.array([test.names[c] for c in test.labels[shown]])}
    for name, m, sampler, seed, _ in tqdm(samplers, "evaluate", disable=None):
        predicted, indices, descriptors = predict(net, sampler, test, config.batch_size)
        rows += rows_of(name, m, seed, predicted, test.labels)
        if retrieval.possible(test.labels):
            more, found = retrieved(name, m, seed, descriptors, test.labels)
            rows, curves = rows + more, curves + found
        if m == gallery_size and indices is not None and f"idx_{name}" not in gallery:
            gallery[f"idx_{name}"] = indices[shown]
            gallery[f"predicted_{name}"] = np.array([test.names[c] for c in predicted["matched"][shown]])
    if not curves:
        print("retrieval is left out: no class has two test clouds")
    more = {"curves": curves, "network": pointnet.called(task_config.model)}
    evaluation.write(out, "classification", folder.resolve().name, config.task, samplers, rows, gallery, **more)
    evaluation.save_samples(config, samplers, originals)
    print(report.write(out))


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    main(evaluate, Config, __doc__)
