"""Draw docs/images/greedy.png: 16 points of three shapes, by FPS, SampleNet and the greedy rule.

The sampler and the classifier are the library's; the shapes are test shapes.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from samplenet import frozen
from samplenet.console import pick
from samplenet.data import shapes

M, CLASSES = 16, ("airplane", "chair", "lamp")
SAMPLERS = {
    "farthest points": lambda points: pick.farthest_points(points, M),
    "SampleNet": pick.SampleNetPicker("classification-progressive", M, "torch"),
    "greedy": pick.GreedyPicker("classification", M),
}
SIDE, DOWN = np.radians(35), np.radians(20)  # from where the shapes are seen
NETWORK = frozen.load("classification")


def seen(points: np.ndarray) -> np.ndarray:
    """Project points (N, 3), y up, onto the page: (N, 2)."""
    x, y, z = points.T
    across, depth = x * np.cos(SIDE) - z * np.sin(SIDE), x * np.sin(SIDE) + z * np.cos(SIDE)
    return np.stack([across, y * np.cos(DOWN) - depth * np.sin(DOWN)], 1)


def discrepancy(points: np.ndarray, idx: np.ndarray) -> float:
    """Return how far the classifier's answers from the points idx and from all are apart."""
    features = NETWORK.late_features(NETWORK.early_features(points))
    return NETWORK.discrepancy(features[idx].max(0), features.max(0))[0]


figure, axes = plt.subplots(len(CLASSES), len(SAMPLERS), figsize=(8, 7), layout="constrained")
for row, name in zip(axes, CLASSES, strict=True):
    points = shapes.generate(name, 0, split="test", num_points=1024)
    page = seen(points)
    for ax, sampler in zip(row, SAMPLERS.values(), strict=True):
        idx = sampler(points)
        ax.plot(*page.T, ".", color="#c4c4c4", ms=2)
        ax.plot(*page[idx].T, "o", color="#c1272d", ms=5)
        ax.set_aspect("equal")
        ax.set_axis_off()
        said = f"D = {discrepancy(points, idx):.2f}"
        ax.text(0.5, -0.02, said, transform=ax.transAxes, ha="center", va="top")
for ax, title in zip(axes[0], SAMPLERS, strict=True):
    ax.set_title(title)
figure.savefig(Path(__file__).parent / "images" / "greedy.png", dpi=90)
