"""Which files the console command samples, and which file each sample is written to."""

import os
import tempfile
from pathlib import Path
from typing import NamedTuple

from samplenet import scans
from samplenet.errors import InputError

TAR = ".tar"  # a file of many clouds


class Job(NamedTuple):
    """A cloud to sample, or a tar file of clouds.

    Attributes:
        number: among all.
        source: file to read.
        target: file to write.
        named: whether the command line names the file itself, not a folder that holds it.
    """

    number: int
    source: Path
    target: Path
    named: bool

    @property
    def is_tar(self) -> bool:
        """Whether the file holds many clouds, see `shards`."""
        return scans.extension(self.source) == TAR


def plan(inputs: list[Path], output: Path, indices: bool) -> tuple[list[Job], list[str]]:
    """Pair each input file with its output file.

    Args:
        inputs: files, and folders of files.
        output: a file, or a folder if there are several inputs or a folder among them.
        indices: whether indices are written instead of clouds.

    Returns:
        The jobs, and one sentence for each folder that cannot be read.
    """
    jobs, faults = [], []
    files = []  # path, name in the output folder, named
    for path in inputs:
        if path.is_dir():
            if output.exists() and output.samefile(path):
                raise InputError(f"-o {output} is the input folder; name another")
            clouds = _clouds(path, output.resolve(), faults)
            if not clouds:
                fault = f"{path} holds no file of a format that samplenet sample --help lists"
                raise InputError(faults[-1] if faults else fault)
            files += [(file, file.relative_to(path), False) for file in clouds]
        elif path.is_file():
            files.append((path, Path(path.name), True))
        else:
            raise InputError(f"there is no file or folder {path}")
    if output.is_dir() or len(files) > 1 or not files[0][2]:
        if output.is_file() or scans.extension(output) in (*scans.WRITERS, TAR):
            raise InputError(f"-o {output} is named like a file, but must be a folder here")
        for number, (file, name, named) in enumerate(files):
            jobs.append(Job(number, file, output / target_name(name, indices), named))
        _check_distinct(jobs)
        _check_writable(output)
    else:
        if scans.extension(files[0][0]) != TAR:
            scans.check_extension(output, indices)
        elif scans.extension(output) != TAR:
            raise InputError(f"-o {output} must end in .tar, as the input does, or be a folder")
        jobs.append(Job(0, files[0][0], output, True))
    sources = {job.source.resolve() for job in jobs}
    for _, source, target, _ in jobs:
        # samefile: the target may be the source under another name, such as a hard link
        if target.resolve() in sources or target.exists() and target.samefile(source):
            raise InputError(f"-o {target} is the input; name another file or folder")
    return jobs, faults


def _clouds(folder: Path, output: Path, faults: list[str]) -> list[Path]:
    """List the files in a folder, and in all folders below it, that have the extension of a cloud.

    Links to folders are followed. No folder is visited twice, and `output`, which an earlier call
    may have written, is never visited.
    """
    root = folder.resolve()
    visited, files = {root, output}, []

    def note(error):
        faults.append(f"{error.filename} cannot be read ({error.strerror})")

    for parent, folders, names in os.walk(folder, onerror=note, followlinks=True):
        for name in sorted(folders):
            path = Path(parent, name)
            real = path.resolve()
            # the target of a link that stays within the root is visited under its own name
            if real in visited or path.is_symlink() and real.is_relative_to(root):
                folders.remove(name)
            else:
                visited.add(real)
        files += [Path(parent, name) for name in names]
    # a broken link is kept, to be reported when it is read; a pipe, which could block, is not
    files = [file for file in files if file.is_file() or not file.exists()]
    return sorted(file for file in files if scans.extension(file) in (*scans.READERS, TAR))


def target_name(name: Path, indices: bool) -> Path:
    """Name a file's sample in the output folder."""
    extension = scans.extension(name)
    if extension == TAR or extension in scans.WRITERS and not indices:
        return name
    stem = name.name[: len(name.name) - len(extension)]
    return name.with_name(stem + (".npy" if indices else ".ply"))


def _check_distinct(jobs: list[Job]) -> None:
    """Raise InputError if two clouds would be written to one file."""
    rivals: dict[Path, list[Job]] = {}
    for job in jobs:
        rivals.setdefault(job.target, []).append(job)
    for target, group in rivals.items():
        if len(group) == 1:
            continue
        # read them: chair.csv beside chair.ply may be a table of prices
        clouds = [job.source for job in group if job.named or _is_cloud(job.source)]
        if len(clouds) > 1:
            both = f"{clouds[0]} and {clouds[1]} would both become {target}"
            raise InputError(f"{both}; rename one of them, or sample it separately")


def _is_cloud(path: Path) -> bool:
    """Return whether a file is a cloud, perhaps a damaged one, and not some other text."""
    try:
        scans.read(path)
    except scans.NoCloud:
        return False
    except InputError:
        pass
    return True


def make_folder(target: Path) -> None:
    """Create the folder of a file; InputError if that fails."""
    folder = target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"cannot create the folder {folder} ({error.strerror})"
        raise InputError(f"{target} cannot be written: {reason}") from error


def _check_writable(folder: Path) -> None:
    """Raise InputError if a folder, or the nearest existing one above it, cannot be written."""
    nearest = folder.absolute()
    while not nearest.exists():
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise InputError(f"-o {folder}: nothing can be written there ({error.strerror})") from error
