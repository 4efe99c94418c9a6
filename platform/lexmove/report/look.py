"""How every figure looks: colours that do on white and on black, and a layout without a ground.

Text, grid and ground of a figure take their colours from the page's style sheet, so that one
drawing serves light, dark and paper.
"""

import html
import math
import re
from collections.abc import Sequence
from typing import Any

from plotly.graph_objects import Figure
from plotly.graph_objs.layout import Template

BLUE, ORANGE, GREEN, RED = "#3d7fc9", "#d9730d", "#2a9d6a", "#d1495b"
VIOLET, TEAL, GOLD, GRAY = "#8b6bd6", "#1c9cb0", "#b0860b", "#8d96a3"

SERIES = (BLUE, ORANGE, GREEN, VIOLET, RED, TEAL, GOLD, GRAY)
"""Of things side by side, in order; the ninth is the first again, dashed."""

_DASHES = ("solid", "dash", "dot", "dashdot")
_LONG_NAME = 16
_GRID = "rgba(128, 134, 148, 0.25)"


def series_line(index: int, *, width: float = 2.2) -> dict[str, Any]:
    """The line of the `index`-th thing of several."""
    dash = _DASHES[index // len(SERIES) % len(_DASHES)]
    return {"color": SERIES[index % len(SERIES)], "dash": dash, "width": width}


def figure(
    traces: Sequence[Any],
    *,
    height: int,
    x: dict[str, Any] | None = None,
    y: dict[str, Any] | None = None,
    **layout: Any,
) -> Figure:
    """A figure of `height` pixels, as wide as its place; `x` and `y` are settings of its axes.

    Traces without a point are left out.
    """
    traces = [trace for trace in traces if trace.x is not None and len(trace.x)]
    axis = {"gridcolor": _GRID, "zeroline": False, "automargin": True, "linecolor": _GRID}
    axis |= {"title": {"font": {"size": 13}, "standoff": 8}, "tickfont": {"size": 12}}
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemwidth": 30}
    settings: dict[str, Any] = {
        "template": Template(),
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', sans-serif", "size": 13},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hovermode": "closest",
        "hoverlabel": {"align": "left", "namelength": 0},
        "legend": legend,
        "showlegend": sum(trace.showlegend is not False for trace in traces) > 1,
        "xaxis": _merged(axis, x or {}),
        "yaxis": _merged(axis, y or {}),
    }
    return Figure(data=list(traces), layout=settings | layout)


def _merged(axis: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    title = axis["title"] | settings.get("title", {})
    return axis | settings | {"title": title}


def plain(text: str) -> str:
    """Text that a figure shows as it is: plotly takes tags and links for what they are."""
    return html.escape(text, quote=True)


def wrapped(name: str) -> str:
    """The name of a hyperparameter on two lines where it is long, split at a dot or underscore."""
    if len(name) <= _LONG_NAME:
        return plain(name)
    places = [found.end() for found in re.finditer(r"[._]", name)]
    middle = min(places, key=lambda place: abs(place - len(name) / 2), default=None)
    if middle is None:
        return plain(name if len(name) <= 2 * _LONG_NAME else f"{name[: 2 * _LONG_NAME]}…")
    return f"{plain(name[:middle])}<br>{plain(name[middle:])}"


def row_axis(names: Sequence[str]) -> dict[str, Any]:
    """The axis of a figure with a row for each name, in the order of their numbers."""
    return {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": [wrapped(name) for name in names],
        "fixedrange": True,
    }


def log_ticks(low: float, high: float) -> list[float]:
    """Places on a logarithmic axis: whole powers of ten, or both ends and their middle."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    step = 1 + (last - first) // 6
    decades = [10.0**power for power in range(first, last + 1, step)]
    return decades if len(decades) > 1 else [low, math.sqrt(low * high), high]


def trial_axis(num_trials: int) -> dict[str, Any]:
    """An axis of trials by number, with room for a mark at either end."""
    margin = 0.02 * num_trials + 0.2
    return {
        "title": {"text": "trial, in order of start"},
        "range": [-margin, num_trials - 1 + margin],
        "dtick": whole(num_trials),
    }


def whole(most: float) -> int | None:
    """The distance of ticks that count something: 1 where there are few, else as it comes."""
    return 1 if most <= 12 else None


def rgba(colour: str, alpha: float) -> str:
    """A colour of the palette, `alpha` opaque."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {alpha:g})"
