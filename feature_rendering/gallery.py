"""What the figures show of an evaluation: a few objects, as each method predicts and draws them."""

import numpy as np

from predictions import Drawn, Predicted
from samplenet.data.views.meshes import Truth
from samplenet.data.views.models import Models

SHOWN = 4  # objects
INPUT, HELD_OUT = 0, 1  # views: the network's input, and the one that is drawn


class Gallery:
    """Collect the first objects of each class, as the first seed of each method predicts them.

    Args:
        truths: (n) true points that count.
        images: (n, V, S, S, 3), bytes on black.
    """

    def __init__(self, test: Models, truths: list[Truth], images: np.ndarray):
        place = [(test.classes[:i] == label).sum() for i, label in enumerate(test.classes)]
        self.shown = np.sort(np.argsort(place, kind="stable")[:SHOWN])
        self.view = min(HELD_OUT, images.shape[1] - 1)
        self.found = {}  # a list for each array, with an entry an object; None where not known
        for i in self.shown:
            labels = None if test.labels is None else test.labels[i, self.view]
            self._append("names", test.ids[i])
            self._append("input", images[i, INPUT])
            self._append("image", images[i, self.view])
            self._append("mask", test.masks[i, self.view])
            self._append("view_labels", labels)
            for key, values in zip(("points", "colours", "labels"), truths[i], strict=True):
                self._append(f"true_{key}", values)

    def add(self, name: str, i: int, predicted: Predicted, drawn: Drawn) -> None:
        """Add a method's prediction of object number i, and how it is drawn, if it is shown."""
        if i not in self.shown or len(self.found.get(f"points_{name}", ())) == len(self.shown):
            return
        points, colours, labels = next(predicted.of_object(i))
        self._append(f"points_{name}", points.astype(np.float32))
        self._append(f"colours_{name}", colours)
        self._append(f"labels_{name}", None if labels is None else 1 + labels)
        for key, images in zip(Drawn._fields, drawn, strict=True):
            self._append(f"drawn_{key}_{name}", None if images is None else images[0, self.view])

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of gallery.npz: what is known of all objects that are shown.

        G objects of M true and N predicted points, S pixels a side: `names` (G,), `input` (G, S, S,
        3); of the held-out view `image`, `mask`, `view_labels`; `true_points` (G, M, 3),
        `true_colours`, `true_labels`. Of each method, as a suffix, `points_` (G, N, 3), `colours_`,
        `labels_`; of what is drawn in the held-out view `drawn_masks_`, `drawn_colours_`,
        `drawn_labels_`. Clouds are in the object frame; parts count from 1, the background is 0.
        """
        arrays = {}
        for key, values in self.found.items():
            if all(value is not None for value in values):
                arrays[key] = np.stack(values)
        return arrays

    def _append(self, key: str, value) -> None:
        self.found.setdefault(key, []).append(value)
