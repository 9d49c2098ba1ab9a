"""Score samplers by how well a trained autoencoder rebuilds the whole shape from what they leave of each test cloud.

    python reconstruction/evaluate.py --task results/autoencoder --samplers random fps results/samplenet-32 \\
        --sizes 64 32 16 --out results/evaluation

`random` and `fps` are scored at every size, also those of the trained samplers; a trained one (its run folder) at its
own, a progressive one at every size. NRE, the normalised reconstruction error of a shape, is the Chamfer distance of
the input to its reconstruction from the sample over that to its reconstruction from the full input. Three protocols:
`matched` gives the autoencoder a subset of the input, `soft` the softly projected points and `generated` the simplified
points themselves. `--samples` scores folders that `--save-samples` or anybody wrote.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import samplenet.quiet_tensorflow  # noqa: F401

import keras
import numpy as np
from tqdm import tqdm

import autoencoder
import train_autoencoder
import train_samplenet
from samplenet import report
from samplenet.atomic import write_atomic
from samplenet.data import saved_samples
from samplenet.data.clouds import Clouds
from samplenet.data.saved_layouts import SHAPENET
from samplenet.ops import check_inputs
from samplenet.runs import evaluation
from samplenet.runs.run import finished_run
from samplenet.runs.script import main
from samplenet.runs.settings import option
from samplenet.tf import FarthestPointSampler, RandomSampler, SampleNet
from samplenet.tf.state import set_state

UNTRAINED = {"random": RandomSampler, "fps": lambda m, seed: FarthestPointSampler(m)}


@dataclass
class Config:
    """What is scored on which data."""

    task: str = option("", "run folder of the trained autoencoder", path=True)
    samplers: list[str] = option(["random", "fps"], "random, fps, and run folders of trained samplers")
    sizes: list[int] = option([1024, 512, 256, 128, 64, 32, 16], "sample sizes of random and fps", at_least=1)
    data_root: str | None = option(None, "data set folder; without it, the autoencoder's own data set", path=True)
    out: str = option("", "folder for results.json, table, figures and clouds", path=True)
    batch_size: int = option(50, "clouds scored at once; makes no difference to the result", at_least=1)
    seed: int = option(0, "of the random sampler", at_least=0)
    samples: list[str] = option([], "folders of saved samples, or of several such, to score as well")
    save_samples: str | None = option(None, "folder to write what each sampler picked to, for --samples", path=True)
    gallery_size: int = option(32, "sample size of the pictures (of the trained ones, the nearest to it)")
    emd: bool = option(False, "score the earth mover's distance (approximate, slow) besides Chamfer")
    save_clouds: bool = option(True, "write samples, their indices and reconstructions to clouds/*.npz")


def trained(folder: str, num_points: int) -> tuple[train_samplenet.Config, SampleNet]:
    """The settings and the sampler of a run folder."""
    config, arrays, _ = finished_run(folder, train_samplenet.Config)
    sampler = train_samplenet.build(config, num_points)
    set_state(sampler, arrays, source=folder)
    return config, sampler


def rebuild(net, sampler, test: Clouds, batch_size: int) -> dict[str, dict[str, np.ndarray]]:
    """By protocol: `sample` (n, m, 3), `reconstruction` (n, N, 3) of every cloud; of the matched also `idx` (n, m)."""
    found = {}
    for start in range(0, len(test), batch_size):
        points = test.points[start : start + batch_size]
        if sampler is None:
            scored = {"matched": {"sample": points}}
        else:
            sampled = sampler(points, np.arange(start, start + len(points)))
            scored = {"matched": {"sample": sampled.points, "idx": sampled.idx}}
            if sampled.idx is None:
                scored = {"generated": {"sample": sampled.points}}
            if sampled.queries is not None:
                scored["generated"] = {"sample": sampled.queries}
                if sampler.project is not None:
                    scored["soft"] = {"sample": sampler.project(points, sampled.queries)}
        for protocol, parts in scored.items():
            parts["reconstruction"] = net(parts["sample"], training=False)
            for name, part in parts.items():
                found.setdefault(protocol, {}).setdefault(name, []).append(np.asarray(part))
    return {p: {name: np.concatenate(part) for name, part in parts.items()} for p, parts in found.items()}


def distances(loss: str, made: np.ndarray, points: np.ndarray, batch_size: int) -> np.ndarray:
    """Distance `loss` of each input (n, N, 3) to what was made of it, (n, N, 3): (n,)."""
    starts = range(0, len(points), batch_size)
    parts = [autoencoder.DISTANCES[loss](made[i : i + batch_size], points[i : i + batch_size]) for i in starts]
    return np.concatenate([np.asarray(part) for part in parts])


def numbers(error: np.ndarray, full: np.ndarray, test: Clouds, loss: str) -> dict[str, float]:
    """The metrics of one line of the tables, from each shape's distance and that of its full input, (n,) each."""
    nre = error / full
    values = {loss: error.mean(), f"{loss}_median": np.median(error)}
    prefix = "nre" if loss == "chamfer" else f"nre_{loss}"
    values |= {prefix: nre.mean(), f"{prefix}_median": np.median(nre), f"{prefix}_std": nre.std()}
    for label, name in enumerate(test.names):
        mine = test.labels == label
        values |= {f"{loss}_{name}": error[mine].mean(), f"{prefix}_{name}": nre[mine].mean()}
    return values


def evaluate(config: Config) -> None:
    evaluation.check(config)
    check_inputs(True)
    net, task_config = train_samplenet.load_task(config.task)
    n = task_config.num_points
    task_config.data_root = config.data_root or task_config.data_root
    test = train_autoencoder.open_clouds(task_config, "test")
    originals = saved_samples.Originals({"": test}, SHAPENET)
    saved = saved_samples.read(config.samples, originals)
    samplers = evaluation.choose(config, n, UNTRAINED, lambda folder: trained(folder, n), saved)
    out = evaluation.prepare(config, samplers)
    for old in (out / "clouds").glob("*.npz"):  # would stand beside numbers they do not belong to
        old.unlink()
    if config.save_clouds:
        (out / "clouds").mkdir(exist_ok=True)

    size = evaluation.gallery_size(config, samplers)
    shown = np.array([np.flatnonzero(test.labels == c)[0] for c in range(len(test.names))])
    gallery = {"points": test.points[shown], "names": np.array([test.names[c] for c in test.labels[shown]])}
    losses = ("chamfer", "emd") if config.emd else ("chamfer",)
    rows, full = [], {}
    for name, m, sampler, seed, _ in tqdm(samplers, "evaluate", disable=None):
        found = rebuild(net, sampler, test, config.batch_size)
        for protocol, parts in found.items():
            line = {"sampler": name, "m": m, "protocol": protocol}
            for loss in losses:
                error = distances(loss, parts["reconstruction"], test.points, config.batch_size)
                full.setdefault(loss, error)  # the full cloud comes first
                for metric, value in numbers(error, full[loss], test, loss).items():
                    value = float(f"{value:.6g}")
                    rows.append({**line, "metric": metric, "value": value, "n": len(test), "seed": seed})
                if loss == "chamfer":
                    parts["nre"] = error / full[loss]
            if config.save_clouds:
                save(out / "clouds" / f"{name}-{m}-seed{seed}-{protocol}.npz", {**parts, "ids": np.array(test.ids)})
        matched = found.get("matched")
        if matched and (m == size or sampler is None) and f"reconstruction_{name}" not in gallery:
            gallery[f"reconstruction_{name}"] = matched["reconstruction"][shown]
            gallery[f"nre_{name}"] = matched["nre"]  # of all test shapes, for the histogram
            gallery[f"shown_nre_{name}"] = matched["nre"][shown]
            if sampler is not None:
                gallery[f"idx_{name}"] = matched["idx"][shown]
    root = task_config.data_root
    data = f"{', '.join(test.names)} of {'the built-in shapes' if root is None else Path(root).name}"
    evaluation.write(out, "reconstruction", data, config.task, samplers, rows, gallery)
    evaluation.save_samples(config, samplers, originals)
    print(report.write(out))


def save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_atomic(path, content.getvalue())


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    main(evaluate, Config, __doc__)
