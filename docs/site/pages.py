"""Write the pages of the documentation into a folder, as Markdown that any site builder reads.

python docs/site/pages.py FOLDER

Pages keep their paths in the repository, but README.md becomes index.md, the page of its folder.
Links to code become text, and names in a list of the reference become their documentation. Only
the menu, at the end of the front page, is in the notation of one builder: Sphinx with MyST.
"""

import posixpath
import re
import shutil
import sys
from functools import cache
from pathlib import Path

from griffe import GriffeLoader, Parser
from griffe2md import render_object_docs

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = [
    f"{path.parent.name}/{page}"
    for path in sorted(ROOT.glob("*/experiment.py"))
    for page in ("README.md", "results.md")
    if path.with_name(page).exists()
]
# in the order in which people ask; "words <page>" where the page's title would not tell
MENU = {
    "Start": [
        "Your own cloud <docs/get-started.md>",
        "docs/try/README.md",
        "Your own data <docs/own.md>",
        "Many clouds, large clouds <docs/bulk.md>",
        "Your own network <docs/use.md>",
        "examples/README.md",
    ],
    "Reproduce": [
        "Every table and figure <docs/reproduce.md>",
        *EXPERIMENTS,
        "docs/leaderboard.md",
        "docs/cluster.md",
        "docs/new-experiment.md",
        "docker/README.md",
        "docs/reliability.md",
    ],
    "Method and reference": [
        "docs/method.md",
        "docs/install.md",
        "docs/samplers.md",
        "docs/rendering.md",
        "docs/released-dpc.md",
        "docs/ops.md",
        "docs/sparse.md",
        "Ops: speed, build, limits <common/samplenet/ops/README.md>",
        "docs/data-formats.md",
    ],
    "Questions and project": ["docs/faq.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"],
}
PAGES = ["README.md", *re.findall(r"[\w./-]+\.md", str(MENU))]
# [text](path#anchor), the text with at most one pair of brackets inside; an image has ! before it
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
ENTRY = re.compile(r"^- \[(samplenet[\w.]*)\]\(.*?\)(?:: (.*))?$", re.M)  # of the reference
# what griffe and griffe2md do by default, and the pages do not want
DOCSTRINGS = ("warn_unknown_params", "warn_missing_types", "returns_multiple_items")
DOCUMENTED = ("inherited_members", "show_bases", "summary")
DOCUMENTED += ("show_object_full_path", "show_root_members_full_path")


def placed(page: str) -> str:
    """Return the path of a page among the pages."""
    return page.replace("README.md", "index.md")


def rewrite(page: str, text: str) -> str:
    """Turn links to READMEs and folders into links to their pages, and links to code into text."""
    here = posixpath.dirname(page)

    def link(match) -> str:
        mark, text, path, anchor = match.groups("")
        if mark or not path or ":" in path:
            return match[0]
        target = posixpath.normpath(posixpath.join(here, path))
        for name in (target, f"{target}/README.md"):
            if name in PAGES:
                return f"[{text}]({posixpath.relpath(placed(name), here or '.')}{anchor})"
        return text if (ROOT / target).exists() else match[0]  # which the builder reports

    parts = re.split(r"(^```.*?^```)", text, flags=re.M | re.S)  # every second one is code
    parts[::2] = [LINK.sub(link, part) for part in parts[::2]]
    return "".join(parts)


@cache
def library():
    """Read the library's sources as text: importing it would need both frameworks."""
    loader = GriffeLoader(
        search_paths=[ROOT / "common"],
        allow_inspection=False,
        docstring_parser=Parser.google,
        docstring_options=dict.fromkeys(DOCSTRINGS, False),
    )
    package = loader.load("samplenet")
    loader.resolve_aliases()
    return package


def documented(entry) -> str:
    """Return the documentation of an object and of the members that its entry names."""
    found = library()[entry[1].removeprefix("samplenet.")]
    style = {"heading_level": 3, **dict.fromkeys(DOCUMENTED, False)}
    style |= {"show_root_heading": not found.is_module}
    style |= {"members": re.findall(r"`(\w+)`", entry[2] or "")}
    text = render_object_docs(found, style)
    return re.sub(r"\[([^]]*)\]\(#[^)]*\)", r"\1", text)  # types, linked to nowhere


def menu() -> str:
    """Return the menu in the notation of Sphinx and MyST."""
    fence = "\n```{{toctree}}\n:hidden:\n:caption: {}\n\n{}\n```\n"
    return "".join(fence.format(title, "\n".join(pages)) for title, pages in MENU.items())


def write(folder: Path) -> None:
    """Write all pages and pictures into a new folder."""
    for name in PAGES:
        text = rewrite(name, ENTRY.sub(documented, (ROOT / name).read_text()))
        if name == "README.md":
            text += placed(menu())
        if name == "docs/try/README.md" and (ROOT / "docs/try/build").exists():
            # docs/build.sh copies it
            link = '<p><a href="../../try/index.html">Open the page</a></p>'
            text = text.replace("\n\n", f"\n\n{link}\n\n", 1)
        page = folder / placed(name)
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text)
    for pictures in ROOT.glob("*/images"):
        shutil.copytree(pictures, folder / pictures.relative_to(ROOT))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
