"""`GreedySampler` in both frameworks against the rule written out in NumPy."""

import numpy as np
import pytest

from samplenet.errors import InputError
from samplenet.greedy import VARIANTS
from samplenet.ops import reference

RNG = np.random.default_rng(0)
EARLY, LATE, HEAD = (RNG.normal(size=shape) for shape in ((3, 6), (6, 20), (20, 4)))
CLOUDS = RNG.normal(size=(5, 40, 3))


class Tiny:
    """A network of three matrices: maximum of relu(relu(x EARLY) LATE), then HEAD.

    Args:
        lift: subtracted from the features that are pooled; above 0 some are negative.
    """

    def __init__(self, lift=0.0):
        self.lift = lift

    def early_features(self, points):
        return np.maximum(points @ EARLY, 0)

    def late_features(self, early):
        return np.maximum(early @ LATE, 0) - self.lift

    def discrepancy(self, pooled, whole):
        return (((pooled - whole) @ HEAD) ** 2).sum(-1)

    def gradient(self, pooled, whole):
        return 2 * ((pooled - whole) @ HEAD) @ HEAD.T


class TorchTiny(Tiny):
    def early_features(self, points):
        torch = pytest.importorskip("torch")
        return torch.relu(points @ torch.from_numpy(EARLY))

    def late_features(self, early):
        torch = pytest.importorskip("torch")
        return torch.relu(early @ torch.from_numpy(LATE)) - self.lift

    def discrepancy(self, pooled, whole):
        torch = pytest.importorskip("torch")
        return ((pooled - whole) @ torch.from_numpy(HEAD)).square().sum(1)


class TensorFlowTiny(Tiny):
    def early_features(self, points):
        tf = pytest.importorskip("tensorflow")
        return tf.nn.relu(points @ tf.constant(EARLY))

    def late_features(self, early):
        tf = pytest.importorskip("tensorflow")
        return tf.nn.relu(early @ tf.constant(LATE)) - self.lift

    def discrepancy(self, pooled, whole):
        tf = pytest.importorskip("tensorflow")
        return tf.reduce_sum(tf.square((pooled - whole) @ tf.constant(HEAD)), 1)


@pytest.fixture(params=["torch", "tf"])
def try_points(request):
    """Create a `TrialSampler` that compares the mean of a sample with that of the cloud."""
    if request.param == "torch":
        torch = pytest.importorskip("torch")
        from samplenet.torch import TrialSampler

        def discrepancy(trials, clouds):
            return (trials.mean(2) - clouds.mean(1)[:, None]).square().sum(2)

        convert = torch.from_numpy
    else:
        tf = pytest.importorskip("tensorflow")
        from samplenet.tf import TrialSampler

        def discrepancy(trials, clouds):
            offsets = tf.reduce_mean(trials, 2) - tf.reduce_mean(clouds, 1)[:, None]
            return tf.reduce_sum(tf.square(offsets), 2)

        convert = tf.constant
    return lambda m, size: lambda clouds: TrialSampler(discrepancy, m, size)(convert(clouds))


@pytest.fixture(params=["torch", "tf"])
def make(request):
    """Create the sampler of a framework: `make(*settings, lift=..., **named)`."""
    if request.param == "torch":
        torch = pytest.importorskip("torch")
        from samplenet.torch import GreedySampler

        network, convert = TorchTiny, torch.from_numpy
    else:
        tf = pytest.importorskip("tensorflow")
        from samplenet.tf import GreedySampler

        network, convert = TensorFlowTiny, tf.constant

    def make(*settings, lift=0.0, **named):
        sampler = GreedySampler(network(lift), *settings, **named)
        return lambda clouds: sampler(convert(clouds))

    return make


def expected(points, m, pool="all", size=128, refresh=1, rerank=1, on="answer", lift=0.0):
    """Choose m of one cloud's points (N, 3) by the rule, one number at a time: their indices."""
    net = Tiny(lift)
    early = net.early_features(points)
    if pool == "all":
        members = np.arange(len(points))
    else:
        chosen = [early.argmax(0)] if pool == "features" else None
        size = min(size, len(points))
        members = reference.farthest_points(points[None], size, chosen=chosen)[0]
    phi = net.late_features(early[members])
    whole, c, picks = phi.max(0), np.zeros(phi.shape[1]), []
    if phi.min() < 0:
        c, picks = phi[0], [0]

    def discrepancy(c):
        return ((c - whole) ** 2).sum() if on == "features" else net.discrepancy(c, whole)

    for turn in range(m):
        if turn % refresh == 0:
            at = phi[0] if turn == 0 and picks else c
            gradient = 2 * (at - whole) if on == "features" else net.gradient(at, whole)
        if turn < len(picks):
            continue
        gains = {}
        for i in set(range(len(phi))) - set(picks):
            gains[i] = np.sum(np.maximum(phi[i] - c, 0) * -gradient)
        best = sorted(gains, key=lambda i: (-gains[i], i))[:rerank]
        pick = (
            min(best, key=lambda i: discrepancy(np.maximum(c, phi[i]))) if rerank > 1 else best[0]
        )
        picks.append(pick)
        c = np.maximum(c, phi[pick])
    return members[picks]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"pool": "fps", "size": 15},
        {"pool": "features", "size": 15},
        {"refresh": 3},
        {"rerank": 4},
        {"on": "features"},
        {"lift": 0.5},
        {"pool": "fps", "size": 12, "refresh": 2, "rerank": 3, "on": "features", "lift": 0.5},
    ],
)
def test_it_chooses_by_the_rule(make, settings):
    idx = np.asarray(make(12, **settings)(CLOUDS).idx)
    for row, cloud in zip(idx, CLOUDS, strict=True):
        np.testing.assert_array_equal(row, expected(cloud, 12, **settings))


def test_a_smaller_sample_is_the_first_part_of_a_larger_one(make):
    large = make(20)(CLOUDS)
    small = make(7)(CLOUDS)
    np.testing.assert_array_equal(small.idx, np.asarray(large.idx)[:, :7])
    np.testing.assert_array_equal(
        small.points, np.take_along_axis(CLOUDS, np.asarray(small.idx)[..., None], 1)
    )
    assert large.queries is None


def test_points_are_distinct_even_when_nothing_is_left_to_gain(make):
    idx = np.asarray(make(40)(CLOUDS).idx)
    np.testing.assert_array_equal(np.sort(idx, 1), np.tile(np.arange(40), (5, 1)))
    same = np.asarray(make(40)(np.ones((1, 40, 3))).idx)
    np.testing.assert_array_equal(same, np.arange(40)[None])  # of equal gains the lowest index


def test_a_cloud_is_sampled_the_same_in_any_batch(make):
    together = np.asarray(make(9)(CLOUDS).idx)
    for row, cloud in zip(together, CLOUDS, strict=True):
        np.testing.assert_array_equal(row, make(9)(cloud[None]).idx[0])


def test_it_leaves_less_of_the_discrepancy_than_farthest_points(make):
    net = Tiny()

    def left(idx):
        samples = np.take_along_axis(CLOUDS, np.asarray(idx)[..., None], 1)
        pooled, whole = (
            net.late_features(net.early_features(points)).max(1) for points in (samples, CLOUDS)
        )
        return net.discrepancy(pooled, whole).mean()

    assert left(make(4)(CLOUDS).idx) < 0.5 * left(reference.farthest_points(CLOUDS, 4))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"m": 0}, "m must be a whole number of at least 1, got 0"),
        ({"m": 4, "refresh": 0}, "refresh must be a whole number of at least 1, got 0"),
        ({"m": 4, "pool": "far"}, "pool must be one of .*, got 'far'"),
        ({"m": 4, "pool": "near"}, "pool 'near' needs queries, such as a trained sampler's"),
        ({"m": 4, "queries": lambda points: points}, "queries are for pool 'near', not 'all'"),
        ({"m": 4, "on": "labels"}, "on must be 'answer' or 'features', got 'labels'"),
    ],
)
def test_bad_settings(make, settings, message):
    with pytest.raises(InputError, match=message):
        make(**settings)


def test_a_pool_of_the_neighbours_of_queries(make):
    """Two neighbours each of three queries, some of them shared; farthest points fill up."""
    sampled = make(5, pool="near", size=6, queries=lambda points: points[:, :3] * 1.01)(CLOUDS)
    for row, cloud in zip(np.asarray(sampled.idx), CLOUDS, strict=True):
        _, near = reference.knn(cloud[None, :3] * 1.01, cloud[None], 2)  # (1, 3, 2)
        pool = reference.farthest_points(cloud[None], 6, chosen=near[0].T.reshape(1, 6))[0]
        np.testing.assert_array_equal(row, pool[expected(cloud[pool], 5)])


def test_more_points_than_the_pool_has(make):
    with pytest.raises(InputError, match="m must be at most the pool's 8 points, got m = 9"):
        make(9, pool="fps", size=8)(CLOUDS)
    with pytest.raises(InputError, match="m must be at most the pool's 40 points, got m = 41"):
        make(41)(CLOUDS)


def test_points_that_are_not_finite(make):
    clouds = CLOUDS.copy()
    clouds[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="GreedySampler"):
        make(4)(clouds)


def test_the_tables_variants_are_settings(make):
    for settings in VARIANTS.values():
        make(4, **settings)


def test_trials_add_the_point_that_helps_most(try_points):
    sampled = try_points(6, 10)(CLOUDS)
    pools = reference.farthest_points(CLOUDS, 10)
    for cloud, pool, idx in zip(CLOUDS, pools, np.asarray(sampled.idx), strict=True):
        picks = []
        for _ in range(6):
            rest = [i for i in pool if i not in picks]
            apart = [((cloud[[*picks, i]].mean(0) - cloud.mean(0)) ** 2).sum() for i in rest]
            picks.append(rest[int(np.argmin(apart))])
        np.testing.assert_array_equal(idx, picks)
    taken = np.take_along_axis(CLOUDS, np.asarray(sampled.idx)[..., None], 1)
    np.testing.assert_array_equal(sampled.points, taken)
    with pytest.raises(InputError, match="at most the pool's 8 points, got m = 9"):
        try_points(9, 8)(CLOUDS)


def test_pytorch_samples_in_inference_mode(make):
    torch = pytest.importorskip("torch")
    from samplenet.torch import GreedySampler

    with torch.inference_mode():
        sampled = GreedySampler(TorchTiny(), 6)(torch.from_numpy(CLOUDS))
    np.testing.assert_array_equal(sampled.idx, make(6)(CLOUDS).idx)


def test_tensorflow_does_not_warn_of_many_samplers(caplog):
    tf = pytest.importorskip("tensorflow")
    from samplenet.tf import GreedySampler

    network, points = TensorFlowTiny(), tf.constant(CLOUDS[:1, :6])
    for m in range(1, 7):
        assert GreedySampler(network, m)(points).idx.shape == (1, m)
    assert caplog.messages == []


def test_a_feature_pool_smaller_than_the_holders_of_the_maxima(make):
    settings = {"pool": "features", "size": 4}
    idx = np.asarray(make(4, **settings)(CLOUDS).idx)
    for row, cloud in zip(idx, CLOUDS, strict=True):
        np.testing.assert_array_equal(row, expected(cloud, 4, **settings))
