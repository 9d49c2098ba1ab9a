"""Score samplers by how well a trained PCRNet registers what they leave of each test pair.

    python registration/evaluate.py --task results/pcrnet --samplers random fps fps_same_start results/samplenet-16 \\
        --sizes 64 32 16 --out results/evaluation

`random`, `fps` (another random first point in each cloud, as published) and `fps_same_start` (point 0 in both) are
scored at every size, also those of the trained samplers; a trained one (its run folder) at its own, a progressive one
at every size; `icp`, Open3D's, on the full clouds. Three protocols: `matched` gives PCRNet subsets of the two clouds,
`soft` the softly projected points and `generated` the simplified points themselves. `--samples` scores folders that
`--save-samples` or anybody wrote.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import pairs
import rigid
import train_samplenet
from samplenet import report
from samplenet.data import saved_samples
from samplenet.data.clouds import Clouds
from samplenet.data.saved_layouts import MODELNET40
from samplenet.errors import InputError
from samplenet.ops import check_inputs
from samplenet.ops import torch as ops
from samplenet.runs import evaluation
from samplenet.runs.run import finished_run
from samplenet.runs.script import main
from samplenet.runs.settings import option
from samplenet.sampled import Sampled, random_indices
from samplenet.torch import FarthestPointSampler, RandomSampler, SampleNet, processes
from samplenet.torch.state import set_state

STEP = 0.5  # degrees between two points of a precision curve, which goes from 0 to 180
SHOWN = 4  # pairs in the pictures, of different shapes
ICP_DISTANCE = 1.0  # the shape's longest side: from ±45 degrees every point may look for its partner


class IndependentStarts:
    """Farthest point sampling from a random first point of each cloud, drawn by (seed, cloud)."""

    project = None

    def __init__(self, m: int, seed: int):
        self.m, self.seed = m, seed

    def __call__(self, points, cloud) -> Sampled:
        """points (B, N, 3), cloud (B,): each cloud's number."""
        start = torch.from_numpy(random_indices(points.shape[1], 1, self.seed, cloud)[:, 0]).to(points.device)
        idx = ops.farthest_points(points, self.m, start=start)
        return Sampled(ops.gather(points, idx), idx, None)


UNTRAINED = {
    "random": RandomSampler,
    "fps": IndependentStarts,
    "fps_same_start": lambda m, seed: FarthestPointSampler(m),
}


@dataclass
class Config:
    """What is scored on which data."""

    task: str = option("", "run folder of the trained PCRNet", path=True)
    samplers: list[str] = option(
        ["random", "fps", "fps_same_start"], "random, fps, fps_same_start, icp, and run folders of trained samplers"
    )
    sizes: list[int] = option([512, 256, 128, 64, 32, 16, 8], "sample sizes of random and fps", at_least=1)
    data_root: str | None = option(None, "data set folder; without it, PCRNet's own data set", path=True)
    out: str = option("", "folder for results.json, table and figures", path=True)
    batch_size: int = option(32, "pairs scored at once; makes no difference to the result", at_least=1)
    seed: int = option(0, "of the random sampler and the first points of fps", at_least=0)
    samples: list[str] = option([], "folders of saved samples, or of several such, to score as well")
    save_samples: str | None = option(None, "folder to write what each sampler picked to, for --samples", path=True)
    gallery_size: int = option(32, "sample size of the pictures (of the trained ones, the nearest to it)")
    device: str = option("auto", "'auto': a GPU where there is one", choices=processes.DEVICES)


def trained(folder: str, device: torch.device, num_points: int) -> tuple[train_samplenet.Config, SampleNet]:
    """The settings and the sampler of a run folder."""
    config, arrays, _ = finished_run(folder, train_samplenet.Config)
    sampler = train_samplenet.build(config, num_points)
    set_state(sampler, arrays, source=folder)
    return config, sampler.eval().to(device)


def protocols(sampler, clouds, sampled) -> dict[str, Tensor]:
    """The clouds (B, m, 3) that a sample is scored as, by protocol."""
    points = sampled.points.contiguous()  # a prefix has other strides, by which convolutions round in another order
    found = {"generated" if sampled.idx is None else "matched": points}
    if sampled.queries is not None:
        found["generated"] = sampled.queries
        if sampler.project is not None:
            found["soft"] = sampler.project(clouds, sampled.queries)
    return found


@torch.no_grad()
def register(net, sampler, made: list[Tensor], batch_size: int) -> tuple[dict[str, dict[str, Tensor]], list[Tensor]]:
    """Estimate every pair from what the sampler leaves of its two clouds.

    Returns:
        By protocol: the twists (P, 7), and the samples' consistency (P,), the Chamfer distance between the
        template's and the source's, moved back by the true transform. And the matched indices of template and
        source, (P, m) each; none without a sampler.
    """
    found, indices = {}, []
    for start in range(0, len(made[0]), batch_size):
        template, source, quaternion, translation = (array[start : start + batch_size] for array in made)
        if sampler is None:
            twist, _ = net(template, source)
            found.setdefault("matched", []).append({"twist": twist})
            continue
        cloud = 2 * np.arange(start, start + len(template))  # every cloud has a number of its own
        first, second = sampler(template, cloud), sampler(source, cloud + 1)
        if first.idx is not None:
            indices.append((first.idx, second.idx))
        sources = protocols(sampler, source, second)
        back = rigid.inverse(torch.cat([quaternion, translation], 1))
        for protocol, points in protocols(sampler, template, first).items():
            twist, _ = net(points, sources[protocol])
            near = ops.chamfer(points, rigid.apply(back, sources[protocol]))
            consistency = near.a2b.mean(1) + near.b2a.mean(1)
            found.setdefault(protocol, []).append({"twist": twist, "consistency": consistency})
    joined = {p: {key: torch.cat([part[key] for part in parts]) for key in parts[0]} for p, parts in found.items()}
    return joined, [torch.cat(parts) for parts in zip(*indices, strict=True)]


def icp(made: list[Tensor]) -> Tensor:
    """Point-to-point ICP of Open3D on every pair of full clouds, from no motion: twists (P, 7)."""
    open3d = _open3d()
    registration, points = open3d.pipelines.registration, open3d.utility.Vector3dVector
    twists = []
    for template, source in zip(made[0].cpu().numpy(), made[1].cpu().numpy(), strict=True):
        clouds = (open3d.geometry.PointCloud(points(cloud.astype(np.float64))) for cloud in (template, source))
        matrix = torch.from_numpy(registration.registration_icp(*clouds, ICP_DISTANCE).transformation.copy())
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


def metrics(twist: Tensor, made: list[Tensor], translation: bool) -> tuple[dict[str, float], np.ndarray]:
    """The numbers of one line of the table, and the precision curve."""
    error = rigid.angle_between(twist[:, :4], made[2]).double().cpu().numpy()
    paper = rigid.paper_angle_between(twist[:, :4], made[2]).double().cpu().numpy()
    curve = precision(error)
    values = {
        "rotation_error_deg": error.mean(),
        "rotation_error_median_deg": np.median(error),
        "rotation_error_std_deg": error.std(),
        "rotation_error_paper_deg": paper.mean(),
        "auc": curve.mean(),
        "auc_paper": precision(paper, 179.5).mean(),  # the released code's, which has no threshold of 180
        "share_under_5_deg": (error < 5).mean(),
        "share_under_10_deg": (error < 10).mean(),
    }
    if translation:
        values["translation_error"] = (twist[:, 4:] - made[3]).norm(dim=1).mean().item()
    return values, curve


def open_pairs(config: Config, task_config) -> tuple[list[Tensor], str]:
    """The test pairs, made as PCRNet's own, and what to call them."""
    root = config.data_root or task_config.data_root
    needed = task_config.num_points * (2 if task_config.independent else 1)
    clouds = pairs.load_class(root, task_config.class_name, "test", needed, task_config.shapes_per_class)
    how = {name: getattr(task_config, name) for name in ("noise", "translation", "independent")}
    made = [torch.from_numpy(array) for array in pairs.for_test(clouds, task_config.num_points, **how)]
    extras = [name if value is True else f"{name} {value}" for name, value in how.items() if value]
    name = f"{task_config.class_name} of {'the built-in shapes' if root is None else Path(root).name}"
    return made, ", ".join([name, *extras])


def originals_of(made: list[Tensor], class_name: str) -> saved_samples.Originals:
    """The test pairs as clouds that samples are of."""
    ids = [f"pair {i}" for i in range(len(made[0]))]
    clouds = [Clouds(points.numpy(), np.zeros(len(ids), np.int64), (class_name,), ids) for points in made[:2]]
    return saved_samples.Originals({"template": clouds[0], "source": clouds[1]}, MODELNET40)


def show(gallery: dict, name: str, twist: Tensor, made: list[Tensor], indices: list[Tensor], translation: bool) -> None:
    """Add what the pictures show of one sampler: its estimates of the first pairs, and the points it picked."""
    twist, template, quaternion = twist[:SHOWN], made[0][:SHOWN], made[2][:SHOWN]
    moved = rigid.apply(twist, template) if translation else rigid.rotate(twist[:, :4], template)
    gallery[f"moved_{name}"] = moved.cpu().numpy()
    gallery[f"error_{name}"] = rigid.angle_between(twist[:, :4], quaternion).cpu().numpy()
    for cloud, idx in zip(("template", "source"), indices, strict=False):
        gallery[f"idx_{cloud}_{name}"] = idx[:SHOWN].cpu().numpy()


def evaluate(config: Config) -> None:
    evaluation.check(config)
    check_inputs(True)
    device = processes.choose(config.device)
    net, task_config = train_samplenet.load_task(config.task)
    net, n = net.to(device), task_config.num_points
    if "icp" in config.samplers:
        _open3d()
    wanted = dataclasses.replace(config, samplers=[name for name in config.samplers if name != "icp"])
    made, data = open_pairs(config, task_config)
    originals = originals_of(made, task_config.class_name)
    saved = saved_samples.read(config.samples, originals, lambda array: torch.from_numpy(array).to(device))
    samplers = evaluation.choose(wanted, n, UNTRAINED, lambda folder: trained(folder, device, n), saved)
    made = [array.to(device) for array in made]
    out = evaluation.prepare(config, samplers)

    size = evaluation.gallery_size(config, samplers)
    rows, curves, moves = [], [], task_config.translation

    def score(name, m, seed, found):
        for protocol, part in found.items():
            values, curve = metrics(part["twist"], made, moves)
            if "consistency" in part:
                values["sampling_consistency"] = part["consistency"].mean().item()
            line = {"sampler": name, "m": m, "protocol": protocol}
            for metric, value in values.items():
                value = round(float(value), 6)
                rows.append({**line, "metric": metric, "value": value, "n": len(made[0]), "seed": seed})
            curves.append({**line, "seed": seed, "step_deg": STEP, "precision": [round(float(v), 6) for v in curve]})

    gallery = {"template": made[0][:SHOWN].cpu().numpy(), "source": made[1][:SHOWN].cpu().numpy()}
    gallery["error_before"] = rigid.angle_between(torch.eye(4)[0].to(device), made[2][:SHOWN]).cpu().numpy()
    for name, m, sampler, seed, _ in tqdm(samplers, "evaluate", disable=None):
        found, indices = register(net, sampler, made, config.batch_size)
        score(name, m, seed, found)
        if (m == size or sampler is None) and "matched" in found and f"moved_{name}" not in gallery:
            show(gallery, name, found["matched"]["twist"], made, indices, moves)
        if name == "none" and "icp" in config.samplers:
            twist = icp(made).to(device)
            score("icp", n, config.seed, {"matched": {"twist": twist}})
            show(gallery, "icp", twist, made, [], True)
    evaluation.write(out, "registration", data, config.task, samplers, rows, gallery, curves=curves)
    with torch.no_grad():
        evaluation.save_samples(config, samplers, originals, made[:2], lambda idx: idx.cpu().numpy())
    print(report.write(out))


if __name__ == "__main__":
    main(evaluate, Config, __doc__)
