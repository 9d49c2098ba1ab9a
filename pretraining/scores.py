"""How good predictions are, and the file that says so in a run folder."""

import io
import json
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samplenet.atomic import write_atomic, write_json
from samplenet.data.parts import PartClouds
from samplenet.errors import InputError
from samplenet.runs.evaluation import rounded
from samplenet.runs.run import saved_config

FILE = "scores.json"
GALLERY = "gallery.npz"  # of a run with pictures: their arrays
SHOWN = 3  # test rooms in the pictures


def start_of(folder: str) -> str:
    """Name a network's start: "random", the loss of its pre-training, "both" or "supervised".

    Args:
        folder: of the run that it starts from; "" for none.
    """
    if not folder:
        return "random"
    losses = getattr(saved_config(folder), "losses", [])
    return "both" if len({*losses}) > 1 else (losses or ["supervised"])[0]


def read(folder: Path) -> dict:
    """Read what `write` wrote; InputError if it is missing or damaged."""
    try:
        content = json.loads((folder / FILE).read_text())
        words = [*content["method"].values(), *content["scores"]]
        numbers = [content["restored"], content["n"], content["seed"], *content["scores"].values()]
        for of_class in content.setdefault("classes", {}).values():
            words += of_class
            numbers += of_class.values()
        if all(isinstance(word, str) for word in words) and all(map(math.isfinite, numbers)):
            return content
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{folder / FILE} cannot be read: {error}") from error
    raise InputError(f"{folder / FILE} does not hold the scores of a run")


def accuracies(predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> dict[str, float]:
    """Return the share of right classes, overall and as the mean over the classes in `labels`."""
    right = predicted == labels
    of_classes = [right[labels == label].mean() for label in np.unique(labels)]
    return {"accuracy": right.mean(), "accuracy_class_mean": np.mean(of_classes)}


def of_parts(predicted: NDArray[np.int64], clouds: PartClouds) -> dict[str, float]:
    """Score predicted parts (n, N): mean IoU over clouds and over categories, and accuracy.

    A cloud's IoU is the mean over the parts of its category; that of a part which is neither there
    nor predicted is 1, as published.
    """
    ious = np.empty(len(clouds))
    for i, (own, true) in enumerate(zip(predicted, clouds.parts, strict=True)):
        of_cloud = []
        for part in clouds.parts_of[clouds.labels[i]]:
            union = ((own == part) | (true == part)).sum()
            both = ((own == part) & (true == part)).sum()
            of_cloud.append(both / union if union else 1.0)
        ious[i] = np.mean(of_cloud)
    of_categories = [ious[clouds.labels == label].mean() for label in np.unique(clouds.labels)]
    return {
        "miou_instance": ious.mean(),
        "miou_instance_std": ious.std(),
        "miou_category": np.mean(of_categories),
        "point_accuracy": (predicted == clouds.parts).mean(),
    }


def confusion(predicted: NDArray, labels: NDArray, classes: int) -> NDArray[np.int64]:
    """Count labelled points (classes, classes) by their class and the predicted one."""
    known = labels.ravel() >= 0
    pairs = classes * labels.astype(np.int64).ravel() + predicted.ravel()
    pairs = pairs[known]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def of_scenes(counts: NDArray[np.int64]) -> dict[str, float]:
    """Score the points of all scenes together.

    The scores are the mean IoU, the accuracy, the mean of the classes' accuracies, and what the
    mean IoU would be if every point were said to be of the commonest class.

    Args:
        counts: `confusion` of all points. Classes that are neither there nor predicted do not
            enter the mean IoU, nor those that are not there the mean accuracy.
    """
    if not counts.any():
        raise InputError("no point of the test rooms has a label: nothing can be scored")
    right, true, own = np.diag(counts), counts.sum(1), counts.sum(0)
    union, there = true + own - right, true > 0
    return {
        "miou_scenes": (right[union > 0] / union[union > 0]).mean(),
        "point_accuracy": right.sum() / counts.sum(),
        "point_accuracy_class_mean": (right[there] / true[there]).mean(),
        "miou_majority": true.max() / counts.sum() / there.sum(),
    }


def of_voxels(counts: NDArray[np.int64]) -> dict[str, float]:
    """Score voxels as `of_scenes` does points, under names of their own."""
    miou, accuracy, of_classes, _ = of_scenes(counts).values()
    return {
        "miou_voxels": miou,
        "voxel_accuracy": accuracy,
        "voxel_accuracy_class_mean": of_classes,
    }


def write(
    folder: Path,
    method: dict,
    seed: int,
    restored: float,
    n: int,
    scores: dict[str, float],
    classes: dict[str, dict[str, float]] | None = None,
) -> None:
    """Write `scores.json`.

    Args:
        method: the task, the start, the backbone and what else tells this run from others.
        restored: share of the network's parameters that are from another run.
        n: test items, of which the scores are means.
        scores: by metric.
        classes: scores of single classes, by class.
    """
    every = [scores, *(classes or {}).values()]
    scores, *of_classes = [{name: rounded(value) for name, value in s.items()} for s in every]
    content = {"method": method, "seed": seed, "restored": rounded(restored), "n": n}
    content |= {"classes": dict(zip(classes, of_classes, strict=True))} if classes else {}
    write_json(folder / FILE, content | {"scores": scores})


def write_gallery(folder: Path, arrays: dict[str, NDArray]) -> None:
    """Write the arrays of a run's pictures, if there are any."""
    if arrays:
        packed = io.BytesIO()
        np.savez_compressed(packed, **arrays)
        write_atomic(folder / GALLERY, packed.getvalue())
