"""samplenet sample: choose points of many clouds, in several processes."""

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from functools import partial

from tqdm import tqdm

from samplenet import scans
from samplenet.console import files, flags, reading, work
from samplenet.console.manifest import Manifest
from samplenet.console.outcomes import Report
from samplenet.errors import InputError
from samplenet.processes import each

AT_ONCE = 64  # files that a process takes


@dataclass
class Tally:
    """What became of all clouds so far."""

    clouds: int = 0
    sampled: int = 0
    there: int = 0  # from an earlier call
    no_clouds: list[str] = field(default_factory=list)
    notes: reading.Notes = field(default_factory=reading.Notes)

    def add(self, report: Report, debug: bool) -> None:
        """Count a process's clouds, and print what went wrong."""
        self.notes.join(report.notes)
        self.there += report.kept
        for outcome in report.outcomes:
            if isinstance(outcome.error, scans.NoCloud) and not outcome.named:
                self.no_clouds.append(outcome.file)
                continue
            self.clouds += 1
            self.sampled += outcome.error is None
            if outcome.error:
                error = reading.named(outcome.file, outcome.error)
                tqdm.write(f"samplenet: error: {error}", file=sys.stderr)
                if debug:
                    tqdm.write(outcome.trace, file=sys.stderr)


def run(args) -> int:
    """Sample what the flags name; return the exit status."""
    args.sampler = args.sampler or flags.default_sampler(args)
    if args.jobs < 1:
        raise InputError(f"--jobs must be at least 1, got {args.jobs}")
    options = flags.Options(**{f.name: getattr(args, f.name) for f in fields(flags.Options)})
    work.picker(options)  # now, where wrong flags are one sentence
    jobs, faults = files.plan(args.inputs, args.output, args.indices)
    for fault in faults:
        print(f"samplenet: error: {fault}", file=sys.stderr)
    single = len(jobs) + len(faults) == 1 and not jobs[0].is_tar
    settings = {name: value for name, value in asdict(options).items() if name != "framework"}
    manifest = Manifest(args.manifest, settings)
    mine = jobs[_part(args.shard)]
    left = [job for job in mine if not _is_there(job, args.skip_existing, manifest)]
    tally, start = Tally(there=len(mine) - len(left)), time.perf_counter()
    continues = args.skip_existing or args.manifest is not None
    with tqdm(total=len(left), unit="file", disable=single or None) as bar:
        for group, report in _reports(options, continues, left, args.jobs):
            manifest.add(report.entries)
            if single and (error := report.outcomes[0].error):
                raise reading.named(group[0].source, error) from error
            tally.add(report, args.debug)
            bar.update(len(group))
    tally.notes.print()
    if single and left:
        seconds, outcome = time.perf_counter() - start, report.outcomes[0]
        print(f"{left[0].target}: {outcome.m} of {outcome.points} points in {seconds:.1f} s")
        return 0
    if no_clouds := tally.no_clouds:
        names = ", ".join(no_clouds[:10])
        if len(no_clouds) > 10:
            names += f" and {len(no_clouds) - 10} more"
        text = f"left out text without {args.m or 'any'} rows of numbers: {names}"
        print(f"samplenet: note: {text}", file=sys.stderr)
    there = f", {tally.there} were there" if tally.there else ""
    print(f"{args.output}: {tally.sampled} of {tally.clouds} clouds sampled{there}")
    fine = tally.sampled == tally.clouds and not faults
    return 0 if fine and (tally.clouds or tally.there or not mine) else 2


def _part(shard: str | None) -> slice:
    """Return which files --shard i/n takes: every n-th."""
    if shard is None:
        return slice(None)
    first, slash, count = shard.partition("/")
    if not (slash and first.isdigit() and count.isdigit() and 1 <= int(first) <= int(count)):
        raise InputError(f"--shard must be i/n with i from 1 to n, such as 1/4; got {shard}")
    return slice(int(first) - 1, None, int(count))


def _is_there(job: files.Job, skip_existing: bool, manifest: Manifest) -> bool:
    listed = skip_existing or str(job.source) in manifest.done
    return listed and job.target.is_file()


def _reports(
    options: flags.Options, continues: bool, jobs: list[files.Job], processes: int
) -> Iterator[tuple[list[files.Job], Report]]:
    """Yield files and what became of them: some files at a time, or one tar file."""
    plain = [job for job in jobs if not job.is_tar]
    size = max(1, min(AT_ONCE, len(plain) // (4 * processes)))  # short, so that all end together
    groups = [plain[i : i + size] for i in range(0, len(plain), size)]
    groups += [[job] for job in jobs if job.is_tar]
    if not groups:
        return
    if processes > 1:
        os.environ["OMP_NUM_THREADS"] = "1"  # of each process; together they fill the processor
    take = partial(work.take, options, continues)
    yield from zip(groups, each(take, groups, processes, "--jobs"), strict=True)
