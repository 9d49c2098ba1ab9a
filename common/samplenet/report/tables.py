"""Tables of results, alone and beside published numbers.

A `Table` becomes Markdown here and HTML in page.html.j2.
"""

import html
import re
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from samplenet.report import published
from samplenet.report.published import Reference
from samplenet.report.results import Results
from samplenet.report.rows import (
    BASELINES,
    FULL_CLOUD,
    SAMPLERS,
    Column,
    Pivot,
    cell,
    color,
    in_order,
    is_greedy,
    label,
    mean,
    seeds,
    select,
)
from samplenet.report.ties import best, standard_error
from samplenet.runs.experiments import Experiment, Metric

NOT_RUN = "not run"
ELSEWHERE = (
    "Greedy samplers, which ask the task network, and those of other people are on the leaderboard "
    "alone."
)
PROTOCOLS_NOTE = (
    "Columns without a word are matched: a subset of the input; soft are the softly projected "
    "points and generated the simplified points themselves, no subset."
)


class Head(NamedTuple):
    """The head of a column, the group of columns it belongs to, and the colour beside it."""

    text: str
    group: str = ""
    color: str | None = None


class Table(NamedTuple):
    """Lines of text below heads; the cells (line, column) in `strong` are bold."""

    title: str
    heads: list[Head]
    lines: list[list[str]]
    strong: frozenset[tuple[int, int]] = frozenset()

    @property
    def edges(self) -> list[int]:
        """The first column of each group but the first."""
        pairs = enumerate(pairwise(self.heads), 1)
        return [j for j, (left, right) in pairs if left.group != right.group]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Name and number of columns of each group."""
        starts = [0, *self.edges, len(self.heads)]
        return [(self.heads[start].group, end - start) for start, end in pairwise(starts)]

    def markdown(self) -> str:
        """Write the table as Markdown."""
        title = f"**{self.title}**" if self.title else ""
        if not self.lines:
            return title
        heads = [f"{head.text}, {head.group}" if head.group else head.text for head in self.heads]
        rows = [_row(heads), _row(["---"] * len(heads))]
        for i, line in enumerate(self.lines):
            cells = list(line)
            for j in range(len(line)):
                if (i, j) in self.strong:
                    cells[j] = f"**{line[j]}**"
            rows.append(_row(cells))
        return "\n\n".join(filter(None, [title, "\n".join(rows)]))


def _row(cells: list[str]) -> str:
    """Write a row of a Markdown table; no "|", line break or bracket in a text is markup."""
    plain = [text.replace("|", "\\|").replace("[", "\\[") for text in cells]
    return "| " + " | ".join(" ".join(text.split()) for text in plain) + " |"


def markdown(parts: list) -> str:
    """Join texts and tables to a Markdown file, with the HTML in them escaped."""
    texts = []
    for part in filter(None, parts):
        if not isinstance(part, Table):  # __init__.py would be bold, except in a code span
            texts.append(re.sub("(`[^`]*`)|__", lambda found: found[1] or r"\_\_", part))
            continue
        texts.append(part.markdown())
    return html.escape("\n\n".join(texts) + "\n", quote=False)


def metric_of(experiment: Experiment, name: str) -> Metric:
    """Return how a metric is shown; its name is the title if the experiment does not state it."""
    return experiment.metrics.get(name) or Metric(title=name, digits=4)


def levels(rows: list[dict], metric: Metric) -> str:
    """Write the values on full clouds in brackets; "" without such rows."""
    words = []
    for sampler in FULL_CLOUD:
        if full := select(rows, sampler=sampler):
            words.append(f"{label(sampler)} {cell(full, metric)}")
    return f" ({'; '.join(words)})" if words else ""


def compared(
    results: Results,
    name: str,
    preset: str,
    reference: Reference | None = None,
    planned: dict[str, list] | None = None,
) -> Table:
    """Tabulate a metric on matched points, a column for each method, beside published numbers.

    Where a comparison is fair, more columns hold the differences.

    Args:
        name: of the metric.
        planned: lines by method; a cell among them that has no number says "not run".
    """
    experiment, metric = results.experiment, metric_of(results.experiment, name)
    planned, by_size = planned or {}, experiment.lines == "m"
    matched = select(results.rows, metric=name, protocol="matched")
    rows = [row for row in matched if in_table(row, experiment)]
    pivot = Pivot(rows, experiment.lines, experiment.columns)
    n = results.size[1] or (reference.points if reference else 0)

    # lines and columns: those measured, those planned, those published
    lines = dict.fromkeys(pivot.lines)
    for planned_lines in planned.values():
        lines |= dict.fromkeys(planned_lines)
    if reference:
        lines |= dict.fromkeys(m for m in reference.lines if not by_size or m <= n)
    lines = sorted(lines, reverse=True) if by_size else list(lines)
    measured = [column.name for column in pivot.columns]
    missing = [Column(method) for method in planned if method not in measured]
    order = in_order([*measured, *planned])
    ours = sorted([*pivot.columns, *missing], key=lambda column: order.index(column.name))

    columns = _line_columns(experiment, lines, n)
    first, strong = len(columns), set()
    for column in ours:
        texts = []
        for line in lines:
            empty = NOT_RUN if line in planned.get(column.name, ()) else ""
            texts.append(cell(pivot[line, column], metric) or empty)
        columns.append((_head(column), texts))
    for i, line in enumerate(lines):
        rivals = [(j, c) for j, c in enumerate(ours, first) if c.name not in experiment.references]
        cells = {j: pivot[line, column] for j, column in rivals}
        strong |= {(i, j) for j in best(results.rows, experiment, name, cells)}
    if reference:
        columns += _published_columns(reference, lines)
        if not reference.hindrances(results, preset):
            both = [column for column in ours if column.name in reference.methods]
            columns += [_difference(reference, lines, pivot, column, metric) for column in both]
    title = reference.title if reference else metric.title
    return _table(title + levels(rows, metric), columns, strong)


def _table(title: str, columns: list[tuple[Head, list[str]]], strong=()) -> Table:
    """Join columns, each a head and its texts, to a table."""
    lines = zip(*(texts for _, texts in columns), strict=True)
    return Table(title, [head for head, _ in columns], [*map(list, lines)], frozenset(strong))


def _line_columns(experiment: Experiment, lines: list, num_points: int) -> list:
    """Return the columns that name a line: a size m comes with its sampling ratio N/m."""
    columns = [(Head(experiment.lines), [str(line) for line in lines])]
    if experiment.lines == "m":
        known = [f"{num_points / m:g}" for m in lines] if num_points else [""] * len(lines)
        columns.append((Head("ratio"), known))
    return columns


def _head(column: Column, group: str = "") -> Head:
    return Head(column.label, group, color(column.name))


def _published_columns(reference: Reference, lines: list) -> list:
    """Return a column for each published method, and the source of each line."""
    rows, columns = [reference.row(line) for line in lines], []
    for method in reference.methods:
        texts = [row.get(method, "") for row in rows]
        columns.append((Head(label(method), "published", color(method)), texts))
    sources = [published.source(row) for row in rows]
    return [*columns, (Head("source", "published"), sources)] if columns else []


def _difference(
    reference: Reference, lines: list, pivot: Pivot, column: Column, metric: Metric
) -> tuple[Head, list[str]]:
    """Return the column of how far a method of ours is from the published one."""
    texts = []
    for line in lines:
        ours, theirs = pivot[line, column], reference.row(line).get(column.name)
        value = mean(ours, metric) if ours else 0
        known = ours and theirs
        texts.append(published.difference(value, theirs, metric.digits) if known else "")
    return _head(column, "ours − published"), texts


def in_table(row: dict, experiment: Experiment) -> bool:
    """Return whether the table over all classes, or that with a line for each, has this row."""
    return "class" not in row or "class" in (experiment.lines, experiment.columns)


def every(results: Results) -> list[Table]:
    """Tabulate all metrics and protocols: the experiment's metrics, others, then single classes."""
    experiment, groups = results.experiment, {}
    for row in results.rows:
        of_class = "" if in_table(row, experiment) else row["class"]
        groups.setdefault((row["metric"], of_class), []).append(row)
    rank = {(name, ""): i for i, name in enumerate(experiment.metrics)}
    tables = []
    for name, of_class in sorted(groups, key=lambda key: rank.get(key, len(rank) + bool(key[1]))):
        rows, metric = groups[name, of_class], metric_of(experiment, name)
        pivot = Pivot(rows, experiment.lines, experiment.columns)
        columns = _line_columns(experiment, pivot.lines, results.size[1])
        for column in pivot.columns:
            texts = [cell(pivot[line, column], metric) for line in pivot.lines]
            columns.append((_head(column), texts))
        title = metric.title + (f": {of_class}" if of_class else "") + levels(rows, metric)
        tables.append(_table(title, columns))
    return tables


def brief(results: Results) -> list:
    """Tabulate the headline on matched points of baselines and the paper's samplers, with a note.

    Returns [] without such rows. Greedy samplers and those of other people are left out.
    """
    shown = [sampler for sampler in SAMPLERS if not is_greedy(sampler)]
    rows = [row for row in results.rows if row.get("sampler") in shown]
    own = replace(results, rows=rows)
    table = compared(own, own.experiment.headline, "")
    if not table.lines:
        return []
    elsewhere = f" {ELSEWHERE}" if len(rows) < len(results.rows) else ""
    return [table, rule(own, [table]) + elsewhere]


def rule(results: Results, tables: list[Table]) -> str:
    """Say what the numbers are of and mean, how many seeds there are, and what bold ones mean."""
    experiment, items = results.experiment, results.experiment.items
    counts = _training_seeds(results)
    parts = [f"{results.size[0]} test {items}."]
    if results.network:
        parts.append(f"Task network: {experiment.network(results.network)}.")
    if experiment.note:
        parts.append(experiment.note)
    if counts:
        listed = ", ".join(f"{label(name)} {count}" for name, count in counts.items())
        parts.append(f"Number of training seeds: {listed}.")
    if max(counts.values(), default=1) > 1:
        parts.append("± is the standard deviation over seeds.")
    if any(table.strong for table in tables):
        parts.append(f"Bold: the best of a line and what ties with it, {tie(results)}")
        shown = seeds(results.headline(protocol="matched"), experiment.columns)
        if known := [label(name) for name in experiment.references if name in shown]:
            parts.append(f"Not compared, as upper references: {', '.join(known)}.")
    return " ".join(parts).strip()


def tie(results: Results) -> str:
    """Say which difference is a tie."""
    experiment = results.experiment
    several = max(_training_seeds(results).values(), default=1) > 1
    over = f"test {experiment.items}" + (" and seeds" if several else "")
    return (
        "a difference under 2√(a² + b²), where a and b are the two standard errors over "
        f"{over}. {experiment.caveat}"
    ).strip()


def _training_seeds(results: Results) -> dict[str, int]:
    """Count the seeds of each trained method."""
    experiment, columns = results.experiment, results.experiment.columns
    found = seeds(results.headline(protocol="matched"), columns)
    trained = [name for name in found if name not in BASELINES and not is_greedy(name)]
    if not experiment.has_samplers:  # the mean of the training clouds has no run
        runs = {run.get(columns) for run in results.runs}
        trained = [name for name in found if name in runs]
    return {name: len(found[name]) for name in trained}


def introduction(results: Results) -> str:
    """Say what the tables of one results.json are of, and how large their means' errors are."""
    experiment, (n, points) = results.experiment, results.size
    name, metric = experiment.headline, experiment.metrics[experiment.headline]
    extent = f"{n} test {experiment.items}" + (f" of {points} points" if points else "")
    parts = [f"Data: {results.data}, {extent}.", experiment.note]
    if experiment.has_samplers:
        parts.append(PROTOCOLS_NOTE)
    errors = []
    for row in results.headline(protocol="matched"):
        errors.append(standard_error(results.rows, experiment, name, [row]) or 0)
    if most := metric.scale * max(errors, default=0):
        parts.append(
            f"A mean's standard error over {experiment.items} is at most "
            f"{most:.{metric.digits}f}; a difference under {2 * 2**0.5 * most:.{metric.digits}f} "
            "(two standard errors of a difference) may be a tie, and what seeds differ by comes on "
            f"top. {experiment.caveat}"
        )
    found = seeds(results.headline(), experiment.columns)
    listed = ", ".join(f"{label(method)} {numbers}" for method, numbers in found.items())
    parts.append(f"Seeds: {listed}.")
    return " ".join(part.strip() for part in parts if part)


def others(experiment: Experiment, task: str) -> tuple[str, list[Table]]:
    """Tabulate the published numbers that the evaluation with this task network does not show.

    Returns:
        A note that explains them and the words of the column `source`, and the tables; "" and []
        if there are none.
    """
    tables, legends = [], {}
    for reference in published.references(experiment):
        if reference.data and reference.task == task:
            continue  # `compared` shows it
        names = [*(["none"] if reference.full else []), *reference.methods]
        heads = [Head(text) for text in (experiment.lines, *map(label, names), "source")]
        lines = []
        for row in reference.rows:
            values = [row.get(name, "") for name in names]
            lines.append([row[experiment.lines], *values, published.source(row)])
        title = f"{reference.title} ({reference.words}, {reference.extent})"
        tables.append(Table(title, heads, lines))
        legends[f"Source {reference.legend}"] = None
    if not tables:
        return "", []
    words = "Published by others; nothing of ours stands beside these here."
    return " ".join([words, *legends]), tables
