"""Score samplers by how well a trained autoencoder rebuilds whole test clouds from their samples.

    python reconstruction/evaluate.py --task results/autoencoder \\
        --samplers random fps results/samplenet-32 --sizes 64 32 16 --out results/evaluation

`random` and `fps` are scored at all of --sizes and at the sizes of the trained samplers. A trained
sampler is a run folder, or one of the library by name, as `reconstruction-progressive`; it is
scored at its own size, a progressive one at every size. `--runs` scores all samplers that finished
in a folder, `--samples` folders of saved samples (see --save-samples).

NRE, the normalised reconstruction error of a shape, is the Chamfer distance of the input to its
reconstruction from the sample over that to its reconstruction from the full input. Three protocols:
`matched` gives the autoencoder a subset of the input, `soft` the softly projected points and
`generated` the simplified points themselves.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import samplenet.quiet_tensorflow  # noqa: F401

import keras
import numpy as np
from tqdm import tqdm

import autoencoder
from samplenet import load_pretrained
from samplenet.atomic import write_atomic
from samplenet.data import saved_samples
from samplenet.data.clouds import Clouds
from samplenet.data.saved_layouts import SHAPENET
from samplenet.ops import check_inputs
from samplenet.report import summary
from samplenet.runs import evaluation, experiments
from samplenet.runs.entries import choose, greedy_samplers
from samplenet.runs.evaluation import EvaluationConfig
from samplenet.runs.script import main
from samplenet.runs.settings import option
from samplenet.tf import FarthestPointSampler, GreedySampler, RandomSampler

BASELINES = {"random": RandomSampler, "fps": lambda m, seed: FarthestPointSampler(m)}
load_sampler = partial(load_pretrained, framework="tf")


@dataclass
class Config(EvaluationConfig):
    sizes: list[int] = field(default_factory=lambda: [1024, 512, 256, 128, 64, 32, 16])
    batch_size: int = 50
    emd: bool = option(False, "score the earth mover's distance too (approximate, slow)")
    save_clouds: bool = option(
        True, "write samples, their indices and reconstructions to clouds/*.npz"
    )


def rebuild(net, sampler, test: Clouds, batch_size: int, losses: Sequence[str]) -> dict[str, dict]:
    """Rebuild every test cloud from its sample, or from all points where `sampler` is None.

    Returns:
        By protocol: `sample` (n, m, 3), `reconstruction` (n, N, 3), its distances (n,) from the
        input by `losses`, and of matched samples `idx` (n, m).
    """
    batches = []
    for start in range(0, len(test), batch_size):
        points = test.points[start : start + batch_size]
        clouds, idx = {"matched": points}, None
        if sampler is not None:
            sampled = sampler(points, np.arange(start, start + len(points)))
            clouds, idx = evaluation.protocols(sampler, points, sampled), sampled.idx
        found = {}
        for protocol, sample in clouds.items():
            rebuilt = net(sample, training=False)
            found[protocol] = {"sample": sample, "reconstruction": rebuilt}
            for loss in losses:
                found[protocol][loss] = autoencoder.DISTANCES[loss](rebuilt, points)
        if idx is not None:
            found["matched"]["idx"] = idx
        batches.append(found)
    return evaluation.joined(batches)


def metrics(
    error: np.ndarray, full: np.ndarray, test: Clouds, loss: str
) -> list[tuple[str, str | None, float]]:
    """List (metric, class, value); class None: over all.

    Args:
        error: (n,), each shape's distance from its reconstruction.
        full: (n,), that of its reconstruction from the full input.
    """
    nre = error / full
    nre_name = "nre" if loss == "chamfer" else f"nre_{loss}"
    values = [(loss, None, error.mean()), (f"{loss}_median", None, np.median(error))]
    values += [(nre_name, None, nre.mean()), (f"{nre_name}_median", None, np.median(nre))]
    values.append((f"{nre_name}_std", None, nre.std()))
    for label, name in enumerate(test.names):
        of_class = test.labels == label
        values += [(loss, name, error[of_class].mean()), (nre_name, name, nre[of_class].mean())]
    return values


def evaluate(config: Config) -> None:
    evaluation.check(config)
    check_inputs(True)
    net, task_config = autoencoder.load_task(config.task)
    task_config.data_root = root = config.data_root or task_config.data_root
    test = autoencoder.open_clouds(task_config, "test")
    originals = saved_samples.Originals({"": test}, SHAPENET)
    saved = saved_samples.read(config.samples, originals)
    chooser = autoencoder.load_task(config.chooser)[0] if config.chooser else net
    baselines = BASELINES | greedy_samplers(chooser, GreedySampler)
    near = partial(GreedySampler, chooser, pool="near")
    entries = choose(
        config, "reconstruction", task_config.num_points, baselines, load_sampler, saved, near
    )
    out = evaluation.prepare(config, entries)
    for old in (out / "clouds").glob("*.npz"):  # of an earlier evaluation: other numbers
        old.unlink()

    gallery_size = evaluation.gallery_size(config, entries)
    shown = np.array([np.flatnonzero(test.labels == c)[0] for c in range(len(test.names))])
    names = np.array(test.names)[test.labels[shown]]
    gallery = {"points": test.points[shown], "names": names}
    losses = ("chamfer", "emd") if config.emd else ("chamfer",)
    rows, full = [], {}
    for entry in tqdm(entries, "evaluate", disable=None):
        name, m = entry.name, entry.m
        found = rebuild(net, entry.sampler, test, config.batch_size, losses)
        for protocol, arrays in found.items():
            for loss in losses:
                error = arrays.pop(loss)
                full.setdefault(loss, error)  # the first entry is the full cloud
                for metric, class_, value in metrics(error, full[loss], test, loss):
                    rows.append(evaluation.row(entry, protocol, metric, value, len(test), class_))
                if loss == "chamfer":
                    arrays["nre"] = error / full[loss]
            if config.save_clouds:
                path = out / "clouds" / f"{name}-{m}-seed{entry.seed}-{protocol}.npz"
                save(path, {**arrays, "ids": np.array(test.ids)})
        matched = found.get("matched")  # saved samples can be `generated` alone
        pictured = m == gallery_size or entry.sampler is None
        # of several seeds the first is shown
        if matched and pictured and f"reconstruction_{name}" not in gallery:
            gallery[f"reconstruction_{name}"] = matched["reconstruction"][shown]
            gallery[f"nre_{name}"] = matched["nre"]  # of all test shapes, for the histogram
            gallery[f"shown_nre_{name}"] = matched["nre"][shown]
            if "idx" in matched:
                gallery[f"idx_{name}"] = matched["idx"][shown]
    data_set = "the built-in shapes" if root is None else Path(root).name
    data = f"{', '.join(test.names)} of {data_set}"
    evaluation.write(out, "reconstruction", data, entries, rows, gallery)
    evaluation.save_samples(config, entries, originals)
    print(summary.write(out, experiments.load(Path(__file__).parent)))


def save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an .npz file, whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_atomic(path, content.getvalue())


if __name__ == "__main__":
    # for the draws of first weights, which are then replaced: no number depends on this seed
    keras.utils.set_random_seed(0)
    main(evaluate, Config, __doc__)
