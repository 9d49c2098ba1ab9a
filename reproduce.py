"""Create the tables and figures; `bash reproduce.sh` sets up and then calls this.

bash reproduce.sh classification --preset quick --seeds 0 1 2

The arguments are checked before anything is installed, so the imports at the top need only the
standard library.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path.append(str(ROOT / "common"))  # before set-up has linked the library

from samplenet.errors import InputError  # noqa: E402
from samplenet.runs.experiments import (  # noqa: E402
    PRESETS,
    TRAINED_SAMPLERS,
    Experiment,
    attribute,
    discover,
)
from samplenet.runs.parser import Parser  # noqa: E402


def owners(experiments: dict[str, Experiment]) -> dict[str, Experiment]:
    """Return the experiment of each word that names an experiment or one of its extras."""
    words = dict(experiments)
    for experiment in experiments.values():
        words |= dict.fromkeys(experiment.extras, experiment)
    return words


def own_flags(experiments: dict[str, Experiment]) -> dict[str, tuple[list[str], dict]]:
    """Return, by flag, the names of the experiments that declare it, and its keywords."""
    flags = {}
    for name, experiment in experiments.items():
        for flag, keywords in experiment.flags.items():
            flags.setdefault(flag, ([], keywords))[0].append(name)
    return flags


def arguments(argv: list[str] | None, experiments: dict[str, Experiment]) -> argparse.Namespace:
    """Parse and check the flags; exit with status 2 and one sentence if they make no sense."""
    published = [name for name, experiment in experiments.items() if experiment.in_all]
    groups = {"all": published, "everything": list(experiments)}
    known = [*owners(experiments), *groups]
    default = next(experiment for experiment in experiments.values() if experiment.default)
    parser = Parser(
        "reproduce.sh",
        description="Set up and create the tables and figures. Without an experiment: SampleNet "
        f"and S-NET for {default.name}, at one size (paper: at all; full: every sampler). Finished "
        "runs are kept, and killed runs are continued.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    words = f"{', '.join(known)} (all is {', '.join(published)})"
    add("experiments", nargs="*", metavar="experiment", help=words)
    presets = "smoke (seconds a run), quick (default), full (three seeds, hours), paper (days)"
    add("--preset", default="quick", help=presets)
    add("--data-root", metavar="DIR", help="data set folder; without it, the built-in shapes")
    add("--seeds", type=int, nargs="+", help="seeds of trainings (preset full: 0 1 2, others: 0)")
    add("--sizes", type=int, nargs="+", metavar="M", help="sample sizes of S-NET and SampleNet")
    add("--samplers", nargs="+", metavar="KIND", help=f"{', '.join(TRAINED_SAMPLERS)} (all)")
    add("--num-points", type=int, metavar="N", help="points used of each cloud")
    add("--samples", nargs="+", metavar="DIR", help="saved samples of other methods, to score too")
    add("--out", metavar="DIR", help="results folder (results/<preset>)")
    add("--jobs", type=int, default=1, help="runs at once (1)")
    add("--again", action="store_true", help="redo runs of other code; old ones go to <out>/old/")
    add("--resume", action="store_true", help="continue the runs in --out (always done)")
    add("--cpu", action="store_true", help="use no GPU, nor set up for one")
    add("--list", action="store_true", help="list the runs for a cluster's engine, a JSON a line")
    add("--sbatch", metavar="DIR", help="write Slurm job scripts and submit.sh into this folder")
    add("--only", metavar="JOB", help="do one run of the list, or its page")
    # for reproduce.sh: print the frameworks to set up
    add("--frameworks", action="store_true", help=argparse.SUPPRESS)
    for flag, (_, keywords) in own_flags(experiments).items():
        add(flag, **keywords)
    flags = parser.parse_args(argv)
    for word in flags.experiments:
        if word not in known:
            parser.error(f"unknown experiment '{word}', known: {', '.join(known)}")
    if flags.preset not in PRESETS:
        parser.error(f"no preset '{flags.preset}', known: {' '.join(PRESETS)}")
    for name in flags.samplers or []:
        if name not in TRAINED_SAMPLERS:
            parser.error(f"--samplers: unknown '{name}', known: {', '.join(TRAINED_SAMPLERS)}")
    ways = [f"--{name}" for name in ("list", "sbatch", "only", "again") if getattr(flags, name)]
    if len(ways) > 1:
        parser.error(f"{' and '.join(ways)} exclude each other")
    flags.seeds, sizes = flags.seeds or PRESETS[flags.preset], flags.sizes or []
    for word, values, low in (
        ("seeds", flags.seeds, 0),
        ("sizes", sizes, 1),
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
    wanted = flags.samplers or TRAINED_SAMPLERS
    flags.samplers = [kind for kind in TRAINED_SAMPLERS if kind in wanted]
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
    """Check the flags that belong to one experiment, and the folders of the data sets."""
    words, values = owners(experiments), vars(flags)
    chosen = {words[word].name: words[word] for word in flags.experiments}
    for flag, (names, _) in own_flags(experiments).items():
        if values[attribute(flag)] and not chosen.keys() & set(names):
            parser.error(f"{flag} is for {' and '.join(names)}")
    for name, experiment in chosen.items():
        preset = f"configs/{flags.preset}.yaml"
        if not (experiment.folder / preset).is_file():
            parser.error(f"{name} has no preset '{flags.preset}', as {preset} is missing")
        try:
            experiment.check(flags)
        except ValueError as error:
            parser.error(str(error))
    readers = [experiment for experiment in chosen.values() if experiment.data_set]
    needed = sorted({reader.data_flag for reader in readers})
    if len(needed) == 1 and not values[attribute(needed[0])]:
        # with one data set, --data-root can only mean that one
        values[attribute(needed[0])] = flags.data_root
    given = [flag for flag in needed if values[attribute(flag)]]
    if given and given != needed:
        read = [f"{reader.name} reads {reader.data_set}" for reader in readers]
        parser.error(f"{', '.join(read)}; give all of {', '.join(needed)}, or none")
    if flags.preset == "paper" and needed and not given:
        parser.error(
            "the paper preset is for the published data (days of training); "
            "give its folder with --data-root"
        )
    for flag in _folder_flags(experiments):
        if values[attribute(flag)]:
            values[attribute(flag)] = str(Path(values[attribute(flag)]).resolve())


def _folder_flags(experiments: dict[str, Experiment]) -> list[str]:
    """List the flags that name a folder of data."""
    own = [flag for flag in own_flags(experiments) if flag.endswith("-root")]
    return sorted({*own, *(experiment.data_flag for experiment in experiments.values())})


def _check_folders(flags: argparse.Namespace, experiments: dict[str, Experiment]) -> None:
    """Exit with one sentence if a given folder does not exist, before anything is installed."""
    folders = [(flag, getattr(flags, attribute(flag))) for flag in _folder_flags(experiments)]
    folders += [("--samples", folder) for folder in flags.samples]
    for flag, folder in folders:
        if folder and not Path(folder).is_dir():
            wrong = f"{flag}: {folder} is not a folder; correct it, or leave it out"
            sys.exit(f"reproduce.sh: error: {wrong}")
    if flags.out and Path(flags.out).exists() and not Path(flags.out).is_dir():
        sys.exit(f"reproduce.sh: error: --out: {flags.out} is a file; choose another folder")


def _to_install(flags: argparse.Namespace, experiments: dict[str, Experiment]) -> list[str]:
    """Return the extras of setup.sh for each framework, joined by commas, the framework first."""
    words, extras = owners(experiments), {}
    for word in flags.experiments:
        extras.setdefault(words[word].framework, set()).update(words[word].installs)
    return [",".join([framework, *sorted(extras[framework])]) for framework in sorted(extras)]


def main() -> int:
    """Run the jobs that the command line asks for, then write the page; return the exit status."""
    try:
        experiments = discover(ROOT)
    except InputError as error:
        sys.exit(f"reproduce.sh: error: {error}")
    flags = arguments(None, experiments)
    _check_folders(flags, experiments)
    if flags.frameworks:
        print(*_to_install(flags, experiments))
        return 0
    if flags.cpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        import plan
        from samplenet.runs import cluster
        from samplenet.runs.jobs import Jobs, note
    except ImportError as error:
        lacking = f"{sys.executable} lacks the library ({error}); bash reproduce.sh sets it up"
        sys.exit(f"reproduce.py: error: {lacking}")

    out = Path(flags.out).resolve() if flags.out else ROOT / "results" / flags.preset
    planned = []
    for part in plan.make(flags.experiments, experiments, flags, out):
        planned += part.jobs.values()
        if part.unused:
            unused = f"{part.experiment.name} does not use {', '.join(part.unused)}"
            print(f"reproduce.sh: {unused}", file=sys.stderr, flush=True)
    jobs = Jobs(planned, out, ROOT, flags.jobs, flags.again)
    if flags.only and flags.only not in (*jobs.jobs, cluster.PAGE):
        sys.exit(f"reproduce.sh: error: --only: no run '{flags.only}', --list shows them")
    whole = not (flags.list or flags.sbatch or flags.only)
    if whole and not flags.again and (outdated := jobs.of_other_code()):
        print(f"reproduce.sh: {note(outdated)}", file=sys.stderr, flush=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, jobs.stop)
    try:
        if flags.list or flags.sbatch:
            print(cluster.hand_over(planned, flags, [sys.executable, __file__, *sys.argv[1:]]))
            return 0
        if flags.only == cluster.PAGE:
            jobs.failed = dict.fromkeys(jobs.unfinished(), "it has not finished")
        elif flags.only:
            jobs.run_only(flags.only)
        else:
            jobs.run()
    except (InputError, OSError) as error:
        if "debug" in flags:
            raise
        print(f"reproduce.sh: error: {error}", file=sys.stderr)
        return 1
    if jobs.stopped:
        print("reproduce.sh: stopped; the same command goes on from here", file=sys.stderr)
        return 128 + jobs.stopped
    for name, reason in jobs.failed.items():
        print(f"reproduce.sh: {name} failed: {reason}", file=sys.stderr)
    written = flags.only not in (None, cluster.PAGE) or _write_page(out, flags, jobs, experiments)
    return 0 if written and not jobs.failed else 1


def _write_page(out: Path, flags: argparse.Namespace, jobs, experiments: dict) -> bool:
    """Write the page of results and print where it is; return whether that went well."""
    import plan
    from samplenet.locking import locked
    from samplenet.report import page

    # the page says which of the published tables' cells are missing, if the runs are of their kind
    variants = [experiment.variant(flags) for experiment in experiments.values()]
    whole = flags.preset == "paper" and not any([flags.num_points, *variants])
    tables = plan.published_tables(experiments, flags, out) if whole else None
    try:
        with locked(out / ".page"):  # two jobs of a cluster may end at once
            path = page.write(out, flags.preset, jobs.failed, tables, experiments=experiments)
        print(f"All tables and figures: {path}")
    except (InputError, OSError) as error:
        if "debug" in flags:
            raise
        print(f"reproduce.sh: no page of the results: {error}", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
