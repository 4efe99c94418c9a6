"""Slots: the share of slot-time in which a worker is inside the objective, in a study with rungs.

Slot-time runs from the start of the first segment to the end of the last, in every slot. What is
not inside the objective is told apart by the study's events: starts (of the first segments apart,
for these start the workers), ends, and slots without a segment.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.speed import studies
from benchmarks.speed.comparison import Comparison, ratio
from benchmarks.speed.ray_node import fresh_ray
from benchmarks.speed.setting import PARALLEL, Setting
from benchmarks.speed.studies import PlayedStudy
from lexmove.study.study import Study
from lexmove.study.trial import Continued, Ended, Event, Measured, Started, TrialStatus

_HEAD = (
    "repeat",
    "segments",
    "slot-time",
    "inside",
    "first starts",
    "other starts",
    "ends",
    "idle",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentTimes:
    """One segment by its events: when it was decided, measured and over; Unix times."""

    decided_s: float
    measured: Sequence[Measured]
    ended_s: float

    @property
    def inside_s(self) -> float:
        """Seconds that the objective took up to its last measurement."""
        return sum(event.measurement.duration_s for event in self.measured)

    @property
    def starting_s(self) -> float:
        """Seconds from the decision until the objective is called: Tune, or a new worker."""
        if not self.measured:
            return 0.0
        first = self.measured[0]
        return first.at_s - first.measurement.duration_s - self.decided_s

    @property
    def ending_s(self) -> float:
        """Seconds from the last measurement to the end: clearing up, and the report of it."""
        return self.ended_s - (self.measured[-1].at_s if self.measured else self.decided_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotTime:
    """All slot-time of a study in seconds; `between_s` is what no segment holds."""

    total_s: float
    inside_s: float
    starting_s: float
    first_start_s: float
    ending_s: float
    num_segments: int

    @property
    def utilisation(self) -> float:
        """The share inside the objective."""
        return self.inside_s / self.total_s

    @property
    def between_s(self) -> float:
        """Slots without a segment: decisions, Tune's rounds, reports that wait, and the tail."""
        return self.total_s - self.inside_s - self.starting_s - self.ending_s


def slot_time(study: Study, num_slots: int) -> SlotTime:
    """Where the slot-time of a study went."""
    segments = [item for trial in study.trials for item in _segments(trial.events)]
    begun_s = min(item.decided_s for item in segments)
    first = sorted(segments, key=lambda item: item.decided_s)[:num_slots]
    return SlotTime(
        total_s=num_slots * (max(item.ended_s for item in segments) - begun_s),
        inside_s=sum(item.inside_s for item in segments),
        starting_s=sum(item.starting_s for item in segments),
        first_start_s=sum(item.starting_s for item in first),
        ending_s=sum(item.ending_s for item in segments),
        num_segments=len(segments),
    )


def _segments(events: Sequence[Event]) -> Iterator[SegmentTimes]:
    """The segments of one trial; that the study's end stops a paused trial is none."""
    decided_s, measured = 0.0, list[Measured]()
    for event in events:
        if isinstance(event, Started | Continued):
            decided_s, measured = event.at_s, []
        elif isinstance(event, Measured):
            measured.append(event)
        elif isinstance(event, Ended) and event.status is not TrialStatus.STOPPED:
            yield SegmentTimes(decided_s=decided_s, measured=measured, ended_s=event.at_s)


def measure(setting: Setting, folder: Path) -> Comparison:
    """Plays one study for each repeat; files go below `folder`."""
    studies_played = [
        _study(setting, folder / "slots" / str(seed), seed) for seed in range(setting.repeats)
    ]
    found = [slot_time(item.study, PARALLEL) for item in studies_played]
    return Comparison(
        title=f"Slots: {setting.num_slotted} trials with rungs in {PARALLEL} slots",
        head=_HEAD,
        rows=[_row(number, item) for number, item in enumerate(found, start=1)],
        figure=median(item.utilisation for item in found),
        notes=[_note(number, item) for number, item in enumerate(studies_played, start=1)],
    )


def _study(setting: Setting, folder: Path, seed: int) -> PlayedStudy:
    with fresh_ray(PARALLEL) as address:
        return studies.play(
            setting, folder=folder, address=address, num_trials=setting.num_slotted, seed=seed
        )


def _row(number: int, found: SlotTime) -> list[str]:
    shares = (
        found.inside_s,
        found.first_start_s,
        found.starting_s - found.first_start_s,
        found.ending_s,
        found.between_s,
    )
    return [
        str(number),
        str(found.num_segments),
        f"{found.total_s:.1f} s",
        *(ratio(share / found.total_s) for share in shares),
    ]


def _note(number: int, item: PlayedStudy) -> str:
    """What came before the slots, and what the objective did in them."""
    waited_s = item.study.trials[0].started_s - item.called_at_s
    phases_s = Counter[str]()
    for trial in item.study.trials:
        for measurement in trial.measurements:
            phases_s.update(measurement.phases_s)
    inside = ", ".join(f"{name} {value:.1f} s" for name, value in phases_s.most_common())
    return f"Repeat {number}: {waited_s:.1f} s from the call to the first trial; inside: {inside}."
