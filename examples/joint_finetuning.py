"""Train a sampler on a frozen classifier, then fine-tune both together, on 4 of 128 points.

python examples/joint_finetuning.py
"""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from samplenet.data import shapes
from samplenet.torch import SampleNet, projection_loss, simplification_loss

CLASSES = ("airplane", "car", "chair", "lamp", "sofa")


class Classifier(nn.Module):
    """A small PointNet."""

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


def train(parameters, steps, lr, loss_of):
    optimizer = torch.optim.Adam(parameters, lr)
    for _ in range(steps):
        batch = torch.randint(len(clouds), (64,))
        optimizer.zero_grad()
        loss_of(clouds[batch], labels[batch]).backward()
        optimizer.step()


def sampled_loss(clouds, labels):
    sampled = sampler(clouds)
    loss = cross_entropy(task(sampled.points), labels)
    return loss + 5 * simplification_loss(sampled.queries, clouds) + projection_loss(sampler)


@torch.no_grad()
def report(stage):
    sampler.eval()
    points = sampler(test_clouds).points  # matched: 4 distinct input points
    entropy = cross_entropy(task(points), test_labels).item()
    correct = (task(points).argmax(1) == test_labels).float().mean().item()
    print(f"{stage}: loss {entropy:.2f}, accuracy {correct:.2f} on 4 matched points")
    sampler.train()


torch.manual_seed(0)
clouds, labels = load("train", 60)
test_clouds, test_labels = load("test", 20)
task = Classifier()
sampler = SampleNet(m=4, k=4, temperature=0.2, conv_widths=(16, 32, 32), fc_widths=(32,))

train(task.parameters(), 100, 1e-2, lambda clouds, labels: cross_entropy(task(clouds), labels))
task.requires_grad_(False)
train(sampler.parameters(), 100, 1e-2, sampled_loss)
report("sampler trained, classifier frozen")

# a smaller learning rate: the classifier has learned from whole clouds already
task.requires_grad_(True)
train([*task.parameters(), *sampler.parameters()], 100, 3e-3, sampled_loss)
report("both fine-tuned")
