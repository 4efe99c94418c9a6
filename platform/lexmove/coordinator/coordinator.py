"""The coordinator: hands out segments, records what happens, knows when the study is over.

A state machine over the study. It does nothing but decide and record, and records before
anyone acts: every method writes its events to the store before it returns, and what arrives
`together` is written in one go.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from lexmove.errors import StudyFailedError
from lexmove.study.fidelity import Fidelity
from lexmove.study.protocols import Proposer, TrialStore
from lexmove.study.study import Study, carried_out, decision_rng
from lexmove.study.trial import (
    Continued,
    Ended,
    Event,
    Measured,
    Measurement,
    Segment,
    Suggestion,
    Trial,
    TrialStatus,
)

_HEAR_S = 1.0

_RESUMABLE = (TrialStatus.RUNNING, TrialStatus.PAUSED, TrialStatus.PREEMPTED)


class Coordinator:
    """Runs one study: `assign` for every free slot, then `measured` and one ending per segment.

    Args:
        store: where the study `name` lives; this coordinator is its only writer.
        name: the study.
        proposer: decides what to try.
        max_failures: how often a trial may lose its worker before it counts as failed.
        deadline_s: Unix time after which no segment starts; None for no limit.
        clock: Unix time in seconds.
    """

    def __init__(
        self,
        *,
        store: TrialStore,
        name: str,
        proposer: Proposer,
        max_failures: int = 2,
        deadline_s: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._study = store.load(name)
        self.proposer = proposer
        self._max_failures = max_failures
        self._deadline_s = deadline_s
        self._clock = clock
        self._heard_s = -math.inf
        self._is_together = False
        self._unwritten: list[Event] = []
        self._changed: dict[int, Trial] = {}

    @property
    def study(self) -> Study:
        """Everything recorded so far; what happens `together` is recorded when it is over."""
        return self._study

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is told in the body is written in one transaction when it ends; none if it raises.

        For what arrives at once: one flush of the disk is what most of an event costs.
        """
        assert not self._is_together, "what happens together is told once"
        self._is_together = True
        try:
            yield
            self._write()
        finally:
            self._is_together = False
            self._unwritten.clear()
            self._changed.clear()

    def recover(self) -> int:
        """Marks the trials of a coordinator that died as preempted; returns how many."""
        lost = self._study.running
        with self.together():
            for trial in lost:
                self.preempted(trial.trial_id, "the process that ran it ended", blames_trial=False)
        return len(lost)

    def assign(self) -> Segment | None:
        """The next segment for one free slot; None when there is nothing to start now."""
        assert not self._is_together, "a segment is handed out when all is written"
        if self._deadline_s is not None and self._clock() >= self._deadline_s:
            return None
        preempted = self._study.with_status(TrialStatus.PREEMPTED)
        if preempted:
            trial = preempted[0]
            self._record(Continued, trial_id=trial.trial_id, until=trial.until)
            return self._study.trials[trial.trial_id].segment
        self.hear()
        asked_s = self._clock()
        suggestion = self._proposed()
        if suggestion is None and self.is_idle and self.hear(at_once=True):
            suggestion = self._proposed()  # what was requested in the last moment
        if suggestion is None:
            return None
        return self._start(suggestion, decided_s=self._clock() - asked_s)

    def _proposed(self) -> Suggestion | None:
        study, lane = self._study, self._free_lane()
        return self.proposer.propose(study, decision_rng(study), lane=lane)

    def hear(self, *, at_once: bool = False) -> bool:
        """Plans what was requested meanwhile; whether there was anything.

        Looks into the store once a second, or `at_once`.
        """
        now_s = self._clock()
        if not at_once and now_s - self._heard_s < _HEAR_S:
            return False
        self._heard_s = now_s
        study = self._store.plan_requests(self._study.spec.name)
        if study is None:
            return False
        self._study = study
        return True

    @property
    def is_idle(self) -> bool:
        """Whether no worker holds a trial; with an `assign` that gave None, the study is over."""
        return not self._study.running

    def _start(self, suggestion: Suggestion, *, decided_s: float) -> Segment:
        trial_id = suggestion.trial_id
        if trial_id is None and not self._study.num_trials_left:
            raise StudyFailedError(
                f"proposer {self.proposer.name!r} suggested a new trial beyond the budget of "
                f"{self._study.spec.num_trials}"
            )
        if trial_id is not None and not self._study.trials[trial_id].is_paused:
            raise StudyFailedError(
                f"proposer {self.proposer.name!r} wants to continue trial {trial_id}, which is "
                f"{self._study.trials[trial_id].status}, not PAUSED"
            )
        event = carried_out(self._study, suggestion, at_s=self._clock())
        self._append(replace(event, decided_s=decided_s))
        return self._study.trials[event.trial_id].segment

    def measured(self, trial_id: int, measurement: Measurement) -> None:
        """Records a measurement; one that is late, repeated or of an ended trial changes nothing.

        A trial whose objective is not finite has failed.
        """
        trial = self._running(trial_id)
        if trial is None or any(
            known.fidelity == measurement.fidelity for known in trial.measurements
        ):
            return
        reason = self._why_failed(measurement)
        if reason is None or self._is_together:
            self._measured(trial_id, measurement, reason)
            return
        with self.together():
            self._measured(trial_id, measurement, reason)

    def _measured(self, trial_id: int, measurement: Measurement, reason: str | None) -> None:
        self._record(Measured, trial_id=trial_id, measurement=measurement)
        if reason is not None:
            self.failed(trial_id, reason)

    def _why_failed(self, measurement: Measurement) -> str | None:
        """Why a trial with this measurement has failed; None if it has not."""
        metric = self._study.spec.metric
        value = measurement.metrics.get(metric)
        if value is None:
            known = ", ".join(measurement.metrics)
            return f"the objective reports no metric {metric!r}, only {known}"
        if math.isfinite(value):
            return None
        return f"{metric} is {value} at fidelity {measurement.fidelity}"

    def segment_ended(self, trial_id: int) -> None:
        """The worker did all that the segment asked."""
        trial = self._running(trial_id)
        if trial is None:
            return
        if trial.fidelity < trial.until:
            self.failed(
                trial_id, f"ended at fidelity {trial.fidelity} of {trial.until} without a reason"
            )
        elif trial.until >= self._study.spec.fidelity.maximum:
            self._end(trial_id, TrialStatus.COMPLETED)
        else:
            self._end(trial_id, TrialStatus.PAUSED)

    def failed(self, trial_id: int, reason: str) -> None:
        """The trial went wrong."""
        if self._running(trial_id) is not None:
            self._end(trial_id, TrialStatus.FAILED, reason)

    def infeasible(self, trial_id: int, reason: str) -> None:
        """The config cannot work here."""
        if self._running(trial_id) is not None:
            self._end(trial_id, TrialStatus.INFEASIBLE, reason)

    def preempted(self, trial_id: int, reason: str, *, blames_trial: bool = True) -> None:
        """The trial lost its worker and will be run again from its last checkpoint.

        A trial under which more than `max_failures` workers died has failed: a config that
        kills its worker would otherwise never end.
        """
        trial = self._running(trial_id)
        if trial is None:
            return
        status = TrialStatus.PREEMPTED
        if blames_trial and trial.num_lost_workers >= self._max_failures:
            status = TrialStatus.FAILED
            reason = f"{reason}, {trial.num_lost_workers + 1} times (max_failures)"
        self._end(trial_id, status, reason, blames_trial=blames_trial)

    def close(self) -> None:
        """Ends the study: what is still paused or preempted counts with what it reached."""
        with self.together():
            for trial in self._study.with_status(TrialStatus.PAUSED, TrialStatus.PREEMPTED):
                self._end(trial.trial_id, TrialStatus.STOPPED, f"stopped at {trial.fidelity}")

    def _running(self, trial_id: int) -> Trial | None:
        trial = self._trial(trial_id)
        return trial if trial.status is TrialStatus.RUNNING else None

    def _free_lane(self) -> int:
        taken = {trial.lane for trial in self._study.running}
        return next(lane for lane in range(len(taken) + 1) if lane not in taken)

    def _end(
        self,
        trial_id: int,
        status: TrialStatus,
        reason: str | None = None,
        *,
        blames_trial: bool = False,
    ) -> None:
        self._record(
            Ended, trial_id=trial_id, status=status, reason=reason, blames_trial=blames_trial
        )

    def _trial(self, trial_id: int) -> Trial:
        """The trial with what is still to be written."""
        return self._changed.get(trial_id) or self._study.trials[trial_id]

    def _record(self, kind: Callable[..., Event], *, trial_id: int, **fields: object) -> None:
        seq = self._study.num_events + len(self._unwritten)
        self._append(kind(seq=seq, at_s=self._clock(), trial_id=trial_id, **fields))

    def _append(self, event: Event) -> None:
        if not self._is_together:
            self._study = self._store.append(self._study.spec.name, event)
            return
        self._unwritten.append(event)
        self._changed[event.trial_id] = self._trial(event.trial_id).followed_by(event)

    def _write(self) -> None:
        if self._unwritten:
            self._study = self._store.append(self._study.spec.name, *self._unwritten)


def kept_checkpoints(study: Study, *, best: int) -> Mapping[str, tuple[int, Fidelity]]:
    """The checkpoints that may still be needed, with their trial and fidelity.

    The last one of every trial that can go on, and the best one of each of the `best` best
    trials; disk use is bounded by running + paused + `best`.
    """
    kept = study.followed_by(_Resumable, _Resumable).checkpoints.copy()
    for item in study.leaders(best):
        for measurement in study.trials[item.trial_id].measurements:
            if measurement.fidelity == item.fidelity and measurement.checkpoint is not None:
                kept[measurement.checkpoint] = (item.trial_id, item.fidelity)
    return kept


class _Resumable:
    """Follows a study and knows the last checkpoint of every trial that can go on."""

    def __init__(self, study: Study) -> None:
        self._of_trial: dict[int, str] = {}
        self.checkpoints: dict[str, tuple[int, Fidelity]] = {}
        for trial in study.with_status(*_RESUMABLE):
            self._keep(trial)

    def take_in(self, study: Study, before: Trial | None, event: Event) -> None:
        """The trial of an event has another last checkpoint, or cannot go on any more."""
        trial = study.trials[event.trial_id]
        self.checkpoints.pop(self._of_trial.pop(event.trial_id, ""), None)
        if trial.status in _RESUMABLE:
            self._keep(trial)

    def _keep(self, trial: Trial) -> None:
        segment = trial.segment
        if segment.resume_from is not None:
            self._of_trial[trial.trial_id] = segment.resume_from
            self.checkpoints[segment.resume_from] = (trial.trial_id, segment.after)
