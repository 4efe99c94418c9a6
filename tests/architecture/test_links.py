"""Links between the repository's pages: each names a file that is there, and a heading of it."""

import re
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest

from architecture.readme_tree import ROOT, files

PAGES = [path for path in files() if path.endswith(".md")]
FIGURES = [path for path in files() if path.endswith(".svg")]
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_SCHEME = re.compile(r"[a-z]+:")
_NAMESPACE = "{http://www.w3.org/2000/svg}"


def prose(path: Path) -> str:
    """A page without its blocks and spans of code."""
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(path: Path) -> set[str]:
    """Of a page's headings, as they are made for links."""
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(path: Path) -> list[str]:
    """Relative ones."""
    found = _LINK.findall(prose(path))
    return [unquote(target) for target in found if not _SCHEME.match(target)]


def test_there_are_links_to_look_at() -> None:
    assert sum(len(links(ROOT / page)) for page in PAGES) >= 5


@pytest.mark.parametrize("page", PAGES)
def test_a_relative_link_leads_somewhere(page: str) -> None:
    for target in links(ROOT / page):
        name, _, anchor = target.partition("#")
        there = (ROOT / page).parent / name if name else ROOT / page
        assert there.resolve().is_relative_to(ROOT), f"{page}: {target} leads out of the repository"
        assert there.exists(), f"{page}: {target} leads nowhere"
        if anchor:
            assert anchor in anchors(there), f"{page}: {target} names no heading"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_with_its_title_and_closes_its_blocks(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    assert re.match(r"# \S", text)
    assert len(re.findall(r"^```", text, re.MULTILINE)) % 2 == 0


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_says_what_it_shows_and_loads_nothing(figure: str) -> None:
    root = ET.parse(ROOT / figure).getroot()
    for part in ("title", "desc"):
        assert root.findtext(f"{_NAMESPACE}{part}")
    assert not [tag for tag in root.iter() if tag.tag.removeprefix(_NAMESPACE) in ("image", "a")]
    text = (ROOT / figure).read_text("utf-8")
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"url\((?!#)", text)
    name = figure.rpartition("/")[2]
    assert any(name in target for page in PAGES for target in links(ROOT / page))
