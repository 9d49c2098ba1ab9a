"""Extend MkDocs: READMEs become pages, the experiments' in the menu, and equations MathML."""

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
PAGES = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
PAGES += [f"{folder}/README.md" for folder in FOLDERS]
# [text](path#anchor), the text with at most one pair of brackets inside; an image has ! before it
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]*)(#[^)\s]*)?\)")

log = logging.getLogger("mkdocs.hooks.samplenet")


def on_config(config):
    """Put the experiments' READMEs into the menu, after the page on how to reproduce them."""
    titles = {name: name.replace("_", " ").capitalize() for name in EXPERIMENTS}
    section = next(entry["Reproduce"] for entry in config.nav if "Reproduce" in entry)
    section[1:1] = [{titles[name]: f"{name}/README.md"} for name in EXPERIMENTS]
    return config


def on_files(files, config):
    """Add the READMEs and their pictures, at their paths in the repository; docs/ is the root."""
    pictures = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("*/images/*.png"))]
    for name in PAGES + pictures:
        if not name.startswith("docs/"):  # MkDocs has those already
            files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Turn links between files into links between pages, and links to code into text."""
    uri = page.file.src_uri
    here = posixpath.dirname(uri if uri in PAGES else f"docs/{uri}")

    def in_site(match) -> str:
        mark, text, path, anchor = match.groups("")
        if not path or ":" in path:
            return match[0]
        target = posixpath.normpath(posixpath.join(here, path))
        for name in (target.removeprefix("docs/"), f"{target}/README.md"):
            if files.get_file_from_path(name):
                path = posixpath.relpath(name, posixpath.dirname(uri) or ".")
                return f"{mark}[{text}]({path}{anchor})"
        if mark or anchor or not (ROOT / target).exists():
            log.warning("%s: link to %s%s, which does not exist", uri, path, anchor)
        return text

    parts = re.split(r"(^```.*?^```)", markdown, flags=re.M | re.S)  # every second one is code
    parts[::2] = [LINK.sub(in_site, part) for part in parts[::2]]
    return "".join(parts)


def on_page_content(content, page, config, files):
    """Turn equations, which pymdownx.arithmatex marks, into MathML, which browsers show."""

    def mathml(match) -> str:
        display = "block" if match[1] == "div" else "inline"
        return convert(html.unescape(match[2])[2:-2].strip(), display=display)

    return re.sub(r'<(span|div) class="arithmatex">(.*?)</\1>', mathml, content, flags=re.S)
