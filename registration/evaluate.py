"""Score samplers by how well a trained PCRNet registers what they leave of each test pair.

    python registration/evaluate.py --task results/pcrnet --samplers random fps fps_same_start results/samplenet-16 \\
        --sizes 64 32 16 --out results/evaluation

`random`, `fps` (another random first point in each cloud, as published) and `fps_same_start` (point 0 in both) are
scored at every size, also those of the trained samplers; a trained one (its run folder) at its own, a progressive one
at every size; `icp`, Open3D's, on the full clouds. Three protocols: `matched` gives PCRNet subsets of the two clouds,
`soft` the softly projected points and `generated` the simplified points themselves. `--runs` scores all samplers that
finished in a folder, `--samples` folders that `--save-samples` or anybody wrote.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import rigid
from pairs import Pairs, for_test, load_class
from pcrnet import load_task
from samplenet import load_pretrained
from samplenet.data import saved_samples
from samplenet.data.clouds import Clouds
from samplenet.data.saved_layouts import MODELNET40
from samplenet.errors import InputError
from samplenet.ops import check_inputs
from samplenet.ops import torch as ops
from samplenet.report import summary
from samplenet.runs import evaluation, experiments
from samplenet.runs.evaluation import Entry, EvaluationConfig
from samplenet.runs.script import main
from samplenet.runs.settings import option
from samplenet.torch import FarthestPointSampler, RandomSampler, processes

STEP = 0.5  # degrees between two points of a precision curve, which goes from 0 to 180
PAIRS_SHOWN = 4  # in the pictures, of different shapes
ICP_DISTANCE = (
    1.0  # the shape's longest side: from ±45 degrees every point may look for its partner
)

BASELINES = {
    "random": RandomSampler,
    "fps": lambda m, seed: FarthestPointSampler(m, start="random", seed=seed),
    "fps_same_start": lambda m, seed: FarthestPointSampler(m),
}


@dataclass
class Config(EvaluationConfig):
    """What is scored on which data."""

    samplers: list[str] = option(
        ["random", "fps", "fps_same_start"],
        "random, fps, fps_same_start, icp, and run folders of trained samplers",
    )
    device: str = option("auto", "'auto': a GPU where there is one", choices=processes.DEVICES)


@torch.no_grad()
def register(
    net, sampler, pairs: Pairs, batch_size: int
) -> tuple[dict[str, dict[str, Tensor]], list[Tensor]]:
    """Estimate the transform of every pair from what the sampler leaves of its two clouds.

    Returns:
        By protocol: the twists (P, 7), and the samples' consistency (P,), the Chamfer distance between the
        template's and the source's, moved back by the true transform. And the matched indices of template and
        source, (P, m) each; none without a sampler.
    """
    found, indices = {}, []
    for start in range(0, len(pairs.template), batch_size):
        template, source, quaternion, translation = (
            array[start : start + batch_size] for array in pairs
        )
        if sampler is None:
            twist, _ = net(template, source)
            found.setdefault("matched", []).append({"twist": twist})
            continue
        cloud = 2 * np.arange(start, start + len(template))  # every cloud has a number of its own
        first, second = sampler(template, cloud), sampler(source, cloud + 1)
        if first.idx is not None:
            indices.append((first.idx, second.idx))
        # a progressive sampler's points have other strides, by which convolutions would round in another order
        first, second = (
            sampled._replace(points=sampled.points.contiguous()) for sampled in (first, second)
        )
        sources = evaluation.protocols(sampler, source, second)
        back = rigid.inverse(torch.cat([quaternion, translation], 1))
        for protocol, points in evaluation.protocols(sampler, template, first).items():
            twist, _ = net(points, sources[protocol])
            near = ops.chamfer(points, rigid.apply(back, sources[protocol]))
            consistency = near.a2b.mean(1) + near.b2a.mean(1)
            found.setdefault(protocol, []).append({"twist": twist, "consistency": consistency})
    joined = {protocol: _join(parts) for protocol, parts in found.items()}
    return joined, [torch.cat(parts) for parts in zip(*indices, strict=True)]


def _join(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Concatenate what each batch gave, by key."""
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


def icp(pairs: Pairs) -> Tensor:
    """Run point-to-point ICP of Open3D on every pair of full clouds, from no motion: twists (P, 7)."""
    open3d = _open3d()
    registration, points = open3d.pipelines.registration, open3d.utility.Vector3dVector
    twists = []
    for template, source in zip(
        pairs.template.cpu().numpy(), pairs.source.cpu().numpy(), strict=True
    ):
        clouds = (
            open3d.geometry.PointCloud(points(cloud.astype(np.float64)))
            for cloud in (template, source)
        )
        matrix = torch.from_numpy(
            registration.registration_icp(*clouds, ICP_DISTANCE).transformation.copy()
        )
        twists.append(torch.cat([rigid.from_matrix(matrix[:3, :3]), matrix[:3, 3]]))
    return torch.stack(twists).float()


def _open3d():
    try:
        import open3d
    except ImportError as error:
        raise InputError(
            f"--samplers icp needs Open3D ({error}): bash setup.sh icp; on Debian or Ubuntu it also needs "
            "apt-get install libusb-1.0-0 libgl1 libgomp1 libx11-6"
        ) from error
    return open3d


def precision(errors: np.ndarray, last: float = 180.0) -> np.ndarray:
    """The precision curve: the share of errors (P,) in degrees of at most 0, 0.5, ..., `last`."""
    thresholds = np.arange(0, last + STEP / 2, STEP)
    return (errors[:, None] <= thresholds).mean(0)


def metrics(twist: Tensor, pairs: Pairs, translation: bool) -> tuple[dict[str, float], np.ndarray]:
    """Compute the numbers of one line of the table, and the precision curve."""
    error = rigid.angle_between(twist[:, :4], pairs.quaternion).double().cpu().numpy()
    paper = rigid.paper_angle_between(twist[:, :4], pairs.quaternion).double().cpu().numpy()
    curve = precision(error)
    values = {
        "rotation_error_deg": error.mean(),
        "rotation_error_median_deg": np.median(error),
        "rotation_error_std_deg": error.std(),
        "rotation_error_paper_deg": paper.mean(),
        "auc": curve.mean(),
        "auc_paper": precision(
            paper, 179.5
        ).mean(),  # the released code's, which has no threshold of 180
        "share_under_5_deg": (error < 5).mean(),
        "share_under_10_deg": (error < 10).mean(),
    }
    if translation:
        values["translation_error"] = (twist[:, 4:] - pairs.translation).norm(dim=1).mean().item()
    return values, curve


def open_pairs(config: Config, task_config) -> tuple[Pairs, str]:
    """Make the test pairs, as PCRNet's own were made, and say what they are."""
    root = config.data_root or task_config.data_root
    needed = task_config.num_points * (2 if task_config.independent else 1)
    clouds = load_class(root, task_config.class_name, "test", needed, task_config.shapes_per_class)
    options = {name: getattr(task_config, name) for name in ("noise", "translation", "independent")}
    pairs = Pairs(*map(torch.from_numpy, for_test(clouds, task_config.num_points, **options)))
    extras = [
        name if value is True else f"{name} {value}" for name, value in options.items() if value
    ]
    data = (
        f"{task_config.class_name} of {'the built-in shapes' if root is None else Path(root).name}"
    )
    return pairs, ", ".join([data, *extras])


def originals_of(pairs: Pairs, class_name: str) -> saved_samples.Originals:
    """Describe the test pairs as clouds that samples are of."""
    ids = [f"pair {i}" for i in range(len(pairs.template))]
    parts = {}
    for part, points in (("template", pairs.template), ("source", pairs.source)):
        parts[part] = Clouds(points.numpy(), np.zeros(len(ids), np.int64), (class_name,), ids)
    return saved_samples.Originals(parts, MODELNET40)


def show(
    gallery: dict, name: str, twist: Tensor, pairs: Pairs, indices: list[Tensor], translation: bool
) -> None:
    """Add what the pictures show of one sampler: its estimates of the first pairs, and the points it picked."""
    twist, template = twist[:PAIRS_SHOWN], pairs.template[:PAIRS_SHOWN]
    moved = rigid.apply(twist, template) if translation else rigid.rotate(twist[:, :4], template)
    gallery[f"moved_{name}"] = moved.cpu().numpy()
    gallery[f"error_{name}"] = (
        rigid.angle_between(twist[:, :4], pairs.quaternion[:PAIRS_SHOWN]).cpu().numpy()
    )
    for cloud, idx in zip(("template", "source"), indices, strict=False):
        gallery[f"idx_{cloud}_{name}"] = idx[:PAIRS_SHOWN].cpu().numpy()


def evaluate(config: Config) -> None:
    evaluation.check(config)
    check_inputs(True)
    device = processes.choose(config.device)
    net, task_config = load_task(config.task)
    net, n = net.to(device), task_config.num_points
    with_icp = "icp" in config.samplers
    if with_icp:
        _open3d()
    wanted = dataclasses.replace(
        config, samplers=[name for name in config.samplers if name != "icp"]
    )
    pairs, data = open_pairs(config, task_config)
    originals = originals_of(pairs, task_config.class_name)
    saved = saved_samples.read(
        config.samples, originals, lambda array: torch.from_numpy(array).to(device)
    )

    def load_sampler(folder: str):
        return load_pretrained(folder, framework="torch").to(device)

    entries = evaluation.choose(wanted, n, BASELINES, load_sampler, saved)
    pairs = Pairs(*(array.to(device) for array in pairs))
    out = evaluation.prepare(config, entries)

    size, moves = evaluation.gallery_size(config, entries), task_config.translation
    rows, curves = [], []

    def score(entry: Entry, found: dict[str, dict[str, Tensor]]) -> None:
        for protocol, part in found.items():
            values, curve = metrics(part["twist"], pairs, moves)
            if "consistency" in part:
                values["sampling_consistency"] = part["consistency"].mean().item()
            for metric, value in values.items():
                rows.append(evaluation.row(entry, protocol, metric, value, len(pairs.template)))
            curves.append(evaluation.curve(entry, protocol, curve, step_deg=STEP))

    gallery = {
        "template": pairs.template[:PAIRS_SHOWN].cpu().numpy(),
        "source": pairs.source[:PAIRS_SHOWN].cpu().numpy(),
    }
    before = rigid.angle_between(torch.eye(4)[0].to(device), pairs.quaternion[:PAIRS_SHOWN])
    gallery["error_before"] = before.cpu().numpy()
    for entry in tqdm(entries, "evaluate", disable=None):
        found, indices = register(net, entry.sampler, pairs, config.batch_size)
        score(entry, found)
        shown = entry.m == size or entry.sampler is None
        if shown and "matched" in found and f"moved_{entry.name}" not in gallery:
            show(gallery, entry.name, found["matched"]["twist"], pairs, indices, moves)
        if entry.sampler is None and with_icp:
            twist = icp(pairs).to(device)
            score(Entry("icp", n, None, config.seed), {"matched": {"twist": twist}})
            show(gallery, "icp", twist, pairs, [], True)
    evaluation.write(out, "registration", data, entries, rows, gallery, curves=curves)
    with torch.no_grad():
        clouds = [pairs.template, pairs.source]
        evaluation.save_samples(config, entries, originals, clouds, lambda idx: idx.cpu().numpy())
    print(summary.write(out, experiments.load(Path(__file__).parent)))


if __name__ == "__main__":
    main(evaluate, Config, __doc__)
