"""When what ran: segments in their slots, how many ran at once, and where the time went."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

from plotly.graph_objects import Bar, Scatter

from lexmove.report.blocks import Block, Chart, Section, Table, Words
from lexmove.report.chronicle import Chronicle, Row
from lexmove.report.look import (
    BLUE,
    GOLD,
    GRAY,
    GREEN,
    ORANGE,
    RED,
    TEAL,
    figure,
    plain,
    rgba,
    whole,
)
from lexmove.results.profile import Profile, Span
from lexmove.results.wording import NOTHING, say_count, say_duration, say_number
from lexmove.study.trial import TrialStatus

_MAX_BARS = 300
_NUM_BINS = 160
_LONGEST_GAP_S = 60.0
"""A longer time in which nothing ran is left out: the study was interrupted, or extended."""

_COLOURS = {
    TrialStatus.COMPLETED: GREEN,
    TrialStatus.PAUSED: BLUE,
    TrialStatus.STOPPED: TEAL,
    TrialStatus.RUNNING: GOLD,
    TrialStatus.PREEMPTED: ORANGE,
    TrialStatus.FAILED: RED,
    TrialStatus.INFEASIBLE: RED,
}
_WORDS = {
    TrialStatus.COMPLETED: "completed",
    TrialStatus.PAUSED: "paused at a rung",
    TrialStatus.STOPPED: "stopped",
    TrialStatus.RUNNING: "still running",
    TrialStatus.PREEMPTED: "lost its worker",
    TrialStatus.FAILED: "failed",
    TrialStatus.INFEASIBLE: "infeasible",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bar:
    """A segment in its slot, in seconds of working time since the study began."""

    row: Row
    span: Span
    slot: int
    begun_s: float
    ended_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clock:
    """Unix time as working time: long gaps, from `gaps` (end, length) on, are taken out."""

    start_s: float
    gaps: Sequence[tuple[float, float]]

    def __call__(self, at_s: float) -> float:
        return at_s - self.start_s - sum(length for end, length in self.gaps if end <= at_s)


def timeline(chronicle: Chronicle, profiles: Mapping[str, Profile]) -> Section:
    """The section; `profiles` of the search and of the repetitions."""
    title = "When what ran"
    segments = [(row, span) for row in chronicle.rows for span in row.spans]
    segments.sort(key=lambda item: item[1].begun_s)
    clock = _clock([span for _, span in segments])
    bars = _in_slots(segments, clock)
    total_s = max((bar.ended_s for bar in bars), default=0.0)
    if not total_s:
        words = "No time was recorded, or none has passed yet."
        return Section(anchor="timeline", title=title, blocks=[Words(text=words)])
    unit_s, unit = _unit(total_s)
    blocks: list[Block] = []
    if len(bars) <= _MAX_BARS:
        blocks.append(_slots(bars, unit_s, unit, interruptions=len(clock.gaps)))
    else:
        blocks.append(
            Words(
                text=f"{len(bars):,} segments are too many to tell apart in a picture: it shows how"
                " many ran at once."
            )
        )
    blocks.append(_at_once(chronicle, bars, total_s, unit_s, unit))
    known = {part: item for part, item in profiles.items() if item.wall_s > 0}
    if known:
        blocks += [_phases(known), _profile_table(known)]
    return Section(anchor="timeline", title=title, blocks=blocks)


def _clock(spans: Sequence[Span]) -> _Clock:
    """`spans` in the order in which they began."""
    gaps: list[tuple[float, float]] = []
    until_s = spans[0].begun_s if spans else 0.0
    for span in spans:
        if span.begun_s - until_s > _LONGEST_GAP_S:
            gaps.append((span.begun_s, span.begun_s - until_s))
        until_s = max(until_s, span.ended_s)
    return _Clock(start_s=spans[0].begun_s if spans else 0.0, gaps=gaps)


def _in_slots(segments: Sequence[tuple[Row, Span]], clock: _Clock) -> list[_Bar]:
    """Every segment in the lowest slot that is free when it begins."""
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    num_slots = 0
    bars = []
    for row, span in segments:
        while busy and busy[0][0] <= span.begun_s:
            heappush(free, heappop(busy)[1])
        if free:
            slot = heappop(free)
        else:
            slot, num_slots = num_slots, num_slots + 1
        heappush(busy, (span.ended_s, slot))
        bars.append(
            _Bar(
                row=row,
                span=span,
                slot=slot,
                begun_s=clock(span.begun_s),
                ended_s=clock(span.ended_s),
            )
        )
    return bars


def _unit(total_s: float) -> tuple[float, str]:
    """What to count time in."""
    if total_s > 3 * 86400:
        return 86400.0, "days"
    if total_s > 3 * 3600:
        return 3600.0, "hours"
    return (60.0, "minutes") if total_s > 300 else (1.0, "seconds")


def _time_axis(unit: str) -> dict[str, Any]:
    return {"title": {"text": f"{unit} of working time"}, "rangemode": "tozero"}


def _slots(bars: Sequence[_Bar], unit_s: float, unit: str, *, interruptions: int) -> Chart:
    """A bar per segment."""
    by_status: dict[str, list[_Bar]] = {}
    for bar in bars:
        by_status.setdefault(_WORDS[bar.span.status], []).append(bar)
    traces = [
        Bar(
            base=[bar.begun_s / unit_s for bar in some],
            x=[(bar.ended_s - bar.begun_s) / unit_s for bar in some],
            y=[bar.slot + 1 for bar in some],
            orientation="h",
            name=name,
            marker={
                "color": _COLOURS[some[0].span.status],
                "line": {"color": rgba(GRAY, 0.5), "width": 0.5},
            },
            text=[_bar_words(bar) for bar in some],
            textposition="none",
            hovertemplate="%{text}<extra></extra>",
        )
        for name, some in by_status.items()
    ]
    num_slots = max(bar.slot for bar in bars) + 1
    drawing = figure(
        traces,
        height=140 + max(50, 26 * min(num_slots, 16)),
        x=_time_axis(unit),
        y={"title": {"text": "slot"}, "dtick": whole(num_slots), "fixedrange": True},
        barmode="overlay",
        bargap=0.25,
    )
    caption = "A bar is a stretch of training of one trial."
    if interruptions:
        caption += f" {say_count(interruptions, 'longer interruption')} left out."
    return Chart(name="slots", title="Trials in their slots", caption=caption, figure=drawing)


def _bar_words(bar: _Bar) -> str:
    seconds = bar.span.ended_s - bar.span.begun_s
    return (
        f"<b>trial {bar.row.trial_id}</b>, {_WORDS[bar.span.status]}<br>"
        f"{say_duration(seconds)}, score {say_number(bar.row.value)}<br>"
        f"{plain(bar.row.decision.text[:100])}"
    )


def _at_once(
    chronicle: Chronicle, bars: Sequence[_Bar], total_s: float, unit_s: float, unit: str
) -> Chart:
    """How many segments ran at once, on average over each of many short times."""
    width_s = total_s / _NUM_BINS
    busy_s = [0.0] * _NUM_BINS
    for bar in bars:
        first = min(_NUM_BINS - 1, int(bar.begun_s / width_s))
        last = min(_NUM_BINS - 1, int(bar.ended_s / width_s))
        for index in range(first, last + 1):
            begun_s, ended_s = index * width_s, (index + 1) * width_s
            busy_s[index] += max(0.0, min(ended_s, bar.ended_s) - max(begun_s, bar.begun_s))
    slots = chronicle.spec.parallel
    x = [index * width_s / unit_s for index in range(_NUM_BINS + 1)]
    y = [seconds / width_s for seconds in busy_s]
    running = Scatter(
        x=x,
        y=[*y, y[-1]],
        mode="lines",
        line={"shape": "hv", "color": BLUE, "width": 1.5},
        fill="tozeroy",
        fillcolor=rgba(BLUE, 0.25),
        name="running at once",
        hovertemplate="%{y:.2f} at once<extra></extra>",
    )
    offered = Scatter(
        x=[0, total_s / unit_s],
        y=[slots, slots],
        mode="lines",
        line={"color": rgba(GRAY, 0.9), "dash": "dash", "width": 1.5},
        name="slots there are",
        hoverinfo="skip",
    )
    drawing = figure(
        [running, offered],
        height=250,
        x=_time_axis(unit),
        y={"title": {"text": "trials at once"}, "rangemode": "tozero", "dtick": whole(slots)},
    )
    used = sum(busy_s) / (slots * total_s)
    caption = (
        f"Of {say_duration(slots * total_s)} of slot time trials had {min(used, 1.0):.0%}."
        " What is missing below the dashed line: waiting for a decision, for a worker, or for the"
        " last trials to end."
    )
    return Chart(name="at-once", title="How many ran at once", caption=caption, figure=drawing)


_PHASE_COLOURS = {
    "train": GREEN,
    "evaluate": BLUE,
    "checkpoint": TEAL,
    "tokenise": GOLD,
    "load": "#8b6bd6",
    "import": "#c56bb0",
    "other": rgba(GRAY, 0.9),
    "handing over": ORANGE,
    "idle": rgba(GRAY, 0.45),
}


def _parts(profile: Profile) -> dict[str, float]:
    return {
        **{name: seconds for name, seconds in profile.phases_s.items() if seconds > 0},
        "handing over": profile.handover_s,
        "idle": profile.idle_s,
    }


def _phases(profiles: Mapping[str, Profile]) -> Chart:
    """One bar for each part of the study, all of its slots' time."""
    parts = list(reversed(list(profiles)))
    names = dict.fromkeys(name for item in profiles.values() for name in _parts(item))
    traces = []
    for name in names:
        seconds = [_parts(profiles[part]).get(name, 0.0) for part in parts]
        shares = [
            value / (profiles[part].slots * profiles[part].wall_s)
            for value, part in zip(seconds, parts, strict=True)
        ]
        traces.append(
            Bar(
                x=shares,
                y=parts,
                orientation="h",
                name=plain(name),
                marker={"color": _PHASE_COLOURS.get(name, GRAY)},
                customdata=[say_duration(value) for value in seconds],
                hovertemplate=f"{plain(name)}: %{{customdata}}, %{{x:.0%}}<extra></extra>",
            )
        )
    drawing = figure(
        traces,
        height=150 + 44 * len(parts),
        x={"tickformat": ".0%", "range": [0, 1]},
        y={"fixedrange": True},
        barmode="stack",
        bargap=0.35,
    )
    caption = (
        "All the time of all slots. Handing over: starting workers and passing messages; idle: a"
        " slot had nothing to do."
    )
    return Chart(name="phases", title="Where the time went", caption=caption, figure=drawing)


def _profile_table(profiles: Mapping[str, Profile]) -> Table:
    rows = [
        [
            part,
            str(item.slots),
            say_duration(item.wall_s),
            f"{item.utilisation:.0%}",
            say_duration(item.phases_s.get("train", 0.0))
            if item.phases_s.get("train")
            else NOTHING,
            say_duration(item.decide_s),
        ]
        for part, item in profiles.items()
    ]
    headers = ("part", "slots", "wall-clock time", "slots at work", "training", "deciding")
    return Table(headers=headers, rows=rows, right=headers[1:])
