"""What went wrong: failed and infeasible trials by cause, and the configs that they share."""

import re
from collections import Counter
from collections.abc import Sequence
from statistics import median

from plotly.graph_objects import Bar

from lexmove.report.blocks import Block, Chart, Fold, Section, Table, Words
from lexmove.report.chronicle import Chronicle, Row, evenly
from lexmove.report.look import BLUE, RED, figure, row_axis
from lexmove.results.wording import say_count
from lexmove.space.move import say_value
from lexmove.study.scoring import WITHOUT_SCORE
from lexmove.study.trial import TrialStatus

_MAX_CAUSES = 12
_MAX_LISTED = 60
_MAX_REASON = 300
_MIN_TO_COMPARE = 5
"""Failed trials from which on it is worth a look what sets them apart."""


def failures(chronicle: Chronicle) -> Section:
    """The section."""
    title = "What went wrong"
    failed = [row for row in chronicle.rows if row.status in WITHOUT_SCORE]
    lost = chronicle.counts.get(TrialStatus.PREEMPTED, 0)
    blocks: list[Block] = []
    if lost:
        blocks.append(
            Words(text=f"{say_count(lost, 'trial')} lost the worker and waits for another one.")
        )
    if not failed:
        blocks.append(Words(text="No trial has failed."))
        return Section(anchor="failures", title=title, blocks=blocks)
    share = len(failed) / len(chronicle.rows)
    blocks += [
        Words(
            text=f"{len(failed):,} of {say_count(len(chronicle.rows), 'trial')} ({share:.0%}) ended"
            " without a score. The agent has learned from these, too: it keeps away from configs"
            " like them."
        ),
        _causes(failed),
        *_apart(chronicle, failed),
        _listed(failed),
    ]
    return Section(anchor="failures", title=title, blocks=blocks)


def cause_of(row: Row) -> str:
    """The reason without the numbers that are each trial's own, so that like ones count together.

    What it says of its own place (paths, addresses) goes, too.
    """
    reason = (row.reason or "no reason was given").strip()
    first = reason.splitlines()[0][:_MAX_REASON]
    first = re.sub(r"0x[0-9a-fA-F]+|(?:/[\w.+-]+){2,}", "…", first)
    return re.sub(r"\b\d[\d.,]*(?:e[+-]?\d+)?\b", "N", first)


def _causes(failed: Sequence[Row]) -> Table:
    counted = Counter((row.status, cause_of(row)) for row in failed)
    rows = []
    for (status, cause), count in counted.most_common(_MAX_CAUSES):
        examples = [
            str(row.trial_id) for row in failed if (row.status, cause_of(row)) == (status, cause)
        ]
        shown = ", ".join(examples[:5]) + (", …" if len(examples) > 5 else "")
        rows.append([f"{count:,}", status.value.lower(), cause, shown])
    caption = "Failed: it went wrong; infeasible: the config cannot work here. N is any number."
    if len(counted) > _MAX_CAUSES:
        caption += f" {len(counted) - _MAX_CAUSES:,} rarer causes are left out."
    headers = ("trials", "kind", "cause", "which")
    return Table(headers=headers, rows=rows, right=("trials",), caption=caption)


def _apart(chronicle: Chronicle, failed: Sequence[Row]) -> list[Block]:
    """Where in the space they failed, hyperparameter by hyperparameter."""
    held = [row for row in chronicle.rows if row.status not in WITHOUT_SCORE]
    if len(failed) < _MIN_TO_COMPARE or len(held) < _MIN_TO_COMPARE:
        return []
    names, failed_at, held_at = [], [], []
    for item in reversed(chronicle.spec.space.searched):
        places = [
            [item.domain.to_unit(row.config[item.name]) for row in rows if item.name in row.config]
            for rows in (failed, held)
        ]
        if item.domain.is_ordered and all(places):
            names.append(item.name)
            failed_at.append(median(places[0]))
            held_at.append(median(places[1]))
    if not names:
        return []
    traces = [
        Bar(
            x=places,
            y=list(range(len(names))),
            orientation="h",
            name=label,
            marker={"color": colour},
            hovertemplate="at %{x:.0%} of the range<extra></extra>",
        )
        for label, places, colour in (
            ("trials with a score", held_at, BLUE),
            ("failed", failed_at, RED),
        )
    ]
    drawing = figure(
        traces,
        height=120 + 40 * len(names),
        x={
            "range": [0, 1.08],
            "tickvals": [0, 0.5, 1],
            "ticktext": ["least", "middle", "most"],
            "title": {"text": "place of the middle trial in the range"},
        },
        y=row_axis(names),
        barmode="group",
        bargap=0.3,
    )
    caption = "Where the two bars of a row differ much, that is where to look for the cause."
    return [
        Chart(
            name="failures",
            title="What failed trials have in common",
            caption=caption,
            figure=drawing,
        )
    ]


def _listed(failed: Sequence[Row]) -> Fold:
    shown = evenly(failed, _MAX_LISTED)
    rows = [
        [
            str(row.trial_id),
            (row.reason or "no reason was given")[:_MAX_REASON],
            ", ".join(f"{name} {say_value(value)}" for name, value in row.config.items()),
        ]
        for row in shown
    ]
    summary = (
        ("The failed trial in full" if len(failed) == 1 else f"All {len(failed):,} of them")
        if len(shown) == len(failed)
        else f"{len(shown):,} of the {len(failed):,}, from the first to the last"
    )
    table = Table(headers=("trial", "reason", "config"), rows=rows, right=("trial",))
    return Fold(summary=summary, blocks=[table])
