"""Where a study's time went: phases of its trials, decisions, and slots that stood idle."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lexmove.study.study import Study
from lexmove.study.trial import Continued, Ended, Event, Measured, Started, TrialStatus

_LONGEST_GAP_S = 60.0
"""A longer time in which nothing runs is no part of a study: it was interrupted, or extended."""

_PHASES = ("import", "load", "tokenise", "train", "evaluate", "checkpoint")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Seconds of `slots` workers over `wall_s` seconds of wall-clock time.

    `phases_s` is what trials measured of themselves, by phase, and `other` what they took besides.
    `handover_s` is from a decision to the worker's start and from its last report to the next
    decision: starting workers, passing messages, segments that left nothing. `idle_s` is what slots
    had nothing to do, waiting for a decision among others. All this adds up to slots times
    wall-clock time. `decide_s` is the time that deciding took; other slots may be busy meanwhile.
    """

    slots: int
    wall_s: float
    phases_s: dict[str, float]
    handover_s: float
    idle_s: float
    decide_s: float

    @property
    def utilisation(self) -> float:
        """Share of the slots' time in which a trial was at work, 0 to 1; NaN of no time."""
        if not self.wall_s:
            return float("nan")
        return sum(self.phases_s.values()) / (self.slots * self.wall_s)

    def to_json(self) -> dict[str, Any]:
        """A JSON value, for programs."""
        return {
            "slots": self.slots,
            "wall_s": self.wall_s,
            "utilisation": self.utilisation if self.wall_s else None,
            "phases_s": dict(self.phases_s),
            "handover_s": self.handover_s,
            "idle_s": self.idle_s,
            "decide_s": self.decide_s,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One segment in its slot: Unix times, how it ended, and the seconds that were measured."""

    begun_s: float
    ended_s: float
    measured_s: float
    status: TrialStatus


def profile_of(study: Study) -> Profile:
    """The profile of what is recorded; a segment that still runs counts up to its last report."""
    spans = [span for trial in study.trials for span in spans_of(trial.events)]
    wall_s = _wall_s(spans)
    occupied_s = sum(span.ended_s - span.begun_s for span in spans)
    measured_s = sum(span.measured_s for span in spans)
    slots = study.spec.parallel
    return Profile(
        slots=slots,
        wall_s=wall_s,
        phases_s=_phases_s(study),
        handover_s=max(0.0, occupied_s - measured_s),
        idle_s=max(0.0, slots * wall_s - max(occupied_s, measured_s)),
        decide_s=sum(
            event.decided_s
            for trial in study.trials
            for event in trial.events
            if isinstance(event, Started | Continued)
        ),
    )


def _phases_s(study: Study) -> dict[str, float]:
    """Every phase, longest ones as they come, and `other`."""
    total: defaultdict[str, float] = defaultdict(float)
    for trial in study.trials:
        for event in trial.events:
            if isinstance(event, Measured):
                phases_s = event.measurement.phases_s
                for name, seconds in phases_s.items():
                    total[name] += seconds
                total["other"] += max(0.0, event.measurement.duration_s - sum(phases_s.values()))
    names = [*_PHASES, *sorted(set(total) - {*_PHASES, "other"}), "other"]
    return {name: total[name] for name in names}


def spans_of(events: Sequence[Event]) -> Iterator[Span]:
    """The segments of one trial, in order; one that runs or was lost ends with its last report."""
    begun_s = last_s = measured_s = 0.0
    is_open = False
    for event in events:
        if isinstance(event, Started | Continued):
            begun_s = last_s = event.at_s
            measured_s, is_open = 0.0, True
        elif isinstance(event, Measured):
            last_s = event.at_s
            measured_s += event.measurement.duration_s
        elif isinstance(event, Ended) and is_open:
            # Found dead by the next process: it ended some time after it was heard of last.
            is_lost = event.status is TrialStatus.PREEMPTED and not event.blames_trial
            yield Span(
                begun_s=begun_s,
                ended_s=last_s if is_lost else event.at_s,
                measured_s=measured_s,
                status=event.status,
            )
            is_open = False
    if is_open:
        yield Span(
            begun_s=begun_s, ended_s=last_s, measured_s=measured_s, status=TrialStatus.RUNNING
        )


def _wall_s(spans: Sequence[Span]) -> float:
    """Time in which something ran, and short times in between."""
    wall_s, until_s = 0.0, None
    for span in sorted(spans, key=lambda span: span.begun_s):
        if until_s is None or span.begun_s - until_s > _LONGEST_GAP_S:
            until_s = span.begun_s
        wall_s += max(0.0, span.ended_s - until_s)
        until_s = max(until_s, span.ended_s)
    return wall_s
