"""Rows of results.json: choosing among them, and Markdown tables of them."""

import numpy as np

# display order, label and colour of the samplers; any other name comes after these
SAMPLERS = {
    "none": ("full cloud", "black"),
    "icp": ("ICP on full cloud", "#7a5195"),
    "random": ("random", "#9a9a9a"),
    "fps": ("FPS", "#2f7fc1"),
    "fps_same_start": ("FPS, same start", "#3fa36b"),
    "snet": ("S-NET", "#e08a1e"),
    "progressivenet": ("ProgressiveNet", "#8a6d1f"),
    "samplenet": ("SampleNet", "#c1272d"),
    "samplenet_progressive": ("SampleNet-Progressive", "#8e2a72"),
}
FULL_CLOUD = ("none", "icp")  # these see all N points: no column of a table, a level in a figure
PROTOCOLS = ["matched", "soft", "generated"]


def label(sampler: str) -> str:
    return SAMPLERS.get(sampler, (sampler, None))[0]


def color(sampler: str) -> str | None:
    return SAMPLERS.get(sampler, (sampler, None))[1]


def select(rows: list[dict], **match) -> list[dict]:
    """The rows that have these values."""
    return [r for r in rows if all(r[key] == value for key, value in match.items())]


def columns(rows: list[dict]) -> list[tuple[str, str]]:
    """(sampler, protocol) in display order, without those of full clouds."""
    found = {(r["sampler"], r["protocol"]) for r in rows if r["sampler"] not in FULL_CLOUD}
    rank = {name: i for i, name in enumerate(SAMPLERS)}
    return sorted(found, key=lambda c: (rank.get(c[0], len(rank)), c[0], PROTOCOLS.index(c[1])))


def mean_curves(curves: list[dict], m: int | None) -> list[tuple[str, dict, np.ndarray]]:
    """(sampler, its first curve, mean precision of the seeds in percent): full clouds, then each sampler at size m."""
    found = []
    for sampler in (*FULL_CLOUD, *dict.fromkeys(s for s, _ in columns(curves))):
        mine = [c for c in select(curves, sampler=sampler) if sampler in FULL_CLOUD or c["m"] == m]
        if mine:
            found.append((sampler, mine[0], 100 * np.mean([c["precision"] for c in mine], 0)))
    return found


def cell(rows: list[dict], scale: float = 1, digits: int = 1) -> str:
    """One value times `scale`, or the mean over seeds and their standard deviation; empty without rows."""
    if not rows:
        return ""
    values = scale * np.array([r["value"] for r in rows])
    if len(rows) > 1:
        return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"
    return f"{values[0]:.{digits}f}"


def grid(rows: list[dict], num_points: int, scale: float = 1, digits: int = 1) -> tuple[list[str], list[list[str]]]:
    """Heads and lines of a table of the rows of one metric: a line a sample size, a column a sampler and protocol.

    Without columns of samplers where only full clouds were scored.
    """
    shown = columns(rows)
    heads = ["m", "ratio", *(label(s) + ("" if p == "matched" else f", {p}") for s, p in shown)]
    lines = []
    for m in sorted({r["m"] for r in rows if r["sampler"] not in FULL_CLOUD}, reverse=True):
        cells = [cell(select(rows, sampler=s, protocol=p, m=m), scale, digits) for s, p in shown]
        lines.append([str(m), f"{num_points / m:g}", *cells])
    return heads, lines


def markdown(heads: list[str], lines: list[list[str]]) -> str:
    """A Markdown table; what a cell holds cannot end it."""
    lines = [[" ".join(text.replace("|", "\\|").split()) for text in line] for line in (heads, *lines)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], ["---"] * len(heads), *lines[1:]])


def table(rows: list[dict], num_points: int, scale: float = 1, digits: int = 1) -> str:
    """`grid` as Markdown; empty where only full clouds were scored."""
    heads, lines = grid(rows, num_points, scale, digits)
    return markdown(heads, lines) if lines else ""


def seeds(rows: list[dict]) -> str:
    """Each sampler with the seeds it was trained or drawn with."""
    names = dict.fromkeys(s for s, _ in columns(rows))
    return ", ".join(f"{label(s)} {sorted({r['seed'] for r in select(rows, sampler=s)})}" for s in names)
