"""A trial: what was decided, what was measured, what became of it; all derived from its events."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, Literal, NamedTuple, TypeVar, cast

from pydantic import ConfigDict, Field, TypeAdapter

from lexmove.space.domain import Value
from lexmove.space.move import Move
from lexmove.space.search_space import Config
from lexmove.study.fidelity import Fidelity
from lexmove.study.packing import Packed

_T = TypeVar("_T")


class TrialStatus(StrEnum):
    """Where a trial stands. Never assigned: see `Trial.status`."""

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    PREEMPTED = "PREEMPTED"
    COMPLETED = "COMPLETED"
    STOPPED = "STOPPED"
    FAILED = "FAILED"
    INFEASIBLE = "INFEASIBLE"

    @property
    def is_final(self) -> bool:
        """Whether nothing can follow."""
        return self in _FINAL


_FINAL = {
    TrialStatus.COMPLETED,
    TrialStatus.STOPPED,
    TrialStatus.FAILED,
    TrialStatus.INFEASIBLE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Metrics at one fidelity. Every measurement is a checkpoint that can be kept.

    `duration_s` is the time since the previous measurement of the same segment, in seconds, and
    `phases_s` what of it went where, by phase; `checkpoint` the path from which the trial can be
    continued.
    """

    __pydantic_config__ = ConfigDict(ser_json_inf_nan="strings")

    fidelity: Fidelity
    metrics: Mapping[str, float]
    duration_s: float = 0.0
    phases_s: Mapping[str, float] = field(default_factory=dict)
    checkpoint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerUp:
    """A candidate that was not chosen, in words, with its probability."""

    text: str
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Why a suggestion was made: one row of the move log.

    `proposer` is the proposer's name and `expert` the part of it that chose. `text` is the move
    in words. `action` is the index of the chosen candidate, `log_probability` its logarithm
    under the policy; `predicted_gain` and `predicted_gain_std` are in units of the objective: 80 %
    of the gains should come within 1.28 such deviations of it, 95 % within 2.92.
    `policy_version` is the hash of the policy's weights; `lane` the slot it was made for.
    """

    proposer: str
    expert: str = ""
    text: str = ""
    move: Move | None = None
    action: int | None = None
    log_probability: float | None = None
    runners_up: tuple[RunnerUp, ...] = ()
    predicted_gain: float | None = None
    predicted_gain_std: float | None = None
    policy_version: str | None = None
    lane: int | None = None

    @property
    def probability(self) -> float | None:
        """Probability of the chosen candidate under the policy."""
        return None if self.log_probability is None else math.exp(self.log_probability)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """What a proposer wants next: start `config`, or continue trial `trial_id`, up to `until`.

    `seed` is the new trial's; None leaves it to the coordinator.
    """

    config: Config
    until: Fidelity
    decision: Decision
    trial_id: int | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What a worker is given: train one trial from fidelity `after` up to `until`.

    `resume_from` is the checkpoint written at `after`, None where `after` is 0. `seed` is the
    trial's own and the same in all its segments.
    """

    trial_id: int
    config: Config
    seed: int
    until: Fidelity
    after: Fidelity = 0
    resume_from: str | None = None

    @property
    def from_start(self) -> "Segment":
        """The same without a checkpoint, which is gone or broken."""
        return replace(self, after=0, resume_from=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    """`seq` orders all events of a study, from 0; `at_s` is Unix time in seconds."""

    seq: int
    at_s: float
    trial_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(_Event):
    """A suggestion became a trial; `decided_s` is how long deciding took, in seconds."""

    kind: Literal["started"] = "started"
    config: Mapping[str, Value]
    until: Fidelity
    seed: int
    decision: Decision
    decided_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Continued(_Event):
    """A paused or preempted trial goes on; a preempted one without a new decision."""

    kind: Literal["continued"] = "continued"
    until: Fidelity
    decision: Decision | None = None
    decided_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(_Event):
    """The trial reached a fidelity and was evaluated."""

    kind: Literal["measured"] = "measured"
    measurement: Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(_Event):
    """A segment ended; `status` says how, `reason` why where there is something to say.

    `blames_trial` tells a worker's death under the trial from one that the trial did not cause.
    """

    kind: Literal["ended"] = "ended"
    status: TrialStatus
    reason: str | None = None
    blames_trial: bool = False


Event = Annotated[Started | Continued | Measured | Ended, Field(discriminator="kind")]

_EVENT: TypeAdapter[Started | Continued | Measured | Ended] = TypeAdapter(
    Event, config=ConfigDict(ser_json_inf_nan="strings")
)


def event_to_json(event: "Event") -> str:
    """An event as one line of JSON, floats exact."""
    # A Config is a Mapping but no dict: pydantic would warn, and needs the fallback to write it.
    return _EVENT.dump_json(event, fallback=dict, warnings=False).decode()


def event_from_json(text: str) -> "Event":
    """Reads what `event_to_json` wrote.

    Raises:
        ValueError: the text is no event.
    """
    return _EVENT.validate_json(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A suggestion that was started. Everything follows from `events`, the first a `Started`."""

    events: Sequence[Event] = field(repr=False)
    _derived: dict[Hashable, object] | None = field(
        default=None, init=False, repr=False, compare=False
    )

    def __repr__(self) -> str:
        config = dict(self.config)
        return f"<Trial {self.trial_id}: {self.status} at fidelity {self.fidelity}, {config}>"

    def __reduce__(self) -> tuple[Callable[[Sequence[Event]], "Trial"], tuple[Sequence[Event]]]:
        return _trial_of, (self.events,)

    @property
    def is_packed(self) -> bool:
        """Whether it takes little room, and nothing that is derived of it is kept."""
        return isinstance(self.events, Packed)

    def packed(self, dictionary: bytes) -> "Trial":
        """The same in little room; `dictionary` is of the events of a trial like it."""
        events = tuple(self.events)
        facts = TrialFacts(self.trial_id, self.status, self.fidelity)
        return Trial(events=Packed(events, dictionary=dictionary, facts=facts))

    def followed_by(self, event: Event) -> "Trial":
        """The trial after one more event."""
        return Trial(events=(*self.events, event))

    @property
    def derived(self) -> dict[Hashable, object]:
        """What others made of this trial, each under a key of its own: a trial never changes.

        Of a packed trial nothing is kept.
        """
        if isinstance(self.events, Packed):
            return {}
        if self._derived is None:
            object.__setattr__(self, "_derived", {})
        return cast("dict[Hashable, object]", self._derived)

    def derive(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """What stands under `key` in `derived`, made where nothing does."""
        derived = self.derived
        if key not in derived:
            derived[key] = make()
        return cast("_T", derived[key])

    @property
    def started(self) -> Started:
        """The first event."""
        first = self.events[0]
        assert isinstance(first, Started)
        return first

    @property
    def trial_id(self) -> int:
        if isinstance(self.events, Packed):
            return cast("int", self.events.facts.trial_id)
        return self.events[0].trial_id

    @property
    def config(self) -> Config:
        """The config being tried."""
        return self.derive("config", lambda: Config(self.started.config))

    @property
    def decision(self) -> Decision:
        """Why the trial was started."""
        return self.started.decision

    @property
    def status(self) -> TrialStatus:
        """Where the trial stands, by the last event that says so."""
        if isinstance(self.events, Packed):
            return cast("TrialStatus", self.events.facts.status)
        return self.derive("status", self._status)

    def _status(self) -> TrialStatus:
        for event in reversed(self.events):
            if isinstance(event, Ended):
                return event.status
            if isinstance(event, Started | Continued):
                return TrialStatus.RUNNING
        raise AssertionError("a trial starts with a Started event")

    @property
    def is_paused(self) -> bool:
        """Whether the trial waits at a rung."""
        return self.status is TrialStatus.PAUSED

    @property
    def reason(self) -> str | None:
        """Why the last segment ended, where there is something to say."""
        endings = [event.reason for event in self.events if isinstance(event, Ended)]
        return endings[-1] if endings else None

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """One per fidelity, ascending; of a fidelity measured twice, the first."""
        return self.derive("measurements", self._measurements)

    def _measurements(self) -> tuple[Measurement, ...]:
        by_fidelity: dict[Fidelity, Measurement] = {}
        for event in self.events:
            if isinstance(event, Measured):
                by_fidelity.setdefault(event.measurement.fidelity, event.measurement)
        return tuple(by_fidelity[fidelity] for fidelity in sorted(by_fidelity))

    @property
    def fidelity(self) -> Fidelity:
        """The highest fidelity measured; 0 before the first measurement."""
        if isinstance(self.events, Packed):
            return cast("Fidelity", self.events.facts.fidelity)
        return self.measurements[-1].fidelity if self.measurements else 0

    @property
    def until(self) -> Fidelity:
        """How far the trial was last asked to go."""
        return next(
            event.until for event in reversed(self.events) if isinstance(event, Started | Continued)
        )

    @property
    def lane(self) -> int:
        """The slot of the last decision about this trial; 0 where none was recorded."""
        lanes = [
            event.decision.lane
            for event in self.events
            if isinstance(event, Started | Continued) and event.decision is not None
        ]
        return lanes[-1] or 0

    @property
    def num_lost_workers(self) -> int:
        """How often a worker died under the trial."""
        return sum(isinstance(event, Ended) and event.blames_trial for event in self.events)

    @property
    def segment(self) -> Segment:
        """What a worker needs to go on from the last checkpoint."""
        kept = [item for item in self.measurements if item.checkpoint is not None]
        return Segment(
            trial_id=self.trial_id,
            config=self.config,
            seed=self.started.seed,
            until=self.until,
            after=kept[-1].fidelity if kept else 0,
            resume_from=kept[-1].checkpoint if kept else None,
        )

    @property
    def started_s(self) -> float:
        """Unix time of the start."""
        return self.events[0].at_s

    @property
    def ended_s(self) -> float | None:
        """Unix time of the final event; None while something can follow."""
        return self.events[-1].at_s if self.status.is_final else None


def _trial_of(events: Sequence[Event]) -> Trial:
    """A trial that was pickled: what was derived of it stays behind."""
    return Trial(events=events)


class TrialFacts(NamedTuple):
    """What stays at hand of a packed trial."""

    trial_id: int
    status: TrialStatus
    fidelity: Fidelity
