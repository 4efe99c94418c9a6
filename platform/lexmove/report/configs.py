"""The configs: all hyperparameters of the trials at once, and each one against the score."""

import math
from collections.abc import Sequence
from typing import Any

from plotly.graph_objects import Scatter

from lexmove.report.blocks import Block, Chart, Grid, Section, Words
from lexmove.report.chronicle import Chronicle, Row, drawn_rows, value_range
from lexmove.report.look import BLUE, GRAY, ORANGE, figure, log_ticks, plain, rgba, wrapped
from lexmove.report.progress import hover
from lexmove.space.domain import Categorical, Domain, Float, Integer, Ordinal, Value
from lexmove.space.move import say_value
from lexmove.space.search_space import Hyperparameter

_MAX_LINES = 120
_NUM_LEADING = 10
_MAX_SLICES = 24
_MAX_DOTS = 250
_OFF = -0.12
"""Where a hyperparameter lies that is inactive in a config; the unit range is 0 to 1."""
_MAX_LABELS = 34
"""Characters of listed values that have room side by side under a row."""
_GOLDEN_RATIO = (5**0.5 - 1) / 2


def together(chronicle: Chronicle) -> Section:
    """Parallel coordinates, lying down: a row per hyperparameter, a line per trial."""
    title = "All hyperparameters at once"
    if not chronicle.scored:
        words = "No trial has a score yet, so there is nothing to draw."
        return Section(anchor="configs", title=title, blocks=[Words(text=words)])
    leading = _leading(chronicle)
    chosen = {row.trial_id for row in leading}
    others = [row for row in drawn_rows(chronicle, _MAX_LINES) if row.trial_id not in chosen]
    searched = chronicle.spec.space.searched
    traces = [
        _lines(chronicle, others, "others", rgba(GRAY, 0.35), 1.0),
        _lines(chronicle, leading[1:], f"the best {len(leading)}", rgba(BLUE, 0.75), 1.5),
        _lines(chronicle, leading[:1], f"trial {leading[0].trial_id}, the best", ORANGE, 3.0),
    ]
    drawing = figure(
        traces,
        height=140 + 46 * (len(searched) + 1),
        x={"visible": False, "range": [_OFF - 0.1, 1.06], "fixedrange": True},
        y=_rows_axis(chronicle),
        annotations=_ends_of_rows(chronicle),
    )
    caption = (
        "A line is a trial; where it crosses a row is the value it had there, from the least on"
        " the left to the most on the right. Where the best ones cross a row close together, that"
        " hyperparameter matters, or the agent has settled on it."
    )
    if any(item.when for item in searched):
        caption += " “off”: it has no part in the config."
    if len(others) + len(leading) < len(chronicle.scored):
        caption += f" {len(others) + len(leading):,} of {len(chronicle.scored):,} trials are drawn."
    chart = Chart(name="parallel", title="Configs as lines", caption=caption, figure=drawing)
    return Section(anchor="configs", title=title, blocks=[chart])


def _leading(chronicle: Chronicle) -> Sequence[Row]:
    """The best ten; of fewer than forty trials the best quarter."""
    return chronicle.ranked[: min(_NUM_LEADING, max(1, len(chronicle.scored) // 4))]


def _rows_axis(chronicle: Chronicle) -> dict[str, Any]:
    names = [item.name for item in chronicle.spec.space.searched]
    return {
        "tickmode": "array",
        "tickvals": [-index for index in range(len(names) + 1)],
        "ticktext": [*map(wrapped, names), f"<b>{wrapped(chronicle.metric)}</b>"],
        "range": [-len(names) - 0.6, 0.6],
        "fixedrange": True,
    }


def _lines(
    chronicle: Chronicle, rows: Sequence[Row], name: str, colour: str, width: float
) -> Scatter:
    searched = chronicle.spec.space.searched
    bounds = value_range(chronicle)
    assert bounds is not None, "there are scores"
    x: list[float | None] = []
    y: list[float | None] = []
    for row in rows:
        x += [*(_place(item, row) for item in searched), _share(row.value or 0.0, bounds), None]
        y += [*(-float(index) for index in range(len(searched) + 1)), None]
    labels = [hover(row) for row in rows for _ in range(len(searched) + 2)]
    return Scatter(
        x=x,
        y=y,
        mode="lines+markers",
        name=name,
        line={"color": colour, "width": width},
        marker={"size": 3 + width, "color": colour},
        text=labels,
        hovertemplate="%{text}<extra></extra>",
        hoverinfo="skip" if name == "others" else None,
    )


def _place(item: Hyperparameter, row: Row) -> float:
    value = row.config.get(item.name)
    return _OFF if value is None else item.domain.to_unit(value)


def _share(value: float, bounds: tuple[float, float]) -> float:
    low, high = bounds
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _ends_of_rows(chronicle: Chronicle) -> list[dict[str, Any]]:
    """What the ends of every row stand for, and the levels of a short list."""
    found = []
    for index, item in enumerate(chronicle.spec.space.searched):
        found += [_end(at, -index, text) for at, text in _labels(item.domain)]
        if item.when:
            found.append(_end(_OFF, -index, "off"))
    bounds = value_range(chronicle)
    assert bounds is not None, "there are scores"
    bottom = -len(chronicle.spec.space.searched)
    low, high = (_end(at, bottom, f"{value:.3g}") for at, value in enumerate(bounds))
    return [*found, low, high]


def _end(at: float, row: float, text: str) -> dict[str, Any]:
    return {
        "x": at,
        "y": row,
        "text": text,
        "showarrow": False,
        "yshift": -13,
        "font": {"size": 10.5},
        "opacity": 0.85,
    }


def _labels(domain: Domain) -> list[tuple[float, str]]:
    if isinstance(domain, Float | Integer):
        return [(0.0, plain(say_value(domain.low))), (1.0, plain(say_value(domain.high)))]
    values = _levels(domain)
    texts = {value: _short(say_value(value), most=10) for value in values}
    if sum(map(len, texts.values())) > _MAX_LABELS:
        values = (values[0], values[-1])
    return [(domain.to_unit(value), texts[value]) for value in values]


def _levels(domain: Domain) -> tuple[Value, ...]:
    assert isinstance(domain, Ordinal | Categorical), "what is searched is a range or a list"
    return domain.values


def _tick(value: float) -> str:
    return f"{value:.3g}" if 1e-3 <= abs(value) < 1e5 else f"{value:.0e}".replace("e-0", "e-")


def _short(text: str, *, most: int = 16) -> str:
    return plain(text if len(text) <= most else f"{text[: most - 1]}…")


def slices(chronicle: Chronicle) -> Section:
    """A small picture for each hyperparameter: its values against the score."""
    title = "Each hyperparameter against the score"
    if not chronicle.scored:
        words = "No trial has a score yet, so there is nothing to draw."
        return Section(anchor="slices", title=title, blocks=[Words(text=words)])
    searched = chronicle.spec.space.searched
    rows = drawn_rows(chronicle, _MAX_DOTS)
    leading = {row.trial_id for row in _leading(chronicle)}
    drawn = [item for item in searched if any(item.name in row.config for row in rows)]
    charts = [
        _slice(chronicle, item, index, rows, leading)
        for index, item in enumerate(drawn[:_MAX_SLICES])
    ]
    text = _slice_words(chronicle, rows, len(leading))
    blocks: list[Block] = [Words(text=text), Grid(charts=charts)]
    never = [item.name for item in searched if item not in drawn]
    if never:
        blocks.append(Words(text=f"Off in all of these trials: {', '.join(never)}."))
    if len(drawn) > _MAX_SLICES:
        left_out = ", ".join(item.name for item in drawn[_MAX_SLICES:])
        blocks.append(Words(text=f"Not drawn, for want of room: {left_out}."))
    return Section(anchor="slices", title=title, blocks=blocks)


def _slice_words(chronicle: Chronicle, rows: Sequence[Row], num_leading: int) -> str:
    early = ""
    if any(row.fidelity < chronicle.spec.fidelity.maximum for row in rows):
        early = ", blue trained to the end, grey only as far as a rung"
    edge = "upper" if chronicle.sign > 0 else "lower"
    text = (
        f"A dot is a trial: orange the best {num_leading}, a star the very best{early}. A dot also"
        f" depends on all the other hyperparameters, so look at the {edge} edge of the cloud: it"
        " is what a value allows."
    )
    if len(rows) < len(chronicle.scored):
        text += f" {len(rows):,} of {len(chronicle.scored):,} trials are drawn."
    return text


def _slice(
    chronicle: Chronicle, item: Hyperparameter, index: int, rows: Sequence[Row], leading: set[int]
) -> Chart:
    active = [row for row in rows if item.name in row.config]
    best = chronicle.ranked[0].trial_id
    others = [row for row in active if row.trial_id not in leading]
    full = chronicle.spec.fidelity.maximum
    groups = (
        ([row for row in others if row.fidelity < full], rgba(GRAY, 0.5), "circle", 5),
        ([row for row in others if row.fidelity >= full], rgba(BLUE, 0.6), "circle", 6),
        (
            [row for row in active if row.trial_id in leading and row.trial_id != best],
            ORANGE,
            "circle",
            8,
        ),
        ([row for row in active if row.trial_id == best], ORANGE, "star", 15),
    )
    traces = [
        Scatter(
            x=[_position(item, row) for row in some],
            y=[row.value for row in some],
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": size},
            text=[hover(row) for row in some],
            hovertemplate="%{text}<extra></extra>",
            showlegend=False,
        )
        for some, colour, symbol, size in groups
        if some
    ]
    drawing = figure(
        traces, height=230, x=_value_axis(item.domain), y={"range": value_range(chronicle)}
    )
    left_out = len(rows) - len(active)
    caption = f"off in {left_out:,} of the drawn trials" if left_out else ""
    return Chart(
        name=f"slice-{index}", title=item.name, caption=caption, figure=drawing, is_small=True
    )


def _position(item: Hyperparameter, row: Row) -> float:
    """Numbers stand where they are; listed values at their place, a little apart from each other.

    How far apart follows from the trial's number, so that a page is the same each time.
    """
    domain, value = item.domain, row.config[item.name]
    if isinstance(domain, Float | Integer):
        return float(value)
    level = domain.to_unit(value) * float(domain.num_levels or 1) - 0.5
    return level + 0.36 * (math.modf(row.trial_id * _GOLDEN_RATIO)[0] - 0.5)


def _value_axis(domain: Domain) -> dict[str, Any]:
    if isinstance(domain, Float | Integer):
        margin = 0.04 * (domain.high - domain.low)
        if not domain.log:
            return {"nticks": 6, "range": [domain.low - margin, domain.high + margin]}
        low, high = math.log10(domain.low), math.log10(domain.high)
        margin = 0.04 * (high - low)
        ends = [low - margin, high + margin]
        ticks = log_ticks(domain.low, domain.high)
        if isinstance(domain, Integer):
            ticks = [float(round(tick)) for tick in ticks]
        texts = [_tick(tick) for tick in ticks]
        placed = {"tickmode": "array", "tickvals": ticks, "ticktext": texts}
        return {"type": "log", "range": ends, **placed}
    values = _levels(domain)
    return {
        "tickmode": "array",
        "tickvals": list(range(len(values))),
        "ticktext": [_short(say_value(value)) for value in values],
        "range": [-0.6, len(values) - 0.4],
    }
