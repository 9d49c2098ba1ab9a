"""Retrieval of shapes by their descriptors: mean average precision (mAP) and the precision-recall curve.

Every cloud is a query and all others are its gallery, ranked by the l2 distance of descriptors; those of its class are
relevant. The average precision of a query is the mean, over its relevant clouds, of the precision at their ranks. A
query whose class has no other cloud has nothing to find and is left out of every mean.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from samplenet.errors import InputError

STEPS = 20
RECALL = np.arange(STEPS + 1) / STEPS  # levels of the curve: 0, 0.05, ..., 1


class Retrieval(NamedTuple):
    """What a set of descriptors is worth, each value in [0, 1].

    Attributes:
        map_micro: mean average precision over queries.
        map_macro: mean over classes of the mean over the class's queries.
        map_paper: as the predecessor counts: the query is part of its gallery, at rank 1; mean over queries.
        precision: (21,) at the levels of `RECALL`, interpolated: the best at this recall or a higher one. Mean over
            queries, as the numbers this line of work reports; a large class weighs more than a small one.
        queries: how many were counted.
    """

    map_micro: float
    map_macro: float
    map_paper: float
    precision: np.ndarray
    queries: int


def possible(labels: np.ndarray) -> bool:
    """Whether any of the classes (n,) has two clouds, so that one can find the other."""
    return len(np.unique(labels)) < len(labels)


def relevant_ranks(descriptors: np.ndarray, labels: np.ndarray) -> Iterator[np.ndarray]:
    """For each query the ranks (R,), from 1 up, of the R other clouds of its class.

    Equal distances: lowest index first. One query at a time: memory is O(n C), and no distance depends on a block.
    """
    features = descriptors.astype(
        np.float64
    )  # differences of float32 are exact, so equal distances stay equal
    away = np.empty_like(features)
    for query, label in enumerate(labels):
        np.subtract(features, features[query], out=away)
        dist2 = np.einsum("nc,nc->n", away, away)
        dist2[query] = -1  # itself at rank 0
        order = np.argsort(dist2, kind="stable")
        yield np.flatnonzero(labels[order] == label)[1:]


def score(descriptors: np.ndarray, labels: np.ndarray) -> Retrieval:
    """descriptors (n, C), labels (n,) -> mAP and curve.

    Raises:
        InputError: other shapes, a descriptor that is not finite, or no class of two clouds.
    """
    if descriptors.ndim != 2 or labels.shape != descriptors.shape[:1]:
        raise InputError(
            f"descriptors must have shape (n, C) and labels (n,), got {descriptors.shape} and {labels.shape}"
        )
    broken = np.flatnonzero(~np.isfinite(descriptors).all(1))
    if len(broken):
        raise InputError(
            f"the descriptor of cloud {broken[0]} is not finite; look for broken weights or coordinates"
        )
    if not possible(labels):
        raise InputError(
            f"retrieval needs a class with two clouds, got {len(labels)} clouds of as many classes"
        )
    average, paper, curves, classes = [], [], [], []
    for label, ranks in zip(labels, relevant_ranks(descriptors, labels), strict=True):
        count = len(ranks)
        if not count:
            continue
        found = np.arange(1, count + 1)
        precision = found / ranks
        best = np.maximum.accumulate(precision[::-1])[::-1]
        needed = -(
            -np.arange(STEPS + 1) * count // STEPS
        )  # clouds to find for each level, rounded up
        average.append(precision.mean())
        paper.append((1 + ((found + 1) / (ranks + 1)).sum()) / (count + 1))
        curves.append(best[np.maximum(needed, 1) - 1])
        classes.append(label)
    average, classes = np.array(average), np.array(classes)
    macro = np.mean([average[classes == c].mean() for c in np.unique(classes)])
    curve = np.mean(curves, 0)
    return Retrieval(
        float(average.mean()), float(macro), float(np.mean(paper)), curve, len(average)
    )
