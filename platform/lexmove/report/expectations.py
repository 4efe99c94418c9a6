"""Expected and got: the gain that the agent predicted of a trial, against the one it came to."""

from collections.abc import Sequence

from plotly.graph_objects import Scatter

from lexmove.report.blocks import Chart, Words
from lexmove.report.choosers import CHOOSERS, chooser_of
from lexmove.report.chronicle import Chronicle, Row, evenly
from lexmove.report.look import GRAY, figure, rgba
from lexmove.report.progress import hover

_MIN_PREDICTIONS, _MAX_PREDICTIONS = 5, 600
_INNER_STD = 1.2816
"""Standard deviations to either side of the mean that hold 80 % of a normal distribution."""


def expectations(chronicle: Chronicle) -> Chart | Words:
    """Expected against realised gain, of the trials that were trained to the end."""
    full = chronicle.spec.fidelity.maximum
    rows = [
        row
        for row in chronicle.scored
        if row.decision.predicted_gain is not None and row.gain is not None and row.fidelity == full
    ]
    if len(rows) < _MIN_PREDICTIONS:
        return Words(
            text="Expectation against result is drawn from five trials on that were trained"
            " to the end and for which the agent had said what it expected."
        )
    shown = evenly(rows, _MAX_PREDICTIONS)
    traces = _dots(shown)
    x_ends = _ends([float(row.decision.predicted_gain or 0.0) for row in shown])
    y_ends = _ends([float(row.gain or 0.0) for row in shown])
    ends = [max(x_ends[0], y_ends[0]), min(x_ends[1], y_ends[1])]
    traces.append(
        Scatter(
            x=ends,
            y=ends,
            mode="lines",
            name="just as expected",
            line={"color": rgba(GRAY, 0.9), "dash": "dash", "width": 1.5},
            hoverinfo="skip",
        )
    )
    drawing = figure(
        traces,
        height=380,
        x={"title": {"text": "expected gain"}, "range": x_ends},
        y={"title": {"text": "gain that it came to"}, "range": y_ends},
    )
    return Chart(
        name="predictions",
        title="Expected and got",
        caption=_prediction_words(rows, shown),
        figure=drawing,
    )


def _dots(rows: Sequence[Row]) -> list[Scatter]:
    """A colour for each chooser."""
    by_chooser = {
        chooser: [row for row in rows if chooser_of(row.decision) is chooser]
        for chooser in CHOOSERS
    }
    return [
        Scatter(
            x=[row.decision.predicted_gain for row in some],
            y=[row.gain for row in some],
            mode="markers",
            name=chooser.name,
            marker={"color": rgba(chooser.colour, 0.7), "size": 8},
            text=[hover(row) for row in some],
            hovertemplate="%{text}<br>expected %{x:+.4f}, came to %{y:+.4f}<extra></extra>",
        )
        for chooser, some in by_chooser.items()
        if some
    ]


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """The range of all but the lowest twentieth, which crashes stretch; with a margin."""
    ordered = sorted(values)
    low, high = ordered[len(ordered) // 20], ordered[-1]
    margin = 0.08 * (high - low) or 0.01
    return low - margin, high + margin


def _prediction_words(rows: Sequence[Row], shown: Sequence[Row]) -> str:
    words = (
        "A dot is a trial that was trained to the end: to the right the agent expected much, above"
        " it got much, each over the best score at the time. On the dashed line it was right."
    )
    known = [row for row in rows if row.decision.predicted_gain_std]
    if known:
        within = sum(
            abs((row.gain or 0.0) - (row.decision.predicted_gain or 0.0))
            <= _INNER_STD * (row.decision.predicted_gain_std or 0.0)
            for row in known
        )
        words += (
            f" {within:,} of {len(known):,} results ({within / len(known):.0%}) lie within the"
            " interval that the agent said would hold 80 %."
        )
    if len(shown) < len(rows):
        words += f" {len(shown):,} of {len(rows):,} dots are drawn."
    return words
