"""Dispatch: records what lanes tell and answers them, with what the stage that is on assigns."""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lexmove.coordinator.coordinator import kept_checkpoints
from lexmove.coordinator.desk import Answer, Letter, Order
from lexmove.coordinator.lane import hang_file
from lexmove.coordinator.stage import Stage, Work
from lexmove.coordinator.store_rules import stopped
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import StudyFailedError
from lexmove.study.protocols import UNMEASURED
from lexmove.study.trial import Segment


class Dispatch:
    """Joins the lanes to the coordinator of each stage; knows which lane runs what.

    A lane that was lost is not heard any more: what it said late would be told of a trial that
    runs elsewhere. The same letter twice is recorded once and answered twice.

    Args:
        stages: asked for the next one when all that the last one wanted is done and recorded. The
            coordinator of each must have recovered a study that was begun elsewhere.
        works: what the workers need, by name of the stage.
    """

    def __init__(self, stages: Iterator[Stage], works: Mapping[str, Work]) -> None:
        self._stages = stages
        self._works = works
        self._stage: Stage | None = None
        self._asked_at = -1
        self._checkpoints: set[str] = set()
        self._runs: dict[str, int] = {}
        self._waiting: dict[str, int] = {}
        self._answered: dict[str, Answer] = {}
        self._heard_of: dict[str, int] = {}
        self._lost: set[str] = set()
        self._next_stage()

    def is_finished(self) -> bool:
        """Whether all stages reached their end and are closed."""
        return self._stage is None

    @property
    def status(self) -> dict[str, Any]:
        """Where the study that is on stands, as JSON values: for those who look from elsewhere."""
        if self._stage is None:
            return {"stage": None}
        study = self._stage.coordinator.study
        best = study.incumbent
        return {
            "stage": self._stage.name,
            "study": study.spec.name,
            "trials": study.counts,
            "trials_left": study.num_trials_left,
            "incumbent": None
            if best is None
            else {"trial_id": best.trial_id, "value": best.value, "fidelity": best.fidelity},
            "lanes": dict(self._runs),
            "num_waiting": len(self._waiting),
            "updated_at_s": time.time(),
        }

    def receive(self, letters: Sequence[Letter]) -> list[Answer]:
        """Records all letters at once; returns the answers that need not wait for a segment.

        Raises:
            LexmoveError: they were not recorded.
        """
        heard = [self._heard(letter) for letter in letters]
        told = [letter for letter, is_new in zip(letters, heard, strict=True) if is_new]
        self._record([letter for letter in told if letter.trial_id is not None])
        for letter in told:
            if letter.wants_segment:
                self._runs.pop(letter.lane, None)
            else:
                self._answered[letter.lane] = Answer(lane=letter.lane, number=letter.number)
        return [again for letter in letters if (again := self._answer_to(letter)) is not None]

    def _heard(self, letter: Letter) -> bool:
        """Whether a letter says something new; from then on it does not."""
        if letter.lane in self._lost or letter.number <= self._heard_of.get(letter.lane, -1):
            return False
        self._heard_of[letter.lane] = letter.number
        if letter.wants_segment:
            self._waiting[letter.lane] = letter.number
        return True

    def _answer_to(self, letter: Letter) -> Answer | None:
        """What is known by now; to a lane that was lost, that there is nothing to do."""
        if letter.lane in self._lost:
            return Answer(lane=letter.lane, number=letter.number)
        answer = self._answered.get(letter.lane)
        return answer if answer is not None and answer.number == letter.number else None

    def _record(self, letters: Sequence[Letter]) -> None:
        if not letters:
            return
        coordinator = self._current.coordinator
        with coordinator.together():
            for letter in letters:
                assert letter.trial_id is not None, "it is about a trial"
                if letter.measurement is not None:
                    coordinator.measured(letter.trial_id, letter.measurement)
                    if letter.measurement.checkpoint is not None:
                        self._checkpoints.add(letter.measurement.checkpoint)
                if letter.outcome is not None:
                    letter.outcome.record(coordinator, letter.trial_id)
        self._delete_checkpoints()
        self._current.on_change(coordinator.study)
        for letter in letters:
            if letter.outcome is not None and letter.outcome.stops_study:
                raise StudyFailedError(stopped(coordinator.study.spec.name, letter.outcome.reason))

    def lost(self, lane: str, reason: str = "its worker died") -> None:
        """A lane has no worker any more, or one that is not heard any more.

        Raises:
            LexmoveError: that was not recorded.
        """
        self._lost.add(lane)
        self._waiting.pop(lane, None)
        trial_id = self._runs.pop(lane, None)
        if trial_id is None:
            return
        stage = self._current
        hung = hang_file(stage.study_dir.trial(trial_id))
        if hung.exists() and hung.stat().st_size:
            limit = f"{self._works[stage.name].segment_limit_s:g} s"
            stage.coordinator.failed(
                trial_id, f"ran into its time limit of {limit} (budget.trial); see {hung}"
            )
        else:
            stage.coordinator.preempted(trial_id, reason)
        stage.on_change(stage.coordinator.study)

    def answers(self) -> Iterator[Answer]:
        """Assigns segments to those who wait, longest first; lets all go when all is finished.

        Raises:
            LexmoveError: whatever a coordinator, its proposer or its store raised, or `stages` did.
        """
        while self._waiting and not self.is_finished():
            order = self._assigned()
            if order is not None:
                lane = next(iter(self._waiting))
                self._runs[lane] = order.segment.trial_id
                yield self._answer(lane, order)
            elif not self._ended_stage():
                return
        while self._waiting:
            yield self._answer(next(iter(self._waiting)))

    def _answer(self, lane: str, order: Order | None = None) -> Answer:
        answer = Answer(lane=lane, number=self._waiting.pop(lane), order=order)
        self._answered[lane] = answer
        return answer

    @property
    def _current(self) -> Stage:
        assert self._stage is not None, "asked while a stage runs"
        return self._stage

    def _next_stage(self) -> None:
        """Goes on to the next stage, or finds that there is none."""
        self._stage = next(self._stages, None)
        self._asked_at = -1
        if self._stage is not None:
            self._checkpoints = {
                measurement.checkpoint
                for trial in self._stage.coordinator.study.trials
                for measurement in trial.measurements
                if measurement.checkpoint is not None
            }

    def _assigned(self) -> Order | None:
        """What the stage's coordinator assigns; None without asking where nothing has changed."""
        stage = self._current
        is_as_asked = stage.coordinator.study.num_events == self._asked_at
        if is_as_asked and not stage.coordinator.hear():
            return None
        segment = stage.coordinator.assign()
        if segment is None:
            self._asked_at = stage.coordinator.study.num_events
            return None
        stage.on_change(stage.coordinator.study)
        return Order(
            stage=stage.name,
            study=stage.coordinator.study.spec.name,
            segment=_with_checkpoint(segment, stage.study_dir),
            trial_dir=stage.study_dir.named(stage.study_dir.trial(segment.trial_id)),
            storage=stage.study_dir.storage,
            mark=stage.study_dir.mark,
        )

    def _ended_stage(self) -> bool:
        """Closes the stage if nothing of it is running, and turns to the next one."""
        stage = self._current
        if not stage.coordinator.is_idle:
            return False
        stage.coordinator.close()
        self._delete_checkpoints()
        for unmeasured in stage.study_dir.trials.glob(f"*/{UNMEASURED}"):
            shutil.rmtree(unmeasured, ignore_errors=True)
        stage.on_change(stage.coordinator.study)
        self._next_stage()
        return True

    def _delete_checkpoints(self) -> None:
        """Deletes what no one needs, of what was reported: unreported ones may be in the making."""
        stage = self._current
        kept = kept_checkpoints(stage.coordinator.study, best=stage.kept_best)
        for checkpoint in self._checkpoints - set(kept):
            stage.study_dir.delete(checkpoint)
        self._checkpoints &= set(kept)


def _with_checkpoint(segment: Segment, study_dir: StudyDir) -> Segment:
    """The segment from the start, if its checkpoint is gone."""
    if segment.resume_from is None or study_dir.has(segment.resume_from):
        return segment
    return segment.from_start
