"""The page of a sampler on the Hugging Face hub: the README.md of its repository."""

import html

from samplenet.pretrained.hub import PREFIX
from samplenet.runs.settings import yaml


def write(repo: str, record: dict, license: str = "") -> str:
    """Write the page of a sampler: Markdown below a header in YAML, which the hub reads.

    The header names no pipeline: the hub's list of tasks has none for sampling.

    Args:
        record: of `samplenet.pretrained.card`.
        license: the hub's name of one, such as "mit"; "": the page names none.
    """
    tags = ["samplenet", "point-cloud", "3d", "sampling", record.get("experiment")]
    header = {"library_name": "samplenet", "tags": [tag for tag in tags if tag]}
    if license:
        header["license"] = license
    sizes, m = record["sizes"], record["m"]
    picks, option = f"It picks {m} of them.", ""
    if len(sizes) > 1:
        picks = f"It picks any number of them, and was trained for {min(sizes)} to {max(sizes)}."
        option = f", m={min(sizes)}"
    facts = [
        ("trained for m", ", ".join(map(str, sizes))),
        ("points of a cloud", record.get("num_points", "unknown")),
        ("normalisation", f"`{record['normalisation']}`"),
        ("data", record.get("data", "unknown")),
        ("revision of the code", record.get("revision", "unknown")),
    ]
    lines = [
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n",
        f"# {repo}\n",
        "A [SampleNet](https://arxiv.org/abs/1912.03663): it learned which few points of a point "
        f"cloud a task needs. {picks}\n",
        "```python",
        "import samplenet\n",
        f'sampler = samplenet.load_pretrained("{PREFIX}{repo}"{option})',
        f'card = samplenet.pretrained.card("{PREFIX}{repo}")',
        'clouds = samplenet.normalise(scans, card["normalisation"])  # (B, N, 3)',
        "sampled = sampler(clouds)  # .points (B, m, 3); .idx (B, m): which points of the scans",
        "```\n",
        "```bash",
        f"samplenet sample scan.ply --weights {PREFIX}{repo} -m {m} -o out.ply",
        "```\n",
        "The library needs its extra `hub`, and `torch` or `tf`.\n",
        "## Training\n",
        *_table(("", ""), facts),
    ]
    if "command" in record:
        lines += ["```bash", record["command"], "```\n"]
    lines.append("## Results\n")
    metrics = record.get("metrics")
    if metrics:
        columns = list(dict.fromkeys(key for row in metrics for key in row))
        lines += _table(columns, [[row.get(key, "") for key in columns] for row in metrics])
    else:
        lines.append("Not evaluated.\n")
    if "evaluated_by" in record:
        lines += ["```bash", record["evaluated_by"], "```\n"]
    return "\n".join(lines)


def _table(columns, rows) -> list[str]:
    """Return the lines of a table in Markdown."""
    cells = [columns, ["---"] * len(columns), *rows]
    return [*(f"| {' | '.join(map(_cell, row))} |" for row in cells), ""]


def _cell(value) -> str:
    """Return a value as one line of text, which cannot end its cell of a table."""
    return html.escape(" ".join(str(value).split()), quote=False).replace("|", "&#124;")
