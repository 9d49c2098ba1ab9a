"""Tables of results, alone and beside published numbers. One Table becomes Markdown here and HTML in page.html.j2."""

import html
from typing import NamedTuple

from samplenet.report import published
from samplenet.report.results import Results
from samplenet.report.rows import (
    BASELINES,
    FULL_CLOUD,
    Column,
    Pivot,
    cell,
    color,
    in_order,
    label,
    mean,
    seeds,
    select,
)
from samplenet.report.ties import best, standard_error
from samplenet.runs.experiments import Experiment, Metric

NOT_RUN = "not run"
PROTOCOLS_NOTE = (
    "Columns without a word are matched: a subset of the input; soft are the softly projected points and generated the "
    "simplified points themselves, no subset."
)


class Head(NamedTuple):
    """The head of a column, the group of columns it belongs to, and the colour beside it."""

    text: str
    group: str = ""
    color: str | None = None


class Table(NamedTuple):
    """Lines of text below heads; the cells (line, column) of `strong` stand out."""

    title: str
    heads: list[Head]
    lines: list[list[str]]
    strong: frozenset[tuple[int, int]] = frozenset()

    @property
    def edges(self) -> list[int]:
        """The columns that begin a group, but for the first."""
        return [
            j for j in range(1, len(self.heads)) if self.heads[j].group != self.heads[j - 1].group
        ]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Name and number of columns of each group."""
        starts = [0, *self.edges, len(self.heads)]
        return [(self.heads[a].group, b - a) for a, b in zip(starts, starts[1:], strict=False)]

    def markdown(self) -> str:
        """The table as Markdown; what a cell holds cannot end it."""
        if not self.lines:
            return f"**{self.title}**"
        lines = [[f"{head.text}, {head.group}" if head.group else head.text for head in self.heads]]
        for i, line in enumerate(self.lines):
            lines.append(
                [f"**{text}**" if (i, j) in self.strong else text for j, text in enumerate(line)]
            )
        rows = [
            "| " + " | ".join(" ".join(text.replace("|", "\\|").split()) for text in line) + " |"
            for line in lines
        ]
        rows.insert(1, "| " + " | ".join(["---"] * len(self.heads)) + " |")
        return f"**{self.title}**\n\n" + "\n".join(rows)


def markdown(parts: list) -> str:
    """Join texts and tables to a Markdown file; what comes from a file cannot become markup."""
    texts = [part.markdown() if isinstance(part, Table) else part for part in parts if part]
    return html.escape("\n\n".join(texts) + "\n", quote=False)


def metric_of(experiment: Experiment, name: str) -> Metric:
    """How a metric is shown; one that the experiment does not state, by its name."""
    return experiment.metrics.get(name) or Metric(title=name, digits=4)


def levels(rows: list[dict], metric: Metric) -> str:
    """The values on full clouds as words in brackets; empty without such rows."""
    found = [(sampler, select(rows, sampler=sampler)) for sampler in FULL_CLOUD]
    words = [
        f"{label(sampler)} {cell(rows, metric.scale, metric.digits)}"
        for sampler, rows in found
        if rows
    ]
    return f" ({'; '.join(words)})" if words else ""


def line_heads(experiment: Experiment) -> list[Head]:
    """The heads of the first columns, which name a line: sizes come with their sampling ratio."""
    return [Head("m"), Head("ratio")] if experiment.lines == "m" else [Head(experiment.lines)]


def column_heads(columns: list[Column], group: str = "") -> list[Head]:
    """Return the heads of the methods' columns."""
    return [Head(column.label, group, color(column.name)) for column in columns]


def line_cells(experiment: Experiment, line, num_points: int) -> list[str]:
    """The text of the first columns."""
    return (
        [str(line), f"{num_points / line:g}" if num_points else ""]
        if experiment.lines == "m"
        else [str(line)]
    )


def compared(
    results: Results, metric: str, preset: str, reference=None, planned: dict | None = None
) -> Table:
    """Matched points: a column a method; then what is published and, where the comparison is fair, how far off ours is.

    Args:
        planned: lines by method; a cell of these without a number says "not run".
    """
    experiment, look, planned = (
        results.experiment,
        metric_of(results.experiment, metric),
        planned or {},
    )
    rows = [
        row
        for row in select(results.rows, metric=metric, protocol="matched")
        if _in_table(row, experiment)
    ]
    pivot = Pivot(rows, experiment.lines, experiment.columns)
    full = select(rows, sampler="none")
    n = full[0]["m"] if full else reference.points if reference else 0
    ours = list(pivot.columns)
    ours += [Column(name) for name in planned if name not in [column.name for column in ours]]
    names = in_order(column.name for column in ours)
    ours.sort(key=lambda column: names.index(column.name))
    lines = dict.fromkeys([*pivot.lines, *(line for kinds in planned.values() for line in kinds)])
    theirs = reference.methods if reference else []
    if reference:
        lines |= dict.fromkeys(
            line for line in reference.lines if experiment.lines != "m" or line <= n
        )
    fair = reference is not None and not reference.hindrances(results, preset)
    apart = [column for column in ours if fair and column.name in theirs]

    heads = line_heads(experiment) + column_heads(ours)
    heads += [Head(label(name), "published", color(name)) for name in theirs]
    heads += [Head("source", "published")] if theirs else []
    heads += column_heads(apart, "ours − published")
    first, made, strong = len(line_heads(experiment)), [], set()
    for line in sorted(lines, reverse=True) if experiment.lines == "m" else lines:
        cells = {column: pivot[line, column] for column in ours}
        texts = line_cells(experiment, line, n)
        for column in ours:
            missing = NOT_RUN if line in planned.get(column.name, ()) else ""
            texts.append(cell(cells[column], look.scale, look.digits) or missing)
        if reference:
            row = reference.row(line)
            texts += [row.get(name, "") for name in theirs]
            texts.append(published.MARKS[row["mark"]][0] if set(theirs) & set(row) else "")
            for column in apart:
                both = cells[column] and column.name in row
                value = mean(cells[column], look.scale) if both else 0
                texts.append(
                    published.difference(value, row[column.name], look.digits) if both else ""
                )
        strong |= {
            (len(made), first + ours.index(c))
            for c in best(results.rows, experiment, metric, cells)
        }
        made.append(texts)
    title = reference.title if reference else look.title
    return Table(title + levels(rows, look), heads, made, frozenset(strong))


def _in_table(row: dict, experiment: Experiment) -> bool:
    """Whether a row belongs to the table over all classes; a table with classes as lines or columns has them all."""
    return "class" not in row or "class" in (experiment.lines, experiment.columns)


def every(results: Results) -> list[Table]:
    """Each metric in a table of all protocols: those the experiment states, other ones, then those of one class."""
    experiment, tables = results.experiment, {}
    for row in results.rows:
        of_class = "" if _in_table(row, experiment) else row["class"]
        tables.setdefault((row["metric"], of_class), []).append(row)
    stated = [(metric, "") for metric in experiment.metrics if (metric, "") in tables]
    plain = [key for key in tables if not key[1]]
    made = []
    for metric, of_class in dict.fromkeys([*stated, *plain, *tables]):
        rows, look = tables[metric, of_class], metric_of(experiment, metric)
        pivot = Pivot(rows, experiment.lines, experiment.columns)
        heads = line_heads(experiment) + column_heads(pivot.columns)
        lines = []
        for line in pivot.lines:
            values = [
                cell(pivot[line, column], look.scale, look.digits) for column in pivot.columns
            ]
            lines.append(line_cells(experiment, line, results.size[1]) + values)
        title = look.title + (f": {of_class}" if of_class else "") + levels(rows, look)
        made.append(Table(title, heads, lines))
    return made


def rule(results: Results, tables: list[Table]) -> str:
    """How many items and seeds the numbers are of, and what the bold ones mean."""
    experiment, items = results.experiment, results.experiment.items
    found = seeds(results.headline(protocol="matched"), experiment.columns)
    counts = {name: len(numbers) for name, numbers in found.items() if name not in BASELINES}
    several = max(counts.values(), default=1) > 1
    parts = [f"{results.size[0]} test {items}."]
    if counts:
        parts.append(
            f"Training seeds: {', '.join(f'{label(name)} {count}' for name, count in counts.items())}."
        )
    if several:
        parts.append("± is the standard deviation over seeds.")
    if any(table.strong for table in tables):
        over = f"test {items}" + (" and seeds" if several else "")
        parts.append(
            "Bold: the best of a line and what ties with it, a difference under 2√(a² + b²), where a and b are the two "
            f"standard errors over {over}. {experiment.caveat}"
        )
    return " ".join(parts).strip()


def introduction(results: Results) -> str:
    """What the tables of one results.json are of, and how far their means may be trusted."""
    experiment, (n, points) = results.experiment, results.size
    look, matched = experiment.metrics[experiment.headline], results.headline(protocol="matched")
    parts = [
        f"Data: {results.data}, {n} test {experiment.items}"
        + (f" of {points} points." if points else ".")
    ]
    parts += [experiment.note, PROTOCOLS_NOTE]
    errors = [
        standard_error(results.rows, experiment, experiment.headline, [row]) for row in matched
    ]
    if most := look.scale * max((error for error in errors if error is not None), default=0):
        parts.append(
            f"A mean's standard error over {experiment.items} is at most {most:.{look.digits}f}; a difference under "
            f"{2 * 2**0.5 * most:.{look.digits}f} (two standard errors of a difference) may be a tie, and what seeds "
            f"differ by comes on top. {experiment.caveat}"
        )
    found = seeds(results.headline(), experiment.columns)
    parts.append(
        f"Seeds: {', '.join(f'{label(name)} {numbers}' for name, numbers in found.items())}."
    )
    return " ".join(part.strip() for part in parts if part)


def others(experiment: Experiment, task: str) -> tuple[str, list[Table]]:
    """The published tables that stand beside no numbers of the evaluation with this task network.

    Returns:
        What they are and what the words of the column `source` mean, and the tables; empty where there are none.
    """
    alone = [
        found for found in published.references(experiment) if not found.data or found.task != task
    ]
    tables = []
    for reference in alone:
        names = [*(["none"] if reference.full() else []), *reference.methods]
        heads = [Head(text) for text in (experiment.lines, *map(label, names), "source")]
        lines = []
        for row in reference.rows:
            values = [row.get(name, "") for name in names]
            lines.append([row[experiment.lines], *values, published.MARKS[row["mark"]][0]])
        tables.append(
            Table(f"{reference.title} ({reference.words}, {reference.extent()})", heads, lines)
        )
    legend = " ".join(dict.fromkeys(f"Source {reference.legend()}" for reference in alone))
    return (
        f"Published by others; nothing of ours stands beside these here. {legend}" if alone else ""
    ), tables
