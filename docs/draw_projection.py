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
for ax, t, words in zip(
    axes, (1, 0.2, 0.05), ("nearly the mean", "between", "the nearest point"), strict=True
):
    weights = np.exp(-(dist2 - dist2.min()) / t**2)
    weights /= weights.sum()
    r = weights @ near
    ax.plot(*points.T[:2], ".", color="#9a9a9a", label="input points P")
    ax.scatter(
        *near.T[:2], 900 * weights, color="#2f7fc1", alpha=0.4, label=f"weights of the {K} nearest"
    )
    ax.annotate("", r[:2], QUERY[:2], arrowprops={"arrowstyle": "->", "color": "#555555"})
    ax.plot(*QUERY[:2], "o", color="#e08a1e", label="simplified point q")
    ax.plot(*r[:2], "*", color="#c1272d", ms=12, label="projected point r")
    ax.set_title(f"t = {t}: {words}")
    ax.set_aspect("equal")
    ax.set_axis_off()
handles, labels = axes[0].get_legend_handles_labels()
legend = figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
for handle in legend.legend_handles[1:2]:
    handle.set_sizes([80])
target = Path(__file__).parent / "images" / "projection.png"
target.parent.mkdir(exist_ok=True)
figure.savefig(target, dpi=110)
