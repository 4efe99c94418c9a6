"""The agent's path: what it turned, which way, who chose, what was expected and what it came to."""

from collections.abc import Sequence
from itertools import pairwise

from plotly.graph_objects import Scatter

from lexmove.report.blocks import Block, Chart, Fold, Section, Table, Words
from lexmove.report.choosers import (
    CHOOSERS,
    OPENING,
    chooser_of,
    chooser_words,
    choosers_table,
)
from lexmove.report.chronicle import Chronicle, Row
from lexmove.report.expectations import expectations
from lexmove.report.look import GRAY, VIOLET, figure, plain, rgba, whole
from lexmove.report.progress import hover
from lexmove.report.turns import turn_charts
from lexmove.results.wording import NOTHING, say_count, say_gain, say_move, say_number

_MAX_STEPS = 12
_MAX_LOG = 150

_INTRODUCTION = (
    "The agent works as one does at a mixing desk: it takes a config that did well, turns one"
    " knob or a few (that is a move), says how much it expects from it, and tries. What helps is"
    " kept and moved on from; what does not is a lesson. A move is written as"
    " “learning_rate 2.0e-05 → 4.6e-05 (×2.3)”."
)


def agents_path(chronicle: Chronicle) -> Section:
    """The section."""
    title = "The agent's path"
    if not chronicle.rows:
        return Section(anchor="path", title=title, blocks=[Words(text="No trial has begun yet.")])
    blocks: list[Block] = [Words(text=_INTRODUCTION), *_way(chronicle)]
    blocks += turn_charts(chronicle)
    blocks.append(expectations(chronicle))
    blocks += [choosers_table(chronicle), _move_log(chronicle)]
    return Section(anchor="path", title=title, blocks=blocks)


def _way(chronicle: Chronicle) -> list[Block]:
    """From where it began to the best config: a picture with numbered steps, and their table."""
    best = chronicle.best
    if best is None:
        return [Words(text="No trial has a score yet, so no way leads to a best one.")]
    line = [row for row in chronicle.lineage(best) if row.value is not None]
    if len(line) < 2:
        return [
            Words(
                text=f"The best config, trial {best.trial_id}, was made of no other one"
                f" ({chooser_words(best.decision)}): there is no way to draw."
            )
        ]
    steps = _steps(chronicle, line)
    traces = [_line(line), *_step_marks(steps), _expected(chronicle, line)]
    drawing = figure(
        traces,
        height=380,
        x={"title": {"text": "moves since the beginning"}, "dtick": whole(len(line))},
        y={"title": {"text": plain(chronicle.metric)}},
        showlegend=True,
    )
    caption = (
        f"The best config goes back to trial {line[0].trial_id} by"
        f" {say_count(len(line) - 1, 'move')}. The line leads from each config to the one that"
        " was made of it; the numbers are those of the table. A hollow diamond is the score that"
        " the agent expected before it tried."
    )
    chart = Chart(
        name="way", title="How the best config came about", caption=caption, figure=drawing
    )
    return [chart, _steps_table(line, steps)]


def _line(line: Sequence[Row]) -> Scatter:
    return Scatter(
        x=list(range(len(line))),
        y=[row.value for row in line],
        mode="lines+markers",
        line={"color": rgba(GRAY, 0.9), "width": 2},
        marker={"size": 5},
        showlegend=False,
        hoverinfo="skip",
    )


def _expected(chronicle: Chronicle, line: Sequence[Row]) -> Scatter:
    """The best score at the time of each decision, and the gain predicted on top of it."""
    known = [
        (number, row.value - chronicle.sign * (row.gain - row.decision.predicted_gain))
        for number, row in enumerate(line)
        if row.value is not None and row.gain is not None
        if row.decision.predicted_gain is not None
    ]
    return Scatter(
        x=[number for number, _ in known],
        y=[value for _, value in known],
        mode="markers",
        name="expected",
        marker={"symbol": "diamond-open", "size": 10, "color": VIOLET, "line": {"width": 1.5}},
        hovertemplate="expected: %{y:.4f}<extra></extra>",
    )


def _steps(chronicle: Chronicle, line: Sequence[Row]) -> list[tuple[int, Row]]:
    """The numbered rows of a lineage: all, or both ends and what changed the score most."""
    numbered = list(enumerate(line))
    if len(numbered) <= _MAX_STEPS:
        return numbered
    rises = {
        number: abs(chronicle.score(after) - chronicle.score(before))
        for (_, before), (number, after) in pairwise(numbered)
    }
    inner = sorted(range(1, len(line) - 1), key=lambda number: -rises[number])
    kept = {0, len(line) - 1, *inner[: _MAX_STEPS - 2]}
    return [numbered[number] for number in sorted(kept)]


def _step_marks(steps: Sequence[tuple[int, Row]]) -> list[Scatter]:
    """The numbered steps, in the colour of who chose them."""
    traces = []
    for chooser in CHOOSERS:
        some = [(number, row) for number, row in steps if chooser_of(row.decision) is chooser]
        if some:
            traces.append(
                Scatter(
                    x=[number for number, _ in some],
                    y=[row.value for _, row in some],
                    mode="markers+text",
                    marker={"size": 12, "color": chooser.colour},
                    text=[f"{number}" for number, _ in some],
                    textposition="top center",
                    customdata=[hover(row) for _, row in some],
                    hovertemplate="%{customdata}<extra></extra>",
                    name=f"chosen by: {chooser.name}" if chooser is not OPENING else chooser.name,
                    cliponaxis=False,
                )
            )
    return traces


def _steps_table(line: Sequence[Row], steps: Sequence[tuple[int, Row]]) -> Table:
    headers = ("step", "trial", "move", "who chose", "expected", "came to", "score")
    rows = [
        [
            str(number),
            str(row.trial_id),
            say_move(row.decision.text) or "a config of its own",
            chooser_words(row.decision),
            say_gain(row.decision.predicted_gain),
            say_gain(row.gain),
            say_number(row.value),
        ]
        for number, row in steps
    ]
    left_out = len(line) - len(steps)
    caption = "Expected and came to: over the best score at the time of the decision."
    if left_out:
        caption += f" {say_count(left_out, 'smaller step')} in between left out."
    right = ("step", "trial", "expected", "came to", "score")
    return Table(headers=headers, rows=rows, right=right, stressed=[len(rows) - 1], caption=caption)


def _move_log(chronicle: Chronicle) -> Fold:
    """Every move of a small study; of a large one those that gained most."""
    is_whole = len(chronicle.rows) <= _MAX_LOG
    rows = chronicle.rows
    if not is_whole:
        gaining = sorted(
            (row for row in chronicle.rows if row.gain is not None),
            key=lambda row: (-(row.gain or 0.0), row.trial_id),
        )[:_MAX_LOG]
        rows = sorted(gaining, key=lambda row: row.trial_id)
    headers = ("trial", "state", "from", "move", "who chose", "expected", "came to", "score")
    table = Table(
        headers=headers,
        rows=[_log_row(row) for row in rows],
        right=("trial", "from", "expected", "came to", "score"),
        caption="Expected and came to: over the best score at the time of the decision.",
    )
    summary = "All moves" if is_whole else f"The {_MAX_LOG} moves that gained most"
    return Fold(summary=summary, blocks=[table])


def _log_row(row: Row) -> list[str]:
    return [
        str(row.trial_id),
        row.status.value.lower(),
        NOTHING if row.origin is None else str(row.origin),
        say_move(row.decision.text, num=3) or NOTHING,
        chooser_words(row.decision),
        say_gain(row.decision.predicted_gain),
        say_gain(row.gain),
        say_number(row.value),
    ]
