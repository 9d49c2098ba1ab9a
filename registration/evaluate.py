"""Score samplers by how well a trained PCRNet registers the samples of test pairs.

    python registration/evaluate.py --task results/pcrnet \\
        --samplers random fps fps_same_start results/samplenet-16 \\
        --sizes 64 32 16 --out results/evaluation

`random`, `fps` (from a random point of each cloud, as published) and `fps_same_start` (from point 0
of both) are scored at all of --sizes and at the sizes of the trained samplers. A trained sampler is
a run folder, or one of the library by name (`registration-progressive`); it is scored at its own
size, a progressive one at every size. `icp`, Open3D's, registers the full clouds. `--runs` scores
all samplers that finished in a folder, `--samples` folders of saved samples (see --save-samples).

Three protocols: `matched` gives PCRNet subsets of the two clouds, `soft` the softly projected
points and `generated` the simplified points themselves.
"""

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import rigid
from pairs import Pairs, for_test, load_class
from pcrnet import load_task
from samplenet import icp, load_pretrained
from samplenet.data import saved_samples
from samplenet.data.clouds import Clouds
from samplenet.data.saved_layouts import MODELNET40
from samplenet.ops import check_inputs
from samplenet.ops import torch as ops
from samplenet.report import summary
from samplenet.runs import evaluation, experiments
from samplenet.runs.entries import Entry, choose, greedy_samplers
from samplenet.runs.evaluation import EvaluationConfig
from samplenet.runs.script import main
from samplenet.runs.settings import option
from samplenet.torch import FarthestPointSampler, GreedySampler, RandomSampler, processes

STEP = 0.5  # degrees between two points of a precision curve, which goes from 0 to 180
PAIRS_SHOWN = 4  # in the pictures, of different shapes
# ICP pairs points up to this distance: the shape's longest side, as turns go up to 45 degrees
ICP_DISTANCE = 1.0

BASELINES = {
    "random": RandomSampler,
    "fps": lambda m, seed: FarthestPointSampler(m, start="random", seed=seed),
    "fps_same_start": lambda m, seed: FarthestPointSampler(m),
}


@dataclass
class Config(EvaluationConfig):
    samplers: list[str] = option(
        ["random", "fps", "fps_same_start"],
        "random, fps, fps_same_start, icp, and trained samplers: run folders, or the library's by "
        "name",
    )
    device: str = option("auto", "'auto': a GPU where there is one", choices=processes.DEVICES)


@torch.no_grad()
def register(net, sampler, pairs: Pairs, batch_size: int) -> dict[str, dict[str, Tensor]]:
    """Register every pair by its samples, or by the whole clouds where `sampler` is None.

    Returns:
        By protocol: `twist` (P, 7), and with a sampler `consistency` (P,), the Chamfer distance
        between the template's sample and the source's, moved back by the true transform. Of matched
        samples also `idx_template` and `idx_source`, (P, m) each.
    """
    batches = []
    for start in range(0, len(pairs.template), batch_size):
        batch = pairs.rows(slice(start, start + batch_size))
        if sampler is None:
            twist, _ = net(batch.template, batch.source)
            batches.append({"matched": {"twist": twist}})
            continue
        numbers = 2 * np.arange(start, start + len(batch.template))  # a number for every cloud
        first, second = sampler(batch.template, numbers), sampler(batch.source, numbers + 1)
        # a progressive sampler's points have other strides: PCRNet would round in another order
        first = first._replace(points=first.points.contiguous())
        second = second._replace(points=second.points.contiguous())
        sources = evaluation.protocols(sampler, batch.source, second)
        back = rigid.inverse(torch.cat([batch.quaternion, batch.translation], 1))
        found = {}
        for protocol, template in evaluation.protocols(sampler, batch.template, first).items():
            twist, _ = net(template, sources[protocol])
            near = ops.chamfer(template, rigid.apply(back, sources[protocol]))
            consistency = near.a2b.mean(1) + near.b2a.mean(1)
            found[protocol] = {"twist": twist, "consistency": consistency}
        if first.idx is not None:
            found["matched"] |= {"idx_template": first.idx, "idx_source": second.idx}
        batches.append(found)
    return evaluation.joined(batches, torch.cat)


def run_icp(pairs: Pairs) -> Tensor:
    """Run Open3D's point-to-point ICP on every pair, starting from no motion: twists (P, 7)."""
    twists = []
    for template, source in zip(pairs.template.cpu(), pairs.source.cpu(), strict=True):
        matrix = torch.from_numpy(icp.fit_open3d(template, source, ICP_DISTANCE).matrix)
        twists.append(torch.cat([rigid.from_matrix(matrix[:3, :3]), matrix[:3, 3]]))
    return torch.stack(twists).float()


def precision(errors: np.ndarray, last: float = 180.0) -> np.ndarray:
    """Compute the shares of errors (P,), in degrees, that are at most 0, 0.5, ..., `last`."""
    thresholds = np.arange(0, last + STEP / 2, STEP)
    return (errors[:, None] <= thresholds).mean(0)


def metrics(twist: Tensor, pairs: Pairs, translation: bool) -> tuple[dict[str, float], np.ndarray]:
    """Compute the metrics by name, and the precision curve."""
    rotations = twist[:, :4], pairs.quaternion
    error = rigid.angle_between(*rotations).double().cpu().numpy()
    paper = rigid.paper_angle_between(*rotations).double().cpu().numpy()
    curve = precision(error)
    values = {
        "rotation_error_deg": error.mean(),
        "rotation_error_median_deg": np.median(error),
        "rotation_error_std_deg": error.std(),
        "rotation_error_paper_deg": paper.mean(),
        "auc": curve.mean(),
        "auc_paper": precision(paper, 179.5).mean(),  # the released code stops short of 180
        "share_under_5_deg": (error < 5).mean(),
        "share_under_10_deg": (error < 10).mean(),
    }
    if translation:
        values["translation_error"] = (twist[:, 4:] - pairs.translation).norm(dim=1).mean().item()
    return values, curve


def open_pairs(config: Config, task_config) -> tuple[Pairs, str]:
    """Make the test pairs in the way of PCRNet's own, and name the data."""
    task, root = task_config, config.data_root or task_config.data_root
    needed = task.num_points * (2 if task.independent else 1)
    clouds = load_class(root, task.class_name, "test", needed, task.shapes_per_class)
    options = {name: getattr(task, name) for name in ("noise", "translation", "independent")}
    pairs = for_test(clouds, task.num_points, **options).to("cpu")
    data_set = "the built-in shapes" if root is None else Path(root).name
    # "translation, noise 0.01": a flag by its name, a number with its value
    extras = [f"{name} {value}".removesuffix(" True") for name, value in options.items() if value]
    return pairs, ", ".join([f"{task.class_name} of {data_set}", *extras])


def originals_of(pairs: Pairs, class_name: str) -> saved_samples.Originals:
    """Describe the test pairs as the two parts of a data set: templates and sources."""
    ids = [f"pair {i}" for i in range(len(pairs.template))]
    parts = {}
    for part, points in (("template", pairs.template), ("source", pairs.source)):
        parts[part] = Clouds(points.numpy(), np.zeros(len(ids), np.int64), (class_name,), ids)
    return saved_samples.Originals(parts, MODELNET40)


def picture(pairs: Pairs, found: dict[str, Tensor], translation: bool) -> dict[str, Tensor]:
    """Return what the pictures show of a sampler: estimates of the first pairs, and its points."""
    pairs, twist = pairs.rows(slice(PAIRS_SHOWN)), found["twist"][:PAIRS_SHOWN]
    if translation:
        moved = rigid.apply(twist, pairs.template)
    else:
        moved = rigid.rotate(twist[:, :4], pairs.template)
    shown = {"moved": moved, "error": rigid.angle_between(twist[:, :4], pairs.quaternion)}
    picked = [name for name in ("idx_template", "idx_source") if name in found]
    return shown | {name: found[name][:PAIRS_SHOWN] for name in picked}


def evaluate(config: Config) -> None:
    evaluation.check(config)
    check_inputs(True)
    if "icp" in config.samplers:
        icp.open3d()  # fail early if it is missing
    device = processes.choose(config.device)
    net, task_config = load_task(config.task)
    net, n, moves = net.to(device), task_config.num_points, task_config.translation
    pairs, data = open_pairs(config, task_config)
    originals = originals_of(pairs, task_config.class_name)
    pairs = pairs.to(device)
    saved = saved_samples.read(config.samples, originals, partial(torch.as_tensor, device=device))
    samplers = [name for name in config.samplers if name != "icp"]
    wanted = dataclasses.replace(config, samplers=samplers)

    def load_sampler(folder: str):
        return load_pretrained(folder, framework="torch").to(device)

    chooser = load_task(config.chooser)[0].to(device) if config.chooser else net
    baselines = BASELINES | greedy_samplers(chooser, GreedySampler)
    near = partial(GreedySampler, chooser, pool="near")
    entries = choose(wanted, "registration", n, baselines, load_sampler, saved, near)
    if "icp" in config.samplers:
        entries.insert(1, Entry("icp", n, None, config.seed))
    out = evaluation.prepare(config, entries)

    gallery_size = evaluation.gallery_size(config, entries)
    first = pairs.rows(slice(PAIRS_SHOWN))
    before = rigid.angle_between(torch.eye(4, device=device)[0], first.quaternion)
    gallery = {"template": first.template, "source": first.source, "error_before": before}
    rows, curves = [], []
    for entry in tqdm(entries, "evaluate", disable=None):
        name, is_icp = entry.name, entry.name == "icp"
        if is_icp:
            found = {"matched": {"twist": run_icp(pairs).to(device)}}
        else:
            found = register(net, entry.sampler, pairs, config.batch_size)
        for protocol, arrays in found.items():
            values, curve = metrics(arrays["twist"], pairs, moves)
            if "consistency" in arrays:
                values["sampling_consistency"] = arrays["consistency"].mean().item()
            for metric, value in values.items():
                rows.append(evaluation.row(entry, protocol, metric, value, len(pairs.template)))
            curves.append(evaluation.curve(entry, protocol, curve, step_deg=STEP))
        pictured = entry.m == gallery_size or entry.sampler is None
        # saved samples can be `generated` alone; of several seeds the first is shown
        if pictured and "matched" in found and f"moved_{name}" not in gallery:
            for part, array in picture(pairs, found["matched"], moves or is_icp).items():
                gallery[f"{part}_{name}"] = array
    gallery = {name: array.cpu().numpy() for name, array in gallery.items()}
    evaluation.write(out, "registration", data, entries, rows, gallery, curves=curves)
    with torch.no_grad():
        clouds = [pairs.template, pairs.source]
        evaluation.save_samples(config, entries, originals, clouds, lambda idx: idx.cpu().numpy())
    print(summary.write(out, experiments.load(Path(__file__).parent)))


if __name__ == "__main__":
    main(evaluate, Config, __doc__)
