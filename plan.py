"""Which runs make which table, and which of them need each other."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent
KINDS = ("snet", "progressivenet", "samplenet", "samplenet_progressive")
PROGRESSIVE = ("progressivenet", "samplenet_progressive")  # one run for all sizes
MODELS = ("pointnet", "vanilla")  # of classification, besides the user's own
PRESETS = ("smoke", "quick", "paper")


@dataclass(frozen=True)
class Experiment:
    """What the tables of one experiment are made of. Dictionaries go by preset."""

    framework: str
    task: str  # run folder of the task network
    script: str  # that trains it
    others: list[str]  # samplers that learn nothing
    sizes: dict[str, list[int]]  # of S-NET and SampleNet, a run each
    progressive: dict[str, list[int]]  # sizes that one progressive run is trained for
    progressive_changes: list[str] = field(default_factory=list)
    progressive_task: dict[str, list[str]] = field(default_factory=dict)  # flags of its task network, where another
    cost: bool = False


EXPERIMENTS = {
    "classification": Experiment(
        framework="tf",
        task="classifier",
        script="train_classifier.py",
        others=["random", "fps"],
        sizes={"smoke": [8], "quick": [32, 16], "paper": [512, 256, 128, 64, 32, 16, 8]},
        progressive={"smoke": [4, 8], "quick": [8, 16, 32, 64, 128], "paper": [2**i for i in range(1, 11)]},
        progressive_changes=["--gamma", "0.5", "--delta", "0.0333333"],
        progressive_task={"paper": ["--model", "vanilla"]},
        cost=True,
    ),
    "registration": Experiment(
        framework="torch",
        task="pcrnet",
        script="train_pcrnet.py",
        others=["random", "fps", "fps_same_start"],
        sizes={"smoke": [8], "quick": [32, 16], "paper": [512, 256, 128, 64, 32, 16, 8]},
        progressive={"smoke": [4, 8], "quick": [16, 32, 64, 128], "paper": [8, 16, 32, 64, 128, 256, 512]},
    ),
    "reconstruction": Experiment(
        framework="tf",
        task="autoencoder",
        script="train_autoencoder.py",
        others=["random", "fps"],
        sizes={"smoke": [8], "quick": [32, 16], "paper": [1024, 512, 256, 128, 64, 32, 16]},
        progressive={"smoke": [4, 8], "quick": [16, 32, 64, 128], "paper": [16, 32, 64, 128, 256, 512, 1024, 2048]},
    ),
}
# settings of SampleNet for the classifier, changed one at a time; the smoke preset runs the first two
ABLATIONS = {
    "k-2": ["--k", "2"],
    "lambda-0": ["--lmbda", "0"],
    "k-4": ["--k", "4"],
    "k-16": ["--k", "16"],
    "lambda-0.1": ["--lmbda", "0.1"],
    "lambda-10": ["--lmbda", "10"],
}
UNTRAINED_SIZES = [512, 256, 128, 64, 32, 16, 8]  # of random and fps where --num-points replaces the preset's points
ABLATION_SIZE = {"smoke": 8, "quick": 32, "paper": 32}


def paper_cells() -> dict[tuple[str, str], dict[str, list[int]]]:
    """The paper preset's tables: sizes by sampler, by experiment and what its evaluation's folder is called besides."""
    cells = {}
    for name, experiment in EXPERIMENTS.items():
        own, ordered = experiment.sizes["paper"], experiment.progressive["paper"]
        cells[name, ""] = dict.fromkeys([*experiment.others, "snet", "samplenet"], own)
        task = experiment.progressive_task.get("paper", [""])[-1]
        every = sorted({*own, *ordered})  # what each sampler that is made for no size of its own is scored at
        cells.setdefault((name, task), {}).update(dict.fromkeys([*experiment.others, *PROGRESSIVE], every))
    return cells


class Plan:
    """The jobs that the flags ask for, by name; tables also have what earlier calls finished in the same folder.

    Args:
        flags: of reproduce.py.
        out: where results go.
    """

    def __init__(self, flags, out: Path):
        self.flags, self.out, self.jobs = flags, out, {}
        for name in flags.experiments:
            self.ablation() if name == "ablation" else self.experiment(name)

    def experiment(self, name: str) -> None:
        """An experiment's task network, its samplers, and its tables."""
        flags, experiment = self.flags, EXPERIMENTS[name]
        sizes = flags.sizes or self.fitting(experiment.sizes[flags.preset])
        for seed in flags.seeds:
            for kind in (kind for kind in KINDS if kind in flags.samplers):
                for m in [None] if kind in PROGRESSIVE else sizes:
                    self.sampler(name, kind, m, seed)
        self.tables(name)

    def tables(self, name: str) -> None:
        """Evaluation of all samplers that are asked for or have finished; and what they cost."""
        experiment, base, flags = EXPERIMENTS[name], self.base(name), self.flags
        for folder in sorted((self.out / base).glob("*/job.json")):
            if found := re.fullmatch(r"(s\w+)-(\d+)-seed(\d+)|(\w+)-seed(\d+)", folder.parent.name):
                kind, m, seed = found[1] or found[4], found[2], found[3] or found[5]
                if kind in KINDS and (m is None) == (kind in PROGRESSIVE):
                    self.sampler(name, kind, m and int(m), int(seed))
        samplers = [job for job in self.jobs if Path(job).parent == Path(base) and "-seed" in Path(job).name]
        samplers.sort(key=lambda job: (KINDS.index(_kind(job)), job))  # whatever was asked for first: one evaluation
        others = [*experiment.others, *(["icp"] if name == "registration" and _has_open3d() else [])]
        tasks = dict.fromkeys([self.task(name), *(self.jobs[s].needs[0] for s in samplers)])
        for task in tasks:
            mine = [s for s in samplers if self.jobs[s].needs == [task]]
            suffix = task.removeprefix(f"{base}/{experiment.task}")
            self.scores(name, "evaluate.py", f"{base}/evaluation{suffix}", task, others, mine, samples=flags.samples)
        if experiment.cost:  # of one seed, at one size each
            task, seed = self.task(name), min((s.rpartition("-seed")[2] for s in samplers), key=int, default="0")
            mine = [s for s in samplers if s.endswith(f"-seed{seed}") and _kind(s) not in PROGRESSIVE]
            self.scores(name, "cost.py", f"{base}/cost", task, ["fps"], mine)

    def ablation(self) -> None:
        """One setting changed at a time, and samplers in front of another classifier than the one they learned with."""
        name, preset, seeds = "classification", self.flags.preset, self.flags.seeds
        m, root = ABLATION_SIZE[preset], f"{self.base(name)}/ablation"
        home, other = ("pointnet", "vanilla") if preset == "paper" else ("vanilla", "pointnet")
        task, other_task = self.task(name), self.task(name, ["--model", other])
        own = [self.sampler(name, kind, m, seed) for kind in ("snet", "samplenet") for seed in seeds]
        self.tables(name)  # with the unchanged samplers

        def evaluate(variant: str, by: str, others: list[str], samplers: list[str]) -> None:
            self.scores(name, "evaluate.py", f"{root}/{variant}/evaluation", by, others, samplers, "--sizes", m)

        for variant, changes in list(ABLATIONS.items())[: 2 if preset == "smoke" else None]:
            folder = f"ablation/{variant}/samplenet-{m}"
            runs = [self.train(name, f"{folder}-seed{s}", task, [m], "samplenet", s, changes) for s in seeds]
            evaluate(variant, task, [], runs)
        there = [
            self.train(name, f"ablation/{other}/{kind}-{m}-seed{seed}", other_task, [m], kind, seed)
            for kind in ("snet", "samplenet")
            for seed in seeds
        ]
        evaluate(other, other_task, EXPERIMENTS[name].others, there)
        evaluate(f"{home}-to-{other}", other_task, [], own)
        evaluate(f"{other}-to-{home}", task, [], there)

    def task(self, name: str, changes: list[str] | None = None) -> str:
        """The task network; `changes` are flags, the last of which names its folder."""
        experiment, changes = EXPERIMENTS[name], changes or []
        suffix = f"-{changes[-1]}" if changes else ""
        skip = ["--skip-bad"] if name == "reconstruction" and self.flags.skip_bad else []
        folder = f"{self.base(name)}/{experiment.task}{suffix}"
        model = self.model() if name == "classification" else []
        return self.add(name, experiment.script, folder, ["--seed", 0, *self.points(), *model, *changes, *skip])

    def model(self) -> list[str]:
        """The flags of the classifier that --model asks for."""
        model = self.flags.model
        own = ["--no-xla"] if model and model not in MODELS else []  # XLA cannot compile every layer
        return ["--model", model, *own] if model else []

    def points(self) -> list[str]:
        """The flag of a script that is to use --num-points of each cloud."""
        return ["--num-points", self.flags.num_points] if self.flags.num_points else []

    def sampler(self, name: str, kind: str, m: int | None, seed: int) -> str:
        """A sampler of the tables: of m points, or a progressive one."""
        experiment, preset = EXPERIMENTS[name], self.flags.preset
        if kind not in PROGRESSIVE:
            return self.train(name, f"{kind}-{m}-seed{seed}", self.task(name), [m], kind, seed)
        task = self.task(name, None if self.flags.model else experiment.progressive_task.get(preset))
        sizes, changes = self.fitting(experiment.progressive[preset]), experiment.progressive_changes
        return self.train(name, f"{kind}-seed{seed}", task, sizes, kind, seed, changes)

    def train(self, name: str, folder: str, task: str, sizes: list[int], kind: str, seed: int, changes=()) -> str:
        projection = "--projection" if kind.startswith("samplenet") else "--no-projection"
        own = self.points() if name == "classification" else []  # the others use those of the task network's run
        arguments = ["--task", self.path(task), "--sample-sizes", *sizes, projection, "--seed", seed, *own, *changes]
        return self.add(name, "train_samplenet.py", f"{self.base(name)}/{folder}", arguments, needs=[task])

    def scores(self, name, script, folder, task: str, others: list[str], samplers: list[str], *more, samples=None):
        """Evaluate the untrained samplers `others`, those of `samplers` that finished, and saved samples."""
        if self.flags.num_points and "--sizes" not in more:
            more = ["--sizes", *self.fitting(UNTRAINED_SIZES if script == "evaluate.py" else [32])]
        more = [*more, *(["--samples", *samples] if samples else [])]

        def arguments(finished):
            found = [self.path(s) for s in samplers if s in finished]
            if not (others or found):
                raise RuntimeError(f"not run: none of its samplers finished, such as {samplers[0]}")
            return ["--task", self.path(task), "--samplers", *others, *found, *map(str, more)]

        self.add(name, script, folder, arguments, [task], samplers, samples or [])

    def add(self, experiment: str, script: str, folder: str, arguments, needs=(), wants=(), reads=()) -> str:
        """A job; `arguments` is a list, or for an evaluation a function of what has finished that gives one."""
        from samplenet.runs.jobs import Job  # not there before set-up

        config = ROOT / experiment / "configs" / f"{self.flags.preset}.yaml"
        timed, root = script == "cost.py", self.data_root(experiment)
        start = [f"{experiment}/{script}", "--config", str(config.relative_to(ROOT))]
        start += ["--data-root", root] if root and not timed else []
        end, output = ["--out", self.path(folder)], "cost.json" if timed else "results.json"
        if callable(arguments):
            command = lambda finished: [*start, *arguments(finished), *end]  # noqa: E731
        else:
            command, output = [*start, *map(str, arguments), *end, "--resume"], "last.safetensors"
        more = {
            "alone": timed,
            "reads": [Path(place) for place in reads],
            "python": _python(EXPERIMENTS[experiment].framework),
        }
        self.jobs.setdefault(folder, Job(folder, command, config, output, list(needs), list(wants), **more))
        return folder

    def data_root(self, name: str) -> str | None:
        """The data set folder of an experiment."""
        return self.flags.shapenet_root if name == "reconstruction" else self.flags.data_root

    def base(self, name: str) -> str:
        """The folder of an experiment, named after its data, task network and points as well where these are given."""
        root, flags = self.data_root(name), self.flags
        parts = [name, *([Path(root).name] if root else [])]
        parts += [flags.model.rpartition(":")[2]] if name == "classification" and flags.model else []
        parts += [f"n{flags.num_points}"] if flags.num_points else []
        return "-".join(parts)

    def fitting(self, sizes: list[int]) -> list[int]:
        """The sample sizes of a preset that --num-points leaves points for."""
        n = self.flags.num_points
        return [m for m in sizes if not n or m < n] or [max(1, n // 2)]

    def path(self, name: str) -> str:
        path = self.out / name
        return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def _kind(sampler: str) -> str:
    return Path(sampler).name.split("-")[0]


@functools.cache
def _python(framework: str) -> str:
    """The interpreter for an experiment: TensorFlow has an environment of its own where setup.sh saw a GPU."""
    from samplenet.device import gpu  # not there before set-up

    own = ROOT / ".venv-tf" / "bin" / "python"
    return str(own) if framework == "tf" and own.exists() and gpu() else sys.executable


@functools.cache
def _has_open3d() -> bool:
    return not subprocess.run([sys.executable, "-c", "import open3d"], capture_output=True).returncode
