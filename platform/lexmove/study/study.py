"""The study: everything that was decided and measured. Immutable; the single truth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import RLock
from typing import Any, Protocol, Self, TypeVar

import numpy as np

from lexmove.space.search_space import SearchSpace
from lexmove.study.fidelity import Fidelity, FidelityPlan
from lexmove.study.index import StudyIndex, in_order
from lexmove.study.packing import Packed, dictionary_of
from lexmove.study.past import PastResults
from lexmove.study.scoring import Goal, Incumbent, Scoring
from lexmove.study.sequence import Chunked
from lexmove.study.starts import PlannedStart
from lexmove.study.trial import (
    Continued,
    Decision,
    Event,
    Measured,
    Started,
    Suggestion,
    Trial,
    TrialStatus,
)

_NUM_UNPACKED = 512
"""The latest trials stay as they are; older ones are packed while nothing happens to them."""

_NUM_TOP_MOVES = 10

_BUSY = (TrialStatus.RUNNING, TrialStatus.PREEMPTED)

_ASKING = RLock()

_F = TypeVar("_F", bound="Follower")
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class StudySpec:
    """What a study is about; fixed at its creation but for `num_trials`.

    `metric` names the objective among a measurement's metrics. `num_trials` is the budget: how
    many trials may be started. `parallel` is how many run at once. `job` is the job as JSON
    text, for the record and for resuming; empty for `AskTell`. `wall_clock_s` is the time of the
    search in seconds where that and not `num_trials` is its limit. `starts` are configs to try
    first; `past` is what earlier studies have found.
    """

    name: str
    space: SearchSpace
    metric: str = "value"
    goal: Goal = "maximize"
    fidelity: FidelityPlan = field(default_factory=FidelityPlan)
    num_trials: int = 50
    parallel: int = 1
    seed: int = 0
    job: str = ""
    wall_clock_s: float | None = None
    starts: tuple[PlannedStart, ...] = ()
    past: tuple[PastResults, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON value from which `from_json` makes an equal spec."""
        return {
            "name": self.name,
            "space": self.space.to_json(),
            "metric": self.metric,
            "goal": self.goal,
            "fidelity": {
                "maximum": self.fidelity.maximum,
                "eta": self.fidelity.eta,
                "first": self.fidelity.first,
                "promotion": self.fidelity.promotion,
            },
            "num_trials": self.num_trials,
            "parallel": self.parallel,
            "seed": self.seed,
            "job": self.job,
            **({} if self.wall_clock_s is None else {"wall_clock_s": self.wall_clock_s}),
            "starts": [start.to_json() for start in self.starts],
            **({"past": [results.to_json() for results in self.past]} if self.past else {}),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Reads what `to_json` wrote."""
        return cls(
            **{
                **data,
                "space": SearchSpace.from_json(data["space"]),
                "fidelity": FidelityPlan(**data["fidelity"]),
                # Studies made before there were planned starts have none.
                "starts": tuple(PlannedStart.from_json(item) for item in data.get("starts", ())),
                "past": tuple(PastResults.from_json(item) for item in data.get("past", ())),
            }
        )


class Follower(Protocol):
    """What knows a study and learns of every event, so that it need not read it all again."""

    def take_in(self, study: "Study", before: Trial | None, event: Event) -> None:
        """Learns of one event: the study after it, and its trial before, None if it starts."""
        ...


@dataclass(frozen=True, kw_only=True)
class Study:
    """The spec and all trials, ids 0 … n − 1 in the order of their start.

    What is known of it goes over to the study that it grows into (`followed_by`); whoever asks
    an older one pays for reading it anew.
    """

    spec: StudySpec
    trials: Sequence[Trial] = ()
    num_events: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.trials, tuple):
            object.__setattr__(self, "trials", Chunked(self.trials))

    def __repr__(self) -> str:
        best = "no score" if self.incumbent is None else f"best {self.incumbent.value:.4g}"
        return f"<Study {self.spec.name!r}: {len(self.trials)} trials, {best}>"

    def __getstate__(self) -> dict[str, Any]:
        return {"spec": self.spec, "trials": self.trials, "num_events": self.num_events}

    def with_event(self, event: Event) -> Self:
        """The study after one more event.

        Events whose `seq` is below `num_events` were seen already and change nothing, so that a
        journal may be replayed over its own prefix.
        """
        if event.seq < self.num_events:
            return self
        trials = self._chunked
        if isinstance(event, Started):
            assert event.trial_id == len(trials), "trials are numbered in order of start"
            before = None
            trials = trials.appended(Trial(events=(event,)))
        else:
            before = trials[event.trial_id]
            trials = trials.replaced(event.trial_id, before.followed_by(event))
        after = replace(self, trials=trials, num_events=event.seq + 1)
        self._hand_over(after, before, event)
        after._pack(event.trial_id, event.trial_id - _NUM_UNPACKED)
        return after

    @property
    def _chunked(self) -> Chunked[Trial]:
        return self.trials if isinstance(self.trials, Chunked) else Chunked(self.trials)

    def _hand_over(self, after: Self, before: Trial | None, event: Event) -> None:
        """Lets what knows this study go on with the next."""
        followers: dict[type, Follower] = self.__dict__.pop("_followers", {})
        with _ASKING:
            index: StudyIndex | None = self.__dict__.get("_index")
            if index is not None:
                # Of a study that is past, this alone is asked often.
                self.__dict__["incumbent"] = index.incumbent
                del self.__dict__["_index"]
                index.take_in(before, after.trials[event.trial_id], event)
                after.__dict__["_index"] = index
        for follower in followers.values():
            follower.take_in(after, before, event)
        after.__dict__["_followers"] = followers

    def _pack(self, *trial_ids: int) -> None:
        """Packs those of the trials that are old enough and at rest."""
        for trial_id in trial_ids:
            if 0 <= trial_id < len(self.trials) - _NUM_UNPACKED:
                trial = self.trials[trial_id]
                if not trial.is_packed and trial.status not in _BUSY:
                    packed = self._chunked.replaced(trial_id, trial.packed(self._dictionary))
                    object.__setattr__(self, "trials", packed)

    @property
    def _dictionary(self) -> bytes:
        """What the packed trials of this study have in common: the first trial."""
        first = self.trials[0].events
        return first.dictionary if isinstance(first, Packed) else dictionary_of(tuple(first))

    def followed_by(self, kind: type[_F], make: "Callable[[Study], _F]") -> _F:
        """The follower of this kind, made where there is none yet."""
        followers = self.__dict__.setdefault("_followers", {})
        if kind not in followers:
            followers[kind] = make(self)
        found: _F = followers[kind]
        return found

    def _ask(self, question: Callable[[StudyIndex], _T]) -> _T:
        """What the index says, which no event changes meanwhile: a view may ask in a thread."""
        with _ASKING:
            return question(self._index)

    @cached_property
    def _index(self) -> StudyIndex:
        trials = self._chunked  # read once, where they are in a store
        rungs = self.spec.fidelity.rungs[:-1]
        return StudyIndex(self.scoring, rungs, trials, in_order(trials))

    @classmethod
    def from_events(cls, spec: StudySpec, events: "list[Event] | tuple[Event, ...]") -> Self:
        """The study that these events make, in any order, one that comes again counting once."""
        by_trial: dict[int, list[Event]] = {}
        once = {event.seq: event for event in events}
        ordered = sorted(once.values(), key=lambda event: event.seq)
        for event in ordered:
            by_trial.setdefault(event.trial_id, []).append(event)
        study = cls(
            spec=spec,
            trials=tuple(Trial(events=tuple(by_trial[index])) for index in range(len(by_trial))),
            num_events=ordered[-1].seq + 1 if ordered else 0,
        )
        study._pack(*range(len(study.trials) - _NUM_UNPACKED))
        return study

    @property
    def events(self) -> tuple[Event, ...]:
        """All events, in order."""
        return tuple(in_order(self.trials))

    def events_since(self, seq: int) -> tuple[Event, ...]:
        """Event `seq` and those after it, in order, without a look at older trials."""
        owners = self._ask(lambda index: set(index.owners_since(seq)))
        found = in_order(self.trials[owner] for owner in owners if owner >= 0)
        return tuple(event for event in found if event.seq >= seq)

    def latest_trials(self, num: int) -> tuple[Trial, ...]:
        """The trials to which something happened last, at most `num`, the latest first."""
        return tuple(self.trials[owner] for owner in self._ask(lambda i: i.latest_owners(num)))

    def prefix(self, num_events: int) -> Self:
        """The study as it was after its first `num_events` events."""
        kept = [event for trial in self.trials for event in trial.events if event.seq < num_events]
        return type(self).from_events(self.spec, kept)

    @property
    def scoring(self) -> Scoring:
        """The objective of the trials."""
        return Scoring(self.spec.metric, self.spec.goal)

    @property
    def sign(self) -> float:
        """+1 where more is better, −1 where less is."""
        return self.scoring.sign

    def score_at(self, trial: Trial, fidelity: Fidelity) -> float | None:
        """The objective, higher is better, at one fidelity; None if missing, NaN or failed."""
        return self.scoring.score_at(trial, fidelity)

    def best_score(self, trial: Trial) -> float | None:
        """The best objective a trial reached at any fidelity, higher is better."""
        best = self.best_of(trial)
        return None if best is None else self.sign * best.value

    def best_of(self, trial: Trial) -> Incumbent | None:
        """A trial's own best measurement; None if it failed or has none that counts."""
        return self.scoring.best_of(trial)

    @property
    def ranking(self) -> tuple[Incumbent, ...]:
        """The best measurement of every trial that has one, best first, ties to the earlier."""
        return self._ask(lambda index: tuple(index.ranking))

    def leaders(self, num: int) -> tuple[Incumbent, ...]:
        """The first `num` of the ranking."""
        return self._ask(lambda index: tuple(index.ranking[:num]))

    @cached_property
    def incumbent(self) -> Incumbent | None:
        """The one definition of best: the highest objective of any trial at any fidelity.

        Failed, infeasible and NaN never win; the order of arrival does not matter; ties go to
        the earlier trial, within a trial to the lower fidelity.
        """
        return self._ask(lambda index: index.incumbent)

    @cached_property
    def trajectory(self) -> tuple[tuple[int, float], ...]:
        """(number of trials started, incumbent value) at every improvement, in time order."""
        return self._ask(lambda index: index.trajectory(self.trials))

    @property
    def num_started_at_best(self) -> int:
        """How many trials had started when the incumbent's value was reached first; 0 without."""
        if self.incumbent is None:
            return 0
        value = self.incumbent.value
        level = [self.trials[item.trial_id] for item in self._ask(lambda i: list(i.leaders))]
        first = min(self._reached_seq(trial, value) for trial in level)
        return self._ask(lambda index: index.num_started_before(first))

    def _reached_seq(self, trial: Trial, value: float) -> int:
        return min(
            event.seq
            for event in trial.events
            if isinstance(event, Measured)
            and event.measurement.metrics.get(self.spec.metric) == value
        )

    def scored_at(self, rung: Fidelity) -> Sequence[tuple[float, int]]:
        """(−score, trial) of all that were measured at a rung below the maximum, best first.

        Ties go to the earlier trial; failed ones are left out. To be read before the study goes on.
        """
        return self._ask(lambda index: index.rung_scores[rung])

    @property
    def num_epochs(self) -> int:
        """What all trials that did not fail have spent, in units of fidelity."""
        return self._ask(lambda index: index.epochs)

    def with_status(self, *statuses: TrialStatus) -> tuple[Trial, ...]:
        """The trials that stand so, by id."""
        trial_ids = self._ask(lambda index: index.with_status(statuses))
        return tuple(self.trials[trial_id] for trial_id in trial_ids)

    @cached_property
    def counts(self) -> dict[TrialStatus, int]:
        """How many trials stand where; statuses without a trial are left out."""
        return self._ask(lambda index: index.counts)

    @property
    def running(self) -> tuple[Trial, ...]:
        """Trials that a worker has now."""
        return self.with_status(TrialStatus.RUNNING)

    @property
    def num_trials_left(self) -> int:
        """How many trials may still be started."""
        return max(0, self.spec.num_trials - len(self.trials))

    @property
    def decisions(self) -> tuple[tuple[Event, Decision], ...]:
        """Every decision with the event that carries it, in order."""
        return tuple(found for event in self.events for found in _decision_of(event))

    def realised_gain(self, trial: Trial) -> float | None:
        """Improvement of a trial over the incumbent at the time it was suggested.

        In units of the objective, positive is better; independent of the order in which trials
        end. None without a measurement or without an incumbent then.
        """
        reached = self.best_of(trial)
        return None if reached is None else self._ask(lambda index: index.gain(reached))

    @cached_property
    def top_moves(self) -> tuple[tuple[int, float], ...]:
        """Trial and gain of the ten moves that gained most over the incumbent of their time."""
        return self._ask(lambda index: tuple(index.best_moves(_NUM_TOP_MOVES)))


def _decision_of(event: Event) -> tuple[tuple[Event, Decision], ...]:
    """The event and its decision; () where it carries none."""
    if isinstance(event, Started | Continued) and event.decision is not None:
        return ((event, event.decision),)
    return ()


def decision_rng(study: Study) -> np.random.Generator:
    """The generator of the next decision: a function of the seed and of the events so far.

    Serving, replay and training draw from this one, so that equal histories decide equally.
    """
    return np.random.default_rng([study.spec.seed, study.num_events])


_SEED_RANGE = 2**31


def carried_out(study: Study, suggestion: Suggestion, *, at_s: float) -> Started | Continued:
    """The event that carries a suggestion out: a trial with its seed starts, or one goes on."""
    if suggestion.trial_id is not None:
        return Continued(
            seq=study.num_events,
            at_s=at_s,
            trial_id=suggestion.trial_id,
            until=suggestion.until,
            decision=suggestion.decision,
        )
    seed = suggestion.seed
    return Started(
        seq=study.num_events,
        at_s=at_s,
        trial_id=len(study.trials),
        config=dict(study.spec.space.config(suggestion.config)),
        until=suggestion.until,
        seed=int(decision_rng(study).integers(_SEED_RANGE)) if seed is None else seed,
        decision=suggestion.decision,
    )
