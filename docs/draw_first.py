"""Draw docs/images/first.webp: 1024 points shrink to 32, by farthest points and by SampleNet.

Below each sample stands what the library's frozen classifier takes it for. SampleNet is the
library's progressive one, a single network for every size. The shape is the first test shape of its
class that 32 points of SampleNet's still show and 32 farthest points do not.
"""

import io
from itertools import count
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image

import samplenet
from samplenet import frozen
from samplenet.console import pick
from samplenet.data import shapes

CLASS, SIZES = "car", (1024, 512, 256, 128, 64, 32)
SHRINK, HOLD, END = 6, 8, 22  # frames: while points leave, at each size, and at the last besides
MILLISECONDS = 90  # a frame
SIDE, SWING, DOWN = np.radians((90, 32, 14))  # seen from there, to and fro, from above
# a panel of its own, to be read on a light page and on a dark one
PANEL, GONE, POINT = "#10161f", "#5b6b80", "#ffb454"
TEXT, RIGHT, WRONG = "#d9e1ea", "#7fd962", "#ff6b6b"
NETWORK = frozen.load("classification")
SAMPLENET = samplenet.load_pretrained("classification-progressive", framework="torch")


def by_samplenet(points: np.ndarray) -> np.ndarray:
    """Put all points (N, 3) in order: the first m are the sample of size m."""
    clouds = torch.from_numpy(samplenet.normalise(points[None]))
    return SAMPLENET.order(clouds).idx[0].numpy()


def by_distance(points: np.ndarray) -> np.ndarray:
    """The same by farthest point sampling."""
    return pick.farthest_points(points, len(points))


def answer(points: np.ndarray) -> str:
    """Return the class that the frozen network takes points (m, 3) for."""
    features = NETWORK.late_features(NETWORK.early_features(points))
    return shapes.CLASSES[NETWORK.answer(features.max(0)).argmax()]


def example() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return a shape (N, 3) and the orders of its points, by the rule above."""
    for index in count():
        points = shapes.generate(CLASS, index, split="test", num_points=SIZES[0])
        orders = {"farthest points": by_distance(points), "SampleNet": by_samplenet(points)}
        few = {name: answer(points[order[: SIZES[-1]]]) for name, order in orders.items()}
        if few["SampleNet"] == CLASS != few["farthest points"]:
            return points, orders


def seen(points: np.ndarray, angle: float) -> np.ndarray:
    """Project points (N, 3), y up, onto the page after a turn about y: (N, 2)."""
    x, y, z = points.T
    across, depth = x * np.cos(angle) - z * np.sin(angle), x * np.sin(angle) + z * np.cos(angle)
    return np.stack([across, y * np.cos(DOWN) - depth * np.sin(DOWN)], 1)


def draw(points, orders, size: int, following: int, leaving: float, angle: float) -> Image.Image:
    """Draw one frame: `size` points of each order, those beyond `following` fading away."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3), facecolor=PANEL)
    figure.subplots_adjust(0, 0.14, 1, 0.9, 0)
    page = seen(points, angle)
    for ax, (name, order) in zip(axes, orders.items(), strict=True):
        kept, fading = order[:following], order[following:size]
        ax.scatter(*page.T, s=3, color=GONE, linewidths=0)
        ax.scatter(*page[fading].T, s=9, color=POINT, linewidths=0, alpha=1 - leaving)
        ax.scatter(*page[kept].T, s=9 + 500 / (size + 12), color=POINT, linewidths=0)
        ax.set(xlim=(-1, 1), ylim=(-0.62, 0.62), aspect="equal")
        ax.set_axis_off()
        said = answer(points[order[:size]])
        mark, color = ("✓", RIGHT) if said == CLASS else ("✗", WRONG)
        ax.set_title(name, color=TEXT, fontsize=13)
        said = f"{mark} “{said.replace('_', ' ')}”"
        ax.text(0.5, -0.06, said, color=color, fontsize=15, ha="center", transform=ax.transAxes)
    figure.text(0.5, 0.045, f"{size} points", color=TEXT, fontsize=12, ha="center")
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=100, facecolor=PANEL)
    plt.close(figure)
    return Image.open(buffer).convert("RGB")


def main() -> None:
    """Draw all frames and write the picture."""
    points, orders = example()
    steps = []  # size, the size that follows, how far the points between them have left
    for size, following in zip(SIZES, (*SIZES[1:], SIZES[-1]), strict=True):
        steps += [(size, size, 0.0)] * (HOLD if following < size else HOLD + END)
        if following < size:
            steps += [(size, following, (i + 1) / (SHRINK + 1)) for i in range(SHRINK)]
    phases = 2 * np.pi * np.arange(len(steps)) / len(steps)  # it loops
    angles = SIDE + SWING * np.sin(2 * phases)
    frames = [draw(points, orders, *step, a) for step, a in zip(steps, angles, strict=True)]
    path = Path(__file__).parent / "images" / "first.webp"
    shown = dict(save_all=True, append_images=frames[1:], duration=MILLISECONDS, loop=0)
    frames[0].save(path, quality=50, method=6, **shown)


main()
