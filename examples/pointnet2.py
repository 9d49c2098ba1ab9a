"""Replace farthest point sampling in a set abstraction layer of a PointNet++ by SampleNet.

A sampler maps clouds (B, N, 3) to `.points` (B, m, 3), the centres of the layer; any sampler of
samplenet.torch will do.

    python examples/pointnet2.py
"""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from samplenet.data import shapes
from samplenet.ops.torch import gather, knn
from samplenet.torch import FarthestPointSampler, SampleNet, projection_loss, simplification_loss

CLASSES = ("airplane", "bottle", "chair", "sofa")
M = 16


class SetAbstraction(nn.Module):
    """The k nearest points of each centre, relative to it, through an MLP and a max."""

    def __init__(self, sampler, k, width):
        super().__init__()
        self.sampler, self.k = sampler, k
        self.mlp = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())

    def forward(self, clouds):
        """Map clouds (B, N, 3) to centres (B, m, 3), features (B, m, width) and the sample."""
        sampled = self.sampler(clouds)
        _, idx = knn(sampled.points.detach(), clouds, self.k)  # (B, m, k)
        # differentiable in the centres
        near = gather(clouds, idx) - sampled.points[:, :, None]  # (B, m, k, 3)
        return sampled.points, self.mlp(near).amax(2), sampled


class PointNet2(nn.Module):
    """One set abstraction layer, then all centres as one group."""

    def __init__(self, sampler):
        super().__init__()
        self.abstraction = SetAbstraction(sampler, k=8, width=16)
        self.mlp = nn.Sequential(nn.Linear(19, 32), nn.ReLU(), nn.Linear(32, 64), nn.ReLU())
        self.head = nn.Linear(64, len(CLASSES))

    def forward(self, clouds):
        centres, features, sampled = self.abstraction(clouds)
        return self.head(self.mlp(torch.cat([centres, features], 2)).amax(1)), sampled


names = [(name, i) for i in range(16) for name in CLASSES]
clouds = torch.from_numpy(np.stack([shapes.generate(name, i, num_points=128) for name, i in names]))
labels = torch.arange(len(CLASSES)).repeat(16)

for name in ("FPS", "SampleNet"):
    torch.manual_seed(0)
    sampler = FarthestPointSampler(M)
    if name == "SampleNet":
        sampler = SampleNet(M, conv_widths=(16, 32), fc_widths=(32,))
    net = PointNet2(sampler)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for step in range(31):
        optimizer.zero_grad()
        logits, sampled = net(clouds)
        entropy = loss = cross_entropy(logits, labels)
        if name == "SampleNet":
            simplification = simplification_loss(sampled.queries, clouds)
            loss = entropy + simplification + 0.1 * projection_loss(sampler)
        loss.backward()
        optimizer.step()
        if step in (0, 30):
            print(f"{name}, step {step}: cross entropy {entropy.item():.2f}")
    with torch.no_grad():
        _, sampled = net.eval()(clouds)
    distinct = min(len(set(row)) for row in sampled.idx.tolist())
    print(f"{name}: {distinct} distinct input points are the centres at inference")
