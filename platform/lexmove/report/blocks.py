"""What a page is made of: sections of words, tables, charts; how they look is the template's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from plotly.graph_objects import Figure

_MIDDLING, _LONG = 9, 26
"""Characters from which on a column of texts wants more room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A paragraph; `is_warning` sets it apart."""

    kind: ClassVar[str] = "words"
    text: str
    is_warning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One figure to see first: what it is, its value, and a word on it."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """Figures side by side."""

    kind: ClassVar[str] = "tiles"
    items: Sequence[Tile]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under headers; `right` names columns of numbers, `stressed` the rows to look at."""

    kind: ClassVar[str] = "table"
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[str] = ()
    stressed: Sequence[int] = ()
    caption: str = ""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The class of every column: numbers stand to the right, long texts take more room."""
        return tuple(
            "right" if header in self.right else _kind(max(map(len, cells), default=0))
            for header, cells in zip(self.headers, self._columns, strict=True)
        )

    @property
    def _columns(self) -> Sequence[Sequence[str]]:
        return [[row[index] for row in self.rows] for index in range(len(self.headers))]


def _kind(longest: int) -> str:
    return "long" if longest > _LONG else "middling" if longest > _MIDDLING else "short"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A picture with its title and the sentences that say how to read it.

    `name` is its id on the page. A chart with `is_small` stands beside others of its kind.
    """

    kind: ClassVar[str] = "chart"
    name: str
    title: str
    caption: str
    figure: Figure
    is_small: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Small charts side by side, as many as there is room for."""

    kind: ClassVar[str] = "grid"
    charts: Sequence[Chart]


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Text to copy, as it is."""

    kind: ClassVar[str] = "code"
    text: str
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """What only some want to see, behind a line that opens it."""

    kind: ClassVar[str] = "fold"
    summary: str
    blocks: Sequence["Words | Table | Code"]


Block = Words | Tiles | Table | Chart | Grid | Code | Fold


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page under a heading; `anchor` is its id."""

    anchor: str
    title: str
    blocks: Sequence[Block]

    @property
    def charts(self) -> tuple[Chart, ...]:
        """All its pictures, in order."""
        found: list[Chart] = []
        for block in self.blocks:
            if isinstance(block, Chart):
                found.append(block)
            elif isinstance(block, Grid):
                found += block.charts
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A whole page; `facts` are the few words under its title."""

    title: str
    facts: Mapping[str, str] = field(default_factory=dict)
    sections: Sequence[Section] = ()

    @property
    def charts(self) -> tuple[Chart, ...]:
        """All pictures, in order."""
        return tuple(chart for section in self.sections for chart in section.charts)
