"""Sample 128 of 1,024 coloured, labelled points: by FPS, and by SampleNet with `propagate`.

    python examples/coloured_points.py               # prints
    python examples/coloured_points.py sampled.png   # draws, too

The points are of a built-in chair, as feature_rendering/ predicts them from an image: each has a
colour and a score for each of four parts.
"""

import sys
from pathlib import Path

import samplenet.quiet_tensorflow  # noqa: F401

import numpy as np

import samplenet
from samplenet.data.views.meshes import BuiltIn
from samplenet.ops.tf import farthest_points, gather
from samplenet.report import png
from samplenet.report.figures import Cloud, Layer, Scene, View

N, M, PARTS = 1024, 128, ("#2f7fc1", "#e08a1e", "#6a9f3d", "#c1272d")

chair = BuiltIn(["chair"], per_class=10).surface("chair", "chair_0004")
points, colours, labels = chair.cloud(N, np.random.default_rng(0))
scores = np.eye(len(PARTS), dtype=np.float32)[labels - 1]
points, features = points[None], np.concatenate([colours, scores], 1)[None]  # (1, N, 3), (1, N, 7)

# A sample that is a subset takes the features of its points along.
samples = {}
idx = farthest_points(points, M)
samples["FPS"] = gather(points, idx), gather(features, idx)
sampler = samplenet.load_pretrained("reconstruction-progressive", framework="tf")
idx = sampler.order(points, M).idx
samples["SampleNet, matched"] = gather(points, idx), gather(features, idx)

# Points that are generated have none: the projection carries them, by the weights of the points.
queries = sampler.simplify(points, training=False)[:, :M]
projected = sampler.project(points, queries)
samples["SampleNet, projected"] = projected, sampler.project.propagate(points, features, queries)

columns = {f"{N:,} points": (points, features), **samples}
found = []
for name, (place, carried) in columns.items():
    place, carried = np.asarray(place)[0], np.asarray(carried)[0]
    rgb, part = carried[:, :3], carried[:, 3:].argmax(1)
    nearest = ((place[:, None] - points) ** 2).sum(2).argmin(1)
    off, right = np.abs(rgb - colours[nearest]).mean(), (part == labels[nearest] - 1).mean()
    print(f"{name}: {len(place)} points; off the nearest point's colour by {off:.3f}, ", end="")
    print(f"its part for {right:.0%}")
    painted = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in (255 * rgb).round().astype(int)]
    size = 2 if len(place) == N else 5
    views = [("colours", painted), ("parts", [PARTS[p] for p in part])]
    views = [View(view, "", [Layer(view, place, shade, size)]) for view, shade in views]
    found.append(Cloud(name, views))

if len(sys.argv) > 1:
    Path(sys.argv[1]).write_bytes(png.draw(Scene("Colours and parts of sampled points", found)))
