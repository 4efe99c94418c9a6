"""From a page's parts to one HTML file that needs nothing else: no network, no other file."""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.io import to_json
from plotly.offline import get_plotlyjs

from lexmove.report.blocks import Page


def render(page: Page) -> str:
    """The file's text.

    All words are escaped: names and messages of a study come from strangers. Only the page's own
    two scripts may run, by their hashes, and nothing may be loaded.
    """
    scripts = [_script(get_plotlyjs()), _script(_part("page.js"))] if page.charts else []
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_part("page.html")).render(
        page=page,
        policy=_policy(scripts),
        style=Markup(_part("page.css")),  # noqa: S704 - the package's own file
        drawings={chart.name: _drawing(chart.figure) for chart in page.charts},
        scripts=scripts,
    )


def _drawing(figure: object) -> Markup:
    """A figure as JSON that ends no script element, whatever its texts are."""
    text = to_json(figure, validate=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - the characters that HTML knows are written as numbers


def _script(text: str) -> Markup:
    assert "</script" not in text, "it would end its element"
    return Markup(text)  # noqa: S704 - plotly's and the package's own file


def _policy(scripts: Sequence[str]) -> str:
    """The content security policy: what the page may do."""
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts) or "'none'"
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:;"
        " base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _part(name: str) -> str:
    return files("lexmove.report").joinpath(name).read_text(encoding="utf-8")
