"""Make the tables and figures; `bash reproduce.sh` sets up and then calls this.

bash reproduce.sh classification --preset quick --seeds 0 1 2

The arguments are checked before anything is installed, so the imports at the top need nothing
but the standard library.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path.append(str(ROOT / "common"))  # where set-up has not linked the library yet

from samplenet.errors import InputError  # noqa: E402
from samplenet.runs.experiments import PRESETS, TRAINED_SAMPLERS, Experiment, attribute, discover  # noqa: E402
from samplenet.runs.parser import Parser  # noqa: E402


def owners(experiments: dict[str, Experiment]) -> dict[str, Experiment]:
    """The experiment of each word that names one or an extra of one."""
    words = dict(experiments)
    for experiment in experiments.values():
        words |= dict.fromkeys(experiment.extras, experiment)
    return words


def arguments(argv: list[str] | None, experiments: dict[str, Experiment]) -> argparse.Namespace:
    """The flags, checked; exits with status 2 and one sentence if they make no sense."""
    published = [name for name, experiment in experiments.items() if experiment.in_all]
    groups = {"all": published, "everything": list(experiments)}
    known = [*owners(experiments), *groups]
    default = next(experiment for experiment in experiments.values() if experiment.default)
    parser = Parser(
        "reproduce.sh",
        description="Set up and make the tables and figures. Without an experiment: SampleNet and S-NET for "
        f"{default.name}, at one size (paper: at all). Finished runs are kept and killed ones continued.",
        allow_abbrev=False,
    )
    words = f"{', '.join(known)} (all is {', '.join(published)})"
    parser.add_argument("experiments", nargs="*", metavar="experiment", help=words)
    parser.add_argument(
        "--preset", default="quick", help="smoke (seconds a run), quick (default), paper (days)"
    )
    parser.add_argument(
        "--data-root", metavar="DIR", help="data set folder; without it, the built-in shapes"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="sampler seeds (0)")
    parser.add_argument(
        "--sizes", type=int, nargs="+", metavar="M", help="sample sizes of S-NET and SampleNet"
    )
    parser.add_argument(
        "--samplers", nargs="+", metavar="KIND", help=", ".join(TRAINED_SAMPLERS) + " (all)"
    )
    parser.add_argument(
        "--num-points", type=int, metavar="N", help="points of each cloud that are used"
    )
    parser.add_argument(
        "--samples",
        nargs="+",
        metavar="DIR",
        help="samples of others, to stand in the table as well",
    )
    parser.add_argument("--out", metavar="DIR", help="where results go (results/<preset>)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once (1)")
    parser.add_argument(
        "--again", action="store_true", help="redo what other code made; old runs go to <out>/old/"
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue what is there, as is always done"
    )
    parser.add_argument("--cpu", action="store_true", help="use no GPU, not in set-up either")
    parser.add_argument(
        "--frameworks", action="store_true", help=argparse.SUPPRESS
    )  # print which are to be set up
    for experiment in experiments.values():
        for flag, keywords in experiment.flags.items():
            parser.add_argument(flag, **keywords)
    flags = parser.parse_args(argv)
    for word in flags.experiments:
        if word not in known:
            parser.error(f"unknown experiment '{word}', known: {', '.join(known)}")
    if flags.preset not in PRESETS:
        parser.error(f"no preset '{flags.preset}', known: {' '.join(PRESETS)}")
    for name in flags.samplers or []:
        if name not in TRAINED_SAMPLERS:
            parser.error(f"--samplers: unknown '{name}', known: {', '.join(TRAINED_SAMPLERS)}")
    for word, values, low in (
        ("seeds", flags.seeds, 0),
        ("sizes", flags.sizes or [], 1),
        ("jobs", [flags.jobs], 1),
    ):
        if min(values, default=low) < low:
            parser.error(f"--{word} must be at least {low}, got {min(values)}")
    if not flags.experiments:
        samplers, sizes = default.default[flags.preset]
        flags.experiments = [default.name]
        flags.samplers, flags.sizes = flags.samplers or samplers, flags.sizes or sizes
    chosen = []
    for word in flags.experiments:
        chosen += groups.get(word, [word])
    flags.experiments = list(dict.fromkeys(chosen))
    _check_own(parser, flags, experiments)
    flags.samplers = [
        kind for kind in TRAINED_SAMPLERS if kind in (flags.samplers or TRAINED_SAMPLERS)
    ]
    if flags.num_points is not None and flags.num_points < 2:
        parser.error(f"--num-points must be at least 2, got {flags.num_points}")
    largest = max(flags.sizes or [1])
    if flags.num_points and largest > flags.num_points:
        parser.error(f"--sizes must be at most --num-points, {flags.num_points}, got {largest}")
    if flags.samples and not (len(flags.experiments) == 1 and flags.experiments[0] in experiments):
        parser.error("--samples are of the test clouds of one experiment; name that one alone")
    flags.samples = [str(Path(folder).resolve()) for folder in flags.samples or []]
    return flags


def _check_own(
    parser: Parser, flags: argparse.Namespace, experiments: dict[str, Experiment]
) -> None:
    """Check the flags that belong to one experiment, and which data set folder is whose."""
    words = owners(experiments)
    chosen = {words[word].name: words[word] for word in flags.experiments}
    for name, experiment in experiments.items():
        for flag in experiment.flags:
            if getattr(flags, attribute(flag)) and name not in chosen:
                parser.error(f"{flag} is for {name}")
    for name, experiment in chosen.items():
        if not (experiment.folder / "configs" / f"{flags.preset}.yaml").is_file():
            parser.error(
                f"{name} has no preset '{flags.preset}', as configs/{flags.preset}.yaml is missing"
            )
        try:
            experiment.check(flags)
        except ValueError as error:
            parser.error(str(error))
    readers = [experiment for experiment in chosen.values() if experiment.data_set]
    needed = sorted({experiment.data_flag for experiment in readers})
    if len(needed) == 1 and not getattr(flags, attribute(needed[0])):  # --data-root serves as well
        setattr(flags, attribute(needed[0]), flags.data_root)
    given = [flag for flag in needed if getattr(flags, attribute(flag))]
    if given and given != needed:
        own = [
            f"{one.name} reads {one.data_set}" for one in readers if one.data_flag != "--data-root"
        ]
        others = next(one.data_set for one in readers if one.data_flag == "--data-root")
        parser.error(f"{', '.join(own)}, the others {others}; give both {' and '.join(needed)}")
    if flags.preset == "paper" and needed and not given:
        parser.error(
            "the paper preset is for the published data (days of training); give its folder with --data-root"
        )
    for flag in given:
        setattr(flags, attribute(flag), str(Path(getattr(flags, attribute(flag))).resolve()))


def _check_folders(flags: argparse.Namespace, experiments: dict[str, Experiment]) -> None:
    """Exit with one sentence if a given folder does not exist, before anything is installed."""
    data_flags = {experiment.data_flag for experiment in experiments.values()}
    folders = [(flag, getattr(flags, attribute(flag))) for flag in sorted(data_flags)]
    folders += [("--samples", folder) for folder in flags.samples]
    for flag, folder in folders:
        if folder and not Path(folder).is_dir():
            sys.exit(
                f"reproduce.sh: error: {flag}: {folder} is not a folder; correct it, or leave it out"
            )
    if flags.out and Path(flags.out).exists() and not Path(flags.out).is_dir():
        sys.exit(f"reproduce.sh: error: --out: {flags.out} is a file; choose another folder")


def main() -> int:
    try:
        experiments = discover(ROOT)
    except InputError as error:
        sys.exit(f"reproduce.sh: error: {error}")
    flags = arguments(None, experiments)
    _check_folders(flags, experiments)
    if flags.frameworks:
        words = owners(experiments)
        print(*sorted({words[word].framework for word in flags.experiments}))
        return 0
    if flags.cpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        import plan
        from samplenet.report import page
        from samplenet.runs.jobs import Jobs, note
    except ImportError as error:
        print(
            f"reproduce.py: error: {sys.executable} lacks the library ({error}); bash reproduce.sh sets it up",
            file=sys.stderr,
        )
        return 1

    out = Path(flags.out).resolve() if flags.out else ROOT / "results" / flags.preset
    planned = []
    for part in plan.make(flags.experiments, experiments, flags, out):
        planned += part.jobs.values()
    jobs = Jobs(planned, out, ROOT, flags.jobs, flags.again)
    if not flags.again and (outdated := jobs.of_other_code()):
        print(f"reproduce.sh: {note(outdated)}", file=sys.stderr, flush=True)
    signals = []

    def stop(number, _):
        signals.append(number)
        jobs.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        jobs.run()
    except (InputError, OSError) as error:
        if "debug" in flags:
            raise
        print(f"reproduce.sh: error: {error}", file=sys.stderr)
        return 1
    if jobs.stopped:
        print("reproduce.sh: stopped; the same command goes on from here", file=sys.stderr)
        return 128 + signals[0]
    for name, reason in jobs.failed.items():
        print(f"reproduce.sh: {name} failed: {reason}", file=sys.stderr)
    changed = flags.num_points or any(
        experiment.variant(flags) for experiment in experiments.values()
    )
    tables = (
        plan.published_tables(experiments, flags, out)
        if flags.preset == "paper" and not changed
        else None
    )
    try:
        path = page.write(out, flags.preset, jobs.failed, tables, experiments=experiments)
        print(f"All tables and figures: {path}")
    except (InputError, OSError) as error:
        if "debug" in flags:
            raise
        print(f"reproduce.sh: no page of the results: {error}", file=sys.stderr)
        return 1
    return 1 if jobs.failed else 0


if __name__ == "__main__":
    sys.exit(main())
