"""Train SampleNet (or S-NET with --no-projection) in front of a frozen, trained PCRNet.

    python registration/train_samplenet.py --config registration/configs/quick.yaml \\
        --task results/pcrnet --sample-sizes 16 --out results/samplenet-16

Several sizes (--sample-sizes 8 16 32) train SampleNet-Progressive, or ProgressiveNet: one sampler
whose first c points serve every size c.

The sampler is trained on PCRNet's own training pairs; several processes share each batch, as there.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

import rigid
import train_pcrnet
from pairs import Pairs
from pcrnet import PCRNet, load_task, task_loss
from samplenet.data import batches
from samplenet.errors import InputError
from samplenet.runs import schedules
from samplenet.runs.script import main
from samplenet.runs.settings import SamplerConfig, option
from samplenet.runs.training import Training
from samplenet.torch import SampleNet, capture, processes, projection_loss, simplification_loss
from samplenet.torch.settings import DeviceConfig
from samplenet.torch.state import State


@dataclass
class Config(DeviceConfig, SamplerConfig):
    """The defaults are the published settings."""

    k: int = 8
    min_sigma: float = option(1e-2, "least squared temperature of the soft projection", at_least=0)
    alpha: float = 0.01
    lmbda: float = 0.01
    epochs: int = 400
    sync_bn: bool = option(
        False, "several GPUs: batch norm over the whole batch, not over each process's part"
    )


def build(config: Config, num_points: int) -> SampleNet:
    """Build the sampler that the settings describe, for clouds of `num_points`."""
    return SampleNet(
        config.largest_size(num_points),
        config.k,
        min_sigma=config.min_sigma,
        projection=config.projection,
        output_batch_norm=False,
        output_order="3m",
        bn_epsilon=1e-5,
    )


class SampledTask(nn.Module):
    """The sampler, the frozen task network behind it, and the losses of a training step.

    One module, because torch.compile and DistributedDataParallel wrap a module.
    """

    def __init__(self, sampler: SampleNet, net: PCRNet, config: Config, translation: bool):
        super().__init__()
        self.sampler, self.net, self.config, self.translation = sampler, net, config, translation

    def forward(self, template, source, quaternion, translation) -> tuple[Tensor, Tensor]:
        """Compute a batch's loss, and without gradient its parts.

        These are the loss, its task, simplification and projection loss, and the rotation error in
        degrees.
        """
        config, count = self.config, len(self.config.sample_sizes)
        size_weight = 1 / count if config.over_sizes == "mean" else 1.0
        shift = translation if self.translation else None
        # one batch, so that batch norm treats the two clouds of a pair alike
        clouds = torch.cat([template, source])
        sampled = self.sampler(clouds)
        task = simplify = error = 0.0
        for m in config.sample_sizes:
            template, source = sampled.points[:, :m].chunk(2)  # (B, m, 3) each
            twist, _ = self.net(template, source)
            task_m = task_loss(twist, template, source, quaternion, shift)
            simplify_m = simplification_loss(
                sampled.queries[:, :m], clouds, config.beta, config.gamma, config.delta
            )
            task = task + size_weight * task_m
            simplify = simplify + size_weight * simplify_m
            error = error + rigid.angle_between(twist[:, :4], quaternion).mean() / count
        project = projection_loss(self.sampler)
        loss = task + config.alpha * simplify + config.lmbda * project
        return loss, torch.stack([loss, task, simplify, project, error]).detach()


@torch.no_grad()
def matched_error(
    sampler: SampleNet, sizes: list[int], net: PCRNet, pairs: Pairs, batch_size: int
) -> float:
    """Measure the mean rotation error in degrees on matched points, over pairs and sizes."""
    sampler.eval()  # points are matched, not projected

    def in_order(clouds):
        parts = [sampler.order(part, max(sizes)).points for part in clouds.split(batch_size)]
        return torch.cat(parts)

    template, source = in_order(pairs.template), in_order(pairs.source)
    errors = []
    for m in sizes:
        sampled = pairs._replace(template=template[:, :m], source=source[:, :m])
        errors.append(train_pcrnet.rotation_errors(net, sampled, batch_size))
    sampler.train()
    return torch.stack(errors).mean().item()


def train(config: Config) -> None:
    torch.manual_seed(config.seed)
    net, task_config = load_task(config.task)
    sampler, sizes = build(config, task_config.num_points), config.sample_sizes
    task_config.data_root = config.data_root or task_config.data_root
    pairs, held_out = train_pcrnet.make_pairs(task_config)
    rows = np.arange(len(pairs.template))
    total = config.epochs * batches.steps_per_epoch(rows, config.batch_size)
    with processes.start(config.device, config.batch_size, config.deterministic) as peers:
        if config.sync_bn:
            if peers.device.type != "cuda":
                raise InputError(
                    "--sync-bn needs GPUs; on the CPU each process normalises its own part of a "
                    "batch"
                )
            sampler = nn.SyncBatchNorm.convert_sync_batchnorm(sampler)
        sampler, net = sampler.to(peers.device), net.to(peers.device)
        optimizer = capture.adam(sampler, config.lr)
        model = peers.parallel(SampledTask(sampler, net, config, task_config.translation))
        model = torch.compile(model) if config.compile else model
        pairs, held_out = pairs.to(peers.device), held_out.to(peers.device)

        def train_step(*batch):
            optimizer.zero_grad()
            with torch.autocast(peers.device.type, torch.bfloat16, enabled=config.amp):
                loss, measured = model(*batch)
            loss.backward()
            optimizer.step()
            return measured

        train_step = capture.captured(train_step, optimizer, peers, config)

        def load(step, rows):
            return pairs.rows(rows)

        losses = ("loss", "task_loss", "simplification_loss", "projection_loss")
        card = {"sizes": sizes, "num_points": task_config.num_points, "normalisation": "box_side"}
        with Training(config, peers, State(sampler, optimizer), config.task, card=card) as training:
            for epoch in training.epochs():
                order = batches.of_epoch(rows, config.batch_size, config.seed, epoch)
                for step, batch in training.steps(peers.part(order), load):
                    lr = schedules.learning_rate(config, step, total)
                    optimizer.param_groups[0]["lr"].fill_(lr)
                    training.add(train_step(*batch))
                held_out_scores = {}
                if training.judging and len(held_out.template):
                    error = matched_error(sampler, sizes, net, held_out, config.batch_size)
                    held_out_scores["held_out_rotation_error_deg"] = error
                names = (*losses, "soft_rotation_error_deg")
                training.end_epoch(names, lr=lr, **held_out_scores)


if __name__ == "__main__":
    main(train, Config, __doc__)
