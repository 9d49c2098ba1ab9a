"""Score networks by the clouds and the camera poses that they predict from single pictures.

    python shape_and_pose/evaluate.py --networks results/camera results/unsupervised \\
        --out results/evaluation

`--runs` scores all networks that finished in a folder. Two methods that train nothing stand beside
them, see `predictions`: the mean cloud, and the training picture with the nearest silhouette.

Every picture gives a cloud and a pose. Metrics are means over a model's pictures, then over models;
clouds are compared as they are, without a fit. What an unsupervised network predicts is first
turned to the frame of the true shapes, see `alignment`. `--save-clouds` writes the clouds for other
programs.
"""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import samplenet.quiet_tensorflow  # noqa: F401

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import alignment
import gallery
from networks import ShapeAndPose, load_run
from predictions import Predicted, mean_cloud, nearest_silhouette, predict
from samplenet import distances, quaternions
from samplenet.data import cameras
from samplenet.data.shapenet_archive import SYNSETS
from samplenet.data.views.models import Models, ViewsConfig, open_models
from samplenet.errors import InputError
from samplenet.ops import check_inputs
from samplenet.report import summary
from samplenet.runs import evaluation, experiments, networks
from samplenet.runs.experiments import Experiment
from samplenet.runs.networks import Entry, NetworksConfig
from samplenet.runs.script import main

BASELINES = {"mean cloud": mean_cloud, "nearest silhouette": nearest_silhouette}
# of networks in the tables, by the supervision of their training
NAMES = {"points": "3D supervised", "camera": "camera known", "none": "unsupervised"}
CLASSES = {synset: name for name, synset in SYNSETS.items()}
# settings that all networks of a table share
DATA = ("data_root", "classes", "shapes_per_class", "lit", "image_size", "num_views")


@dataclass
class Config(NetworksConfig):
    """Settings: those of `NetworksConfig`."""


def load(folder: str) -> tuple[ShapeAndPose, SimpleNamespace]:
    """Load a network and its settings; InputError if it was trained in a way unknown here."""
    net, settings = load_run(folder)
    if settings.supervision not in NAMES:
        known = ", ".join(NAMES)
        raise InputError(f"{folder}: supervision is {settings.supervision!r}, not one of {known}")
    return net, settings


def open_split(data: ViewsConfig, split: str) -> Models:
    """Open the models of a split; InputError if none has a true cloud."""
    models = open_models(data, split)
    if all(truth is None for truth in models.truths):
        raise InputError(
            f"no model of the {split} split has a true cloud (gt/{models.ids[0]}.mat in the data "
            "set's folder), with which to compare"
        )
    return models


def aligned(
    net: ShapeAndPose, predicted: Predicted, val: Models, batch_size: int
) -> tuple[Predicted, alignment.Alignment]:
    """Turn what an unsupervised network predicts to the frame of the true shapes.

    Args:
        val: models of the validation split, on which the frame is found.
    """
    seen = predict(net, val, batch_size)
    truths = [None if truth is None else truth.points for truth in val.truths]
    frame = alignment.align(seen.points, seen.poses, truths, cameras.to_dpc(val.extrinsics))
    points, poses = frame.points(predicted.points), frame.poses(predicted.poses)
    return predicted._replace(points=points, poses=poses), frame


def score(predicted: Predicted, test: Models) -> dict[str, NDArray]:
    """Compare predictions with the truth.

    Returns:
        `precision` and `coverage` (n,), means over a model's pictures, NaN without a true cloud;
        with poses `angle` (n, V), their errors in degrees.
    """
    errors = np.full((len(test), 2), np.nan)
    for i, truth in enumerate(test.truths):
        if truth is not None:
            each = [distances.error(cloud, truth.points) for cloud in predicted.points[i]]
            errors[i] = np.mean(each, 0)
    found = {"precision": errors[:, 0], "coverage": errors[:, 1]}
    if predicted.poses is not None:
        true = cameras.to_dpc(test.extrinsics)
        found["angle"] = quaternions.angle_between(true, predicted.poses)
    return found


def rows_of(
    entry: Entry, scores: dict[str, NDArray], test: Models, experiment: Experiment
) -> list[dict]:
    """Return a method's rows, over the models with a true cloud."""
    known = np.isfinite(scores["precision"])
    scores = {name: values[known] for name, values in scores.items()}
    values = {"chamfer": scores["precision"] + scores["coverage"]}
    values |= {name: scores[name] for name in ("precision", "coverage")}
    angle = scores.get("angle")  # (n, V)
    if angle is not None:
        values["pose_accuracy"] = (angle < alignment.ACCURATE).mean(1)
    classes = test.classes[known]
    names = [CLASSES.get(name, name) for name in test.names]
    rows = networks.rows(entry, values, classes, names, experiment)
    if angle is not None:
        averages = {"pose_median_deg": alignment.median}
        if entry.folder:  # else nothing was trained
            averages["pose_success"] = alignment.succeeded
        for metric, average in averages.items():
            rows += networks.rows(entry, {metric: angle}, classes, names, experiment, average)
    return rows


def evaluate(config: Config) -> None:
    evaluation.check(config)
    check_inputs(True)
    runs = networks.choose(config, load, "supervision")
    settings = {folder: own for folder, (_, own) in runs.items()}
    shared = networks.shared(settings, (*DATA, "num_points"))
    num_points = shared.pop("num_points")
    data = ViewsConfig(**shared)
    data.data_root = config.data_root or data.data_root
    entries = [Entry({"network": name}, config.seed) for name in BASELINES]
    for supervision, name in NAMES.items():
        for folder, own in settings.items():
            if own.supervision == supervision:
                entries.append(Entry({"network": name}, own.seed, folder))
    networks.refuse_doubles(entries)

    test, train = open_split(data, config.split), open_split(data, "train")
    unsupervised = any(own.supervision == "none" for own in settings.values())
    val = open_split(data, "val") if unsupervised else None
    experiment, out = experiments.load(Path(__file__).parent), evaluation.prepare(config)

    shown = gallery.choose(test)
    arrays, rows, frames = gallery.inputs(test, shown), [], []
    for entry in tqdm(entries, "evaluate", disable=None):
        name, frame = entry.method["network"], None
        if entry.folder:
            net = runs[entry.folder][0]
            predicted = predict(net, test, config.batch_size)
            if predicted.poses is not None:
                predicted, frame = aligned(net, predicted, val, config.batch_size)
                words = {"rotation": frame.rotation.tolist(), "spread_deg": float(frame.spread)}
                frames.append({"method": entry.method, "seed": entry.seed, **words})
        else:
            predicted = BASELINES[name](train, test, num_points, config.seed)
        scores = score(predicted, test)
        rows += rows_of(entry, scores, test, experiment)
        if entry.folder and config.save_clouds:
            folder = Path(config.save_clouds) / Path(entry.folder).resolve().name
            networks.save_clouds(folder, test.ids, predicted.points[:, 0])
        if entry.folder:
            arrays |= gallery.curves(name, entry.seed, entry.folder)
        if f"points_{name}" not in arrays:  # of several seeds the first is shown
            arrays |= gallery.predictions(name, predicted, scores, shown)
            if entry.folder:
                own = settings[entry.folder]
                arrays |= gallery.silhouettes(name, own, predicted, test, shown)
                arrays |= gallery.snapshots(name, entry.folder, frame)
    names = [CLASSES.get(name, name) for name in test.names]
    words = networks.describe(names, data.data_root, config.split)
    more = {"points": num_points, "frames": frames}
    evaluation.write(out, experiment.name, words, entries, rows, arrays, **more)
    print(summary.write(out, experiment))


if __name__ == "__main__":
    # for the draws of first weights, which are then replaced: no number depends on this seed
    keras.utils.set_random_seed(0)
    main(evaluate, Config, __doc__)
