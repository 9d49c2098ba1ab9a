"""Train SampleNet in front of a frozen classifier, its trunk from random or pre-trained weights.

    python pretraining/train_samplenet.py --config pretraining/configs/quick.yaml \\
        --task results/classifier --pretrained results/points --sample-sizes 16 \\
        --out results/sampler

The sampler learns from the labels that the classifier learned from, all or few. Its trunk is a
PointNet without T-Nets, as that of train_points.py --no-transforms, from whose runs it can start.
The test set is scored once, after the last epoch (scores.json), beside farthest points and all
points. Several processes share each batch, as in train_images.py's.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

import finetune
import labelled
import scores
from backbones import WIDTH, PointNet, name_of
from classifiers import load_task
from finetune import cross_entropy
from learning import training_step
from restore import restore
from samplenet.data import batches
from samplenet.data.clouds import Clouds
from samplenet.errors import InputError
from samplenet.ops import torch as ops
from samplenet.runs import schedules
from samplenet.runs.run import saved_config
from samplenet.runs.script import main
from samplenet.runs.settings import SamplerConfig, option
from samplenet.runs.training import Training
from samplenet.torch import SampleNet, capture, processes, projection_loss, simplification_loss
from samplenet.torch.settings import DeviceConfig
from samplenet.torch.state import State


@dataclass
class Config(DeviceConfig, SamplerConfig):
    """The defaults are those of the published sampler for classification."""

    pretrained: str | None = option(
        None, "run folder of train_points.py --no-transforms; default: random weights", path=True
    )
    augmentation: str = option(
        "none", "of training clouds, see train_classifier.py", choices=labelled.AUGMENTATIONS
    )
    output_batch_norm: bool = option(True, "batch norm after the sampler's last layer")
    alpha: float = 30.0
    k: int = 7
    epochs: int = 500
    lr: float = 1e-2
    lr_decay: float = 0.7
    lr_decay_samples: int = 600_000


class SampledTask(nn.Module):
    """The sampler, the frozen classifier behind it, and the losses of a training step."""

    def __init__(self, sampler: SampleNet, net: nn.Module, config: Config):
        super().__init__()
        self.sampler, self.net, self.config = sampler, net, config

    def forward(self, labels: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Compute a batch's loss, and without gradient its parts.

        These are the loss, its task, simplification and projection loss, and the share of right
        answers.
        """
        config, sampled = self.config, self.sampler(points)
        share = 1 / len(config.sample_sizes) if config.over_sizes == "mean" else 1.0
        task = simplify = right = 0.0
        for m in config.sample_sizes:
            logits, _ = self.net(sampled.points[:, :m])
            queries = sampled.queries[:, :m]
            task = task + share * cross_entropy(logits, labels)
            simplify = simplify + share * simplification_loss(
                queries, points, config.beta, config.gamma, config.delta
            )
            right = right + (logits.argmax(1) == labels).float().mean() / len(config.sample_sizes)
        project = projection_loss(self.sampler)
        loss = task + config.alpha * simplify + config.lmbda * project
        return loss, torch.stack([loss, task, simplify, project, right]).detach()


def build(config: Config, num_points: int) -> tuple[SampleNet, float]:
    """Build the sampler; return it and the share of its weights that are from --pretrained."""
    size = config.largest_size(num_points)
    sampler = SampleNet(
        size,
        config.k,
        projection=config.projection,
        conv_widths=(64, 64, 64, 128, WIDTH),  # the trunk's
        output_batch_norm=config.output_batch_norm,
        bn_epsilon=1e-5,
    )
    if config.pretrained is None:
        return sampler, 0.0
    run = saved_config(config.pretrained, backbone=str, transforms=bool)
    if run.backbone != "pointnet" or run.transforms:
        raise InputError(
            f"--pretrained {config.pretrained} is no PointNet without T-Nets: train one by "
            "train_points.py --backbone pointnet --no-transforms"
        )
    holder = nn.Module()  # with the names of the run's weights
    holder.trunk = trunk = PointNet(transforms=False)
    restore(holder, config.pretrained, least_share=1)
    with torch.no_grad():
        for i, layer in enumerate((*trunk.early, *trunk.late, trunk.widest), 1):
            conv, norm = getattr(sampler, f"conv{i}"), getattr(sampler, f"bn{i}")
            conv.weight.copy_(layer.linear.weight[..., None])
            conv.bias.copy_(layer.linear.bias)
            norm.load_state_dict(layer.norm.state_dict())
    counts = [sum(p.numel() for p in part.parameters()) for part in (trunk, sampler)]
    return sampler, counts[0] / counts[1]


@torch.no_grad()
def score(
    sampler: SampleNet, net: nn.Module, test: Clouds, m: int, batch_size: int, device
) -> dict:
    """Classify the test clouds by m matched points, by m farthest points and by all points."""
    sampler.eval()  # points are matched, not projected
    predicted = {"": [], "_fps": [], "_whole": []}
    for points in torch.from_numpy(test.points).split(batch_size):
        points = points.to(device)
        farthest = ops.gather(points, ops.farthest_points(points, m))
        kept = sampler.order(points, m).points
        for name, cloud in zip(predicted, (kept, farthest, points), strict=True):
            predicted[name].append(net(cloud)[0].argmax(1).cpu().numpy())
    sampler.train()
    accuracies = {k: np.mean(np.concatenate(v) == test.labels) for k, v in predicted.items()}
    return {f"accuracy{name}": share for name, share in accuracies.items()}


def train(config: Config) -> None:
    torch.manual_seed(config.seed)
    net, task = load_task(config.task)
    task.data_root = config.data_root or task.data_root
    sampler, restored = build(config, task.num_points)
    clouds, test = (labelled.open_clouds(task, split) for split in ("train", "test"))
    rows = labelled.few_rows(clouds.labels, task.labels_per_class, task.seed)
    total = config.epochs * batches.steps_per_epoch(rows, config.batch_size)
    with processes.start(config.device, config.batch_size, config.deterministic) as peers:
        sampler, net = sampler.to(peers.device), net.to(peers.device)
        optimizer = capture.adam(sampler, config.lr)
        task_of_sampler = SampledTask(sampler, net, config)
        train_step = training_step(task_of_sampler, optimizer, peers, config)
        labels = torch.from_numpy(clouds.labels).to(peers.device)

        def load(step, rows):
            own = rows.tolist()
            points = finetune.augmented(clouds.points[own], own, config, step)
            return labels[rows], torch.from_numpy(points).to(peers.device)

        sizes, names = config.sample_sizes, ("loss", "task_loss", "simplification_loss")
        card = {"sizes": sizes, "num_points": task.num_points, "normalisation": "unit_sphere"}
        with Training(config, peers, State(sampler, optimizer), config.task, card=card) as training:
            for epoch in training.epochs():
                order = batches.of_epoch(rows, config.batch_size, config.seed, epoch)
                for step, batch in training.steps(peers.part(order), load):
                    lr = schedules.learning_rate(config, step, total)
                    optimizer.param_groups[0]["lr"].fill_(lr)
                    training.add(train_step(*batch))
                if training.last:
                    m = max(sizes)
                    found = score(sampler, net, test, m, config.batch_size, peers.device)
                    folder, method = training.run.folder, method_of(config, task, m)
                    scores.write(folder, method, config.seed, restored, len(test), found)
                training.end_epoch((*names, "projection_loss", "soft_accuracy"), lr=lr)


def method_of(config: Config, task, m: int) -> dict:
    """Return the key of a run's rows: how many points, whose classifier, and the trunk's start."""
    return {
        "task": f"SampleNet, {m} points, classifier {scores.start_of(task.pretrained or '')}",
        "start": scores.start_of(config.pretrained or ""),
        "backbone": name_of(task),
        "labels": labelled.amount(task.labels_per_class),
    }


if __name__ == "__main__":
    main(train, Config, __doc__)
