"""Every table and figure of the paper: the runs that an experiment needs, in the order in which they need each other.

bash reproduce.sh classification --preset quick --seeds 0 1 2      (sets up, then calls this)

Checks its arguments before anything is installed: until then it imports nothing but the standard library.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent
KINDS = ("snet", "progressivenet", "samplenet", "samplenet_progressive")
PROGRESSIVE = ("progressivenet", "samplenet_progressive")  # one run for all sizes
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
ABLATION_SIZE = {"smoke": 8, "quick": 32, "paper": 32}


class Plan:
    """The jobs that the flags ask for, in an order in which they can run."""

    def __init__(self, flags, out: Path):
        self.flags, self.out, self.jobs = flags, out, {}
        for name in flags.experiments:
            self.ablation() if name == "ablation" else self.experiment(name)

    def add(self, experiment: str, script: str, folder: str, arguments, needs=(), wants=()) -> str:
        """A job; `arguments` is a list, or for an evaluation a function of what has finished that gives one."""
        from samplenet.jobs import Job  # not there before set-up

        config = ROOT / experiment / "configs" / f"{self.flags.preset}.yaml"
        data = ["--data-root", self.flags.data_root] if self.flags.data_root and script != "cost.py" else []
        start = [f"{experiment}/{script}", "--config", str(config.relative_to(ROOT)), *data]
        end = ["--out", self.path(folder)]
        if callable(arguments):
            command = lambda finished: [*start, *arguments(finished), *end]  # noqa: E731
        else:
            command = [*start, *map(str, arguments), *end, "--resume"]
        self.jobs.setdefault(folder, Job(folder, command, config, list(needs), list(wants)))
        return folder

    def path(self, name: str) -> str:
        path = self.out / name
        return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)

    def base(self, name: str) -> str:
        """The folder of an experiment, named after its data as well."""
        return f"{name}-{Path(self.flags.data_root).name}" if self.flags.data_root else name

    def task(self, name: str, changes: list[str] | None = None) -> str:
        """The task network; `changes` are flags, the last of which names its folder."""
        experiment, changes = EXPERIMENTS[name], changes or []
        suffix = f"-{changes[-1]}" if changes else ""
        skip = ["--skip-bad"] if name == "reconstruction" and self.flags.skip_bad else []
        folder = f"{self.base(name)}/{experiment.task}{suffix}"
        return self.add(name, experiment.script, folder, ["--seed", 0, *changes, *skip])

    def sampler(self, name: str, folder: str, task: str, sizes: list[int], kind: str, seed: int, changes=()) -> str:
        projection = "--projection" if kind.startswith("samplenet") else "--no-projection"
        arguments = ["--task", self.path(task), "--sample-sizes", *sizes, projection, "--seed", seed, *changes]
        return self.add(name, "train_samplenet.py", f"{self.base(name)}/{folder}", arguments, needs=[task])

    def scores(self, name: str, script: str, folder: str, task: str, others: list[str], samplers: list[str], *more):
        """An evaluation of the untrained samplers `others` and of those of `samplers` that finished."""

        def arguments(finished):
            found = [self.path(s) for s in samplers if s in finished]
            return ["--task", self.path(task), "--samplers", *others, *found, *map(str, more)]

        needs, wants = ([task], samplers) if others else ([task, *samplers], [])
        self.add(name, script, folder, arguments, needs, wants)

    def experiment(self, name: str) -> None:
        flags, experiment, base = self.flags, EXPERIMENTS[name], self.base(name)
        sizes, several = flags.sizes or experiment.sizes[flags.preset], experiment.progressive[flags.preset]
        other_task = experiment.progressive_task.get(flags.preset)
        task = self.task(name)
        kinds = {kind: task for kind in KINDS if kind in flags.samplers}
        if other_task:
            kinds |= {kind: self.task(name, other_task) for kind in kinds if kind in PROGRESSIVE}
        samplers = {}  # folder -> its task network's
        for seed in flags.seeds:
            for kind, its_task in kinds.items():
                if kind in PROGRESSIVE:
                    changes = experiment.progressive_changes
                    made = [self.sampler(name, f"{kind}-seed{seed}", its_task, several, kind, seed, changes)]
                else:
                    made = [self.sampler(name, f"{kind}-{m}-seed{seed}", task, [m], kind, seed) for m in sizes]
                samplers |= dict.fromkeys(made, its_task)
        for folder in sorted((self.out / base).glob("*/job.json")):  # what earlier calls have finished
            kind = folder.parent.name.split("-")[0]
            if kind in KINDS:
                its_task = self.task(name, other_task) if other_task and kind in PROGRESSIVE else task
                samplers.setdefault(f"{base}/{folder.parent.name}", its_task)
        for its_task in dict.fromkeys([task, *samplers.values()]):
            mine = [s for s in samplers if samplers[s] == its_task]
            suffix = "" if its_task == task else f"-{other_task[-1]}"
            others = [*experiment.others, *(["icp"] if name == "registration" and _has_open3d() else [])]
            self.scores(name, "evaluate.py", f"{base}/evaluation{suffix}", its_task, others, mine)
        if experiment.cost:
            first = [s for s in samplers if s.endswith(f"-seed{flags.seeds[0]}") and samplers[s] == task]
            first = [s for s in first if Path(s).name.split("-")[0] not in PROGRESSIVE]  # at one size each
            self.scores(name, "cost.py", f"{base}/cost", task, ["fps"], first)

    def ablation(self) -> None:
        """One setting changed at a time, and samplers in front of another classifier than the one they learned with."""
        name, m = "classification", ABLATION_SIZE[self.flags.preset]
        root, at_m = f"{self.base(name)}/ablation", ("--sizes", m)
        home, other = ("pointnet", "vanilla") if self.flags.preset == "paper" else ("vanilla", "pointnet")
        task, other_task = self.task(name), self.task(name, ["--model", other])
        own = [self.sampler(name, f"{kind}-{m}-seed0", task, [m], kind, 0) for kind in ("snet", "samplenet")]
        for variant, changes in list(ABLATIONS.items())[: 2 if self.flags.preset == "smoke" else None]:
            run = self.sampler(name, f"ablation/{variant}/samplenet", task, [m], "samplenet", 0, changes)
            self.scores(name, "evaluate.py", f"{root}/{variant}/evaluation", task, [], [run], *at_m)
        there = [
            self.sampler(name, f"ablation/{other}/{kind}", other_task, [m], kind, 0) for kind in ("snet", "samplenet")
        ]
        untrained = EXPERIMENTS[name].others
        self.scores(name, "evaluate.py", f"{root}/{other}/evaluation", other_task, untrained, there, *at_m)
        self.scores(name, "evaluate.py", f"{root}/{home}-to-{other}/evaluation", other_task, [], own, *at_m)
        self.scores(name, "evaluate.py", f"{root}/{other}-to-{home}/evaluation", task, [], there, *at_m)


def _has_open3d() -> bool:
    return not subprocess.run([sys.executable, "-c", "import open3d"], capture_output=True).returncode


def arguments(argv=None) -> argparse.Namespace:
    """The flags, checked; exits with 2 and a sentence when they make no sense."""
    parser = argparse.ArgumentParser(
        "reproduce.sh",
        description="Set up and make the tables and figures. Without an experiment: classification, SampleNet and "
        "S-NET at m = 32. Runs that have finished are kept and killed ones continued.",
        allow_abbrev=False,
    )  # fmt: skip
    known = [*EXPERIMENTS, "ablation", "all"]
    parser.add_argument("experiments", nargs="*", metavar="experiment", help=", ".join(known) + " (the first three)")
    parser.add_argument("--preset", default="quick", help="smoke (seconds a run), quick (default), paper (days)")
    parser.add_argument("--data-root", metavar="DIR", help="data set folder; without it, the built-in shapes")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="sampler seeds (0)")
    parser.add_argument("--sizes", type=int, nargs="+", metavar="M", help="sample sizes of S-NET and SampleNet")
    parser.add_argument("--samplers", nargs="+", default=list(KINDS), metavar="KIND", help=", ".join(KINDS) + " (all)")
    parser.add_argument("--out", metavar="DIR", help="where results go (results/<preset>)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once (1)")
    parser.add_argument("--skip-bad", action="store_true", help="reconstruction: leave out clouds that cannot be used")
    parser.add_argument("--resume", action="store_true", help="continue what is there, as is always done")
    parser.add_argument("--extras", action="store_true", help=argparse.SUPPRESS)  # print what set-up is to install
    flags = parser.parse_args(argv)
    if not flags.experiments:
        flags.experiments, flags.samplers = ["classification"], ["snet", "samplenet"]
        flags.sizes = flags.sizes or (None if flags.preset == "paper" else [ABLATION_SIZE.get(flags.preset, 32)])
    for name in flags.experiments:
        if name not in known:
            parser.error(f"unknown experiment '{name}', known: {', '.join(known)}")
    if "all" in flags.experiments:
        flags.experiments = [*EXPERIMENTS, *(["ablation"] if "ablation" in flags.experiments else [])]
    flags.experiments = list(dict.fromkeys(flags.experiments))
    if flags.preset not in PRESETS:
        parser.error(f"no preset '{flags.preset}', known: {' '.join(PRESETS)}")
    for name in flags.samplers:
        if name not in KINDS:
            parser.error(f"--samplers: unknown '{name}', known: {', '.join(KINDS)}")
    for words, values, low in (
        ("--seeds", flags.seeds, 0),
        ("--sizes", flags.sizes or [], 1),
        ("--jobs", [flags.jobs], 1),
    ):
        if wrong := [v for v in values if v < low]:
            parser.error(f"{words} must be at least {low}, got {wrong[0]}")
    if flags.preset == "paper" and not flags.data_root:
        parser.error(
            "the paper preset is for the published data set (days of training); give its folder with --data-root"
        )
    if flags.data_root and "reconstruction" in flags.experiments and len(flags.experiments) > 1:
        parser.error("--data-root: reconstruction reads ShapeNetCore, the others ModelNet40; run them apart")
    if flags.skip_bad and "reconstruction" not in flags.experiments:
        parser.error("--skip-bad is for reconstruction")
    flags.data_root = flags.data_root and str(Path(flags.data_root).resolve())
    return flags


def main() -> int:
    flags = arguments()
    if flags.extras:
        frameworks = {EXPERIMENTS.get(e, EXPERIMENTS["classification"]).framework for e in flags.experiments}
        print(*sorted(frameworks), "viz")
        return 0
    from samplenet.jobs import Jobs
    from samplenet.report import page

    out = Path(flags.out).resolve() if flags.out else ROOT / "results" / flags.preset
    jobs = Jobs(list(Plan(flags, out).jobs.values()), out, ROOT, flags.jobs)
    heard = []

    def stop(number, _):
        heard.append(number)
        jobs.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    jobs.run()
    if jobs.stopped:
        print("reproduce.sh: stopped; the same command goes on from here", file=sys.stderr)
        return 128 + heard[0]
    for name, why in jobs.failed.items():
        print(f"reproduce.sh: {name} failed: {why}", file=sys.stderr)
    if any(out.glob("*/evaluation*/results.json")):
        print(f"All tables and figures: {page.write(out, flags.preset)}")
    return 1 if jobs.failed else 0


if __name__ == "__main__":
    sys.exit(main())
