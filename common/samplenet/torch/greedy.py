"""Choose points by the gradient of a frozen network's own answer; nothing is trained."""

import torch
from torch import Tensor

from samplenet.greedy import Greedy
from samplenet.ops import torch as ops
from samplenet.sampled import Sampled
from samplenet.torch.baselines import check_finite


class GreedySampler:
    """Pick the points that bring a frozen network nearest to its answer for the whole pool.

    The network takes the maximum c of its points' features phi. Each turn picks the point i with
    the largest gain to first order, sum_f max(phi_if - c_f, 0) g_f with g = -d discrepancy / d c,
    and puts its features into c, which is 0 at first. If a feature of the pool is negative, c
    starts from the pool's first point. Of equal gains the lowest index wins, so the same cloud
    always gives the same points, and those of a smaller m are the first of a larger one's.

    Args:
        network: frozen, in eval mode, with three methods:
            `early_features(points)`: (B, N, 3) -> (B, N, C), per point;
            `late_features(early)`: (B, N, C) -> (B, N, F), whose maximum over points it takes;
            `discrepancy(pooled, whole)`: (B, F) twice -> (B,), how far its answer from the maximum
            over the chosen points is from its answer from the maximum over the pool.
        settings, named: the fields of `samplenet.greedy.Greedy`, by position or by name.
        queries: for the pool "near", and only for it: a function, clouds (B, N, 3) -> (B, M, 3),
            such as a trained SampleNet's `simplify`.

    Raises:
        InputError: a setting is out of range, or queries and pool do not belong together.
    """

    project = None  # evaluations look for a soft projection, and find none

    def __init__(self, network, *settings, queries=None, **named):
        self.network, self.settings, self.queries = network, Greedy(*settings, **named), queries
        self.settings.check_queries(queries)
        self.m = self.settings.m

    @torch.no_grad()
    def __call__(self, points, cloud=None) -> Sampled:
        """Sample points (B, N, 3) in the order in which they are chosen; `cloud` is ignored."""
        check_finite("GreedySampler", points)
        points = torch.as_tensor(points)
        pool, early = self._pool(points)
        idx = self._choose(self.network.late_features(early))
        idx = idx if pool is None else pool.gather(1, idx)
        return Sampled(ops.gather(points, idx), idx, None)

    def _pool(self, points: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return the pool's indices (B, P), None for all points, and its early features."""
        own, size = self.settings, self.settings.pool_size(points.shape[1])
        if own.pool == "all":
            return None, self.network.early_features(points)
        if own.pool == "features":
            early = self.network.early_features(points)
            pool = ops.farthest_points(points, size, chosen=early.argmax(1))
            return pool, early.gather(1, pool[..., None].expand(-1, -1, early.shape[2]))
        chosen = None
        if own.pool == "near":
            queries = self.queries(points)  # (B, M, 3)
            _, near = ops.knn(queries, points, own.neighbours(size, queries.shape[1]))  # (B, M, k)
            chosen = near.mT.flatten(1)
        pool = ops.farthest_points(points, size, chosen=chosen)
        return pool, self.network.early_features(ops.gather(points, pool))

    def _choose(self, features: Tensor) -> Tensor:
        """Choose m of features (B, P, F): indices (B, m) in the pool."""
        own, first = self.settings, features[:, 0]
        whole = features.amax(1)
        negative = features.amin((1, 2)) < 0
        pooled, picks = torch.where(negative[:, None], first, 0), []
        # added to the gains: infinity for the point to take first, -infinity for those taken
        extra = features.new_zeros(features.shape[:2])
        extra[negative, 0] = torch.inf
        for turn in range(own.m):
            if turn % own.refresh == 0:
                gradient = -self._gradient(pooled, whole)
            gain = _gains(features, pooled, gradient) + extra
            pick = self._best(gain, features, pooled, whole)
            extra.scatter_(1, pick[:, None], -torch.inf)
            pooled = torch.maximum(pooled, _rows(features, pick[:, None])[:, 0])
            picks.append(pick)
        return torch.stack(picks, 1)

    def _discrepancy(self, pooled: Tensor, whole: Tensor) -> Tensor:
        if self.settings.on == "features":
            return (pooled - whole).square().sum(1)
        return self.network.discrepancy(pooled, whole)

    def _gradient(self, pooled: Tensor, whole: Tensor) -> Tensor:
        # tensors of inference mode, in which a caller may be, have no gradients
        with torch.inference_mode(False), torch.enable_grad():
            pooled, whole = pooled.clone().requires_grad_(), whole.clone()
            return torch.autograd.grad(self._discrepancy(pooled, whole).sum(), pooled)[0]

    def _best(self, gain: Tensor, features: Tensor, pooled: Tensor, whole: Tensor) -> Tensor:
        """Return the point with the largest gain; of `rerank`, the least discrepancy left: (B,)."""
        count = min(self.settings.rerank, gain.shape[1])
        if count == 1:
            return gain.argmax(1)
        # stable: of equal gains the lowest index comes first
        gain, candidates = gain.sort(dim=1, descending=True, stable=True)
        gain, candidates = gain[:, :count], candidates[:, :count]
        joined = torch.maximum(pooled[:, None], _rows(features, candidates))  # (B, R, F)
        whole = whole[:, None].expand_as(joined)
        left = self._discrepancy(joined.flatten(0, 1), whole.flatten(0, 1)).view_as(gain)
        # an infinite gain marks points that must be taken, or are taken already
        left = torch.where(gain.isinf(), -gain, left)
        return candidates.gather(1, left.argmin(1, keepdim=True))[:, 0]


class TrialSampler:
    """Pick points by trying them, for a network that offers nothing but its answer.

    Each turn adds to the sample that point of a pool with which the discrepancy is the least; of
    equal ones the first of the pool. That asks the network about `size` samples for each point.

    Args:
        discrepancy: function of samples (B, P, t, 3), one for each point that could be next, and
            clouds (B, N, 3) -> (B, P): how far the network's answers for the samples are from its
            answer for the cloud.
        m: points to pick, at most `size`.
        size: farthest points that are tried.
    """

    project = None  # evaluations look for a soft projection, and find none

    def __init__(self, discrepancy, m: int, size: int = 32):
        self.discrepancy, self.settings, self.m = discrepancy, Greedy(m, "fps", size), m

    @torch.no_grad()
    def __call__(self, points, cloud=None) -> Sampled:
        """Sample points (B, N, 3) in the order in which they are chosen; `cloud` is ignored."""
        check_finite("TrialSampler", points)
        points = torch.as_tensor(points)
        pool = ops.farthest_points(points, self.settings.pool_size(points.shape[1]))
        candidates = ops.gather(points, pool)  # (B, P, 3)
        sample, picks = candidates[:, :0], []
        taken = torch.zeros_like(pool, dtype=torch.bool)
        for _ in range(self.m):
            before = sample[:, None].expand(-1, pool.shape[1], -1, -1)  # (B, P, t, 3)
            trials = torch.cat([before, candidates[:, :, None]], 2)
            left = self.discrepancy(trials, points).masked_fill(taken, torch.inf)
            picks.append(left.argmin(1, keepdim=True))
            taken.scatter_(1, picks[-1], True)
            sample = torch.cat([sample, ops.gather(candidates, picks[-1])], 1)
        return Sampled(sample, pool.gather(1, torch.cat(picks, 1)), None)


def _gains(features: Tensor, pooled: Tensor, gradient: Tensor) -> Tensor:
    """Return sum_f max(features - pooled, 0) gradient: (B, P, F), (B, F), (B, F) -> (B, P)."""
    if features.device.type != "cpu":
        return ((features - pooled[:, None]).relu_() @ gradient[..., None])[..., 0]
    gains, scratch = features.new_empty(features.shape[:2]), torch.empty_like(features[0])
    for cloud, gain in enumerate(gains):  # one by one: the differences stay in the cache
        torch.sub(features[cloud], pooled[cloud], out=scratch).relu_()
        torch.mv(scratch, gradient[cloud], out=gain)
    return gains


def _rows(features: Tensor, idx: Tensor) -> Tensor:
    """Gather rows of features (B, P, F) at idx (B, R): (B, R, F)."""
    return features.gather(1, idx[..., None].expand(-1, -1, features.shape[2]))
