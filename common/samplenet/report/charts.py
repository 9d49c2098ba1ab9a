"""What page.js draws: curves as named lines, clouds as layers of points. Plain data, ready for JSON."""

import json
import re
from pathlib import Path

import numpy as np

from samplenet.errors import InputError
from samplenet.report import EXPERIMENTS
from samplenet.report.pairs import SOURCE, TEMPLATE, alignments
from samplenet.report.pictures import UNTRAINED
from samplenet.report.rows import FULL_CLOUD, SAMPLERS, color, columns, label, mean_curves, select
from samplenet.report.tables import look

DASHES = {"matched": "solid", "soft": "dash", "generated": "dot"}
INK = "ink"  # the page's own text colour, light or dark
GREY = "#a4adb5"
RAMP = ("#440154", "#443983", "#31688e", "#21918c", "#35b779", "#7fc94a")  # of sample sizes, in order


def listed(values, digits: int) -> list:
    """Rounded numbers; None for what JSON cannot hold."""
    return [round(float(v), digits) if np.isfinite(v) else None for v in values]


def line(name: str, sampler: str, x, y, dash: str = "solid", shown: bool = True, shift: float = 1) -> dict:
    """A curve; `shift` is how many times its x it is drawn at."""
    shade = INK if sampler == "none" else color(sampler) or GREY
    return {"name": name, "color": shade, "dash": dash, "shown": shown, "x": x, "y": y, "shift": shift}


def ratio(results: dict) -> dict | None:
    """Each metric of the experiment against the sampling ratio; None where only full clouds were scored."""
    rows, name = results["rows"], results["experiment"]
    n = select(rows, sampler="none")[0]["m"]
    variants = []
    for metric in EXPERIMENTS[name].METRICS:
        mine = select(rows, metric=metric)
        title, scale, digits = look(name, metric)
        sizes = sorted({r["m"] for r in mine if r["sampler"] not in FULL_CLOUD}, reverse=True)
        if not sizes:
            continue
        lines = []
        for sampler in FULL_CLOUD:
            if found := select(mine, sampler=sampler):
                level = scale * np.mean([r["value"] for r in found])
                lines.append(
                    line(label(sampler), sampler, [n / sizes[0], n / sizes[-1]], listed([level] * 2, 4), "dot")
                )
        learned = list(dict.fromkeys(name for name, _ in columns(mine) if name not in UNTRAINED))
        for sampler, protocol in columns(mine):
            found = {m: select(mine, sampler=sampler, protocol=protocol, m=m) for m in sizes}
            x = [n / m for m in sizes if found[m]]
            y = [scale * np.mean([r["value"] for r in found[m]]) for m in sizes if found[m]]
            words = label(sampler) + ("" if protocol == "matched" else f", {protocol}")
            # equal values of learned samplers would hide each other: they stand a little apart along the axis
            shift = 1.05 ** (learned.index(sampler) - (len(learned) - 1) / 2) if sampler in learned else 1
            lines.append(line(words, sampler, x, listed(y, 4), DASHES[protocol], protocol == "matched", shift))
        share = scale == 100 or metric.startswith("auc")
        positive = all(v is not None and v > 0 for ln in lines for v in ln["y"])
        kind = "log" if positive and not share else "linear"
        span = [0, scale if scale == 100 else 1] if share else None
        variants.append({"label": title, "y": kind, "span": span, "lines": lines})
    ticks = sorted({n / r["m"] for r in rows})
    x = {"title": f"sampling ratio N/m (N = {n})", "kind": "log", "ticks": ticks, "points": True}
    return {"title": "Against the sampling ratio", "x": x, "variants": variants} if variants else None


def precision(results: dict, size: int | None) -> dict | None:
    """Precision against recall or against the error, matched points and full clouds, one sample size at a time.

    Args:
        size: the sample size to show first.
    """
    curves = select(results.get("curves", []), protocol="matched")
    sizes = sorted({c["m"] for c in curves if c["sampler"] not in FULL_CLOUD}, key=lambda m: (m != size, -m))
    variants = []
    for m in sizes:
        lines = []
        for sampler, curve, share in mean_curves(curves, m):
            retrieval = "recall" in curve
            along = 100 * np.array(curve["recall"]) if retrieval else curve["step_deg"] * np.arange(len(share))
            dash = "dot" if sampler in FULL_CLOUD else "solid"
            lines.append(line(label(sampler), sampler, listed(along, 3), listed(share, 2), dash))
        variants.append({"label": f"m = {m}", "y": "linear", "span": [0, 100], "lines": lines})
    if not variants:
        return None
    if "recall" in curves[0]:
        title, x = "Retrieval: precision, %, against recall", {"title": "recall, %", "kind": "linear", "ticks": None}
    else:
        title = "Pairs under an error, %"
        x = {"title": "rotation error, degrees (root scale)", "kind": "root", "ticks": [0, 1, 5, 10, 20, 45, 90, 180]}
    return {"title": title, "x": x, "variants": variants}


def distribution(gallery: dict) -> dict | None:
    """Share of test shapes under an NRE, at the gallery's sample size."""
    shown = [s for s in SAMPLERS if f"nre_{s}" in gallery and f"idx_{s}" in gallery]
    if not shown:
        return None
    share = np.linspace(0, 100, 101)
    lines = [line(label(s), s, listed(np.percentile(gallery[f"nre_{s}"], share), 4), listed(share, 0)) for s in shown]
    m = gallery[f"idx_{shown[0]}"].shape[1]
    x = {"title": "NRE of a shape", "kind": "log", "ticks": None}
    variant = {"label": f"m = {m}", "y": "linear", "span": [0, 100], "lines": lines}
    return {"title": "Test shapes under an NRE, %", "x": x, "variants": [variant]}


def logged(folder: Path) -> list[dict]:
    """The whole lines of a run's metrics.jsonl; none where there is no such file."""
    path = folder / "metrics.jsonl"
    try:
        text = path.read_text() if path.exists() else ""
        lines = [
            json.loads(part) for part in text[: text.rfind("\n") + 1].splitlines()
        ]  # a running one may end anywhere
        return [{**found, "unix": found["time"]["unix"], "step": found["step"]} for found in lines]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error})") from error


def sigma(folders: list[Path]) -> dict | None:
    """The projection's sigma over training, of the runs in `folders` that logged one; S-NET's is 0 and is left out."""
    lines = []
    for folder in folders:
        points = [(v["step"], v["projection_loss"]) for v in logged(folder) if v.get("projection_loss", 0) > 0]
        if points:
            steps, values = zip(*points, strict=True)
            name = re.sub(r"-seed\d+$", "", folder.name)  # runs that differ in nothing else are one entry of the legend
            lines.append({"name": name, "dash": "solid", "shown": True, "x": steps, "y": listed(values, 8), "shift": 1})
    names = sorted({drawn["name"] for drawn in lines}, key=lambda name: [int(n) for n in re.findall(r"\d+", name)])
    for drawn in lines:
        place = names.index(drawn["name"]) / max(len(names) - 1, 1)
        drawn["color"] = RAMP[round(place * (len(RAMP) - 1))]
    lines.sort(key=lambda drawn: names.index(drawn["name"]))
    x = {"title": "training step", "kind": "linear", "ticks": None}
    variant = {"label": "sigma = t²", "y": "log", "span": None, "lines": lines}
    return {"title": "Sigma of the soft projection over training", "x": x, "variants": [variant]} if lines else None


class Scene:
    """Clouds seen through each sampler; an array of points is stored once however many layers show it."""

    def __init__(self):
        self.arrays, self.clouds, self._known = [], [], {}

    def cloud(self, name: str) -> None:
        """Begin a cloud; the views that follow are of it."""
        self.clouds.append({"name": str(name), "views": []})

    def view(self, name: str, note: str, *layers: dict) -> None:
        self.clouds[-1]["views"].append({"name": name, "note": note, "layers": layers})

    def layer(self, name: str, points: np.ndarray, shade: str, size: float = 2, pick=None, **more) -> dict:
        """points (n, 3), all or those of `pick`; `aside` moves them beside the cloud, `ring` draws circles."""
        key = points.tobytes()
        if key not in self._known:
            self._known[key] = len(self.arrays)
            self.arrays.append([round(1000 * float(v)) for v in points.ravel()])  # thousandths: a third of the text
        picked = {} if pick is None else {"pick": [int(i) for i in pick]}
        return {"name": name, "array": self._known[key], "color": shade, "size": size, **picked, **more}

    def data(self) -> dict | None:
        views = [[view["name"] for view in cloud["views"]] for cloud in self.clouds]
        if not views or not views[0]:
            return None
        first = next((i for i, name in enumerate(views[0]) if name.startswith(label("samplenet"))), len(views[0]) - 1)
        return {"arrays": self.arrays, "clouds": self.clouds, "first": first}


def scene(experiment: str, gallery: dict) -> dict | None:
    """The gallery of an experiment; None without one."""
    made = Scene()
    if "template" in gallery:
        for g in range(len(gallery["template"])):
            made.cloud(f"pair {g + 1}")
            for shown in alignments(gallery, g):
                made.view(shown.label, f"rotation error {shown.error:.1f}°", *_pair(made, shown))
        return made.data()
    rebuilt = experiment == "reconstruction"
    for c, cloud in enumerate(gallery.get("points", [])):
        made.cloud(gallery["names"][c])
        if rebuilt and "reconstruction_none" in gallery:
            layers = made.layer("input", cloud, GREY), _rebuilt(made, gallery, "none", c)
            made.view("full cloud", "left: the input; right: rebuilt from all of it", *layers)
        for sampler in (s for s in SAMPLERS if f"idx_{s}" in gallery):
            picked = gallery[f"idx_{sampler}"][c]
            layers = [made.layer("input", cloud, GREY)]
            layers.append(made.layer("sampled", cloud, color(sampler), 5, picked))
            if rebuilt:
                layers.append(_rebuilt(made, gallery, sampler, c))
                note = f"left: the sample; right: rebuilt from it, NRE {gallery[f'shown_nre_{sampler}'][c]:.2f}"
            else:
                guess = gallery[f"predicted_{sampler}"][c]
                note = f"classified as {guess}" + (
                    "" if guess == gallery["names"][c] else f", wrong: {made.clouds[-1]['name']}"
                )
            made.view(f"{label(sampler)}, m = {len(picked)}", note, *layers)
    return made.data()


def _rebuilt(made: Scene, gallery: dict, sampler: str, c: int) -> dict:
    shade = GREY if sampler == "none" else color(sampler)
    return made.layer("rebuilt", gallery[f"reconstruction_{sampler}"][c], shade, aside=True)


def _pair(made: Scene, shown) -> list[dict]:
    """Both clouds of an alignment, and of each the points that were sampled."""
    moved = "template" if shown.label == "before" else "template, moved by the estimate"
    return [
        made.layer(name, points, shade, size, **more)
        for name, points, shade, size, more in (
            ("source", shown.source, SOURCE[0], 2, {}),
            (moved, shown.template, TEMPLATE[0], 2, {}),
            ("source: sampled", shown.source_sample, SOURCE[1], 5, {}),
            ("template: sampled", shown.template_sample, TEMPLATE[1], 8, {"ring": True}),
        )
        if len(points)
    ]


def of(results: dict, gallery: dict, folders: list[Path], size: int | None) -> list[dict]:
    """The charts of one evaluation that its data allows."""
    made = (ratio(results), precision(results, size), distribution(gallery), sigma(folders))
    return [chart for chart in made if chart]
