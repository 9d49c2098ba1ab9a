"""The figures that only this experiment has; gallery.py lists the arrays that they show."""

import numpy as np

from samplenet.report.figures import GREY, Cloud, Layer, Pictures, Scene, View

BLUE = "#2f7fc1"
PARTS = ("#000000", BLUE, "#e08a1e", "#6a9f3d", "#c1272d", "#7a5195", "#00838a", "#de7fc0")
LEFT_OUT = ("mean colour", "majority label", "true points")  # of clouds that are shown


def clouds(results, gallery):
    """Show objects to turn: the true points left, the predicted ones right."""
    methods = [key.removeprefix("points_") for key in gallery if key.startswith("points_")]
    methods = [name for name in methods if name not in LEFT_OUT]
    if not methods:
        return None
    found = []
    for g, name in enumerate(gallery["names"]):
        views = []
        for method in methods:
            true = Layer("true", gallery["true_points"][g], GREY)
            predicted = Layer("predicted", gallery[f"points_{method}"][g], BLUE, 3, aside=True)
            for kind, paint in (("colours", _hex), ("labels", _of_parts)):
                if f"{kind}_{method}" in gallery:
                    predicted.color = paint(gallery[f"{kind}_{method}"][g])
                    if f"true_{kind}" in gallery:
                        true.color = paint(gallery[f"true_{kind}"][g])
            views.append(View(method, "", [true, predicted]))
        found.append(Cloud(str(name).rpartition("/")[2], views))
    return Scene("Clouds: true, and predicted from one picture", found)


def views(results, gallery):
    """Show the inputs and a held-out view, true and as each method draws it."""
    if "names" not in gallery:
        return None
    columns = [("input", gallery["input"])]
    for kind, key in (("masks", "mask"), ("colours", "image"), ("labels", "view_labels")):
        paint = _map if kind == "labels" else lambda images: images
        drawn = _drawn(gallery, kind)
        if drawn and key in gallery:
            columns.append((f"true {kind}", paint(gallery[key])))
            columns += [(name, paint(images)) for name, images in drawn.items()]
    rows = [str(name).rpartition("/")[2] for name in gallery["names"]]
    names, found = zip(*columns, strict=True)
    images = [[column[g] for column in found] for g in range(len(rows))]
    return Pictures("A held-out view", rows, [*names], images)


def _drawn(gallery, kind) -> dict:
    """Return the images of each method, by name: masks only where nothing else is drawn."""
    found = {}
    for key, images in gallery.items():
        name = key.removeprefix(f"drawn_{kind}_")
        more = {f"colours_{name}", f"labels_{name}"} & {*gallery} if kind == "masks" else ()
        if name != key and name not in LEFT_OUT[:2] and not more:
            found[name] = images
    return found


def _hex(colours) -> list[str]:
    """Write colours (N, 3) in [0, 1] as text."""
    rgb = np.round(255 * np.clip(colours, 0, 1)).astype(int)
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in rgb]


def _of_parts(labels) -> list[str]:
    """Return the colours of labels (N,); they begin again where there are more parts."""
    return [PARTS[1 + (label - 1) % (len(PARTS) - 1)] if label else PARTS[0] for label in labels]


def _map(labels):
    """Paint label maps (G, S, S): (G, S, S, 3) bytes."""
    painted = [bytes.fromhex(colour[1:]) for colour in _of_parts(labels.reshape(-1).tolist())]
    return np.frombuffer(b"".join(painted), np.uint8).reshape(*labels.shape, 3)
