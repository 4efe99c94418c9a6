"""A page as a parser sees it: sections, charts with their data, words, and what it would load."""

import base64
import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import numpy as np

_LOADING = {"src", "srcset", "href", "data", "poster", "action", "xlink:href", "background"}
_VOID = {"meta", "link", "br", "img", "input", "hr"}


@dataclass(kw_only=True)
class Parsed(HTMLParser):
    """What was found. `loads` are addresses that a browser would fetch."""

    sections: list[str] = field(default_factory=list)
    charts: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    loads: list[str] = field(default_factory=list)
    handlers: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    policy: str = ""
    _open: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        if tag not in _VOID:
            self._open.append((tag, found))
        if tag == "section":
            self.sections.append(found["id"] or "")
        if "data-chart" in found:
            self.charts.append(found["data-chart"] or "")
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"] or ""
        self.handlers += [name for name in found if name.startswith("on")]
        self.loads += [
            value
            for name, value in attrs
            if name in _LOADING and value and not value.startswith(("#", "data:"))
        ]

    def handle_endtag(self, tag: str) -> None:
        opened, _ = self._open.pop()
        assert opened == tag, f"<{opened}> is ended by </{tag}>"

    def handle_data(self, data: str) -> None:
        tag, found = self._open[-1] if self._open else ("", {})
        if tag == "script" and found.get("type") == "application/json":
            self.figures[found["id"] or ""] = json.loads(data)
        elif tag == "script":
            self.scripts.append(data)
        elif tag != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        """All words."""
        return " ".join(" ".join(self.words).split())


def parsed(html: str) -> Parsed:
    """Reads a page; every element must be closed in its turn."""
    page = Parsed()
    page.feed(html)
    page.close()
    assert not page._open
    return page


def assert_drawn(page: Parsed) -> None:
    """Every chart has its figure with traces, and every trace has something to show."""
    assert set(page.charts) == set(page.figures)
    assert len(page.charts) == len(set(page.charts))
    for name, figure in page.figures.items():
        assert figure["data"], name
        for trace in figure["data"]:
            assert trace["x"], (name, trace.get("name"))


def values_of(array: object) -> list[float]:
    """Numbers of a trace, which plotly writes as lists or as packed arrays."""
    if isinstance(array, dict):
        return np.frombuffer(base64.b64decode(array["bdata"]), array["dtype"]).tolist()
    assert isinstance(array, list)
    return array
