"""Every table and figure of the paper (bash reproduce.sh sets up, then calls this; plan.py tells the runs).

bash reproduce.sh classification --preset quick --seeds 0 1 2

Checks its arguments before anything is installed: until then it imports nothing but the standard library.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from plan import ABLATION_SIZE, EXPERIMENTS, KINDS, MODELS, PRESETS, ROOT, Plan, paper_cells


class Parser(argparse.ArgumentParser):
    """As samplenet.runs.settings has it, which is not there before set-up."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}; --help lists the flags\n")


def arguments(argv=None) -> argparse.Namespace:
    """The flags, checked; exits with 2 and a sentence when they make no sense."""
    parser = Parser(
        "reproduce.sh",
        description="Set up and make the tables and figures. Without an experiment: SampleNet and S-NET for "
        "classification, at one size (paper: at all). Runs that have finished are kept and killed ones continued.",
        allow_abbrev=False,
    )
    known = [*EXPERIMENTS, "ablation", "all"]
    words = ", ".join(known) + " (the first three, not the ablation)"
    parser.add_argument("experiments", nargs="*", metavar="experiment", help=words)
    parser.add_argument("--preset", default="quick", help="smoke (seconds a run), quick (default), paper (days)")
    parser.add_argument("--data-root", metavar="DIR", help="data set folder; without it, the built-in shapes")
    parser.add_argument("--shapenet-root", metavar="DIR", help="that of reconstruction, beside another --data-root")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="sampler seeds (0)")
    parser.add_argument("--sizes", type=int, nargs="+", metavar="M", help="sample sizes of S-NET and SampleNet")
    parser.add_argument("--samplers", nargs="+", metavar="KIND", help=", ".join(KINDS) + " (all)")
    parser.add_argument("--model", metavar="NAME", help="classifier: pointnet, vanilla, or your own as FILE.py:CLASS")
    parser.add_argument("--num-points", type=int, metavar="N", help="points of each cloud that are used")
    parser.add_argument("--samples", nargs="+", metavar="DIR", help="samples of others, to stand in the table as well")
    parser.add_argument("--out", metavar="DIR", help="where results go (results/<preset>)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once (1)")
    parser.add_argument("--skip-bad", action="store_true", help="reconstruction: leave out clouds that cannot be used")
    parser.add_argument("--again", action="store_true", help="redo what other code made; the old runs go to <out>/old/")
    parser.add_argument("--resume", action="store_true", help="continue what is there, as is always done")
    parser.add_argument("--cpu", action="store_true", help="leave GPUs alone, also in set-up")
    parser.add_argument("--frameworks", action="store_true", help=argparse.SUPPRESS)  # print which are to be set up
    flags = parser.parse_args(argv)
    for name in flags.experiments:
        if name not in known:
            parser.error(f"unknown experiment '{name}', known: {', '.join(known)}")
    if flags.preset not in PRESETS:
        parser.error(f"no preset '{flags.preset}', known: {' '.join(PRESETS)}")
    for name in flags.samplers or []:
        if name not in KINDS:
            parser.error(f"--samplers: unknown '{name}', known: {', '.join(KINDS)}")
    for word, values, low in (("seeds", flags.seeds, 0), ("sizes", flags.sizes or [], 1), ("jobs", [flags.jobs], 1)):
        if min(values, default=low) < low:
            parser.error(f"--{word} must be at least {low}, got {min(values)}")
    if not flags.experiments:
        flags.experiments, flags.samplers = ["classification"], flags.samplers or ["snet", "samplenet"]
        flags.sizes = flags.sizes or (None if flags.preset == "paper" else [ABLATION_SIZE[flags.preset]])
    if "all" in flags.experiments:
        flags.experiments = [*EXPERIMENTS, *flags.experiments]
    flags.experiments = [name for name in dict.fromkeys(flags.experiments) if name != "all"]
    if flags.experiments == ["ablation"] and (flags.sizes or flags.samplers):
        parser.error("the ablation has its own size and samplers; leave --sizes and --samplers out")
    flags.samplers = flags.samplers or list(KINDS)
    _check_data(parser, flags)
    _check_task(parser, flags)
    return flags


def _check_data(parser: argparse.ArgumentParser, flags: argparse.Namespace) -> None:
    """Which folder is whose: reconstruction reads ShapeNetCore, the others ModelNet40."""
    with_clouds = "reconstruction" in flags.experiments
    if flags.skip_bad and not with_clouds:
        parser.error("--skip-bad is for reconstruction")
    if flags.shapenet_root and not with_clouds:
        parser.error("--shapenet-root is for reconstruction")
    if flags.experiments == ["reconstruction"]:
        flags.shapenet_root, flags.data_root = flags.shapenet_root or flags.data_root, None
    elif with_clouds and bool(flags.data_root) != bool(flags.shapenet_root):
        parser.error(
            "reconstruction reads ShapeNetCore, the others ModelNet40; give both --data-root and --shapenet-root"
        )
    if flags.preset == "paper" and not (flags.data_root or flags.shapenet_root):
        parser.error("the paper preset is for the published data (days of training); give its folder with --data-root")
    for name in ("data_root", "shapenet_root"):
        if (root := getattr(flags, name)) is not None:
            setattr(flags, name, str(Path(root).resolve()))


def _check_task(parser: argparse.ArgumentParser, flags: argparse.Namespace) -> None:
    """What --model, --num-points and --samples are for."""
    if flags.model:
        if "ablation" in flags.experiments:
            parser.error("the ablation has its own two networks; leave --model out")
        if "classification" not in flags.experiments:
            parser.error("--model is for classification")
        file, _, name = flags.model.rpartition(":")
        if file and name:
            flags.model = f"{Path(file).resolve()}:{name}"
        elif flags.model not in MODELS:
            parser.error(f"--model must be {', '.join(MODELS)} or FILE.py:CLASS, got '{flags.model}'")
    if flags.num_points is not None:
        if flags.num_points < 2:
            parser.error(f"--num-points must be at least 2, got {flags.num_points}")
        if (most := max(flags.sizes or [1])) > flags.num_points:
            parser.error(f"--sizes must be at most --num-points, {flags.num_points}, got {most}")
    if flags.samples:
        if len(flags.experiments) > 1 or flags.experiments == ["ablation"]:
            parser.error("--samples are of the test clouds of one experiment; name that one alone")
        flags.samples = [str(Path(folder).resolve()) for folder in flags.samples]


def _check_folders(flags: argparse.Namespace) -> None:
    """End with a sentence, before anything is installed or trained, where a folder is none."""
    for name, root in (("--data-root", flags.data_root), ("--shapenet-root", flags.shapenet_root)):
        if root and not Path(root).is_dir():
            sys.exit(f"reproduce.sh: error: {name}: {root} is not a folder; correct it, or leave it out")
    for folder in flags.samples or []:
        if not Path(folder).is_dir():
            sys.exit(f"reproduce.sh: error: --samples: {folder} is not a folder; correct it, or leave it out")
    if flags.model and ":" in flags.model and not Path(file := flags.model.rpartition(":")[0]).is_file():
        sys.exit(f"reproduce.sh: error: --model: there is no file {file}")
    if flags.out and Path(flags.out).exists() and not Path(flags.out).is_dir():
        sys.exit(f"reproduce.sh: error: --out: {flags.out} is a file; choose another folder")


def main() -> int:
    flags = arguments()
    _check_folders(flags)
    if flags.frameworks:
        print(*sorted({EXPERIMENTS.get(e, EXPERIMENTS["classification"]).framework for e in flags.experiments}))
        return 0
    if flags.cpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        from samplenet.errors import InputError
        from samplenet.report import page
        from samplenet.runs.jobs import Jobs, note
    except ImportError as error:
        print(
            f"reproduce.py: error: {sys.executable} lacks the library ({error}); bash reproduce.sh sets it up",
            file=sys.stderr,
        )
        return 1

    out = Path(flags.out).resolve() if flags.out else ROOT / "results" / flags.preset
    jobs = Jobs(list(Plan(flags, out).jobs.values()), out, ROOT, flags.jobs, flags.again)
    if not flags.again and (other := jobs.of_other_code()):
        print(f"reproduce.sh: {note(other)}", file=sys.stderr, flush=True)
    heard = []

    def stop(number, _):
        heard.append(number)
        jobs.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        jobs.run()
    except (InputError, OSError) as error:
        print(f"reproduce.sh: error: {error}", file=sys.stderr)
        return 1
    if jobs.stopped:
        print("reproduce.sh: stopped; the same command goes on from here", file=sys.stderr)
        return 128 + heard[0]
    for name, why in jobs.failed.items():
        print(f"reproduce.sh: {name} failed: {why}", file=sys.stderr)
    published = flags.preset == "paper" and not (flags.model or flags.num_points)
    planned = paper_cells() if published else None
    try:
        print(f"All tables and figures: {page.write(out, flags.preset, jobs.failed, planned)}")
    except (InputError, OSError) as error:
        print(f"reproduce.sh: no page of the results: {error}", file=sys.stderr)
        return 1
    return 1 if jobs.failed else 0


if __name__ == "__main__":
    sys.exit(main())
