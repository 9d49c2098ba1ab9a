"""Put SampleNet in front of a classifier of your own in PyTorch: a small DGCNN (arXiv 1801.07829).

    python examples/own_classifier.py                        # four classes of the built-in shapes
    python -m samplenet.data.convert scans --out my-data     # your scans, a folder for each class
    python examples/own_classifier.py --data-root my-data --num-points 1024 -m 32

It trains the classifier and freezes it, trains SampleNet in front of it, and scores the classifier
on m points of test clouds: random ones, farthest points, and SampleNet's. The default settings end
soon; with data of your own train longer, by --task-epochs and --epochs.
"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from samplenet import InputError
from samplenet.data import modelnet40, shapes
from samplenet.ops.torch import gather, knn
from samplenet.runs.parser import Parser
from samplenet.runs.script import main
from samplenet.torch import (
    FarthestPointSampler,
    RandomSampler,
    SampleNet,
    projection_loss,
    simplification_loss,
)

device = "cuda" if torch.cuda.is_available() else "cpu"


class EdgeConv(nn.Module):
    """Describe each point by its nearest neighbours, which every layer finds anew.

    The edge from point i to its neighbour j has the features relu(A x_j + B x_i). That is a linear
    layer on (x_j - x_i, x_i), as in the paper: A (x_j - x_i) + (A + B) x_i.
    """

    def __init__(self, inputs, width, k=8):
        super().__init__()
        self.k, self.linear = k, nn.Linear(inputs, 2 * width)

    def forward(self, features):
        """(B, N, C) -> (B, N, width)."""
        k = min(self.k, features.shape[1])  # a sample may have fewer points
        if features.shape[2] == 3:  # coordinates
            _, idx = knn(features, features, k)  # (B, N, k)
        else:
            distances = torch.cdist(features.detach(), features.detach())  # (B, N, N)
            idx = distances.topk(k, largest=False).indices
        near, own = self.linear(features).chunk(2, 2)
        return torch.relu(gather(near, idx).amax(2) + own)  # the largest of k edges


class DGCNN(nn.Module):
    """Three edge convolutions, and the largest value of each feature over the cloud."""

    def __init__(self, classes):
        super().__init__()
        self.convs = nn.ModuleList([EdgeConv(3, 32), EdgeConv(32, 32), EdgeConv(32, 64)])
        self.points = nn.Sequential(nn.Linear(128, 128), nn.ReLU())
        self.head = nn.Linear(128, classes)

    def forward(self, clouds):
        """Map clouds (B, N, 3) of any N to logits (B, classes)."""
        features, found = clouds, []
        for conv in self.convs:
            features = conv(features)
            found.append(features)
        return self.head(self.points(torch.cat(found, 2)).amax(1))


def load(flags, split, per_class):
    """Read a split of --data-root, or generate one of the built-in shapes."""
    if flags.data_root:
        clouds = modelnet40.load(flags.data_root, split, flags.num_points)
    else:
        names = ("airplane", "car", "chair", "lamp")
        clouds = shapes.clouds(names, range(per_class), flags.num_points, split)
    return torch.from_numpy(clouds.points), torch.from_numpy(clouds.labels), clouds.names


def train(model, loss_of, clouds, labels, epochs, lr):
    optimizer = torch.optim.Adam(model.parameters(), lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(epochs, 1))
    size = min(32, len(clouds))
    batches = DataLoader(TensorDataset(clouds, labels), size, shuffle=True, drop_last=True)
    for epoch in range(1, epochs + 1):
        total = 0.0
        for points, classes in batches:
            optimizer.zero_grad()
            loss = loss_of(points.to(device), classes.to(device))
            loss.backward()
            optimizer.step()
            total += loss.item()
        schedule.step()
        if epoch in (1, epochs):
            print(f"  epoch {epoch}: loss {total / len(batches):.2f}")


@torch.no_grad()
def accuracy(task, clouds, labels, sampler=None):
    right = 0
    for points, classes in zip(clouds.split(32), labels.split(32), strict=True):
        points = points.to(device)
        if sampler:
            points = sampler(points).points
        right += (task(points).argmax(1).cpu() == classes).sum().item()
    return right / len(labels)


def run(flags):
    torch.manual_seed(0)
    clouds, labels, names = load(flags, "train", 60)
    test_clouds, test_labels, _ = load(flags, "test", 20)
    n, m = clouds.shape[1], flags.m
    if not 1 <= m <= n:
        raise InputError(f"-m must be in [1, N] = [1, {n}], got {m}")

    def task_loss(points, classes):
        return cross_entropy(task(points), classes)

    def sampler_loss(points, classes):
        sampled = sampler(points)  # .points (B, m, 3) softly projected
        loss = 5 * simplification_loss(sampled.queries, points) + projection_loss(sampler)
        return loss + task_loss(sampled.points, classes)

    print(f"classifier, on {n} points:")
    task = DGCNN(len(names)).to(device)
    train(task, task_loss, clouds, labels, flags.task_epochs, lr=3e-3)
    task.requires_grad_(False).eval()  # frozen; eval() matters to batch norm and dropout

    print(f"SampleNet, on {m} points:")
    # for a short training: a small network, a sharp projection, no batch norm at the end
    small = {"conv_widths": (32, 64, 128), "fc_widths": (128,), "output_batch_norm": False}
    sampler = SampleNet(m, k=4, temperature=0.2, min_sigma=1e-3, **small).to(device)
    train(sampler, sampler_loss, clouds, labels, flags.epochs, lr=1e-2)
    sampler.eval()  # from now on .points are input points, and .idx their indices

    print(f"all {n} points: accuracy {accuracy(task, test_clouds, test_labels):.2f}")
    samplers = {"random": RandomSampler(m), "FPS": FarthestPointSampler(m)}
    for name, pick in (samplers | {"SampleNet": sampler}).items():
        share = accuracy(task, test_clouds, test_labels, pick)
        print(f"{m} points, {name}: accuracy {share:.2f}")


if __name__ == "__main__":
    parser = Parser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--data-root", help="data set in the ModelNet40 layout")
    parser.add_argument("--num-points", type=int, default=256, help="points of a cloud")
    parser.add_argument("-m", type=int, default=16, help="points of a sample")
    parser.add_argument("--task-epochs", type=int, default=8, help="of the classifier")
    parser.add_argument("--epochs", type=int, default=40, help="of SampleNet")
    flags = parser.parse_args()
    main(lambda: run(flags))
