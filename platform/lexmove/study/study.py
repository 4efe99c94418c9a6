"""The study: everything that was decided and measured. Immutable; the single truth."""

import math
from bisect import bisect_left, insort
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import takewhile
from typing import Any, Literal, Self

import numpy as np

from lexmove.space.search_space import SearchSpace
from lexmove.study.fidelity import Fidelity, FidelityPlan
from lexmove.study.starts import PlannedStart
from lexmove.study.trial import (
    Continued,
    Decision,
    Ended,
    Event,
    Measured,
    Measurement,
    Started,
    Suggestion,
    Trial,
    TrialStatus,
)

Goal = Literal["maximize", "minimize"]

_WITHOUT_SCORE = (TrialStatus.FAILED, TrialStatus.INFEASIBLE)
"""What such trials measured before they ended never counts."""


@dataclass(frozen=True, kw_only=True)
class StudySpec:
    """What a study is about; fixed at its creation but for `num_trials`.

    `metric` names the objective among a measurement's metrics. `num_trials` is the budget: how
    many trials may be started. `parallel` is how many run at once. `job` is the job as JSON
    text, for the record and for resuming; empty for `AskTell`. `starts` are configs to try first,
    after the space's default.
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
    starts: tuple[PlannedStart, ...] = ()

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
            "starts": [start.to_json() for start in self.starts],
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
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Incumbent:
    """The best measurement so far: its trial, fidelity and objective value."""

    trial_id: int
    fidelity: Fidelity
    value: float


@dataclass(frozen=True, kw_only=True)
class Study:
    """The spec and all trials, ids 0 … n − 1 in the order of their start."""

    spec: StudySpec
    trials: tuple[Trial, ...] = ()
    num_events: int = 0

    def with_event(self, event: Event) -> Self:
        """The study after one more event.

        Events whose `seq` is below `num_events` were seen already and change nothing, so that a
        journal may be replayed over its own prefix.
        """
        if event.seq < self.num_events:
            return self
        if isinstance(event, Started):
            assert event.trial_id == len(self.trials), "trials are numbered in order of start"
            trials = (*self.trials, Trial(events=(event,)))
        else:
            index = event.trial_id
            old = self.trials[index]
            trials = (
                *self.trials[:index],
                Trial(events=(*old.events, event)),
                *self.trials[index + 1 :],
            )
        after = replace(self, trials=trials, num_events=event.seq + 1)
        after.__dict__.update(self._carried(trials[event.trial_id], event))
        return after

    def _carried(self, trial: Trial, event: Event) -> dict[str, object]:
        """What is known of the study so far, as it is after one event of `trial`.

        So that a study that grows is not read again from its first event at every decision.
        """
        carried: dict[str, object] = {}
        if "ranking" in self.__dict__:
            is_news = isinstance(event, Measured | Ended)
            carried["ranking"] = self._reranked(trial) if is_news else self.ranking
        if "_incumbents_before" in self.__dict__:
            before = (self.incumbent,) if isinstance(event, Started) else ()
            carried["_incumbents_before"] = (*self._incumbents_before, *before)
        if "decisions" in self.__dict__:
            carried["decisions"] = (*self.decisions, *_decision_of(event))
        return carried

    def _reranked(self, trial: Trial) -> tuple[Incumbent, ...]:
        """The ranking with a trial of it, or a new one, as it is now."""
        ranking = [item for item in self.ranking if item.trial_id != trial.trial_id]
        if (best := self.best_of(trial)) is not None:
            insort(ranking, best, key=self._rank)
        return tuple(ranking)

    @classmethod
    def from_events(cls, spec: StudySpec, events: "list[Event] | tuple[Event, ...]") -> Self:
        """The study that these events make, in any order, one that comes again counting once."""
        by_trial: dict[int, list[Event]] = {}
        once = {event.seq: event for event in events}
        ordered = sorted(once.values(), key=lambda event: event.seq)
        for event in ordered:
            by_trial.setdefault(event.trial_id, []).append(event)
        return cls(
            spec=spec,
            trials=tuple(Trial(events=tuple(by_trial[index])) for index in range(len(by_trial))),
            num_events=ordered[-1].seq + 1 if ordered else 0,
        )

    @property
    def events(self) -> tuple[Event, ...]:
        """All events, in order."""
        return tuple(
            sorted(
                (event for trial in self.trials for event in trial.events),
                key=lambda event: event.seq,
            )
        )

    def prefix(self, num_events: int) -> Self:
        """The study as it was after its first `num_events` events."""
        kept = [event for trial in self.trials for event in trial.events if event.seq < num_events]
        return type(self).from_events(self.spec, kept)

    @property
    def sign(self) -> float:
        """+1 where more is better, −1 where less is."""
        return 1.0 if self.spec.goal == "maximize" else -1.0

    def score_at(self, trial: Trial, fidelity: Fidelity) -> float | None:
        """The objective, higher is better, at one fidelity; None if missing, NaN or failed."""
        key = ("scores", self.spec.metric, self.spec.goal)
        return trial.derive(key, lambda: self._scores(trial)).get(fidelity)

    def _scores(self, trial: Trial) -> dict[Fidelity, float | None]:
        if trial.status in _WITHOUT_SCORE:
            return {}
        return {
            item.fidelity: self._score(item.metrics.get(self.spec.metric))
            for item in trial.measurements
        }

    def _score(self, value: float | None) -> float | None:
        return None if value is None or not math.isfinite(value) else self.sign * value

    def best_score(self, trial: Trial) -> float | None:
        """The best objective a trial reached at any fidelity, higher is better."""
        best = self.best_of(trial)
        return None if best is None else self.sign * best.value

    def best_of(self, trial: Trial) -> Incumbent | None:
        """A trial's own best measurement; None if it failed or has none that counts."""
        key = ("best_of", self.spec.metric, self.spec.goal)
        return trial.derive(key, lambda: self._best_of(trial))

    def _best_of(self, trial: Trial) -> Incumbent | None:
        if trial.status in _WITHOUT_SCORE:
            return None
        scored = [
            item
            for measurement in trial.measurements
            if (item := self._scored(trial.trial_id, measurement)) is not None
        ]
        return min(scored, key=self._rank, default=None)

    def _scored(self, trial_id: int, measurement: Measurement) -> Incumbent | None:
        value = measurement.metrics.get(self.spec.metric)
        if value is None or not math.isfinite(value):
            return None
        return Incumbent(trial_id=trial_id, fidelity=measurement.fidelity, value=value)

    def _rank(self, item: Incumbent) -> tuple[float, int, Fidelity]:
        """The smaller the better: ties go to the earlier trial, then to the lower fidelity."""
        return -self.sign * item.value, item.trial_id, item.fidelity

    @cached_property
    def ranking(self) -> tuple[Incumbent, ...]:
        """The best measurement of every trial that has one, best first, ties to the earlier."""
        best = [item for trial in self.trials if (item := self.best_of(trial)) is not None]
        return tuple(sorted(best, key=self._rank))

    @property
    def incumbent(self) -> Incumbent | None:
        """The one definition of best: the highest objective of any trial at any fidelity.

        Failed, infeasible and NaN never win; the order of arrival does not matter; ties go to
        the earlier trial, within a trial to the lower fidelity.
        """
        return self.ranking[0] if self.ranking else None

    @cached_property
    def trajectory(self) -> tuple[tuple[int, float], ...]:
        """(number of trials started, incumbent value) at every improvement, in time order."""
        started, best = 0, -math.inf
        points: list[tuple[int, float]] = []
        for event in self.events:
            if isinstance(event, Started):
                started += 1
            elif isinstance(event, Measured):
                score = self.score_at(self.trials[event.trial_id], event.measurement.fidelity)
                if score is not None and score > best:
                    best = score
                    points.append((started, self.sign * score))
        return tuple(points)

    @property
    def num_started_at_best(self) -> int:
        """How many trials had started when the incumbent's value was reached first; 0 without."""
        if self.incumbent is None:
            return 0
        value = self.incumbent.value
        equals = takewhile(lambda item: item.value == value, self.ranking)
        first = min(self._reached_seq(self.trials[item.trial_id], value) for item in equals)
        return bisect_left(self.trials, first, key=lambda trial: trial.started.seq)

    def _reached_seq(self, trial: Trial, value: float) -> int:
        return min(
            event.seq
            for event in trial.events
            if isinstance(event, Measured)
            and event.measurement.metrics.get(self.spec.metric) == value
        )

    def with_status(self, *statuses: TrialStatus) -> tuple[Trial, ...]:
        """The trials that stand so, by id."""
        return tuple(trial for trial in self.trials if trial.status in statuses)

    @property
    def running(self) -> tuple[Trial, ...]:
        """Trials that a worker has now."""
        return self.with_status(TrialStatus.RUNNING)

    @property
    def num_trials_left(self) -> int:
        """How many trials may still be started."""
        return max(0, self.spec.num_trials - len(self.trials))

    @cached_property
    def decisions(self) -> tuple[tuple[Event, Decision], ...]:
        """Every decision with the event that carries it, in order."""
        return tuple(found for event in self.events for found in _decision_of(event))

    def realised_gain(self, trial: Trial) -> float | None:
        """Improvement of a trial over the incumbent at the time it was suggested.

        In units of the objective, positive is better; independent of the order in which trials
        end. None without a measurement or without an incumbent then.
        """
        reached = self.best_score(trial)
        before = self._incumbents_before[trial.trial_id]
        if reached is None or before is None:
            return None
        return reached - self.sign * before.value

    @cached_property
    def _incumbents_before(self) -> tuple[Incumbent | None, ...]:
        """For every trial `prefix(start).incumbent`, in one pass over the events."""
        best: dict[tuple[int, Fidelity], Incumbent | None] = {}
        incumbent: Incumbent | None = None
        found: list[Incumbent | None] = []
        for event in self.events:
            if isinstance(event, Started):
                found.append(incumbent)
            elif isinstance(event, Measured):
                key = (event.trial_id, event.measurement.fidelity)
                item = best.setdefault(key, self._scored(event.trial_id, event.measurement))
                incumbent = min(filter(None, (incumbent, item)), key=self._rank, default=None)
            elif isinstance(event, Ended) and event.status in _WITHOUT_SCORE:
                best = {key: item for key, item in best.items() if key[0] != event.trial_id}
                incumbent = min(filter(None, best.values()), key=self._rank, default=None)
        return tuple(found)


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
