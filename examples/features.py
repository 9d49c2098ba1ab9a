"""Carry point features (colour, normals, labels) through the projection of a trained sampler.

python examples/features.py
"""

import numpy as np
import torch

import samplenet
from samplenet.data import shapes
from samplenet.ops.torch import gather
from samplenet.torch import SoftProjection

shown = [shapes.generate(name, 0, split="test", num_points=1024) for name in ("car", "cup")]
clouds = torch.from_numpy(np.stack(shown))
sampler = samplenet.load_pretrained("classification-32", framework="torch")

# Two features for each point. They are linear in the coordinates, so that the projection's effect
# on them can be checked.
colour = torch.tensor([[0.5, 0.0], [0.0, 0.5], [0.1, 0.2]])
features = clouds @ colour  # (B, 1024, 2)

# While training: features at the projected points, by the same weights, and differentiable in them.
queries = sampler.simplify(clouds)  # (B, 32, 3)
projected = sampler.project(clouds, queries)
carried = sampler.project.propagate(clouds, features, queries)  # (B, 32, 2)
print(f"projected: points {tuple(projected.shape)}, features {tuple(carried.shape)}")
print(f"same weights: {torch.allclose(carried, projected @ colour, atol=1e-5)}")
(gradient,) = torch.autograd.grad(carried.sum(), sampler.project.parameters())
print(f"the temperature learns from features: {gradient.abs().item() > 0}")

# At inference a sample consists of input points, and takes their features along.
with torch.no_grad():
    sampled = sampler(clouds)
matched = gather(features, sampled.idx)
same = torch.equal(matched, sampled.points @ colour)
print(f"matched: features {tuple(matched.shape)}, those of the points: {same}")

# The other way round, sample and cloud change places: what a network predicts for the 32 points,
# here one of three parts by height, is carried to all 1024 points.
height = clouds[..., 1]
low, high = height.quantile(torch.tensor([1 / 3, 2 / 3]), 1, True)  # (B, 1) each
part = (height > low).long() + (height > high).long()
of_sample = torch.nn.functional.one_hot(part.gather(1, sampled.idx), 3).float()  # (B, 32, 3)
to_all = SoftProjection(k=3, temperature=0.1)
back = to_all.propagate(sampled.points, of_sample, clouds)  # (B, 1024, 3)
right = (back.argmax(2) == part).float().mean().item()
print(f"back on all points: {tuple(back.shape)}, right part for {right:.0%}")
