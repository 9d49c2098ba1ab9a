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
        The table, the paths of what was written, and what was left out.
    """
    folder = Path(folder)
    results = read(folder, {experiment.name: experiment})
    text = tables.markdown(
        [tables.introduction(results), f"    {results.command}", *tables.every(results)]
    )
    write_atomic(folder / "table.md", text.encode())
    for (
        name
    ) in experiment.figures:  # an old figure would stand beside numbers it does not belong to
        (folder / name).unlink(missing_ok=True)
    gallery = read_gallery(folder)
    lines = [str(folder / "table.md")]
    for name, make in makers(experiment).items():
        figure = make(results, gallery)
        if figure is None:
            continue
        try:
            content = (
                interactive.page(figure, results.data)
                if name.endswith(".html")
                else png.draw(figure)
            )
        except interactive.Unavailable as reason:
            lines.append(f"{name} is left out: {reason}")
            continue
        write_atomic(folder / name, content)
        lines.append(str(folder / name))
    return text + "\n" + "\n".join(lines)


def makers(experiment: Experiment) -> dict[str, Callable]:
    """The functions that make an experiment's figures, by the name of the figure's file.

    Raises:
        InputError: experiment.py names a function that is neither in the experiment's figures.py nor in the library's.
    """
    path = experiment.folder / "figures.py"
    own = load_module(path) if path.exists() else None
    found = {}
    for file, name in experiment.figures.items():
        found[file] = getattr(own, name, None) or getattr(figures, name, None)
        if found[file] is None:
            raise InputError(
                f"{experiment.folder / 'experiment.py'}: no function {name} makes {file}; write it to {path}"
            )
    return found
