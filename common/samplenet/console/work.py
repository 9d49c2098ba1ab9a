"""What one process does of samplenet sample: read clouds, sample those alike together, write."""

import time
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samplenet import scans
from samplenet.console import files, flags, pick, reading, shards, tiles
from samplenet.console.flags import Options
from samplenet.console.outcomes import Outcome, Report
from samplenet.errors import InputError

BATCH_POINTS = 1 << 16  # of the clouds that a sampler gets at once


class Source(NamedTuple):
    """A cloud to sample: its number among all, its file, and what it is called."""

    number: int
    path: Path
    name: str


class Cloud(NamedTuple):
    """A cloud that was read: the whole scan, and its finite points (N, 3)."""

    source: Source
    scan: scans.Scan
    points: NDArray
    up: str

    @property
    def kind(self) -> tuple:
        """Clouds of one kind are sampled together."""
        return self.points.shape, self.points.dtype, self.up


@cache
def picker(options: Options) -> pick.Picker:
    """Return the sampler, which a process loads once."""
    return flags.picker(options)


def take(options: Options, resume: bool, jobs: list[files.Job]) -> Report:
    """Sample files, or one shard.

    Args:
        resume: whether to continue a shard that a killed call has begun.
    """
    report = Report()
    if jobs[0].is_tar:
        _take_shard(options, resume, jobs[0], report)
        return report
    if options.tile:
        report.outcomes = [_take_tiled(options, job, report) for job in jobs]
        return report
    sources = (Source(job.number, job.source, str(job.source)) for job in jobs)
    sampled = _sampled(options, sources, report)
    for job, (outcome, scan, idx) in zip(jobs, sampled, strict=True):
        outcome.named = job.named
        if outcome.error is None:
            try:
                content = _content(options, job.target, scan, idx, report)
                files.make_folder(job.target)
                scans.put(job.target, content)
            except Exception as error:
                outcome.fail(error)
        report.outcomes.append(outcome)
    return report


def _take_shard(options: Options, resume: bool, job: files.Job, report: Report) -> None:
    def sources() -> Iterator[Source]:
        for item in shards.read(job.source):
            if item.key in kept:
                report.kept += 1
                continue
            items.append(item)
            # the number of the shard leads, so that another shard draws other random points
            number = job.number << 32 | report.kept + len(items)
            yield Source(number, item.path, f"{job.source}/{item.cloud}")

    items: list[shards.Item] = []
    try:
        files.make_folder(job.target)
        with shards.writing(job.target, resume) as (kept, add):
            for i, (outcome, scan, idx) in enumerate(_sampled(options, sources(), report)):
                item, items[i] = items[i], None
                if outcome.error is None:
                    name = files.target_name(Path(item.cloud), options.indices)
                    try:
                        content = _content(options, name, scan, idx, report)
                        add([(str(name), content), *item.others])
                    except Exception as error:
                        outcome.fail(error)
                report.outcomes.append(outcome)
        report.finished = str(job.source)
    except (InputError, OSError) as error:
        report.outcomes.append(Outcome(str(job.source), job.named))
        report.outcomes[-1].fail(error)


def _take_tiled(options: Options, job: files.Job, report: Report) -> Outcome:
    outcome, start = Outcome(str(job.source), job.named), time.perf_counter()
    try:
        if scans.extension(job.source) not in scans.TILED:
            raise InputError(f"{job.source}: --tile is for {' and '.join(scans.TILED)} files")
        if not options.indices and scans.extension(job.target) not in scans.TILED:
            raise InputError(f"{job.target}: --tile writes {', '.join(scans.TILED)} or --indices")
        files.make_folder(job.target)
        up = "y"
        if options.sampler in flags.BY_NETWORK:
            up = reading.axis_up(options.up, job.source, report.notes)
        pieces = scans.pieces(job.source)
        how = tiles.How(picker(options), options.tile, up, job.number)
        sampled = tiles.sample(pieces, how, job.target.parent)
        outcome.m = tiles.write(pieces, sampled, job.target, options.indices)
        outcome.points = pieces.count
    except scans.Bad as error:
        outcome.fail(InputError(f"{job.source} {error}"))
    except Exception as error:
        outcome.fail(error)
    outcome.seconds = time.perf_counter() - start
    return outcome


def _sampled(
    options: Options, sources: Iterable[Source], report: Report
) -> Iterator[tuple[Outcome, scans.Scan | None, NDArray | None]]:
    """Read and sample clouds: yield the outcome, the cloud and the indices of each, in order.

    The next clouds are read before the first of a batch is yielded.
    """
    start, waiting = time.perf_counter(), []

    def flush() -> list:
        nonlocal start
        done = _pick(options, waiting) if waiting else []
        now = time.perf_counter()
        for outcome, *_ in done:
            outcome.seconds = (now - start) / len(done)
        start = now
        waiting.clear()
        return done

    for source in sources:
        try:
            scan = reading.read(source.path, report.notes)
            points = reading.finite_points(source.path, scan, options.m)
            up = "y"
            if options.sampler in flags.BY_NETWORK:
                up = reading.axis_up(options.up, source.path, report.notes)
            cloud = Cloud(source, scan, points, up)
        except Exception as error:
            yield from flush()
            outcome = Outcome(source.name)
            outcome.fail(error)
            yield outcome, None, None
            continue
        if waiting and waiting[0].kind != cloud.kind:
            yield from flush()
        waiting.append(cloud)
        if len(waiting) * len(points) >= BATCH_POINTS:
            yield from flush()
    yield from flush()


def _pick(options: Options, clouds: list[Cloud]) -> list[tuple]:
    """Sample clouds of one kind together; if that fails, each by itself."""
    points, numbers = [cloud.points for cloud in clouds], [cloud.source.number for cloud in clouds]
    try:
        if len(clouds) == 1:
            picked = [picker(options)(points[0], numbers[0], clouds[0].up)]
        else:
            picked = picker(options).many(np.stack(points), numbers, clouds[0].up)
    except Exception as error:
        if len(clouds) > 1:
            return [done for cloud in clouds for done in _pick(options, [cloud])]
        outcome = Outcome(clouds[0].source.name)
        outcome.fail(error)
        return [(outcome, None, None)]
    done = []
    for cloud, idx in zip(clouds, picked, strict=True):
        outcome = Outcome(cloud.source.name, m=len(idx), points=len(cloud.scan.rows))
        done.append((outcome, cloud.scan, np.flatnonzero(cloud.scan.finite)[idx]))
    return done


def _content(options: Options, target: Path, scan: scans.Scan, idx: NDArray, report) -> bytes:
    if options.indices:
        return scans.encode_indices(target, idx)
    content, notes = scans.encode(target, scan.take(idx))
    for sentence in notes:
        report.notes.add(target, sentence)
    return content
