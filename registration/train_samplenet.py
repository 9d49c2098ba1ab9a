"""Train SampleNet (or S-NET with --no-projection) in front of a frozen, trained PCRNet.

python registration/train_samplenet.py --config registration/configs/quick.yaml \\
    --task results/pcrnet --sample-sizes 16 --out results/samplenet-16

Several sizes (--sample-sizes 8 16 32) train SampleNet-Progressive, or ProgressiveNet: one sampler whose first c points
serve every size c.

The pairs are those that PCRNet was trained on; several processes as there.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

import rigid
import train_pcrnet
from pairs import Pairs
from pcrnet import PCRNet, load_task, task_loss
from samplenet import weights
from samplenet.data import batches
from samplenet.errors import InputError
from samplenet.runs import schedules
from samplenet.runs.script import main
from samplenet.runs.settings import RunConfig, option
from samplenet.runs.training import Training
from samplenet.sampled import largest_size
from samplenet.torch import SampleNet, processes, projection_loss, simplification_loss
from samplenet.torch.state import State


@dataclass
class Config(RunConfig):
    """The defaults are the published settings."""

    task: str = option(
        "", "run folder of the trained PCRNet; its data settings are the sampler's too", path=True
    )
    data_root: str | None = option(
        None, "where PCRNet's data set lies now, if it has moved (for a new run)", path=True
    )
    sample_sizes: list[int] = option(
        [64], "sample size m; several: a progressive sampler", at_least=1
    )
    over_sizes: str = option("sum", "reduction of several sizes' losses", choices=("sum", "mean"))
    projection: bool = option(
        True, "soft projection while training; without it the sampler is S-NET"
    )
    k: int = option(8, "neighbours of the soft projection", at_least=1)
    min_sigma: float = option(1e-2, "least squared temperature of the soft projection", at_least=0)
    alpha: float = option(0.01, "weight of the simplification loss", at_least=0)
    lmbda: float = option(0.01, "weight of the projection loss", at_least=0)
    beta: float = option(
        1.0, "the simplification loss's weight of the largest distance", at_least=0
    )
    gamma: float = option(1.0, "its weight of the coverage of the input", at_least=0)
    delta: float = option(
        0.0, "its further weight of the coverage for each sampled point", at_least=0
    )
    epochs: int = 400
    lr: float = 1e-3
    device: str = option("auto", "'auto': a GPU where there is one", choices=processes.DEVICES)
    amp: bool = option(False, "bfloat16 where autocast takes it")
    compile: bool = option(False, "compile sampler, PCRNet and losses by torch.compile")
    sync_bn: bool = option(
        False, "several GPUs: batch norm over the whole batch, not over each process's part"
    )


def build(config: Config, num_points: int) -> SampleNet:
    """Build the sampler that the settings describe, for clouds of `num_points`, with its first weights."""
    m = largest_size(config.sample_sizes, num_points, "PCRNet's N")
    if config.projection and config.k > num_points:
        raise InputError(
            f"--k must be in [1, N] = [1, {num_points}], PCRNet's points, got {config.k}"
        )
    return SampleNet(
        m,
        config.k,
        min_sigma=config.min_sigma,
        projection=config.projection,
        output_batch_norm=False,
        output_order="3m",
        bn_epsilon=1e-5,
    )


class SampledTask(nn.Module):
    """The sampler in front of the frozen task network, and all losses: what a training step differentiates."""

    def __init__(self, sampler: SampleNet, net: PCRNet, config: Config, translation: bool):
        super().__init__()
        self.sampler, self.net, self.config, self.translation = sampler, net, config, translation

    def forward(self, template, source, quaternion, translation) -> tuple[Tensor, Tensor]:
        """Compute a batch's loss, and its parts without gradient: task, simplification, projection, degrees."""
        config = self.config
        clouds = torch.cat(
            [template, source]
        )  # one batch: the two clouds of a pair are normalised alike
        sampled = self.sampler(clouds)
        count = len(config.sample_sizes)
        weight = 1 / count if config.over_sizes == "mean" else 1.0  # of one size's losses
        task = simplify = error = 0.0
        for m in config.sample_sizes:
            template, source = sampled.points[:, :m].chunk(2)  # (B, m, 3) each
            twist, _ = self.net(template, source)
            moved = translation if self.translation else None
            task = task + weight * task_loss(twist, template, source, quaternion, moved)
            queries = sampled.queries[:, :m]
            simplify = simplify + weight * simplification_loss(
                queries, clouds, config.beta, config.gamma, config.delta
            )
            error = error + rigid.angle_between(twist[:, :4], quaternion).mean() / count
        project = projection_loss(self.sampler)
        loss = task + config.alpha * simplify + config.lmbda * project
        return loss, torch.stack([part.detach() for part in (loss, task, simplify, project, error)])


@torch.no_grad()
def matched_error(
    sampler: SampleNet, sizes: list[int], net: PCRNet, pairs: Pairs, batch_size: int
) -> float:
    """Measure the mean rotation error in degrees on matched points, over pairs and sizes; leaves `sampler` training."""
    sampler.eval()
    template, source = (
        torch.cat([sampler.order(part, max(sizes)).points for part in clouds.split(batch_size)])
        for clouds in (pairs.template, pairs.source)
    )
    errors = []
    for m in sizes:
        sampled = pairs._replace(template=template[:, :m], source=source[:, :m])
        errors.append(train_pcrnet.rotation_errors(net, sampled, batch_size))
    sampler.train()
    return torch.stack(errors).mean().item()


def train(config: Config) -> None:
    train_pcrnet.deterministic(config.deterministic)
    torch.manual_seed(config.seed)
    net, task_config = load_task(config.task)
    sampler, sizes = build(config, task_config.num_points), config.sample_sizes
    task_config.data_root = config.data_root or task_config.data_root
    pairs, held_out = train_pcrnet.make_pairs(task_config)
    rows = np.arange(len(pairs.template))
    total = config.epochs * batches.steps_per_epoch(rows, config.batch_size)
    with processes.start(config.device, config.batch_size) as peers:
        if config.sync_bn and peers.device.type != "cuda":
            raise InputError(
                "--sync-bn needs GPUs; on the CPU each process normalises its own part of a batch"
            )
        if config.sync_bn:
            sampler = nn.SyncBatchNorm.convert_sync_batchnorm(sampler)
        sampler, net = sampler.to(peers.device), net.to(peers.device)
        optimizer = torch.optim.Adam(sampler.parameters(), config.lr, fused=True)
        pairs = train_pcrnet.on_device(pairs, peers.device)
        held_out = train_pcrnet.on_device(held_out, peers.device)

        def load(step, rows):
            return Pairs(*(array[rows] for array in pairs))

        parts = (
            "loss",
            "task_loss",
            "simplification_loss",
            "projection_loss",
            "soft_rotation_error_deg",
        )
        with Training(config, peers, State(sampler, optimizer), config.task) as training:
            model = peers.parallel(SampledTask(sampler, net, config, task_config.translation))
            model = torch.compile(model) if config.compile else model
            for epoch in training.epochs():
                order = torch.from_numpy(
                    batches.of_epoch(rows, config.batch_size, config.seed, epoch)
                )
                for step, batch in training.steps(peers.part(order).to(peers.device), load):
                    optimizer.param_groups[0]["lr"] = lr = schedules.learning_rate(
                        config, step, total
                    )
                    optimizer.zero_grad()
                    with torch.autocast(peers.device.type, torch.bfloat16, enabled=config.amp):
                        loss, measured = model(*batch)
                    loss.backward()
                    optimizer.step()
                    training.add(measured)
                peers.check_identical(sampler)
                judged = {}
                if training.judging and len(held_out.template):
                    error = matched_error(sampler, sizes, net, held_out, config.batch_size)
                    judged["held_out_rotation_error_deg"] = error
                if training.last:  # for samplenet.load_pretrained
                    about = {
                        "sizes": sizes,
                        "num_points": task_config.num_points,
                        "normalisation": "box_side",
                    }
                    weights.save(sampler, training.run.folder / "sampler.safetensors", about)
                training.end_epoch(parts, lr=lr, **judged)


if __name__ == "__main__":
    main(train, Config, __doc__)
