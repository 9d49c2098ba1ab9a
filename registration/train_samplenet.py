"""Train SampleNet (or S-NET with --no-projection) in front of a frozen, trained PCRNet.

python registration/train_samplenet.py --config registration/configs/quick.yaml \\
    --task results/pcrnet --sample-sizes 16 --out results/samplenet-16

Several sizes (--sample-sizes 8 16 32) train SampleNet-Progressive, or ProgressiveNet: one sampler whose first c points
serve every size c.

The pairs are those that PCRNet was trained on. The loop over epochs is a copy of train_pcrnet.py's, so that each script
reads from top to bottom; several processes as there.
"""

import contextlib
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

import rigid
import train_pcrnet
from pcrnet import PCRNet, load_task, task_loss
from samplenet import weights
from samplenet.data import batches
from samplenet.errors import InputError
from samplenet.runs import schedules
from samplenet.runs.run import Run, finite
from samplenet.runs.script import main
from samplenet.runs.settings import RunConfig, option
from samplenet.sampled import largest_size
from samplenet.torch import SampleNet, processes, projection_loss, simplification_loss
from samplenet.torch.state import get_state, set_state


@dataclass
class Config(RunConfig):
    """The defaults are the published settings."""

    task: str = option("", "run folder of the trained PCRNet; its data settings are the sampler's too", path=True)
    data_root: str | None = option(None, "where PCRNet's data set lies now, if it has moved (for a new run)", path=True)
    sample_sizes: list[int] = option([64], "sample size m; several: a progressive sampler", at_least=1)
    over_sizes: str = option("sum", "reduction of several sizes' losses", choices=("sum", "mean"))
    projection: bool = option(True, "soft projection while training; without it the sampler is S-NET")
    k: int = option(8, "neighbours of the soft projection", at_least=1)
    min_sigma: float = option(1e-2, "least squared temperature of the soft projection", at_least=0)
    alpha: float = option(0.01, "weight of the simplification loss", at_least=0)
    lmbda: float = option(0.01, "weight of the projection loss", at_least=0)
    beta: float = option(1.0, "the simplification loss's weight of the largest distance", at_least=0)
    gamma: float = option(1.0, "its weight of the coverage of the input", at_least=0)
    delta: float = option(0.0, "its further weight of the coverage for each sampled point", at_least=0)
    epochs: int = 400
    lr: float = 1e-3
    checkpoint_epochs: int = option(
        1, "epochs between two checkpoints; each is judged on the held-out pairs", at_least=1
    )
    device: str = option("auto", "'auto': a GPU where there is one", choices=processes.DEVICES)
    amp: bool = option(False, "bfloat16 where autocast takes it")
    compile: bool = option(False, "compile sampler, PCRNet and losses by torch.compile")
    sync_bn: bool = option(False, "several GPUs: batch norm over the whole batch, not over each process's part")


def build(config: Config, num_points: int) -> SampleNet:
    """The sampler that the settings describe, for clouds of `num_points`, with its first weights."""
    m = largest_size(config.sample_sizes, num_points, "PCRNet's N")
    if config.projection and config.k > num_points:
        raise InputError(f"--k must be in [1, N] = [1, {num_points}], PCRNet's points, got {config.k}")
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
        """A batch of pairs -> the loss, and its parts without gradient: task, simplification, projection, degrees."""
        config = self.config
        clouds = torch.cat([template, source])  # one batch: the two clouds of a pair are normalised alike
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
            simplify = simplify + weight * simplification_loss(queries, clouds, config.beta, config.gamma, config.delta)
            error = error + rigid.angle_between(twist[:, :4], quaternion).mean() / count
        project = projection_loss(self.sampler)
        loss = task + config.alpha * simplify + config.lmbda * project
        return loss, torch.stack([part.detach() for part in (loss, task, simplify, project, error)])


@torch.no_grad()
def matched_error(sampler: SampleNet, sizes: list[int], net: PCRNet, made: list[Tensor], batch_size: int) -> float:
    """Mean geodesic rotation error in degrees on matched points, over pairs and sizes; leaves the sampler training."""
    sampler.eval()
    template, source = (
        torch.cat([sampler.order(part, max(sizes)).points for part in clouds.split(batch_size)]) for clouds in made[:2]
    )
    errors = [train_pcrnet.rotation_errors(net, [template[:, :m], source[:, :m], *made[2:]], batch_size) for m in sizes]
    sampler.train()
    return torch.stack(errors).mean().item()


def train(config: Config) -> None:
    train_pcrnet.deterministic(config.deterministic)
    torch.manual_seed(config.seed)
    net, task_config = load_task(config.task)
    sampler = build(config, task_config.num_points)
    task_config.data_root = config.data_root or task_config.data_root
    train_pairs, judged_pairs = train_pcrnet.make_pairs(task_config)
    steps = batches.steps_per_epoch(train_pairs.template, config.batch_size)
    with contextlib.ExitStack() as stack:
        here = stack.enter_context(processes.start(config.device, config.batch_size))
        if config.sync_bn and here.device.type != "cuda":
            raise InputError("--sync-bn needs GPUs; on the CPU each process normalises its own part of a batch")
        run = stack.enter_context(Run(config.out, config, config.task, here.world == 1)) if here.first else None
        arrays, meta, done = here.agree((run.arrays, run.meta, run.done) if run else None)
        within = arrays.pop("within", [])  # measured in an epoch that was stopped on its way
        if done:
            if run:
                print(f"{run.folder} is finished")
            return
        if config.sync_bn:
            sampler = nn.SyncBatchNorm.convert_sync_batchnorm(sampler)
        sampler, net = sampler.to(here.device), net.to(here.device)
        optimizer = torch.optim.Adam(sampler.parameters(), config.lr, fused=True)
        if arrays:
            set_state(sampler, arrays, optimizer, f"the checkpoint in {config.out}")
        model = here.parallel(SampledTask(sampler, net, config, task_config.translation))
        model = torch.compile(model) if config.compile else model
        train_set, judged_set = ([torch.from_numpy(a).to(here.device) for a in p] for p in (train_pairs, judged_pairs))
        best = meta.get("best")
        for epoch in range(meta.get("epoch", 0), config.epochs):
            measured, skip, within = list(torch.tensor(within, device=here.device)), len(within), []
            begin = time.perf_counter()
            order = np.stack(list(batches.batches(np.arange(len(train_set[0])), config.batch_size, config.seed, epoch)))
            order = here.part(torch.from_numpy(order)).to(here.device)  # (steps, B / world)
            hidden = None if run else True  # tqdm: shown in a terminal, by the first process
            for i, rows in enumerate(tqdm(order, f"epoch {epoch + 1}/{config.epochs}", leave=False, disable=hidden)):
                if i < skip:  # done before the stop
                    continue
                if run and run.stopping:
                    meta = {"epoch": epoch, "step": epoch * steps + i, "best": best}
                    run.leave(get_state(sampler, optimizer), meta, [part.cpu().numpy() for part in measured])
                lr = schedules.learning_rate(config, epoch * steps + i, config.epochs * steps)
                optimizer.param_groups[0]["lr"] = lr
                optimizer.zero_grad()
                with torch.autocast(here.device.type, torch.bfloat16, enabled=config.amp):
                    loss, parts = model(*(array[rows] for array in train_set))
                loss.backward()
                optimizer.step()
                measured.append(parts)
            here.check_identical(sampler)
            measured = here.mean(torch.stack(measured)).cpu().numpy()  # (steps, 5), read once an epoch
            for i, value in enumerate(measured[:, 0]):
                finite(float(value), "the loss", epoch * steps + i)
            if not run:
                continue
            last = epoch + 1 == config.epochs
            names = ("loss", "task_loss", "simplification_loss", "projection_loss", "soft_rotation_error_deg")
            values = {**dict(zip(names, measured.mean(0).tolist(), strict=True)), "lr": lr}
            timing = {"step_ms": 1e3 * (time.perf_counter() - begin) / (steps - skip)}
            text = (
                f"epoch {epoch + 1}/{config.epochs}  loss {values['loss']:.4f}  simplify "
                f"{values['simplification_loss']:.4f}  sigma {values['projection_loss']:.4f}  soft "
                f"{values['soft_rotation_error_deg']:.2f} degrees  {timing['step_ms']:.1f} ms a step"
            )
            is_best, saved = False, last or (epoch + 1) % config.checkpoint_epochs == 0
            if saved and len(judged_set[0]):
                judged = matched_error(sampler, config.sample_sizes, net, judged_set, config.batch_size)
                finite(judged, "the held-out rotation error", (epoch + 1) * steps)
                values["held_out_rotation_error_deg"] = judged
                text += f"  held out, matched {judged:.2f} degrees"
                is_best = best is None or judged < best
                best = judged if is_best else best
            run.log((epoch + 1) * steps, {k: round(float(v), 6) for k, v in values.items()}, timing)
            print(text, flush=True)
            if saved:
                meta = {"epoch": epoch + 1, "step": (epoch + 1) * steps, "best": best}
                if last:  # for samplenet.load_pretrained
                    about = {
                        "sizes": config.sample_sizes,
                        "num_points": task_config.num_points,
                        "normalisation": "box_side",
                    }
                    weights.save(sampler, run.folder / "sampler.safetensors", about)
                run.checkpoint(get_state(sampler, optimizer), meta, is_best, done=last)


if __name__ == "__main__":
    main(train, Config, __doc__)
