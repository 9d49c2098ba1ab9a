"""The figures of this experiment, from the arrays of `gallery`."""

import numpy as np

from samplenet.data import cameras
from samplenet.report import figures
from samplenet.report.figures import (
    GREY,
    Axis,
    Cloud,
    Layer,
    Line,
    Lines,
    Pictures,
    Scene,
    Variant,
    View,
)

# in the order of the tables
COLORS = {
    "mean cloud": "#7a5195",
    "nearest silhouette": "#2f7fc1",
    "3D supervised": "#3fa36b",
    "camera known": "#e08a1e",
    "unsupervised": "#c1272d",
}
TRUE = "#1f2a33"
# cameras are drawn at half of their distance, as pyramids of this depth
NEAR, DEPTH = cameras.DISTANCE / 2, 0.2
STEP = 5  # degrees


def _names(gallery, kind):
    return [name for name in COLORS if f"{kind}_{name}" in gallery]


def clouds(results, gallery):
    """Show each model's cloud from its first picture, left, and the true one, right."""
    scene = []
    for g, model in enumerate(gallery["ids"]):
        views = []
        for name in _names(gallery, "points"):
            layers = [
                Layer(name, gallery[f"points_{name}"][g], COLORS[name]),
                Layer("truth", gallery["truth"][g], GREY, aside=True),
            ]
            mean = 100 * gallery[f"shown_chamfer_{name}"][g]
            note = f"Chamfer × 100, mean over its pictures: {mean:.2f}"
            views.append(View(name, note, layers))
        scene.append(Cloud(str(model), views))
    return Scene("Clouds from one picture", scene)


def silhouettes(results, gallery):
    """Show the pictures, the true silhouettes, and each network's from all views.

    A network's cloud is that of the first picture.
    """
    names, rows, images = _names(gallery, "silhouettes"), [], []
    if not names:
        return None
    for g, model in enumerate(gallery["ids"][:2]):
        rows += [str(model), "true", *names]
        images += [list(gallery["images"][g]), list(1 - gallery["targets"][g])]
        images += [list(1 - gallery[f"silhouettes_{name}"][g]) for name in names]
    columns = ["input", *(f"picture {v + 1}" for v in range(1, len(images[0])))]
    return Pictures("Silhouettes of the cloud from the input", rows, columns, images)


def poses(results, gallery):
    """Show the true and the predicted cameras of all pictures around each true shape."""
    names, scene = _names(gallery, "poses"), []
    if not names:
        return None
    for g, model in enumerate(gallery["ids"]):
        true, views = _pyramids(gallery["cameras"][g]), []
        for name in names:
            layers = [
                Layer("shape", gallery["truth"][g], GREY),
                Layer("true cameras", true, TRUE),
                Layer("predicted", _pyramids(gallery[f"poses_{name}"][g]), COLORS[name]),
            ]
            errors = ", ".join(f"{angle:.0f}" for angle in gallery[f"shown_angle_{name}"][g])
            views.append(View(name, f"errors {errors}°", layers))
        scene.append(Cloud(str(model), views))
    return Scene("Cameras of the pictures", scene)


def _pyramids(quaternions):
    """Return points (n, 3) along the edges of the cones of sight of cameras (V, 4)."""
    extrinsics = cameras.from_dpc(quaternions, NEAR)
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    corners = cameras.unproject(corners, np.full(4, DEPTH), extrinsics, cameras.intrinsics(1))
    tip = np.broadcast_to(cameras.centre(extrinsics)[:, None], corners.shape)  # (V, 4, 3)
    along = np.linspace(0, 1, 12)[:, None, None, None]
    edges = [tip + along * (corners - tip), corners + along * (np.roll(corners, 1, 1) - corners)]
    return np.stack(edges).reshape(-1, 3)


def pose_errors(results, gallery):
    """Draw how the errors of the poses are distributed."""
    values = {name: gallery[f"angle_{name}"] for name in _names(gallery, "angle")}
    edges = np.arange(0, 180 + STEP, STEP)
    title = "error of a pose, degrees"
    return figures.histogram(title, "pictures", "", values, edges, COLORS) if values else None


def chamfer(results, gallery):
    """Draw how the models' Chamfer distances are distributed."""
    values = {name: 100 * gallery[f"chamfer_{name}"] for name in _names(gallery, "chamfer")}
    title = "Chamfer distance × 100 of a model"
    return figures.histogram(title, "models", "", values, colors=COLORS)


def forming(results, gallery):
    """Show the clouds of two models of the validation split at some epochs of a training.

    Of the unsupervised network if there is one, else of that with known cameras.
    """
    names = _names(gallery, "snapshots")
    if not names:
        return None
    name, scene = names[-1], []
    epochs, clouds = gallery[f"epochs_{name}"], gallery[f"snapshots_{name}"]
    for epoch, points in zip(epochs, clouds, strict=True):
        views = []
        for model, cloud in zip(gallery[f"snapshot_ids_{name}"], points, strict=True):
            views.append(View(str(model), "", [Layer(name, cloud, COLORS[name])]))
        scene.append(Cloud(f"after epoch {epoch}", views))
    return Scene(f"How a shape forms, {name}", scene)


def learning(results, gallery):
    """Draw how each network did on validation models while it was trained."""
    prefix, variants = "curve_", []
    for column, title in ((1, "silhouette loss of validation models"), (2, "their Chamfer × 100")):
        lines = []
        for key in [key for key in gallery if key.startswith(prefix)]:
            words = key.removeprefix(prefix)
            known = gallery[key][np.isfinite(gallery[key][:, column])]
            scale = 100 if column == 2 else 1
            x, y = known[:, 0].tolist(), (scale * known[:, column]).tolist()
            if x:
                lines.append(Line(words, COLORS[words.split(", seed")[0]], x, y))
        if lines:
            variants.append(Variant(title, Axis(title, "log"), lines))
    return Lines("Learning curves", Axis("training step"), variants) if variants else None
