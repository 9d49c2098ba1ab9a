"""Tables and figures of one evaluation, beside its results.json."""

from collections.abc import Callable
from pathlib import Path

from samplenet.atomic import write_atomic
from samplenet.errors import InputError
from samplenet.report import figures, interactive, png, tables
from samplenet.report.results import read, read_gallery
from samplenet.runs.experiments import Experiment, load_module


def write(folder: Path, experiment: Experiment) -> str:
    """Write table.md and the figures of an evaluation.

    Returns:
        The table, the paths of the files, and the figures that could not be drawn.
    """
    folder = Path(folder)
    results = read(folder, {experiment.name: experiment})
    parts = [tables.introduction(results), f"    {results.command}", *tables.every(results)]
    text = tables.markdown(parts)
    write_atomic(folder / "table.md", text.encode())
    # first of all, as a figure that cannot be drawn any more would show older numbers
    for name in experiment.figures:
        (folder / name).unlink(missing_ok=True)
    gallery, lines = read_gallery(folder), [str(folder / "table.md")]
    for name, make in makers(experiment).items():
        figure = make(results, gallery)
        if figure is None:
            continue
        if not name.endswith(".html"):
            content = png.draw(figure)
        else:
            try:
                content = interactive.page(figure, results.data)
            except InputError as reason:
                lines.append(f"{name} is left out: {reason}")
                continue
        write_atomic(folder / name, content)
        lines.append(str(folder / name))
    return text + "\n" + "\n".join(lines)


def makers(experiment: Experiment) -> dict[str, Callable]:
    """Return the functions that make an experiment's figures, by the file's name.

    Raises:
        InputError: neither the experiment's figures.py nor the library's has such a function.
    """
    path = experiment.folder / "figures.py"
    own = load_module(path) if path.exists() else None
    found = {}
    for file, name in experiment.figures.items():
        found[file] = getattr(own, name, None) or getattr(figures, name, None)
        if found[file] is None:
            raise InputError(
                f"{experiment.folder / 'experiment.py'}: no function {name} makes {file}; "
                f"write it to {path}"
            )
    return found
