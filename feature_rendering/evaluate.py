"""Score networks by the clouds, colours and parts that they predict from images of unseen objects.

    python feature_rendering/evaluate.py --networks results/mask results/rgb results/parts \\
        --out results/evaluation

Each picture of each object is an input. A score is the mean over an object's pictures, then over
objects. Clouds are compared in the object frame, see scores.py; drawn views with the pictures that
are not the input. Beside the networks stand what can be said without a picture of the object, and
the object itself:

- "mean cloud": points of all training objects of its class, the same for every object;
- "mean colour", "majority label": the points of the network with colours or parts, but all in the
  mean colour, or of the commonest part, of the class;
- "true points": as many further points of its surface, whose distances are what is lost by having
  so few; left out where the true clouds have no more. Their views can be worse than a network's,
  which has learned how points are drawn.

`--save-clouds` writes what networks predict as files for reconstruction and `samplenet sample`.
"""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import samplenet.quiet_tensorflow  # noqa: F401

import keras
import numpy as np
from tqdm import tqdm

import scores
from gallery import Gallery
from networks import load_run
from predictions import Average, Drawn, Predicted, averages, cut, draw, other_points, predict
from samplenet.data import cameras
from samplenet.data.views.meshes import Truth
from samplenet.data.views.models import Models, ViewsConfig, open_models
from samplenet.data.views.published import SYNSETS
from samplenet.errors import InputError
from samplenet.ops import check_inputs
from samplenet.report import summary
from samplenet.runs import evaluation, experiments, networks
from samplenet.runs.networks import Entry, NetworksConfig
from samplenet.runs.script import main
from samplenet.runs.settings import option

NAMES = {"mask": "CAPNet", "rgb": "DIFFER, colours", "parts": "DIFFER, parts"}
REFERENCE = "3D supervised"  # learns from true points
UNSEEN = {"rgb": "mean colour", "parts": "majority label"}
MEASURES = {
    "mean colour": ("colour_error", "psnr"),
    "majority label": ("part_iou", "label_accuracy"),
}
ORDER = ("mean cloud", "CAPNet", "DIFFER, colours", "mean colour")  # of the tables' columns
ORDER += ("DIFFER, parts", "majority label", REFERENCE, "true points")
SHARED = ("data_root", "classes", "shapes_per_class", "image_size", "num_views", "lit")


@dataclass
class Config(NetworksConfig):
    true_points: int = option(
        1024, "true points of an object that count, the first of its file", at_least=1
    )
    scale_outlier: bool = option(
        False, "scale clouds by the points whose coordinates are below 0.5 alone (CAPNet)"
    )
    emd: bool = option(True, "score the earth mover's distance too (slow for many points)")


class Method(NamedTuple):
    """What is scored, and the settings that it is drawn with."""

    entry: Entry
    predicted: Predicted
    settings: SimpleNamespace

    @property
    def name(self) -> str:
        return self.entry.method["network"]

    @property
    def expected(self) -> set[str]:
        """The metrics of colours and parts that the data set must allow."""
        colours = {"colour_error"} if self.predicted.colours is not None else set()
        parts = {"part_iou", "label_accuracy"} if self.predicted.scores is not None else set()
        return colours | parts


def open_truths(test: Models, config: Config, num_points: int) -> list[Truth]:
    """Return the true points that count of each object.

    Raises:
        InputError: an object has no true cloud, or one of fewer points than EMD needs.
    """
    truths = []
    for name, truth in zip(test.ids, test.truths, strict=True):
        if truth is None:
            raise InputError(f"{name} has no true cloud; docs/data-formats.md names its file")
        truth = cut(truth, slice(config.true_points))
        if config.emd and len(truth.points) < num_points:
            raise InputError(
                f"{name} has {len(truth.points)} true points that count, the earth mover's "
                f"distance needs {num_points}: raise --true-points, or give --no-emd"
            )
        truths.append(truth)
    return truths


def entry_of(folder: str, settings: SimpleNamespace) -> Entry:
    """Return the entry of a run by its settings."""
    name = REFERENCE if settings.supervision == "points" else NAMES[settings.features]
    return Entry({"network": name}, settings.seed, folder)


def choose_methods(
    config: Config, loaded: dict, test: Models, images: np.ndarray, means: list[Average]
) -> list[Method]:
    """List what is scored: the mean cloud, then each network and what it is compared with.

    Args:
        loaded: network and settings by run folder.
        images: of the test objects (n, V, S, S, 3), bytes on black.
        means: by class.
    """
    first = next(iter(loaded.values()))[1]
    clouds = np.stack([cameras.differ_frame(each.cloud) for each in means])[test.classes]
    entry = Entry({"network": "mean cloud"}, config.seed)
    methods = [Method(entry, Predicted(clouds[:, None]), first)]
    for folder, (net, settings) in loaded.items():
        predicted = predict(net, images, config.batch_size)
        methods.append(Method(entry_of(folder, settings), predicted, settings))
        if settings.features in UNSEEN:
            entry = Entry({"network": UNSEEN[settings.features]}, settings.seed)
            if unseen := predicted.unseen(means, test.classes):
                methods.append(Method(entry, unseen, settings))
        if config.save_clouds:
            place = Path(config.save_clouds) / Path(folder).resolve().name
            networks.save_clouds(place, test.ids, cameras.object_frame(predicted.points[:, 0]))
    start, count = config.true_points, first.num_points
    if other := other_points(test.truths, start, count, first.parts):
        methods.append(Method(Entry({"network": "true points"}, config.seed), other, first))
    return sorted(methods, key=lambda method: ORDER.index(method.name))


def score_views(drawn: Drawn, images, masks, labels) -> dict[str, float]:
    """Score one object's drawn views, the mean over those that are not the input; {} without one.

    Args:
        images, masks, labels: true ones of V views, bytes; labels may be None.
    """
    inputs, views = drawn.masks.shape[:2]
    held_out = ~np.eye(views, dtype=bool) if inputs > 1 else np.full((1, views), views > 1)
    if not held_out.any():
        return {}
    found = {"mask_iou": scores.mask_iou(drawn.masks >= 0.5, masks >= 128)}
    if drawn.colours is not None:
        found["psnr"] = scores.psnr(drawn.colours, images / 255)
    if drawn.labels is not None and labels is not None:
        found["label_accuracy"] = scores.label_accuracy(drawn.labels, labels)
    return {metric: values[held_out].mean() for metric, values in found.items()}


def score(
    method: Method, drawn: Drawn, i: int, truth: Truth, test: Models, images, **how
) -> dict[str, float]:
    """Score object number i, the mean over its pictures; see `scores.of_cloud` for `how`."""
    of_pictures = []
    for points, colours, labels in method.predicted.of_object(i):
        of_pictures.append(scores.of_cloud(truth, points, colours, labels, **how))
    found = {metric: np.mean([each[metric] for each in of_pictures]) for metric in of_pictures[0]}
    labels = None if test.labels is None else test.labels[i]
    found |= score_views(drawn, images[i], test.masks[i], labels)
    chosen = MEASURES.get(method.name, found)
    return {metric: value for metric, value in found.items() if metric in chosen}


def evaluate(config: Config) -> None:
    evaluation.check(config)
    check_inputs(True)
    loaded = networks.choose(config, load_run, "features")
    runs = {folder: settings for folder, (_, settings) in loaded.items()}
    networks.refuse_doubles(entry_of(*run) for run in runs.items())
    shared = networks.shared(runs, [*SHARED, "num_points", "parts"])
    data = ViewsConfig(**{name: shared[name] for name in SHARED})
    data.data_root = config.data_root or data.data_root
    test, train = open_models(data, config.split), open_models(data, "train")
    truths, images = open_truths(test, config, shared["num_points"]), test.on_black()
    means = averages(train, shared["num_points"], config.seed)
    experiment, out = experiments.load(Path(__file__).parent), evaluation.prepare(config)

    methods = choose_methods(config, loaded, test, images, means)
    rows, gallery = [], Gallery(test, truths, images)
    names = [SYNSETS.get(name, name) for name in test.names]
    how = {"parts": shared["parts"], "scale_outlier": config.scale_outlier}
    for method in methods:
        how["emd"] = config.emd and method.name not in MEASURES
        found = []
        for i in tqdm(range(len(test)), method.name, disable=None):
            drawn = draw(method.predicted, i, test.extrinsics[i], method.settings)
            found.append(score(method, drawn, i, truths[i], test, images, **how))
            gallery.add(method.name, i, method.predicted, drawn)
        known = [metric for metric in found[0] if all(metric in each for each in found)]
        values = {metric: np.array([each[metric] for each in found]) for metric in known}
        for metric in sorted(method.expected - {*known}):
            print(f"{method.name}: no {metric}, as an object lacks what it compares with")
        rows += networks.rows(method.entry, values, test.classes, names, experiment)
    words = networks.describe(names, data.data_root, config.split)
    entries = [method.entry for method in methods]
    points = shared["num_points"]
    evaluation.write(out, experiment.name, words, entries, rows, gallery.arrays(), points=points)
    print(summary.write(out, experiment))


if __name__ == "__main__":
    keras.utils.set_random_seed(0)  # for the first weights, which are then replaced
    main(evaluate, Config, __doc__)
