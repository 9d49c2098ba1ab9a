"""Extend MkDocs: the repository's READMEs as pages, those of the experiments in the menu, and equations as MathML."""

import html
import logging
import posixpath
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
DECLARED = sorted(ROOT.glob("*/experiment.py"))
EXPERIMENTS = [path.parent.name for path in DECLARED if path.with_name("README.md").exists()]
FOLDERS = [*EXPERIMENTS, "docker", "examples", "common/samplenet/ops"]
PAGES = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *(f"{folder}/README.md" for folder in FOLDERS),
]
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]*)(#[^)\s]*)?\)")

log = logging.getLogger("mkdocs.hooks.samplenet")


def on_config(config):
    """Put the experiments' READMEs into the menu, after the page on how to reproduce them."""
    (section,) = [entry["Reproduce"] for entry in config.nav if "Reproduce" in entry]
    section[1:1] = [
        {name.replace("_", " ").capitalize(): f"{name}/README.md"} for name in EXPERIMENTS
    ]
    return config


def on_files(files, config):
    """READMEs and their pictures lie in the site where they lie in the repository; docs/ lies at its root."""
    pictures = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("*/images/*.png"))]
    for name in [*PAGES, *(picture for picture in pictures if not picture.startswith("docs/"))]:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Links between files of the repository become links between pages; those to code keep only their text."""
    uri = page.file.src_uri
    here = posixpath.dirname(uri if uri in PAGES else f"docs/{uri}")

    def place(match) -> str:
        mark, text, path, anchor = match.groups("")
        if not path or ":" in path:
            return match[0]
        target = posixpath.normpath(posixpath.join(here, path))
        for name in (target.removeprefix("docs/"), f"{target}/README.md"):
            if files.get_file_from_path(name):
                return f"{mark}[{text}]({posixpath.relpath(name, posixpath.dirname(uri) or '.')}{anchor})"
        if mark or anchor or not (ROOT / target).exists():
            log.warning("%s: link to %s%s, which does not exist", uri, path, anchor)
        return text

    parts = re.split(r"(^```.*?^```)", markdown, flags=re.M | re.S)  # every second one is code
    return "".join(part if i % 2 else LINK.sub(place, part) for i, part in enumerate(parts))


def on_page_content(content, page, config, files):
    """Equations, which pymdownx.arithmatex marks, are shown by the browser itself."""

    def mathml(match) -> str:
        display = "block" if match[1] == "div" else "inline"
        return convert(html.unescape(match[2])[2:-2].strip(), display=display)

    return re.sub(r'<(span|div) class="arithmatex">(.*?)</\1>', mathml, content, flags=re.S)
