"""Put SampleNet in front of your own PyTorch model.

Which 4 of 128 points does a trained, frozen classifier need?

python examples/pytorch_model.py
"""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from samplenet.data import shapes
from samplenet.torch import (
    FarthestPointSampler,
    RandomSampler,
    SampleNet,
    projection_loss,
    simplification_loss,
)

CLASSES = ("airplane", "car", "chair", "lamp", "sofa")


class Classifier(nn.Module):
    """Yours: anything that maps clouds (B, N, 3) of any size to what your loss takes."""

    def __init__(self):
        super().__init__()
        self.points = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 64), nn.ReLU())
        self.head = nn.Linear(64, len(CLASSES))

    def forward(self, clouds):
        return self.head(self.points(clouds).amax(1))


def load(split, per_class):
    """Generate built-in shapes: clouds (B, 128, 3), labels (B,)."""
    names = [(name, i) for i in range(per_class) for name in CLASSES]
    clouds = np.stack([shapes.generate(name, i, split=split, num_points=128) for name, i in names])
    return torch.from_numpy(clouds), torch.arange(len(CLASSES)).repeat(per_class)


@torch.no_grad()
def accuracy(clouds, labels):
    return (task(clouds).argmax(1) == labels).float().mean().item()


torch.manual_seed(0)
clouds, labels = load("train", 60)
test_clouds, test_labels = load("test", 20)

task = Classifier()
optimizer = torch.optim.Adam(task.parameters(), 1e-2)
for _ in range(100):
    batch = torch.randint(len(clouds), (64,))
    optimizer.zero_grad()
    cross_entropy(task(clouds[batch]), labels[batch]).backward()
    optimizer.step()
task.requires_grad_(False)

sampler = SampleNet(m=4, k=4, temperature=0.2, conv_widths=(16, 32, 32), fc_widths=(32,))
optimizer = torch.optim.Adam(sampler.parameters(), 1e-2)
for step in range(150):
    batch = torch.randint(len(clouds), (64,))
    optimizer.zero_grad()
    sampled = sampler(clouds[batch])  # .points (B, 4, 3) softly projected
    loss = cross_entropy(task(sampled.points), labels[batch])
    loss += 5 * simplification_loss(sampled.queries, clouds[batch]) + projection_loss(sampler)
    loss.backward()
    optimizer.step()
    if step in (0, 149):
        print(f"step {step}: loss {loss.item():.2f}")

sampler.eval()  # from now on .points are input points, and .idx their indices
print(f"all 128 points: accuracy {accuracy(test_clouds, test_labels):.2f}")
samplers = {"random": RandomSampler(4), "FPS": FarthestPointSampler(4), "SampleNet": sampler}
for name, pick in samplers.items():
    print(f"4 points, {name}: accuracy {accuracy(pick(test_clouds).points, test_labels):.2f}")
