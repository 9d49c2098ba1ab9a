"""The runs of an experiment: experiment.py adds them to a `Plan`, samplenet.runs.jobs runs them."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from samplenet.device import gpu
from samplenet.runs.experiments import TRAINED_SAMPLERS, Experiment, attribute
from samplenet.runs.jobs import Job

ROOT = Path(__file__).resolve().parent
PROGRESSIVE = ("progressivenet", "samplenet_progressive")  # one run serves all sizes
BASELINE_SIZES = (512, 256, 128, 64, 32, 16, 8)  # where --num-points replaces the preset's points


class Task(NamedTuple):
    """The run of a task network; `variant` says which network, if not the experiment's usual one."""

    name: str
    variant: str = ""


class Plan:
    """The runs of one experiment that the flags ask for.

    A run is named after its folder, seen from the results:
    <experiment>[-<data>][-<variant>][-n<points>]/<folder>.

    Attributes:
        flags: of reproduce.py.
        preset: the one in `flags`.
        jobs: by name.
        planned: of each evaluation, by its task network's variant: sample sizes by sampler.
    """

    def __init__(self, experiment: Experiment, flags: argparse.Namespace, out: Path):
        self.experiment, self.flags, self.preset, self.out = experiment, flags, flags.preset, out
        self.jobs: dict[str, Job] = {}
        self.planned: dict[str, dict[str, list[int]]] = {}
        self.data_root = (
            getattr(flags, attribute(experiment.data_flag)) if experiment.data_set else None
        )
        data = Path(self.data_root).name if self.data_root else ""
        points = f"n{flags.num_points}" if flags.num_points else ""
        self.base = "-".join(
            filter(None, [experiment.name, data, experiment.variant(flags), points])
        )

    def add(
        self,
        script: str,
        folder: str,
        flags: Sequence = (),
        *,
        data: bool = True,
        resume=False,
        **fields,
    ) -> str:
        """Add a run of one of the experiment's scripts, unless it is planned already -> its name.

        Args:
            folder: of the run, below the experiment's results.
            flags: of the script besides --config, --data-root, --out and --resume.
            data: whether the script takes --data-root.
            resume: whether it takes --resume.
            fields: of `Job`: `output`, `needs`, `wants`, `runs`, `reads` and `exclusive`.
        """
        name = f"{self.base}/{folder}"
        config = self.experiment.folder / "configs" / f"{self.preset}.yaml"
        command = [f"{self.experiment.name}/{script}", "--config", _seen_from_root(config)]
        command += ["--data-root", self.data_root] if data and self.data_root else []
        command += [*map(str, flags), "--out", self.path(name)]
        command += ["--resume"] if resume else []
        self.jobs.setdefault(
            name, Job(name, command, config, python=_python(self.experiment.framework), **fields)
        )
        return name

    def add_training(
        self, script: str, folder: str, flags: Sequence = (), needs: Sequence[str] = ()
    ) -> str:
        """Add a training run -> its name."""
        return self.add(script, folder, flags, needs=needs, output="last.safetensors", resume=True)

    def add_task(self, script: str, folder: str, flags: Sequence = (), variant: str = "") -> Task:
        """Add the training of a task network."""
        folder = f"{folder}-{variant}" if variant else folder
        return Task(
            self.add_training(script, folder, ["--seed", 0, *self.num_points, *flags]), variant
        )

    def add_sampler(
        self,
        kind: str,
        sizes: Sequence[int],
        seed: int,
        task: Task,
        flags: Sequence = (),
        below: str = ".",
    ) -> str:
        """Add a sampler's training in front of a task network, in the folder `below` -> its name."""
        projection = "--projection" if kind.startswith("samplenet") else "--no-projection"
        own = ["--task", self.path(task.name), "--sample-sizes", *sizes, projection, "--seed", seed]
        folder = f"{kind}-seed{seed}" if kind in PROGRESSIVE else f"{kind}-{sizes[0]}-seed{seed}"
        return self.add_training(
            "train_samplenet.py", str(Path(below, folder)), [*own, *flags], [task.name]
        )

    def add_scores(
        self,
        task: Task,
        folder: str,
        samplers: Sequence[str] = (),
        *,
        runs: str | None = None,
        sizes: Sequence[int] = (),
        flags: Sequence = (),
        script: str = "evaluate.py",
        output: str = "results.json",
        needs: Sequence[str] = (),
        **fields,
    ) -> str:
        """Add an evaluation of samplers -> its name.

        Args:
            task: the network that scores them.
            samplers: baselines, and trained samplers by path.
            runs: folder of which every finished sampler for this network is scored.
            sizes: of baselines and progressive samplers; the preset's if not given.
            fields: as for `add`.
        """
        if not sizes and self.flags.num_points:
            sizes = self.fitting(BASELINE_SIZES)
        command = ["--task", self.path(task.name), "--samplers", *(samplers or ["none"])]
        command += ["--runs", self.path(f"{self.base}/{runs}")] if runs else []
        command += ["--sizes", *sizes] if sizes else []
        fields["runs"] = self.out / self.base / runs if runs else None
        return self.add(
            script, folder, [*command, *flags], output=output, needs=[task.name, *needs], **fields
        )

    def add_sampling(
        self,
        task: Task,
        baselines: Sequence[str],
        sizes: Sequence[int],
        progressive: Sequence[int],
        *,
        whole: Sequence[str] = (),
        progressive_flags: Sequence = (),
        progressive_task: Task | None = None,
    ) -> list[str]:
        """Add a table: a run for each sampler, size and seed, and the evaluation -> the samplers' names.

        Args:
            task: the frozen network.
            baselines: samplers that are not trained.
            sizes: of S-NET and SampleNet, a run each; --sizes replaces them.
            progressive: sizes that one progressive run is trained for.
            whole: methods that see all points, to stand beside the samplers.
            progressive_flags: of the progressive ones' training.
            progressive_task: their network, if it is another; they then have a table of their own.
        """
        sizes, progressive = self.flags.sizes or self.fitting(sizes), self.fitting(progressive)
        tables: dict[Task, dict[str, tuple[str, list[int]]]] = {
            task: {}
        }  # kind and sizes of each run
        for seed in self.flags.seeds:
            for kind in self.flags.samplers:
                network, each, own_flags = task, [[m] for m in sizes], ()
                if kind in PROGRESSIVE:
                    network, each, own_flags = (
                        progressive_task or task,
                        [progressive],
                        progressive_flags,
                    )
                for trained in each:
                    name = self.add_sampler(kind, trained, seed, network, own_flags)
                    tables.setdefault(network, {})[name] = kind, trained
        samples = ["--samples", *self.flags.samples] if self.flags.samples else []
        reads = [Path(path) for path in self.flags.samples]
        for network, runs in tables.items():
            folder = f"evaluation-{network.variant}" if network.variant else "evaluation"
            methods, waits = [*baselines, *whole], list(runs)
            self.add_scores(
                network, folder, methods, runs=".", flags=samples, wants=waits, reads=reads
            )
            every = sorted({*sizes}.union(*(trained for _, trained in runs.values())))
            planned = self.planned[network.variant] = dict.fromkeys(baselines, every)
            for kind, _ in runs.values():
                planned[kind] = every if kind in PROGRESSIVE else sizes
        return list(tables[task])

    @property
    def progressive(self) -> bool:
        """Whether progressive samplers are asked for."""
        return bool({*PROGRESSIVE} & {*self.flags.samplers})

    @property
    def num_points(self) -> list:
        """The flag of a script that is to use --num-points of each cloud."""
        return ["--num-points", self.flags.num_points] if self.flags.num_points else []

    def fitting(self, sizes: Sequence[int]) -> list[int]:
        """The sample sizes of a preset that --num-points leaves points for."""
        n = self.flags.num_points
        return [m for m in sizes if not n or m < n] or [max(1, n // 2)]

    def path(self, name: str) -> str:
        """The folder of a run as commands give it."""
        return _seen_from_root(self.out / name)


def make(
    words: Sequence[str], experiments: dict[str, Experiment], flags: argparse.Namespace, out: Path
) -> list[Plan]:
    """Plan the experiments and extras that `words` name."""
    plans: dict[str, Plan] = {}
    for name, experiment in experiments.items():
        chosen = [experiment.runs] if name in words else []
        chosen += [add for extra, add in experiment.extras.items() if extra in words]
        if chosen:
            plans[name] = Plan(experiment, flags, out)
        for add in chosen:
            add(plans[name])
    return list(plans.values())


def published_tables(
    experiments: dict[str, Experiment], flags: argparse.Namespace, out: Path
) -> dict:
    """List the published tables' cells: sample sizes by sampler, by experiment and network variant."""
    whole = argparse.Namespace(
        **vars(flags) | {"samplers": TRAINED_SAMPLERS, "sizes": None, "samples": []}
    )
    words = [name for name, experiment in experiments.items() if experiment.in_all]
    tables = {}
    for plan in make(words, experiments, whole, out):
        tables |= {
            (plan.experiment.name, variant): sizes for variant, sizes in plan.planned.items()
        }
    return tables


def _seen_from_root(path: Path) -> str:
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


@functools.cache
def _python(framework: str) -> str:
    """The interpreter: where setup.sh saw a GPU, TensorFlow has an environment of its own."""
    own = ROOT / ".venv-tf" / "bin" / "python"
    return str(own) if framework == "tf" and own.exists() and gpu() else sys.executable
