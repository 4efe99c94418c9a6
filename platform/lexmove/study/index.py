"""The index: what a study is asked at every event, kept up to date instead of read again."""

import math
from array import array
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, takewhile

from lexmove.study.fidelity import Fidelity
from lexmove.study.scoring import WITHOUT_SCORE, Incumbent, Scoring
from lexmove.study.trial import Ended, Event, Measured, Started, Trial, TrialStatus


class StudyIndex:
    """Of one study at one time; `take_in` makes it that of the study after one more event.

    Args:
        scoring: the study's objective.
        rungs: fidelities at which trials are compared.
        trials: all trials, by id.
        events: all their events, in order.
    """

    def __init__(
        self,
        scoring: Scoring,
        rungs: Sequence[Fidelity],
        trials: Sequence[Trial],
        events: Sequence[Event],
    ) -> None:
        self._scoring, self._rungs = scoring, rungs
        self._by_status: dict[TrialStatus, list[int]] = {status: [] for status in TrialStatus}
        self._owners = array("q")
        self._starts = array("q", [trial.started.seq for trial in trials])
        self._trajectory: list[tuple[int, float]] | None = None
        self._improved: set[int] = set()
        best = []
        for trial in trials:
            self._by_status[trial.status].append(trial.trial_id)
            best.append(scoring.best_of(trial))
        for event in events:
            self._own(event)
        self.rung_scores = {rung: self._scores_at(rung, trials) for rung in rungs}
        """(−score, trial) of all that were measured at a rung, best first, ties to the earlier."""
        self.epochs = sum(map(_epochs, trials))
        """What all trials that did not fail have spent."""
        self.ranking = sorted(filter(None, best), key=scoring.rank)
        """The best measurement of every trial that has one, best first, ties to the earlier."""
        self.incumbents_before = list(_incumbents_before(scoring, events))
        """For every trial the incumbent at the time of its start."""
        self._gains = sorted(
            (-gain, trial.trial_id)
            for trial, item in zip(trials, best, strict=True)
            if (gain := self._gain(trial, item)) is not None and gain > 0
        )

    def take_in(self, before: Trial | None, after: Trial, event: Event) -> None:
        """Learns of one event: what its trial was, and is now."""
        if before is None:
            self._starts.append(event.seq)
            self.incumbents_before.append(self.incumbent)
        self._own(event)
        self._restate(before, after)
        if isinstance(event, Measured | Ended) and before is not None:
            self.epochs += _epochs(after) - _epochs(before)
            self._rerank_at_rungs(before, after)
            self._rerank(before, after)
            self._improve(before, after, event)

    def _own(self, event: Event) -> None:
        missing = event.seq - len(self._owners)
        self._owners.extend([-1] * missing)
        self._owners.append(event.trial_id)

    def _restate(self, before: Trial | None, after: Trial) -> None:
        old = None if before is None else before.status
        if old is not after.status:
            if old is not None:
                ids = self._by_status[old]
                del ids[bisect_left(ids, after.trial_id)]
            insort(self._by_status[after.status], after.trial_id)

    def _scores_at(self, rung: Fidelity, trials: Iterable[Trial]) -> list[tuple[float, int]]:
        scored = ((self._scoring.score_at(trial, rung), trial.trial_id) for trial in trials)
        return sorted((-score, trial_id) for score, trial_id in scored if score is not None)

    def _rerank_at_rungs(self, before: Trial, after: Trial) -> None:
        for rung in self._rungs:
            old, new = (self._scoring.score_at(trial, rung) for trial in (before, after))
            if old == new:
                continue
            scores = self.rung_scores[rung]
            if old is not None:
                del scores[bisect_left(scores, (-old, after.trial_id))]
            if new is not None:
                insort(scores, (-new, after.trial_id))

    def _rerank(self, before: Trial, after: Trial) -> None:
        old, new = self._scoring.best_of(before), self._scoring.best_of(after)
        if old == new:
            return
        rank = self._scoring.rank
        if old is not None:
            del self.ranking[bisect_left(self.ranking, rank(old), key=rank)]
        if new is not None:
            insort(self.ranking, new, key=rank)
        for item, change in ((old, self._forget_gain), (new, self._add_gain)):
            gain = self._gain(after, item)
            if gain is not None and gain > 0:
                change((-gain, after.trial_id))

    def _forget_gain(self, item: tuple[float, int]) -> None:
        del self._gains[bisect_left(self._gains, item)]

    def _add_gain(self, item: tuple[float, int]) -> None:
        insort(self._gains, item)

    def _gain(self, trial: Trial, reached: Incumbent | None) -> float | None:
        """What a move brought; None of a trial that is no move."""
        if reached is None or trial.decision.move is None:
            return None
        return self.gain(reached)

    def gain(self, reached: Incumbent) -> float | None:
        """Improvement over the incumbent when the trial was suggested, in units of the objective.

        Positive is better; None without an incumbent then.
        """
        before = self.incumbents_before[reached.trial_id]
        sign = self._scoring.sign
        return None if before is None else sign * reached.value - sign * before.value

    def _improve(self, before: Trial, after: Trial, event: Measured | Ended) -> None:
        """Keeps the trajectory, if it was ever asked for."""
        if self._trajectory is None:
            return
        counted, counts = (trial.status not in WITHOUT_SCORE for trial in (before, after))
        if counted != counts and (counts or after.trial_id in self._improved):
            self._trajectory = None  # read anew when asked: what was an improvement is none now
        elif isinstance(event, Measured):
            self._add_point(len(self._starts), after, event)

    def _add_point(self, num_started: int, trial: Trial, event: Measured) -> None:
        assert self._trajectory is not None
        score = self._scoring.score_at(trial, event.measurement.fidelity)
        sign = self._scoring.sign
        best = sign * self._trajectory[-1][1] if self._trajectory else -math.inf
        if score is not None and score > best:
            self._trajectory.append((num_started, sign * score))
            self._improved.add(trial.trial_id)

    def trajectory(self, trials: Sequence[Trial]) -> tuple[tuple[int, float], ...]:
        """(number of trials started, incumbent value) at every improvement, in time order."""
        if self._trajectory is None:
            self._trajectory, self._improved, started = [], set(), 0
            for event in in_order(trials):
                started += isinstance(event, Started)
                if isinstance(event, Measured):
                    self._add_point(started, trials[event.trial_id], event)
        return tuple(self._trajectory)

    @property
    def incumbent(self) -> Incumbent | None:
        """The first of the ranking."""
        return self.ranking[0] if self.ranking else None

    @property
    def leaders(self) -> Iterator[Incumbent]:
        """All that are level with the incumbent, itself first."""
        value = self.ranking[0].value
        return takewhile(lambda item: item.value == value, self.ranking)

    def with_status(self, statuses: Iterable[TrialStatus]) -> list[int]:
        """Ids of the trials that stand so, ascending."""
        lists = [self._by_status[status] for status in set(statuses)]
        return list(lists[0]) if len(lists) == 1 else sorted(chain.from_iterable(lists))

    @property
    def counts(self) -> dict[TrialStatus, int]:
        """How many trials stand where; statuses without a trial are left out."""
        return {status: len(ids) for status, ids in self._by_status.items() if ids}

    def best_moves(self, num: int) -> list[tuple[int, float]]:
        """The trials whose move gained most over the incumbent of their time, and what."""
        return [(trial_id, -gain) for gain, trial_id in self._gains[:num]]

    def num_started_before(self, seq: int) -> int:
        """How many trials had started before event `seq`."""
        return bisect_left(self._starts, seq)

    def owners_since(self, seq: int) -> Iterable[int]:
        """Whose event is `seq` and each after it, in order."""
        return self._owners[seq:]

    def latest_owners(self, num: int) -> list[int]:
        """The trials to which something happened last, at most `num`, the latest first."""
        latest: dict[int, None] = {}
        for owner in reversed(self._owners):
            if len(latest) == num:
                break
            if owner >= 0:
                latest[owner] = None
        return list(latest)


def _epochs(trial: Trial) -> Fidelity:
    return 0 if trial.status in WITHOUT_SCORE else trial.fidelity


def in_order(trials: Iterable[Trial]) -> list[Event]:
    """The events of all trials, in order."""
    return sorted((event for trial in trials for event in trial.events), key=lambda e: e.seq)


def _incumbents_before(scoring: Scoring, events: Iterable[Event]) -> Iterator[Incumbent | None]:
    """The incumbent at every start, in one pass over all events."""
    best: dict[tuple[int, Fidelity], Incumbent | None] = {}
    incumbent: Incumbent | None = None
    for event in events:
        if isinstance(event, Started):
            yield incumbent
        elif isinstance(event, Measured):
            key = (event.trial_id, event.measurement.fidelity)
            item = best.setdefault(key, scoring.scored(event.trial_id, event.measurement))
            incumbent = min(filter(None, (incumbent, item)), key=scoring.rank, default=None)
        elif isinstance(event, Ended) and event.status in WITHOUT_SCORE:
            best = {key: item for key, item in best.items() if key[0] != event.trial_id}
            incumbent = min(filter(None, best.values()), key=scoring.rank, default=None)
