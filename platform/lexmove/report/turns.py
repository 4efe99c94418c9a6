"""The turns of a study: which hyperparameter each move raised, lowered or switched; did it help?"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from plotly.graph_objects import Bar, Scatter

from lexmove.report.blocks import Block, Chart, Words
from lexmove.report.chronicle import Chronicle, Row, changed, evenly
from lexmove.report.look import GRAY, GREEN, figure, rgba, row_axis, trial_axis, whole
from lexmove.report.progress import hover

_MAX_MOVES = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """One hyperparameter in one move: which way it went, and whether the move helped."""

    row: Row
    name: str
    direction: str
    helped: bool


def turn_charts(chronicle: Chronicle) -> list[Block]:
    """All turns in time, and in sum."""
    turns = _turns(chronicle)
    if not turns:
        return [Words(text="No move has a result yet that could be compared.")]
    return [_turns_in_time(chronicle, turns), _turns_in_sum(chronicle, turns)]


def _turns(chronicle: Chronicle) -> tuple[_Turn, ...]:
    """Every hyperparameter of every move whose result can be compared, in order."""
    found = []
    for row in chronicle.rows:
        gain = chronicle.gain_over_origin(row)
        if gain is None:
            continue
        for name, (before, after) in changed(chronicle, row).items():
            domain = chronicle.spec.space[name].domain
            if before is None or after is None:
                direction = "switched"
            elif domain.is_ordered:
                is_raised = domain.to_unit(after) > domain.to_unit(before)
                direction = "raised" if is_raised else "lowered"
            else:
                direction = "switched"
            found.append(_Turn(row=row, name=name, direction=direction, helped=gain > 0))
    return tuple(found)


_SYMBOLS = {"raised": "triangle-up", "lowered": "triangle-down", "switched": "diamond"}


def _names(chronicle: Chronicle) -> list[str]:
    """The hyperparameters from the bottom of a picture to its top."""
    return [item.name for item in reversed(chronicle.spec.space.searched)]


def _turns_in_time(chronicle: Chronicle, turns: Sequence[_Turn]) -> Chart:
    """A mark per turned hyperparameter, from the first trial to the last."""
    shown = _shown_turns(chronicle, turns)
    names = _names(chronicle)
    places = {name: index for index, name in enumerate(names)}
    traces = []
    for helped, words, colour in (
        (False, "did not help", rgba(GRAY, 0.6)),
        (True, "helped", GREEN),
    ):
        for direction, symbol in _SYMBOLS.items():
            some = [t for t in shown if t.helped is helped and t.direction == direction]
            if some:
                traces.append(
                    Scatter(
                        x=[turn.row.trial_id for turn in some],
                        y=[places[turn.name] for turn in some],
                        mode="markers",
                        marker={"symbol": symbol, "color": colour, "size": 10},
                        name=f"{direction}, {words}",
                        text=[hover(turn.row) for turn in some],
                        hovertemplate="%{text}<extra></extra>",
                    )
                )
    drawing = figure(
        traces,
        height=110 + 38 * len(names),
        x=trial_axis(len(chronicle.rows)),
        y=_name_axis(names),
    )
    caption = (
        "A mark is a hyperparameter that a move turned: up for raised, down for lowered, a diamond"
        " for switched; green where the trial did better than the one that it was moved from."
    )
    if len(shown) < len(turns):
        caption += f" {len(shown):,} of {len(turns):,} marks are drawn."
    return Chart(name="turns", title="Which knob, which way", caption=caption, figure=drawing)


def _shown_turns(chronicle: Chronicle, turns: Sequence[_Turn]) -> tuple[_Turn, ...]:
    moved = {turn.row.trial_id for turn in turns}
    rows = [row for row in chronicle.rows if row.trial_id in moved]
    kept = {row.trial_id for row in evenly(rows, _MAX_MOVES)}
    kept |= {item.trial_id for item in chronicle.improvements}
    return tuple(turn for turn in turns if turn.row.trial_id in kept)


def _name_axis(names: Sequence[str]) -> dict[str, object]:
    return row_axis(names) | {"range": [-0.6, len(names) - 0.4]}


def _turns_in_sum(chronicle: Chronicle, turns: Sequence[_Turn]) -> Chart:
    """How often each hyperparameter was lowered (left) and raised or switched (right)."""
    names = _names(chronicle)
    traces = []
    for directions, side in ((("lowered",), -1), (("raised", "switched"), 1)):
        for helped, colour in ((True, GREEN), (False, rgba(GRAY, 0.55))):
            counted = Counter(
                t.name for t in turns if t.direction in directions and t.helped is helped
            )
            counts = [counted[name] for name in names]
            traces.append(
                Bar(
                    x=[side * count for count in counts],
                    y=list(range(len(names))),
                    orientation="h",
                    marker={"color": colour},
                    name="helped" if helped else "did not help",
                    showlegend=side > 0,
                    customdata=counts,
                    hovertemplate=f"{' or '.join(directions)}, "
                    f"{'helped' if helped else 'did not help'}: %{{customdata}}<extra></extra>",
                )
            )
    drawing = figure(
        traces,
        height=110 + 36 * len(names),
        x={
            "title": {"text": "← lowered · moves · raised or switched →"},
            "dtick": whole(max(Counter(turn.name for turn in turns).values())),
            "zeroline": True,
            "zerolinecolor": rgba(GRAY, 0.8),
        },
        y=_name_axis(names),
        barmode="relative",
        bargap=0.35,
    )
    caption = (
        "A bar is as long as there were moves of that hyperparameter; its green part are those"
        " that helped. A long grey bar to one side says: this way lies nothing more."
    )
    return Chart(name="directions", title="Each knob, in sum", caption=caption, figure=drawing)
