"""Retrieval by descriptors: cases by hand, and a slow twin that follows the definitions."""

import tracemalloc

import numpy as np
import pytest

import retrieval
from samplenet import InputError

# on a line: 0 a, 1 b, 3 a, 7 b
LINE = np.array([[0], [1], [3], [7]], np.float32)
LABELS = np.array([0, 1, 0, 1])


def cloud(n, channels=4, classes=5, seed=0):
    """Descriptors that know a little of their class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    centres = rng.normal(size=(classes, channels))
    return (centres[labels] + rng.normal(size=(n, channels))).astype(np.float32), labels


def slow_ranking(descriptors, labels, query, with_itself=False):
    """Relevant or not, in the order found: sorted by (distance, index)."""
    found = []
    for other in range(len(labels)):
        if other == query:
            continue
        dist2 = sum(
            (float(a) - float(b)) ** 2
            for a, b in zip(descriptors[query], descriptors[other], strict=True)
        )
        found.append((dist2, other))
    order = [query] * with_itself + [other for _, other in sorted(found)]
    return [labels[other] == labels[query] for other in order]


def slow_average_precision(ranking):
    precisions = [sum(ranking[: i + 1]) / (i + 1) for i, hit in enumerate(ranking) if hit]
    return sum(precisions) / len(precisions)


def slow_precision_at(ranking, step):
    """The best precision of any list head that finds at least step/20 of what there is."""
    heads = [ranking[: i + 1] for i in range(len(ranking))]
    return max(
        sum(head) / len(head)
        for head in heads
        if 20 * sum(head) >= step * sum(ranking) and sum(head)
    )


def slow_score(descriptors, labels):
    queries = [q for q in range(len(labels)) if sum(labels == labels[q]) > 1]
    rankings = {q: slow_ranking(descriptors, labels, q) for q in queries}
    average = {q: slow_average_precision(rankings[q]) for q in queries}
    by_class = [
        [average[q] for q in queries if labels[q] == c] for c in {int(labels[q]) for q in queries}
    ]
    return retrieval.Retrieval(
        np.mean(list(average.values())),
        np.mean([np.mean(values) for values in by_class]),
        np.mean(
            [
                slow_average_precision(slow_ranking(descriptors, labels, q, with_itself=True))
                for q in queries
            ]
        ),
        np.array(
            [np.mean([slow_precision_at(rankings[q], step) for q in queries]) for step in range(21)]
        ),
        len(queries),
    )


def assert_equal(found, wanted):
    for name, value in wanted._asdict().items():
        np.testing.assert_allclose(getattr(found, name), value, atol=1e-12, err_msg=name)


def test_four_descriptors_on_a_line():
    # Each query has one relevant cloud. Its rank, with the ranking in parentheses:
    # 0 -> 2 (1 3 7), 1 -> 3 (0 3 7), 3 -> 2 (1 0 7; 1 is nearer), 7 -> 2 (3 1 0)
    assert [ranks.tolist() for ranks in retrieval.relevant_ranks(LINE, LABELS)] == [
        [2],
        [3],
        [2],
        [2],
    ]
    found = retrieval.score(LINE, LABELS)
    micro = (1 / 2 + 1 / 3 + 1 / 2 + 1 / 2) / 4
    assert found.map_micro == pytest.approx(micro) and found.map_macro == pytest.approx(micro)
    assert found.map_paper == pytest.approx(((1 + 2 / 3) / 2 * 3 + (1 + 2 / 4) / 2) / 4)
    np.testing.assert_allclose(found.precision, np.full(21, micro))
    assert found.queries == 4


def test_macro_weighs_classes_alike_and_micro_queries():
    found = retrieval.score(np.array([[0.0], [1], [2], [9], [2.5]]), np.array([0, 0, 0, 1, 1]))
    # Queries 0 and 1 rank both others of class 0 first; query 2 ranks 2.5 before them.
    # In class 1, query 9 ranks 2.5 first and query 2.5 ranks 9 last.
    of_class = [1, 1, (1 / 2 + 2 / 3) / 2], [1, 1 / 4]
    assert found.map_micro == pytest.approx(np.mean([*of_class[0], *of_class[1]]))
    assert found.map_macro == pytest.approx(np.mean([np.mean(of_class[0]), np.mean(of_class[1])]))


def test_precision_is_interpolated_at_each_recall():
    # the query at 0: hits at ranks 1, 4, 5 have precisions 1, 1/2, 3/5; 1/2 is raised to 3/5
    line, labels = np.array([[0.0], [1], [2], [3], [4], [5]]), np.array([0, 0, 1, 2, 0, 0])
    assert next(retrieval.relevant_ranks(line, labels)).tolist() == [1, 4, 5]
    alone = np.array(
        [slow_precision_at([True, False, False, True, True], step) for step in range(21)]
    )
    np.testing.assert_allclose(alone, np.where(np.arange(21) <= 6, 1, 3 / 5))  # 6/20 < 1/3 < 7/20
    assert_equal(retrieval.score(line, labels), slow_score(line, labels))


@pytest.mark.parametrize("n, channels, classes", [(2, 1, 1), (7, 1, 3), (60, 3, 4), (61, 8, 20)])
def test_it_is_the_slow_twin(n, channels, classes):
    descriptors, labels = cloud(n, channels, classes)
    labels[:2] = 0
    assert_equal(retrieval.score(descriptors, labels), slow_score(descriptors, labels))


def test_equal_distances_come_lowest_index_first():
    same, labels = np.full((4, 2), 0.1, np.float32), np.array([0, 1, 1, 0])
    assert [ranks.tolist() for ranks in retrieval.relevant_ranks(same, labels)] == [
        [3],
        [2],
        [2],
        [1],
    ]
    rng = np.random.default_rng(0)
    grid, labels = rng.integers(0, 3, (50, 2)).astype(np.float32) / 10, rng.integers(0, 4, 50)
    assert_equal(retrieval.score(grid, labels), slow_score(grid, labels))


def test_the_order_of_the_clouds_makes_no_difference():
    descriptors, labels = cloud(80)
    order = np.random.default_rng(1).permutation(80)
    assert_equal(
        retrieval.score(descriptors[order], labels[order]), retrieval.score(descriptors, labels)
    )


def test_memory_stays_far_below_all_distances():
    descriptors, labels = cloud(1500, 8)
    tracemalloc.start()
    retrieval.score(descriptors, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 1500**2 / 4


def test_a_query_without_another_of_its_class_is_left_out_but_stays_in_the_gallery():
    single = np.vstack([LINE, [[2.9]]]), np.append(LABELS, 2)
    found = retrieval.score(*single)
    assert found.queries == 4
    assert_equal(found, slow_score(*single))
    assert (
        found.map_macro < retrieval.score(LINE, LABELS).map_macro
    )  # it comes first for the cloud at 3


def test_the_predecessor_s_mean_is_the_higher_one_and_equal_only_for_perfect_retrieval():
    found = retrieval.score(*cloud(100))
    assert found.map_micro < found.map_paper < 1
    perfect = retrieval.score(np.repeat(np.eye(3), 4, 0), np.repeat(np.arange(3), 4))
    assert (
        perfect.map_micro == perfect.map_macro == perfect.map_paper == 1
        and (perfect.precision == 1).all()
    )


@pytest.mark.parametrize(
    "descriptors, labels, words",
    [
        (
            np.where(np.arange(4)[:, None] == 2, np.nan, LINE),
            LABELS,
            "descriptor of cloud 2 is not finite",
        ),
        (LINE * [[1], [np.inf], [1], [1]], LABELS, "descriptor of cloud 1 is not finite"),
        (LINE, np.arange(4), "a class with two clouds, got 4 clouds of as many classes"),
        (LINE, LABELS[:3], r"got \(4, 1\) and \(3,\)"),
        (LINE[:, 0], LABELS, r"shape \(n, C\).*got \(4,\)"),
    ],
)
def test_bad_descriptors_are_refused(descriptors, labels, words):
    with pytest.raises(InputError, match=words):
        retrieval.score(descriptors, labels)
