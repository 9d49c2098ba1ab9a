"""The sampler's losses (SampleNet, sec. 3): L_task + alpha L_simplify + lmbda L_project."""

import torch
from torch import Tensor, nn

from samplenet.ops import torch as ops


def simplification_loss(queries, points, beta=1.0, gamma=1.0, delta=0.0) -> Tensor:
    """Return L_a(Q, P) + beta L_m(Q, P) + (gamma + delta |Q|) L_a(P, Q), a scalar: L_simplify.

    L_a(X, Y) is the mean over x of the squared distance to the nearest y, L_m(X, Y) the maximum;
    both are averaged over the batch.

    Args:
        queries, points: Q (B, m, 3) and P (B, N, 3).
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
    """Return sigma of a sampler's soft projection, L_project; 0 for S-NET, which has none."""
    if sampler.project is not None:
        return sampler.project.sigma
    weights = list(sampler.parameters()) if isinstance(sampler, nn.Module) else []
    return torch.zeros((), device=weights[0].device if weights else None)
