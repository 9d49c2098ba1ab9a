"""Retrieval of shapes by descriptors: mean average precision (mAP) and the precision-recall curve.

Every cloud is a query and all others are its gallery, ranked by the l2 distance of descriptors;
those of its class are relevant. A query's average precision is the mean of the precision at the
ranks of its relevant clouds. A query whose class has no other cloud is left out of every mean.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from samplenet.errors import InputError

STEPS = 20
RECALL = np.arange(STEPS + 1) / STEPS  # levels of the curve: 0, 0.05, ..., 1


class Retrieval(NamedTuple):
    """Scores of a set of descriptors, each in [0, 1].

    Attributes:
        map_micro: mean average precision over queries.
        map_macro: mean over classes of the mean over the class's queries.
        map_paper: as S-NET's authors count: the query is in its own gallery, at rank 1; mean over
            queries.
        precision: (21,), at the levels of `RECALL`. Interpolated: the best precision at this recall
            or a higher one. Mean over queries, as published, so large classes weigh more.
        queries: number of queries that count.
    """

    map_micro: float
    map_macro: float
    map_paper: float
    precision: np.ndarray
    queries: int


def possible(labels: np.ndarray) -> bool:
    """Return whether any class has two clouds, so that one can find the other; labels (n,)."""
    return len(np.unique(labels)) < len(labels)


def relevant_ranks(descriptors: np.ndarray, labels: np.ndarray) -> Iterator[np.ndarray]:
    """Yield for each query the ranks (R,), from 1 up, of the R other clouds of its class.

    Of equal distances the lowest index comes first.
    """
    # in float64 the differences of float32 are exact, so equal distances stay equal
    features = descriptors.astype(np.float64)
    away = np.empty_like(features)
    # one query at a time: n x n distances would not fit, and in blocks their rounding would differ
    for query, label in enumerate(labels):
        np.subtract(features, features[query], out=away)
        dist2 = np.einsum("nc,nc->n", away, away)
        dist2[query] = -1  # the query itself at rank 0
        order = np.argsort(dist2, kind="stable")
        yield np.flatnonzero(labels[order] == label)[1:]


def score(descriptors: np.ndarray, labels: np.ndarray) -> Retrieval:
    """Compute mAP and precision-recall curve of descriptors (n, C) with labels (n,).

    Raises:
        InputError: other shapes, a descriptor that is not finite, or no class of two clouds.
    """
    if descriptors.ndim != 2 or labels.shape != descriptors.shape[:1]:
        raise InputError(
            "descriptors must have shape (n, C) and labels (n,), "
            f"got {descriptors.shape} and {labels.shape}"
        )
    broken = np.flatnonzero(~np.isfinite(descriptors).all(1))
    if len(broken):
        raise InputError(
            f"the descriptor of cloud {broken[0]} is not finite; "
            "look for broken weights or coordinates"
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
        found = np.arange(1, count + 1)  # clouds found up to each rank
        precision = found / ranks
        best = np.maximum.accumulate(precision[::-1])[::-1]  # at this rank or later
        # clouds to find for each level of recall, rounded up: in integers, so that 0.15 is exact
        needed = -(-np.arange(STEPS + 1) * count // STEPS)
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
