"""The site: it builds without warnings, and is read and searched without a network."""

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
for needed in ("sphinx", "griffe2md"):
    pytest.importorskip(needed, reason="the extra docs is not installed: bash setup.sh docs")


def load(path: str):
    """Import a file that is in no package."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


browser, pages = load("tests/try/browser.py"), load("docs/site/pages.py")
BUILD = ["bash", ROOT / "docs/build.sh"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run([*BUILD, folder], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def opened():
    """Open Chromium."""
    if not browser.CHROMIUM:
        pytest.skip("no chromium or google-chrome to open the site in")
    page = browser.Browser(width=390, height=844)
    yield page
    page.close()


class Loaded(HTMLParser):
    """The addresses of all that a browser fetches to show a page."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag != "a":  # a link is followed only by who clicks it
            self.found += [
                value for key in ("src", "href", "srcset", "data") if (value := attributes.get(key))
            ]
        self.found += re.findall(r"url\(([^)]*)\)", attributes.get("style") or "")


def test_pages_fetch_nothing_from_the_network(site):
    there = sorted(site.rglob("*.html"))
    assert len(there) > len(pages.PAGES)  # and the search
    for page in there:
        loaded = Loaded(page.read_text()).found
        assert any(".css" in address for address in loaded)
        for address in loaded:
            assert not re.match(r"['\"]?(\w+:)?//", address), f"{page}: {address}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", sheet.read_text()), sheet


def test_every_page_is_in_the_menu():
    written = [*ROOT.glob("docs/*.md"), *ROOT.glob("docs/*/README.md")]
    written += [path.with_name("README.md") for path in ROOT.glob("*/experiment.py")]
    names = {page.relative_to(ROOT).as_posix() for page in written if page.exists()}
    assert names <= set(pages.PAGES) and len(names) > 10


def test_equations_are_mathml(site):
    shown = (site / "docs/method.html").read_text()
    equations = (ROOT / "docs/method.md").read_text().count("$$") // 2
    assert shown.count('display="block"') == equations > 0
    assert "$" not in shown and "\\frac" not in shown  # no LaTeX is left over


def test_flags_keep_their_dashes(site):
    assert "evaluate.py --" in (site / "docs/leaderboard.html").read_text()


def test_the_reference_names_both_frameworks(site):
    text = (site / "docs/samplers.html").read_text() + (site / "docs/ops.html").read_text()
    for framework in ("torch", "tf"):
        for name in ("samplenet", "softprojection", "simplification-loss", "randomsampler"):
            assert f'id="samplenet-{framework}-{name}"' in text
        for name in ("knn", "chamfer", "farthest-points", "gather"):
            assert f'id="samplenet-ops-{framework}-{name}"' in text


@pytest.mark.parametrize("page", ["docs/samplers.md", "docs/ops.md"])
def test_the_reference_links_to_the_code(page):
    entries = re.findall(r"^- \[samplenet\.?(.*?)\]\((.*?)\)", (ROOT / page).read_text(), re.M)
    assert entries
    for name, path in entries:
        assert pages.library()[name].filepath == (ROOT / "docs" / path).resolve(), name


@pytest.mark.parametrize(
    "page, link, shown",
    [
        ("README.md", "[a](docs/method.md#4-match)", "[a](docs/method.md#4-match)"),
        ("docs/method.md", "![a](images/greedy.png)", "![a](images/greedy.png)"),
        ("registration/README.md", "[a](../SECURITY.md)", "[a](../SECURITY.md)"),
        ("docs/faq.md", "[a](../registration/README.md)", "[a](../registration/index.md)"),
        ("docs/try/README.md", "[a](../../README.md#limits)", "[a](../../index.md#limits)"),
        ("SECURITY.md", "[a](docker)", "[a](docker/index.md)"),
        ("README.md", "[a](plan.py)", "a"),
        ("README.md", "[a](https://arxiv.org)", "[a](https://arxiv.org)"),
        ("README.md", "```\nx[a](plan.py)\n```", "```\nx[a](plan.py)\n```"),
    ],
)
def test_links_between_files_become_links_between_pages(page, link, shown):
    assert pages.rewrite(page, link) == shown


def test_broken_links_stop_the_build(tmp_path):
    links = ["[a](no.md)", "[a](no.py)", "![a](no.png)", "[a](index.md#no)", "[a](nofolder)"]
    page = tmp_path / "pages" / "index.md"
    page.parent.mkdir()
    page.write_text("# Title\n\n" + pages.rewrite("README.md", "\n".join(links)))
    command = [sys.executable, "-m", "sphinx", "-c", ROOT / "docs/site", "-q", "-W"]
    command += ["--keep-going", page.parent, tmp_path / "site"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("WARNING") == len(links), done.stderr


def test_a_folder_with_other_files_stays_as_it_is(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    done = subprocess.run([*BUILD, tmp_path], capture_output=True, text=True)
    assert done.returncode == 2 and str(tmp_path) in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_the_search_works_from_files(site, opened):
    opened.open(f"{(site / 'search.html').as_uri()}?q=temperature")
    for title in ("Method", "Samplers"):
        opened.wait(f"document.querySelector('#search-results')?.innerText.includes('{title}')")


def test_no_page_scrolls_sideways_on_a_phone(site, opened):
    for page in sorted(site.rglob("*.html")):
        opened.open(page.as_uri())
        opened.wait(f"document.readyState == 'complete' && location.href == '{page.as_uri()}'")
        assert opened.run("document.documentElement.scrollWidth") <= 390, page
    assert not opened.messages
