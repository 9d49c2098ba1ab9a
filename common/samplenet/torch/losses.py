"""The sampler's own losses (SampleNet, sec. 3); the task adds its loss to alpha and lmbda times these."""

import torch
from torch import Tensor, nn

from samplenet.ops import torch as ops


def simplification_loss(queries, points, beta=1.0, gamma=1.0, delta=0.0) -> Tensor:
    """L_simplify(Q, P) = L_a(Q, P) + beta L_m(Q, P) + (gamma + delta |Q|) L_a(P, Q), a scalar.

    L_a(X, Y) is the mean and L_m(X, Y) the maximum over x of the squared distance to the nearest y, both
    averaged over the batch.

    Args:
        queries, points: (B, m, 3), (B, N, 3).
        beta: 1 in all three tasks.
        gamma: classification 1 (progressive 0.5), registration 1, reconstruction 0.
        delta: classification 0 (progressive 1/30), registration 0, reconstruction 1/64.
    """
    near = ops.chamfer(queries, points)
    average = near.a2b.mean()
    maximum = near.a2b.amax(1).mean()
    coverage = near.b2a.mean()
    return average + beta * maximum + (gamma + delta * queries.shape[1]) * coverage


def projection_loss(sampler) -> Tensor:
    """L_project = sigma = t2 of a sampler's soft projection; 0 for S-NET, which has none."""
    if sampler.project is not None:
        return sampler.project.sigma
    weights = list(sampler.parameters()) if isinstance(sampler, nn.Module) else []
    return torch.zeros((), device=weights[0].device if weights else None)
