"""Point features (colour, intensity, normals, labels) carried through the projection of a trained sampler.

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

# Two features a point. They are linear in the coordinates, so that what the projection does to them can be checked.
colour = torch.tensor([[0.5, 0.0], [0.0, 0.5], [0.1, 0.2]])
features = clouds @ colour  # (B, 1024, 2)

# While training: features at the projected points, by the weights that project the points, differentiable in them.
queries = sampler.simplify(clouds)  # (B, 32, 3)
projected = sampler.project(clouds, queries)
carried = sampler.project.propagate(clouds, features, queries)  # (B, 32, 2)
print(f"projected: points {tuple(projected.shape)}, features {tuple(carried.shape)}")
print(f"same weights: {torch.allclose(carried, projected @ colour, atol=1e-5)}")
(gradient,) = torch.autograd.grad(carried.sum(), sampler.project.parameters())
print(f"the temperature learns from features: {gradient.abs().item() > 0}")

# At inference a sample is input points, and takes their features along.
with torch.no_grad():
    sampled = sampler(clouds)
matched = gather(features, sampled.idx)
print(
    f"matched: features {tuple(matched.shape)}, those of the points: {torch.equal(matched, sampled.points @ colour)}"
)

# The other way round, points and sample having changed places: what a network says of the 32 points, here three parts
# by height, goes to all 1024 of them.
height = clouds[..., 1]
part = (height > height.quantile(1 / 3, 1, True)).long() + (
    height > height.quantile(2 / 3, 1, True)
).long()
of_sample = torch.nn.functional.one_hot(part.gather(1, sampled.idx), 3).float()  # (B, 32, 3)
back = SoftProjection(k=3, temperature=0.1).propagate(
    sampled.points, of_sample, clouds
)  # (B, 1024, 3)
print(
    f"back on all points: {tuple(back.shape)}, right part for {(back.argmax(2) == part).float().mean().item():.0%}"
)
