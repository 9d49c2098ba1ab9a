"""Train the task network: PCRNet on pairs of one class of ModelNet40 or of the built-in shapes.

python registration/train_pcrnet.py --config registration/configs/quick.yaml --out results/pcrnet
torchrun --standalone --local-addr localhost --nproc-per-node 2 registration/train_pcrnet.py ...
"""

import contextlib
import os
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import pairs
import rigid
from pcrnet import INITS, PCRNet, initialise_he, task_loss
from samplenet.data import batches
from samplenet.runs import schedules
from samplenet.runs.run import Run, finite
from samplenet.runs.script import main
from samplenet.runs.settings import DataConfig, option
from samplenet.torch import processes
from samplenet.torch.state import get_state, set_state


@dataclass
class Config(DataConfig):
    """The defaults are the published settings."""

    batch_size: int = option(32, "pairs a step, B", at_least=1)  # no batch norm
    class_name: str = option("car", "class whose clouds are registered")
    pairs: int = option(
        5000, "pairs of the training clouds, repeated, drawn by --seed; the held-out ones included", at_least=1
    )
    noise: float = option(
        0.0, "standard deviation of noise on the source clouds, in lengths of the longest side", at_least=0
    )
    translation: bool = option(False, "move the source clouds as well, and learn by how much")
    independent: bool = option(False, "make source clouds of other points of the surface than the templates'")
    iterations: int = option(1, "passes that refine the estimate", at_least=1)
    init: str = option("default", "first weights: PyTorch's own, as published, or 'he' (short runs)", choices=INITS)
    epochs: int = 500
    lr: float = 1e-3
    hold_out: float = option(0.1, "share of the training clouds that is held out", at_least=0, below=1)
    checkpoint_epochs: int = option(
        1, "epochs between two checkpoints; each is judged on the held-out pairs", at_least=1
    )
    device: str = option("auto", "'auto': a GPU where there is one", choices=processes.DEVICES)
    amp: bool = option(False, "bfloat16 where autocast takes it")
    compile: bool = option(False, "compile the network by torch.compile")


def deterministic(on: bool) -> None:
    """Whether the same seed gives the same weights on the same device, bit for bit."""
    torch.use_deterministic_algorithms(on)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid, and slow
    if on:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def make_pairs(config) -> tuple[pairs.Pairs, pairs.Pairs]:
    """The pairs to train on and the held-out ones; the two share no cloud and no rotation."""
    needed = config.num_points * (2 if config.independent else 1)
    clouds = pairs.load_class(config.data_root, config.class_name, "train", needed, config.shapes_per_class)
    train_rows, held_out = batches.hold_out(clouds, config.hold_out, config.seed)
    judged = round(config.pairs * len(held_out) / len(clouds))
    names = ("noise", "translation", "independent")
    how = {"num_points": config.num_points, "seed": config.seed, **{name: getattr(config, name) for name in names}}
    first = config.pairs - judged
    return (
        pairs.make(clouds[train_rows], count=first, **how),
        pairs.make(clouds[held_out], count=judged, first=first, **how),
    )


def build(config: Config) -> PCRNet:
    """The network that the settings describe, with its first weights."""
    net = PCRNet(input_shape="bnc", iterations=config.iterations, translation=config.translation)
    if config.init == "he":
        initialise_he(net)
    return net


@torch.no_grad()
def rotation_errors(net, made: list[Tensor], batch_size: int) -> Tensor:
    """Geodesic angle in degrees between estimated and true rotation of every pair, (P,)."""
    errors = []
    for parts in zip(*(array.split(batch_size) for array in made), strict=True):
        template, source, quaternion, _ = parts
        errors.append(rigid.angle_between(net(template, source)[0][:, :4], quaternion))
    return torch.cat(errors)


def train(config: Config) -> None:
    deterministic(config.deterministic)
    torch.manual_seed(config.seed)
    train_pairs, judged_pairs = make_pairs(config)
    steps = batches.steps_per_epoch(train_pairs.template, config.batch_size)
    with contextlib.ExitStack() as stack:
        here = stack.enter_context(processes.start(config.device, config.batch_size))
        run = stack.enter_context(Run(config.out, config, alone=here.world == 1)) if here.first else None
        arrays, meta, done = here.agree((run.arrays, run.meta, run.done) if run else None)
        within = arrays.pop("within", [])  # measured in an epoch that was stopped on its way
        if done:
            if run:
                print(f"{run.folder} is finished")
            return
        net = build(config).to(here.device)
        optimizer = torch.optim.Adam(net.parameters(), config.lr, fused=True)
        if arrays:
            set_state(net, arrays, optimizer, f"the checkpoint in {config.out}")
        model = here.parallel(net)
        model = torch.compile(model) if config.compile else model
        train_set, judged_set = ([torch.from_numpy(a).to(here.device) for a in p] for p in (train_pairs, judged_pairs))
        best = meta.get("best")
        for epoch in range(meta.get("epoch", 0), config.epochs):
            losses, skip, within = list(torch.tensor(within, device=here.device)), len(within), []
            begin = time.perf_counter()
            order = np.stack(list(batches.batches(np.arange(len(train_set[0])), config.batch_size, config.seed, epoch)))
            order = here.part(torch.from_numpy(order)).to(here.device)  # (steps, B / world)
            hidden = None if run else True  # tqdm: shown in a terminal, by the first process
            for i, rows in enumerate(tqdm(order, f"epoch {epoch + 1}/{config.epochs}", leave=False, disable=hidden)):
                if i < skip:  # done before the stop
                    continue
                if run and run.stopping:
                    meta = {"epoch": epoch, "step": epoch * steps + i, "best": best}
                    run.leave(get_state(net, optimizer), meta, [part.cpu().numpy() for part in losses])
                template, source, quaternion, translation = (array[rows] for array in train_set)
                lr = schedules.learning_rate(config, epoch * steps + i, config.epochs * steps)
                optimizer.param_groups[0]["lr"] = lr
                optimizer.zero_grad()
                with torch.autocast(here.device.type, torch.bfloat16, enabled=config.amp):
                    twist, _ = model(template, source)
                loss = task_loss(twist, template, source, quaternion, translation if config.translation else None)
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
            here.check_identical(net)
            losses = here.mean(torch.stack(losses)).tolist()  # read once an epoch: a GPU need not wait for the host
            for i, value in enumerate(losses):
                finite(value, "the loss", epoch * steps + i)
            if not run:
                continue
            last = epoch + 1 == config.epochs
            values = {"loss": np.mean(losses), "lr": lr}
            timing = {"step_ms": 1e3 * (time.perf_counter() - begin) / (steps - skip)}
            text = f"epoch {epoch + 1}/{config.epochs}  loss {values['loss']:.4f}  {timing['step_ms']:.1f} ms a step"
            is_best, saved = False, last or (epoch + 1) % config.checkpoint_epochs == 0
            if saved and len(judged_set[0]):
                judged = rotation_errors(net, judged_set, config.batch_size).mean().item()
                finite(judged, "the held-out rotation error", (epoch + 1) * steps)
                values["held_out_rotation_error_deg"] = judged
                text += f"  held out {judged:.2f} degrees"
                is_best = best is None or judged < best
                best = judged if is_best else best
            run.log((epoch + 1) * steps, {k: round(float(v), 6) for k, v in values.items()}, timing)
            print(text, flush=True)
            if saved:
                meta = {"epoch": epoch + 1, "step": (epoch + 1) * steps, "best": best}
                run.checkpoint(get_state(net, optimizer), meta, is_best, done=last)


if __name__ == "__main__":
    main(train, Config, __doc__)
