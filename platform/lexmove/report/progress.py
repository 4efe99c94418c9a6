"""How the study went: every trial's score and the best so far, and learning curves by rung."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from plotly.graph_objects import Scatter

from lexmove.report.blocks import Block, Chart, Section, Table, Words
from lexmove.report.chronicle import Chronicle, Row, drawn_rows, evenly, value_range
from lexmove.report.look import (
    BLUE,
    GRAY,
    GREEN,
    ORANGE,
    RED,
    figure,
    plain,
    rgba,
    trial_axis,
    whole,
)
from lexmove.results.wording import NOTHING, say_number
from lexmove.study.trial import TrialStatus

_MAX_POINTS = 1000
_MAX_FAILED = 300
_NUM_LEADING = 5
_MAX_CURVES = 150


def history(chronicle: Chronicle, reference: Mapping[str, Any] | None) -> Section:
    """The score of every trial, the best so far, and the line of the classifier without tuning."""
    title = "How the score rose" if chronicle.sign > 0 else "How the score fell"
    bounds = value_range(chronicle)
    if bounds is None:
        words = "No trial has a score yet, so there is nothing to draw."
        return Section(anchor="history", title=title, blocks=[Words(text=words)])
    rows = drawn_rows(chronicle, _MAX_POINTS)
    traces = [*_points(chronicle, rows), _failed(chronicle, bounds[0]), _best_so_far(chronicle)]
    known = None if reference is None else reference.get("validation")
    if reference is not None and known is not None:
        traces.append(_level(chronicle, known, str(reference["name"])))
        margin = 0.04 * (bounds[1] - bounds[0])
        bounds = min(bounds[0], known - margin), max(bounds[1], known + margin)
    drawing = figure(
        [trace for trace in traces if trace is not None],
        height=400,
        x=trial_axis(len(chronicle.rows)),
        y={"title": {"text": plain(chronicle.metric)}, "range": bounds},
    )
    chart = Chart(
        name="history",
        title="Every trial, and the best so far",
        caption=" ".join(_history_words(chronicle, rows, bounds)),
        figure=drawing,
    )
    return Section(anchor="history", title=title, blocks=[chart])


def _points(chronicle: Chronicle, rows: Sequence[Row]) -> list[Scatter]:
    """The trials, those that were trained to the end apart from the others."""
    full = chronicle.spec.fidelity.maximum
    size = 5 if len(rows) > 300 else 8
    groups = (
        (
            "stopped or waiting at a rung",
            rgba(GRAY, 0.6),
            [row for row in rows if row.fidelity < full],
        ),
        ("trained to the end", rgba(BLUE, 0.7), [row for row in rows if row.fidelity >= full]),
    )
    return [
        Scatter(
            x=[row.trial_id for row in some],
            y=[row.value for row in some],
            mode="markers",
            name=name,
            marker={"color": colour, "size": size},
            text=[hover(row) for row in some],
            hovertemplate="%{text}<extra></extra>",
        )
        for name, colour, some in groups
        if some
    ]


def hover(row: Row) -> str:
    """What a figure says when a trial is pointed at."""
    move = plain(row.decision.text[:160]).replace(", ", "<br>")
    return f"<b>trial {row.trial_id}</b>: {say_number(row.value)}<br>{move}"


def _failed(chronicle: Chronicle, low: float) -> Scatter | None:
    failed = [
        row for row in chronicle.rows if row.status in (TrialStatus.FAILED, TrialStatus.INFEASIBLE)
    ]
    if not failed:
        return None
    shown = evenly(failed, _MAX_FAILED)
    return Scatter(
        x=[row.trial_id for row in shown],
        y=[low] * len(shown),
        mode="markers",
        name="failed",
        marker={"color": RED, "symbol": "x", "size": 7},
        text=[f"<b>trial {row.trial_id}</b><br>{plain((row.reason or '')[:120])}" for row in shown],
        hovertemplate="%{text}<extra></extra>",
        cliponaxis=False,
    )


def _best_so_far(chronicle: Chronicle) -> Scatter:
    """The best of each trial and those before it: every step is at the dot that it comes from.

    By the clock a trial may come to its best after later ones have begun: a step at that time
    would stand beside another trial's dot.
    """
    steps: list[Row] = []
    for row in chronicle.scored:
        if not steps or chronicle.score(row) > chronicle.score(steps[-1]):
            steps.append(row)
    return Scatter(
        x=[*(row.trial_id for row in steps), len(chronicle.rows) - 1],
        y=[row.value for row in (*steps, steps[-1])],
        mode="lines",
        name="best so far",
        line={"color": ORANGE, "width": 2.5, "shape": "hv"},
        hovertemplate="best so far: %{y:.4f}<extra></extra>",
    )


def _level(chronicle: Chronicle, value: float, name: str) -> Scatter:
    return Scatter(
        x=[0, max(1, len(chronicle.rows) - 1)],
        y=[value, value],
        mode="lines",
        name=f"{plain(name)}, no tuning",
        line={"color": GREEN, "width": 2, "dash": "dash"},
        hovertemplate=f"{plain(name)}: {say_number(value)}<extra></extra>",
    )


def _history_words(
    chronicle: Chronicle, rows: Sequence[Row], bounds: tuple[float, float]
) -> list[str]:
    words = [
        "A dot is a trial at the best score that it reached; the line is the best of the trials up"
        " to there, which can only get better."
    ]
    if len(rows) < len(chronicle.scored):
        words.append(
            f"{len(rows):,} of {len(chronicle.scored):,} dots are drawn: the best, and an even"
            " sample of the others."
        )
    outside = sum(not bounds[0] <= (row.value or 0.0) <= bounds[1] for row in chronicle.scored)
    if outside:
        words.append(
            f"{outside:,} far worse ones lie outside the picture (a double click shows them)."
        )
    return words


def curves(chronicle: Chronicle) -> Section:
    """How scores grew with training, and what became of the trials at every rung."""
    title = "Learning curves by rung"
    longest = max((len(row.curve) for row in chronicle.rows), default=0)
    if longest < 2:
        words = (
            "Every trial was scored once, at the end of its training: there are no curves to draw."
            if longest
            else "Nothing was measured yet."
        )
        return Section(anchor="curves", title=title, blocks=[Words(text=words)])
    leading = [row for row in chronicle.ranked if len(row.curve) > 1][:_NUM_LEADING]
    chosen = {row.trial_id for row in leading}
    others = [row for row in chronicle.scored if row.trial_id not in chosen and row.curve]
    shown = evenly(others, _MAX_CURVES)
    traces = [_pale_curves(shown), *(_curve(row, i) for i, row in enumerate(leading))]
    rungs = chronicle.spec.fidelity.rungs
    bounds = value_range(chronicle)
    drawing = figure(
        traces,
        height=400,
        x={
            "title": {"text": "training (epochs)"},
            "rangemode": "tozero",
            "dtick": whole(rungs[-1]),
        },
        y={"title": {"text": plain(chronicle.metric)}, "range": bounds},
        shapes=[_rung_line(rung) for rung in rungs[:-1]],
    )
    caption = (
        "A line is one trial. The coloured ones are the best; a grey one that ends early was"
        " stopped or is waiting, because others did better with as much training. Dotted: the"
        " rungs at which trials are compared."
    )
    if len(shown) < len(others):
        caption += f" {len(shown):,} of {len(others):,} grey lines are drawn."
    chart = Chart(name="curves", title="Score by training", caption=caption, figure=drawing)
    blocks: list[Block] = [chart]
    if len(rungs) > 1:
        blocks.append(_rungs(chronicle))
    return Section(anchor="curves", title=title, blocks=blocks)


def _rung_line(rung: int) -> dict[str, Any]:
    line = {"dash": "dot", "width": 1, "color": rgba(GRAY, 0.7)}
    return {"type": "line", "x0": rung, "x1": rung, "y0": 0, "y1": 1, "yref": "paper", "line": line}


def _pale_curves(rows: Sequence[Row]) -> Scatter:
    x: list[int | None] = []
    y: list[float | None] = []
    for row in rows:
        x += [*sorted(row.curve), None]
        y += [*(row.curve[at] for at in sorted(row.curve)), None]
    return Scatter(
        x=x,
        y=y,
        mode="lines+markers",
        name="others",
        line={"color": rgba(GRAY, 0.45), "width": 1},
        marker={"size": 4, "color": rgba(GRAY, 0.6)},
        hoverinfo="skip",
    )


def _curve(row: Row, place: int) -> Scatter:
    colour = (ORANGE, BLUE, GREEN, "#8b6bd6", "#1c9cb0")[place]
    at = sorted(row.curve)
    return Scatter(
        x=at,
        y=[row.curve[fidelity] for fidelity in at],
        mode="lines+markers",
        name=f"trial {row.trial_id}" + (", the best" if not place else ""),
        line={"color": colour, "width": 3 if not place else 2},
        marker={"size": 7},
        hovertemplate=f"trial {row.trial_id}, epoch %{{x}}: %{{y:.4f}}<extra></extra>",
    )


def _rungs(chronicle: Chronicle) -> Table:
    """What was measured at every rung, and what of it went on."""
    rungs = chronicle.spec.fidelity.rungs
    rows = []
    for rung in rungs:
        here = [row for row in chronicle.scored if rung in row.curve]
        further = sum(row.fidelity > rung for row in here)
        scores = [chronicle.sign * row.curve[rung] for row in here]
        best, median = (max(scores), statistics.median(scores)) if scores else (math.nan, math.nan)
        rows.append(
            [
                str(rung),
                f"{len(here):,}",
                NOTHING if rung == rungs[-1] else f"{further:,}",
                say_number(chronicle.sign * best) if scores else NOTHING,
                say_number(chronicle.sign * median) if scores else NOTHING,
            ]
        )
    headers = ("rung (epochs)", "trials scored", "went on", "best", "median")
    return Table(
        headers=headers,
        rows=rows,
        right=headers,
        caption="Of the trials with a score, how many came to each rung and were continued.",
    )
