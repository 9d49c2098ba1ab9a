"""The arrays that the figures show: `figures` draws them, with no network at hand."""

import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import camera
from alignment import Alignment
from losses import shrink
from predictions import Predicted
from samplenet.data import cameras
from samplenet.data.views.models import Models
from samplenet.errors import InputError
from samplenet.report.results import read_log

SHOWN = 3  # models
TRUE_POINTS = 2000  # of a true cloud that is shown


def choose(test: Models) -> NDArray[np.int64]:
    """Return which models are shown: the first with a true cloud."""
    return np.array([i for i, truth in enumerate(test.truths) if truth is not None][:SHOWN])


def inputs(test: Models, shown: NDArray[np.int64]) -> dict[str, NDArray]:
    """Return what is known of the models shown.

    Returns:
        `ids` (G,), `images` (G, V, S, S, 3), `truth` (G, M, 3), `cameras` (G, V, 4).
    """
    count = min(TRUE_POINTS, *(len(test.truths[i].points) for i in shown))
    clouds = [test.truths[i].points for i in shown]
    # evenly along the file: points may be stored in an order
    picked = [cloud[np.linspace(0, len(cloud) - 1, count).astype(int)] for cloud in clouds]
    return {
        "ids": np.array([test.ids[i] for i in shown]),
        "images": test.images[shown],
        "truth": np.stack(picked),
        "cameras": cameras.to_dpc(test.extrinsics[shown]),
    }


def predictions(
    name: str, predicted: Predicted, scores: dict, shown: NDArray[np.int64]
) -> dict[str, NDArray]:
    """Return a method's predictions for the models shown, and its errors for all with a true cloud.

    Returns:
        `points_<name>` (G, N, 3) from the first picture, `shown_chamfer_<name>` (G,) of all,
        `chamfer_<name>` (n,); with poses `poses_<name>` (G, V, 4), `shown_angle_<name>` (G, V), and
        `angle_<name>` (n V,).
    """
    chamfer = scores["precision"] + scores["coverage"]  # (n,)
    known = np.isfinite(chamfer)
    found = {"points": predicted.points[shown, 0], "chamfer": chamfer[known]}
    found["shown_chamfer"] = chamfer[shown]
    if predicted.poses is not None:
        found["poses"] = predicted.poses[shown]
        angle = scores["angle"]
        found |= {"angle": angle[known].ravel(), "shown_angle": angle[shown]}
    return {f"{key}_{name}": value for key, value in found.items()}


def silhouettes(
    name: str, settings, predicted: Predicted, test: Models, shown: NDArray[np.int64]
) -> dict[str, NDArray]:
    """Draw each cloud of the first picture from all views, with the blur of the end of training.

    The views are the network's own poses of the pictures, else the true ones.

    Returns:
        `silhouettes_<name>` (G, V, D, D) in [0, 1], and `targets`, as training compares them.
    """
    masks = test.masks[shown]  # (G, V, S, S)
    views, drawn = masks.shape[1], []
    true = cameras.to_dpc(test.extrinsics)
    for i in shown:
        cloud = np.repeat(predicted.points[i, :1], views, 0)  # (V, N, 3)
        pose = (true if predicted.poses is None else predicted.poses)[i].astype(np.float32)
        scale = np.repeat(predicted.scale[i, :1], views)
        translation = None if predicted.translation is None else predicted.translation[i]
        found = camera.render(
            settings, cloud, pose, settings.sigma_end, scale, translation=translation
        )
        drawn.append(np.asarray(found.silhouette))
    target = shrink(settings, np.float32(masks[..., None] / 255))[..., 0]
    return {f"silhouettes_{name}": np.stack(drawn), "targets": np.asarray(target)}


def curves(name: str, seed: int, folder: str) -> dict[str, NDArray]:
    """Read how a network did on validation models while it was trained.

    Returns:
        `curve_<name>, seed <seed>` (E, 3): step, silhouette loss, and Chamfer distance, which is
        NaN without supervision; {} without a log.
    """
    lines = []
    for entry in read_log(Path(folder)):
        if "validation_silhouette_loss" in entry:
            chamfer = entry.get("validation_chamfer", np.nan)
            lines.append([entry["step"], entry["validation_silhouette_loss"], chamfer])
    return {f"curve_{name}, seed {seed}": np.array(lines)} if lines else {}


def snapshots(name: str, folder: str, frame: Alignment | None) -> dict[str, NDArray]:
    """Read the clouds that a training wrote at some of its epochs; {} if it wrote none.

    Args:
        frame: of an unsupervised network.

    Returns:
        `epochs_<name>` (E,), `snapshots_<name>` (E, 2, N, 3), `snapshot_ids_<name>` (2,).
    """
    epochs, clouds, ids = [], [], None
    for path in sorted(Path(folder).glob("snapshots/*.npz")):
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
                cloud, ids = arrays["points"], arrays["ids"]
            epochs.append(int(path.stem))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is damaged ({error}): remove it") from error
        clouds.append(frame.points(cloud) if frame else cloud)
    if not clouds:
        return {}
    found = {"epochs": np.array(epochs), "snapshots": np.stack(clouds), "snapshot_ids": ids}
    return {f"{key}_{name}": value for key, value in found.items()}
