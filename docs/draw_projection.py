"""Draw docs/images/projection.png: soft projection of one query at three temperatures."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from samplenet.ops.reference import knn

K, QUERY = 5, np.array([0.42, 0.5, 0], np.float32)

x = np.array([-0.9, -0.6, -0.4, -0.1, 0.1, 0.3, 0.55, 0.7, 0.75, 0.8], np.float32)
y = np.array([0.0, 0.1, 0.15, 0.2, 0.22, 0.25, 0.22, 0.1, -0.1, -0.3], np.float32)
points = np.stack([x, y, 0 * x], 1)  # (10, 3)
dist2, idx = (array[0, 0] for array in knn(QUERY[None, None], points[None], K))
near = points[idx]  # (K, 3)

figure, axes = plt.subplots(1, 3, figsize=(10, 2.9), sharey=True, layout="constrained")
titles = {1: "nearly the mean", 0.2: "between", 0.05: "the nearest point"}
for ax, (t, title) in zip(axes, titles.items(), strict=True):
    weights = np.exp(
        -(dist2 - dist2.min()) / t**2
    )  # (K,), shifted as softmax is, against underflow
    weights /= weights.sum()
    r = weights @ near
    ax.plot(*points.T[:2], ".", color="#9a9a9a", label="input points P")
    label = f"weights of the {K} nearest"
    ax.scatter(*near.T[:2], 900 * weights, color="#2f7fc1", alpha=0.4, label=label)
    ax.annotate("", r[:2], QUERY[:2], arrowprops={"arrowstyle": "->", "color": "#555555"})
    ax.plot(*QUERY[:2], "o", color="#e08a1e", label="simplified point q")
    ax.plot(*r[:2], "*", color="#c1272d", ms=12, label="projected point r")
    ax.set_title(f"t = {t}: {title}")
    ax.set_aspect("equal")
    ax.set_axis_off()
handles, labels = axes[0].get_legend_handles_labels()
legend = figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
legend.legend_handles[1].set_sizes([80])  # the legend shows one weight, of no particular size
target = Path(__file__).parent / "images" / "projection.png"
target.parent.mkdir(exist_ok=True)
figure.savefig(target, dpi=110)
