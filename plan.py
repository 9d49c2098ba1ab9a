"""Plan runs: an experiment.py adds its own to a `Plan`, and samplenet.runs.jobs runs them."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from samplenet import greedy
from samplenet.device import gpu
from samplenet.runs.experiments import PRESETS, TRAINED_SAMPLERS, Experiment, attribute
from samplenet.runs.keys import Job

ROOT = Path(__file__).resolve().parent
PROGRESSIVE = ("progressivenet", "samplenet_progressive")  # one run serves all sizes
# scored with --num-points, as the presets' sizes may be too large then
BASELINE_SIZES = (512, 256, 128, 64, 32, 16, 8)


class Task(NamedTuple):
    """The run of a task network.

    Attributes:
        variant: which network it is; empty for the experiment's usual one.
    """

    name: str
    variant: str = ""


class Plan:
    """The runs of one experiment that the flags ask for.

    A run's name is its folder below the results:
    <experiment>[-<data>][-<variant>][-n<points>]/<folder>.

    Attributes:
        flags: of reproduce.py.
        preset: the one in `flags`.
        jobs: by name, each after those that it needs.
        planned: sample sizes in the tables of `add_sampling`: by the task network's variant, by
            sampler.
    """

    def __init__(self, experiment: Experiment, flags: argparse.Namespace, out: Path):
        self.experiment, self.flags, self.preset, self.out = experiment, flags, flags.preset, out
        self.jobs: dict[str, Job] = {}
        self.planned: dict[str, dict[str, list[int]]] = {}
        self._networks_by_seed = False
        root = getattr(flags, attribute(experiment.data_flag)) if experiment.data_set else None
        self.data_root = root or ""
        # results on other data, networks or numbers of points do not mix, so each has a folder
        points = f"n{flags.num_points}" if flags.num_points else ""
        parts = experiment.name, Path(self.data_root).name, experiment.variant(flags), points
        self.base = "-".join(filter(None, parts))

    def add(
        self, script: str, folder: str, flags: Sequence = (), *, data=True, resume=False, **fields
    ) -> str:
        """Add a run of one of the experiment's scripts, unless it is planned already.

        Args:
            folder: of the run, below the experiment's results.
            flags: of the script besides --config, --data-root, --out and --resume.
            data: whether the script takes --data-root.
            resume: whether the script takes --resume.
            fields: of `Job`: `output`, `needs`, `wants`, `runs`, `networks`, `reads`, `exclusive`.

        Returns:
            The run's name.
        """
        name = f"{self.base}/{folder}"
        config = self.experiment.folder / "configs" / f"{self.preset}.yaml"
        command = [f"{self.experiment.name}/{script}", "--config", _relative(config)]
        if data and self.data_root:
            command += ["--data-root", self.data_root]
        command += [*map(str, flags), "--out", self.path(name)]
        if resume:
            command.append("--resume")
        python = _python(self.experiment.framework)
        self.jobs.setdefault(name, Job(name, command, config, python=python, **fields))
        return name

    def add_training(
        self, script: str, folder: str, flags: Sequence = (), needs: Sequence[str] = ()
    ) -> str:
        """Add a training run; return its name."""
        return self.add(script, folder, flags, needs=needs, output="last.safetensors", resume=True)

    def add_task(
        self, script: str, folder: str, flags: Sequence = (), variant: str = "", seed: int = 0
    ) -> Task:
        """Add the training of a task network."""
        own = ["--seed", seed]
        if self.flags.num_points:
            own += ["--num-points", self.flags.num_points]
        folder = f"{folder}-{variant}" if variant else folder
        return Task(self.add_training(script, folder, [*own, *flags]), variant)

    def add_sampler(
        self,
        kind: str,
        sizes: Sequence[int],
        seed: int,
        task: Task,
        flags: Sequence = (),
        below: str = "",
    ) -> str:
        """Add a sampler's training for a task network; return its name.

        Args:
            below: folder of the run; if not given, that of the network's variant.
        """
        projection = "--projection" if kind.startswith("samplenet") else "--no-projection"
        own = ["--task", self.path(task.name), "--sample-sizes", *sizes, projection, "--seed", seed]
        size = "" if kind in PROGRESSIVE else f"-{sizes[0]}"
        folder = str(Path(below or task.variant, f"{kind}{size}-seed{seed}"))
        return self.add_training("train_samplenet.py", folder, [*own, *flags], [task.name])

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
        """Add an evaluation of samplers; return its name.

        Args:
            task: the network that scores them.
            samplers: baselines, and trained samplers by path.
            runs: folder whose finished samplers of this network are all scored.
            sizes: of baselines and progressive samplers; the preset's if not given.
            fields: as for `add`.
        """
        if not sizes and self.flags.num_points:
            sizes = self.fitting(BASELINE_SIZES)
        command = ["--task", self.path(task.name), "--samplers", *(samplers or ["none"])]
        if runs:
            command += ["--runs", self.path(f"{self.base}/{runs}")]
            fields["runs"] = self.out / self.base / runs
        if sizes:
            command += ["--sizes", *sizes]
        needs = [task.name, *needs]
        return self.add(script, folder, [*command, *flags], output=output, needs=needs, **fields)

    def add_sampling(
        self,
        task: Task,
        baselines: Sequence[str],
        sizes: Sequence[int],
        progressive: Sequence[int],
        *,
        kinds: Sequence[str] = TRAINED_SAMPLERS,
        whole: Sequence[str] = (),
        progressive_flags: Sequence = (),
    ) -> list[str]:
        """Add a table: a run for each sampler, size and seed, and their evaluation.

        Args:
            task: the frozen network; one with a variant has a table and folders of its own.
            baselines: samplers that are not trained.
            sizes: of S-NET and SampleNet, one run each; --sizes replaces them.
            progressive: sizes that one progressive run is trained for.
            kinds: trained samplers of this table, if the flags ask for them.
            whole: methods that see all points, for comparison in the same table.
            progressive_flags: flags of the progressive samplers' training.

        Returns:
            The names of the trained samplers.
        """
        sizes, progressive = self.flags.sizes or self.fitting(sizes), self.fitting(progressive)
        kinds = [kind for kind in self.flags.samplers if kind in kinds]
        names = []
        for seed in self.flags.seeds:
            for kind in kinds:
                trained, own = [[m] for m in sizes], ()
                if kind in PROGRESSIVE:
                    trained, own = [progressive], progressive_flags
                names += [self.add_sampler(kind, m, seed, task, own) for m in trained]

        folder = f"evaluation-{task.variant}" if task.variant else "evaluation"
        samples = ["--samples", *self.flags.samples] if self.flags.samples else []
        reads = [Path(path) for path in self.flags.samples]
        others = {"runs": task.variant or ".", "flags": samples, "reads": reads}
        self.add_scores(task, folder, [*baselines, *whole], wants=names, **others)
        # as in `entries.choose`, baselines and progressive samplers come at every size
        every = sorted({*sizes, *progressive} if {*kinds} & {*PROGRESSIVE} else {*sizes})
        planned = self.planned[task.variant] = dict.fromkeys(baselines, every)
        for name in greedy.VARIANTS.keys() & planned.keys():
            planned[name] = [m for m in every if m <= greedy.LARGEST]
        for kind in kinds:
            planned[kind] = every if kind in PROGRESSIVE else sizes
        return names

    def add_networks(self, script: str, networks: dict[str, Sequence], below: str = "") -> None:
        """Add a table of networks: a training of each for every seed, and their evaluation.

        Args:
            script: trains a network.
            networks: flags of the script by the network's name.
            below: folder of the trainings and of the evaluation.
        """
        names, self._networks_by_seed = [], True
        for seed in self.flags.seeds:
            for name, flags in networks.items():
                folder = str(Path(below, f"{name}-seed{seed}"))
                names.append(self.add_task(script, folder, flags, seed=seed).name)
        runs = Path(self.base, below)
        flags = ["--runs", self.path(str(runs))]
        found = dict(output="results.json", wants=names, networks=self.out / runs)
        self.add("evaluate.py", str(Path(below, "evaluation")), flags, **found)

    @property
    def unused(self) -> list[str]:
        """List the flags that were given and that no run of this experiment takes."""
        flags, words = self.flags, set()
        for job in self.jobs.values():
            words.update(job.command)
        samplers = "--sample-sizes" in words  # in the command of every sampler's training
        candidates = [
            ("--seeds", flags.seeds != PRESETS[self.preset], samplers or self._networks_by_seed),
            ("--sizes", flags.sizes, samplers),
            ("--samplers", len(flags.samplers) < len(TRAINED_SAMPLERS), samplers),
            ("--num-points", flags.num_points, "--num-points" in words),
            ("--samples", flags.samples, "--samples" in words),
        ]
        for flag in self.experiment.flags:
            if flag.endswith("-root"):
                folder = getattr(flags, attribute(flag))
                candidates.append((flag, folder, folder in words))
        return [flag for flag, given, used in candidates if given and not used]

    def fitting(self, sizes: Sequence[int]) -> list[int]:
        """Return those of a preset's sample sizes that are below --num-points, or half of it."""
        n = self.flags.num_points
        return [m for m in sizes if not n or m < n] or [max(1, n // 2)]

    def path(self, name: str) -> str:
        """Return the folder of a run, as commands give it."""
        return _relative(self.out / name)


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
    """List the cells of the published tables, whichever of them the flags ask for.

    Returns:
        By experiment and variant of the task network: sample sizes by sampler.
    """
    everything = {"samplers": TRAINED_SAMPLERS, "sizes": None, "samples": []}
    words = [name for name, experiment in experiments.items() if experiment.in_all]
    tables = {}
    for plan in make(words, experiments, argparse.Namespace(**vars(flags) | everything), out):
        for variant, sizes in plan.planned.items():
            tables[plan.experiment.name, variant] = sizes
    return tables


def _relative(path: Path) -> str:
    """Return a path relative to the checkout, if it lies in it."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


@functools.cache
def _python(framework: str) -> str:
    """Return the interpreter: if setup.sh saw a GPU, TensorFlow has its own environment."""
    own = ROOT / ".venv-tf" / "bin" / "python"
    return str(own) if framework == "tf" and own.exists() and gpu() else sys.executable
