"""Tables and figures from results.json files (`python -m samplenet.report FOLDER`)."""

import argparse
import io
import json
from pathlib import Path

import numpy as np

from samplenet.checkpoint import write_atomic
from samplenet.errors import InputError
from samplenet.run import main

# display order and look of the samplers; any other name comes after these
SAMPLERS = {
    "none": ("full cloud", "black"),
    "random": ("random", "#9a9a9a"),
    "fps": ("FPS", "#2f7fc1"),
    "snet": ("S-NET", "#e08a1e"),
    "samplenet": ("SampleNet", "#c1272d"),
}
METRICS = {"accuracy": "accuracy", "accuracy_class_mean": "mean of the classes' accuracies"}


def read(folder: Path) -> dict:
    """The results.json of an evaluation folder."""
    path = Path(folder) / "results.json"
    try:
        results = json.loads(path.read_text())
        rows = results["rows"]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a results file ({error})") from error
    if results.get("schema") != 1 or not isinstance(rows, list):
        raise InputError(f"{path} must have schema 1 and rows, got schema {results.get('schema')!r}")
    for row in rows:
        if lacking := {"sampler", "m", "protocol", "metric", "value", "n", "seed"} - set(row):
            raise InputError(f"{path}: the row {row} lacks {', '.join(sorted(lacking))}")
    if not _values(rows, sampler="none", metric="accuracy"):
        raise InputError(f"{path} has no row for the full cloud (sampler none, metric accuracy)")
    return results


def _full(results: dict) -> dict:
    """The row of the full cloud; its m is N."""
    return _values(results["rows"], sampler="none", metric="accuracy")[0]


def _label(sampler: str) -> str:
    return SAMPLERS.get(sampler, (sampler, ""))[0]


def _columns(rows: list[dict]) -> list[tuple[str, str]]:
    """(sampler, protocol) in display order."""
    order, protocols = list(SAMPLERS), ["matched", "soft", "generated"]
    found = {(r["sampler"], r["protocol"]) for r in rows} - {("none", "matched")}
    rank = {name: i for i, name in enumerate(order)}
    return sorted(found, key=lambda c: (rank.get(c[0], len(order)), c[0], protocols.index(c[1])))


def _values(rows: list[dict], **match) -> list[dict]:
    return [r for r in rows if all(r[key] == value for key, value in match.items())]


def _cell(rows: list[dict]) -> str:
    """Percent: one value, or the mean over seeds and their standard deviation."""
    if not rows:
        return ""
    values = 100 * np.array([r["value"] for r in rows])
    if len(rows) > 1:
        return f"{values.mean():.1f} ± {values.std(ddof=1):.1f}"
    return f"{values[0]:.1f}"


def table(results: dict, metric: str = "accuracy") -> str:
    """Markdown: a line for each sample size, a column for each sampler and protocol."""
    rows = _values(results["rows"], metric=metric)
    columns = _columns(rows)
    heads = [f"{_label(s)}" + ("" if p == "matched" else f", {p}") for s, p in columns]
    lines = ["| m | ratio | " + " | ".join(heads) + " |", "| --- " * (len(heads) + 2) + "|"]
    n = _full(results)["m"]
    for m in sorted({r["m"] for r in rows if r["sampler"] != "none"}, reverse=True):
        cells = [_cell(_values(rows, sampler=s, protocol=p, m=m)) for s, p in columns]
        lines.append(f"| {m} | {n / m:g} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def text(results: dict) -> str:
    """The whole Markdown report of one results.json."""
    accuracy = _values(results["rows"], metric="accuracy")
    full = _full(results)
    seeds = {_label(s): sorted({r["seed"] for r in _values(accuracy, sampler=s)}) for s, _ in _columns(accuracy)}
    error = 100 * (0.25 / full["n"]) ** 0.5  # of one accuracy, at most; of a difference, root 2 times that
    parts = [
        f"Data: {results['data']}, {full['n']} test clouds of {full['m']} points. All of them: "
        f"{100 * full['value']:.1f} % right. Columns without a word are *matched*: a subset of the input. A value's "
        f"standard error over clouds is at most {error:.1f}; differences under {2 * 2**0.5 * error:.1f} (two standard "
        "errors of a difference) are ties. "
        f"Seeds: {', '.join(f'{name} {s}' for name, s in seeds.items())}.",
        f"    {results['command']}",
    ]
    for metric, name in METRICS.items():
        parts += [f"**{name.capitalize()}, %**", table(results, metric)]
    return "\n\n".join(parts) + "\n"


def draw_curves(results: dict, path: Path) -> None:
    """Accuracy against sampling ratio, every sampler, on a log axis."""
    plt = _pyplot()
    rows, n = _values(results["rows"], metric="accuracy"), _full(results)["m"]
    figure, axes = plt.subplots(figsize=(7, 4.3), layout="constrained")
    full = 100 * _full(results)["value"]
    axes.axhline(full, color="black", lw=1, ls=":")
    axes.annotate(f"full cloud, {full:.1f} %", (1, full), xytext=(2, 4), textcoords="offset points", fontsize=9)
    looks = {"matched": ("-", "o", None), "soft": ("--", "D", "white"), "generated": (":", "s", "white")}
    learned = [c for c in _columns(rows) if c[0] not in ("random", "fps")]
    for sampler, protocol in _columns(rows):
        mine = _values(rows, sampler=sampler, protocol=protocol)
        sizes = sorted({r["m"] for r in mine}, reverse=True)
        means = [100 * np.mean([r["value"] for r in _values(mine, m=m)]) for m in sizes]
        line, marker, face = looks[protocol]
        color = SAMPLERS.get(sampler, ("", None))[1]
        label = _label(sampler) + ("" if protocol == "matched" else f", {protocol} points")
        style = {"ls": line, "marker": marker, "mfc": face or color, "color": color, "ms": 6, "label": label}
        # equal values of learned samplers would hide each other: they stand a little apart along the axis
        place = learned.index((sampler, protocol)) - (len(learned) - 1) / 2 if (sampler, protocol) in learned else 0
        shift = 1.06**place
        axes.plot([shift * n / m for m in sizes], means, **style)
    axes.set_xscale("log", base=2)
    ticks = sorted({n / r["m"] for r in rows})
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.set(xlabel=f"sampling ratio N/m  (N = {n})", ylabel="accuracy, %", ylim=(0, 100))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="best")
    _save(figure, path)


def draw_gallery(gallery: dict, path: Path) -> None:
    """A few test clouds with the points each sampler picked, and what the classifier made of them."""
    plt = _pyplot()
    samplers = [s for s in SAMPLERS if f"idx_{s}" in gallery]
    names, clouds = gallery["names"], gallery["points"]
    rows, columns = len(samplers), len(clouds)
    figure = plt.figure(figsize=(2.3 * columns, 2.5 * rows), layout="constrained")
    for r, sampler in enumerate(samplers):
        label, color = SAMPLERS[sampler]
        for c, cloud in enumerate(clouds):
            axes = figure.add_subplot(rows, columns, r * columns + c + 1, projection="3d")
            x, z, y = cloud.T  # y is up in the data, z in the plot
            axes.scatter(x, -y, z, s=1.5, color="#c8ccd0", alpha=0.6, linewidths=0, depthshade=False)
            picked = gallery[f"idx_{sampler}"][c]
            axes.scatter(x[picked], -y[picked], z[picked], s=26, color=color, edgecolors="white", linewidths=0.5,
                         depthshade=False)  # fmt: skip
            guess = gallery[f"predicted_{sampler}"][c]
            right = guess == names[c]
            axes.set_title(f"{guess}" if right else f"{guess} (wrong)", fontsize=9, y=-0.06,
                           color="#1a7f37" if right else "#b3261e")  # fmt: skip
            axes.set_axis_off()
            axes.view_init(elev=18, azim=-58)
            low, high = cloud.min(0), cloud.max(0)
            center, half = (low + high) / 2, (high - low).max() / 2
            axes.set(xlim=(center[0] - half, center[0] + half), ylim=(-center[2] - half, -center[2] + half),
                     zlim=(center[1] - half, center[1] + half))  # fmt: skip
            axes.set_box_aspect((1, 1, 1), zoom=1.3)
            if c == 0:
                axes.text2D(-0.04, 0.5, f"{label}, m = {len(picked)}", transform=axes.transAxes, rotation=90,
                            va="center", ha="center", fontsize=11)  # fmt: skip
            if r == 0:
                axes.text2D(0.5, 1.0, names[c], transform=axes.transAxes, ha="center", fontsize=11, weight="bold")
    _save(figure, path)


def _save(figure, path: Path) -> None:
    picture = io.BytesIO()
    figure.savefig(picture, dpi=140, format="png")
    write_atomic(path, picture.getvalue())
    _pyplot().close(figure)


def _pyplot():
    try:
        import matplotlib
    except ImportError as error:
        raise InputError("figures need matplotlib; install the library with its viz extra") from error
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def write(folder: Path) -> str:
    """Write table.md and the figures beside results.json; return the table and the paths."""
    folder = Path(folder)
    results = read(folder)
    report = text(results)
    write_atomic(folder / "table.md", report.encode())
    draw_curves(results, folder / "accuracy.png")
    figures = ["accuracy.png"]
    (folder / "gallery.png").unlink(missing_ok=True)  # it would stand beside numbers it does not belong to
    if (folder / "gallery.npz").exists():
        with np.load(folder / "gallery.npz", allow_pickle=False) as gallery:
            if any(name.startswith("idx_") for name in gallery):
                draw_gallery(dict(gallery), folder / "gallery.png")
                figures.append("gallery.png")
    paths = "\n".join(str(folder / name) for name in ("table.md", *figures))
    return f"{report}\n{paths}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the table and figures of an evaluation folder.")
    parser.add_argument("folder", type=Path, help="folder that holds results.json")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    main(lambda: print(write(parser.parse_args().folder)))
