"""Tables of a preset's results, alone and beside published numbers, as HTML and as Markdown."""

import html
from typing import NamedTuple

import numpy as np

from samplenet.report import EXPERIMENTS, published
from samplenet.report.pictures import UNTRAINED
from samplenet.report.rows import FULL_CLOUD, cell, color, columns, grid, label, markdown, select
from samplenet.report.ties import best

NOUNS = {"classification": "clouds", "registration": "pairs", "reconstruction": "clouds"}
NOT_RUN = "not run"


class Table(NamedTuple):
    """A title; (group, head, colour or None) of each column; lines of text; the cells (line, column) that stand out."""

    title: str
    heads: list[tuple[str, str, str | None]]
    lines: list[list[str]]
    strong: frozenset[tuple[int, int]] = frozenset()

    def markdown(self) -> str:
        heads = [f"{head}, {group}" if group else head for group, head, _ in self.heads]
        cells = [
            [f"**{text}**" if (i, j) in self.strong else text for j, text in enumerate(line)]
            for i, line in enumerate(self.lines)
        ]
        return f"**{self.title}**\n\n" + markdown(heads, cells)

    def html(self, kind: str = "numbers", links: tuple[str, ...] = ()) -> str:
        """A table in a box that scrolls sideways; the first column names the line.

        Args:
            kind: its class, "numbers" or "words".
            links: where the first cell of each line leads, if anywhere.
        """
        groups = []
        for group, _, _ in self.heads:
            if groups and groups[-1][0] == group:
                groups[-1][1] += 1
            else:
                groups.append([group, 1])
        over = "".join(f'<th colspan="{n}" scope="colgroup">{html.escape(group)}</th>' for group, n in groups)
        first = {sum(n for _, n in groups[:i]) for i in range(1, len(groups))}  # columns that begin a group
        edge = [' class="edge"' if j in first else "" for j in range(len(self.heads))]
        heads = "".join(
            f'<th scope="col"{edge[j]}>{dot(shade)}{html.escape(head)}</th>'
            for j, (_, head, shade) in enumerate(self.heads)
        )
        body = ""
        for i, line in enumerate(self.lines):
            name = html.escape(line[0])
            body += f'<tr><th scope="row">{f"""<a href="{links[i]}">{name}</a>""" if links else name}</th>'
            for j, text in enumerate(line[1:], 1):
                text = html.escape(text)
                text = f"<b>{text}</b>" if (i, j) in self.strong else text
                text = f"<small>{text}</small>" if text == NOT_RUN else text
                body += f"<td{edge[j]}>{text}</td>"
            body += "</tr>\n"
        top = f'<tr class="groups">{over}</tr>' if len(groups) > 1 else ""
        title = html.escape(self.title)
        return (
            f'<h3>{title}</h3><div class="scroll" tabindex="0"><table class="{kind}" aria-label="{title}">\n'
            f"<thead>{top}<tr>{heads}</tr></thead>\n<tbody>{body}</tbody></table></div>\n"
        )


def dot(shade: str | None) -> str:
    """A sampler's colour beside its name."""
    return f'<i class="dot" style="color:{shade}" aria-hidden="true">●</i>&nbsp;' if shade else ""


def look(experiment: str, metric: str) -> tuple[str, float, int]:
    """Title, scale and digits of a metric; one of a class, as nre_chair, has those of the metric it belongs to."""
    known = EXPERIMENTS[experiment].METRICS
    base = max((name for name in known if metric == name or metric.startswith(f"{name}_")), key=len, default=None)
    if base is None:
        return metric, 1, 4
    entry = known[base]
    title, scale, digits = (entry[0].upper() + entry[1:], 100, 1) if isinstance(entry, str) else entry
    if scale == 100 and "%" not in title:
        title += ", %"
    return title + (f": {metric.removeprefix(base + '_')}" if metric != base else ""), scale, digits


def full_cloud(results: dict, metric: str) -> str:
    """The values on full clouds as words; empty without rows."""
    _, scale, digits = look(results["experiment"], metric)
    found = [(s, select(results["rows"], sampler=s, metric=metric)) for s in FULL_CLOUD]
    return "; ".join(f"{label(s)} {cell(rows, scale, digits)}" for s, rows in found if rows)


def main(
    results: dict, metric: str, preset: str, reference: published.Reference | None, planned: dict[str, list[int]]
) -> Table:
    """Matched points: a line a sample size, a column a sampler; then what is published and, where fair, how far off.

    Args:
        planned: sizes by sampler; a cell of these without a number says "not run".
    """
    title, scale, digits = look(results["experiment"], metric)
    rows = select(results["rows"], metric=metric, protocol="matched")
    full = select(rows, sampler="none")
    n = full[0]["m"] if full else reference.points if reference else 0
    theirs = reference.samplers if reference else []
    ours = [name for name, _ in columns([*rows, *({"sampler": name, "protocol": "matched"} for name in planned)])]
    sizes = {r["m"] for r in rows if r["sampler"] not in FULL_CLOUD}.union(*planned.values())
    if reference:
        sizes |= {int(row["m"]) for row in reference.rows if "none" not in row and int(row["m"]) <= n}
    fair = reference is not None and not reference.hindrances(results, preset)
    apart = [name for name in theirs if name in ours] if fair else []

    heads = [("", "m", None), ("", "ratio", None), *(("", label(name), color(name)) for name in ours)]
    heads += [("published", label(name), color(name)) for name in theirs] + [("published", "source", None)] * bool(
        theirs
    )
    heads += [("ours − published", label(name), color(name)) for name in apart]
    lines, strong = [], set()
    for m in sorted(sizes, reverse=True):
        found = {name: select(rows, sampler=name, m=m) for name in ours}
        line = [str(m), f"{n / m:g}" if n else ""]
        line += [cell(found[name], scale, digits) or (NOT_RUN if m in planned.get(name, ()) else "") for name in ours]
        if reference:
            row = reference.row(m)
            source = published.MARKS[row["mark"]][0] if set(theirs) & set(row) else ""
            line += [*(row.get(name, "") for name in theirs), source]
            for name in apart:
                both = found[name] and name in row
                mean = scale * np.mean([r["value"] for r in found[name]]) if both else 0
                line.append(published.difference(mean, row[name], digits) if both else "")
        strong |= {(len(lines), 2 + ours.index(name)) for name in best(results, metric, found)}
        lines.append(line)
    title = reference.title if reference else title
    levels = full_cloud(results, metric)
    return Table(title + (f" ({levels})" if levels else ""), heads, lines, frozenset(strong))


def shown_size(results: dict) -> int | None:
    """The sample size that most learned samplers were scored at, of several the smallest; None without samplers."""
    rows = select(results["rows"], metric=EXPERIMENTS[results["experiment"]].HEADLINE, protocol="matched")
    found = {(r["m"], r["sampler"]) for r in rows if r["sampler"] not in FULL_CLOUD}
    learned = {m: sum(m == size and name not in UNTRAINED for size, name in found) for m, _ in found}
    return max(learned, key=lambda m: (learned[m], -m), default=None)


def rule(results: dict, tables: list[Table]) -> str:
    """How many clouds and seeds the numbers are of, and what the bold ones mean."""
    rows = select(results["rows"], metric=EXPERIMENTS[results["experiment"]].HEADLINE, protocol="matched")
    noun, n = NOUNS[results["experiment"]], select(rows, sampler="none")[0]["n"]
    trained = [name for name, _ in columns(rows) if name not in UNTRAINED]
    seeds = {name: len({r["seed"] for r in select(rows, sampler=name)}) for name in trained}
    counts = ", ".join(f"{label(name)} {count}" for name, count in seeds.items())
    several = max(seeds.values(), default=1) > 1
    parts = [f"{n} test {noun}." + (f" Training seeds: {counts}." if counts else "")]
    if several:
        parts.append("± is the standard deviation over seeds.")
    if any(table.strong for table in tables):
        over = f"test {noun}" + (" and seeds" if several else "")
        parts.append(
            "Bold: the best of a line and what ties with it, a difference under 2√(a² + b²), where a and b are the two "
            f"standard errors over {over}."
        )
        if noun == "pairs":
            parts.append(
                "That takes pairs as independent, which those of one shape are not: true errors may be larger."
            )
    return " ".join(parts)


def beside(results: dict, preset: str, reference: published.Reference) -> str:
    """What the published numbers of a table are of, and whether ours may be compared with them."""
    what = f"{reference.words} ({extent(reference)})"
    full = f" Published for all {reference.points} points: {reference.full()}." if reference.full() else ""
    if hindrances := reference.hindrances(results, preset):
        why = "; ".join(hindrances).replace(" test clouds", f" test {NOUNS[results['experiment']]}")
        text = (
            f"The published numbers are of {what} with the published settings. Here: {why}. They do not compare with "
        )
        text += "ours, and no difference is given."
    elif reference.differs:
        text = f"Published and ours are of {what}, but {reference.differs}; the difference is ours − published."
    else:
        text = f"Published and ours are of the same {what}; the difference is ours − published."
    return f"{text}{full} Source {reference.legend()}"


def extent(reference: published.Reference) -> str:
    """How many clouds or pairs, where that is known, of how many points."""
    noun = NOUNS[reference.experiment]
    return f"{f'{reference.clouds} test ' if reference.clouds else ''}{noun} of {reference.points} points"


def every(results: dict) -> list[Table]:
    """Each metric in a table of all protocols; those the experiment names first, the others in the file's order."""
    name, rows = results["experiment"], results["rows"]
    found = dict.fromkeys(r["metric"] for r in rows)
    tables = []
    for metric in dict.fromkeys([*(m for m in EXPERIMENTS[name].METRICS if m in found), *found]):
        title, scale, digits = look(name, metric)
        mine = select(rows, metric=metric)
        heads, lines = grid(mine, select(rows, sampler="none")[0]["m"], scale, digits)
        levels = full_cloud(results, metric)
        names = [None, None, *(color(s) for s, _ in columns(mine))]
        heads = [("", head, shade) for head, shade in zip(heads, names, strict=True)]
        tables.append(Table(title + (f" ({levels})" if levels else ""), heads, lines))
    return tables


def others(experiment: str, task: str) -> tuple[str, list[Table]]:
    """The published tables that stand beside no numbers of the experiment's evaluation with this task network.

    Returns:
        What they are and what the words of the column `source` mean, and the tables; empty where there are none.
    """
    found = [r for r in published.references(experiment) if not r.data or r.task != task]
    tables = []
    for reference in found:
        names = [*(["none"] if reference.full() else []), *reference.samplers]
        heads = [("", head, None) for head in ("m", *map(label, names), "source")]
        lines = [[r["m"], *(r.get(n, "") for n in names), published.MARKS[r["mark"]][0]] for r in reference.rows]
        tables.append(Table(f"{reference.title} ({reference.words}, {extent(reference)})", heads, lines))
    legend = " ".join(dict.fromkeys(f"Source {reference.legend()}" for reference in found))
    return (f"Published by others; nothing of ours stands beside these here. {legend}" if found else ""), tables
