"""Tracking: hands every trial that has ended, and the end of a study, to the trackers of its job.

Each tracker has a thread of its own, so that no decision waits for it. One that fails is said once;
the study goes on, and the next trials are tried all the same. Left out: trials before they end.
"""

import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from queue import SimpleQueue

from lexmove.app.execution import Progress
from lexmove.app.outlets.scores import scores_of
from lexmove.app.outlets.tracker import (
    TrackedStudy,
    TrackedTrial,
    Tracker,
    plain_name,
    tracked_trial,
)
from lexmove.app.outlets.trackers import MAKERS
from lexmove.app.stored import outcome_of
from lexmove.coordinator.study_dir import StudyDir
from lexmove.job.spec import JobSpec
from lexmove.study.protocols import TrialStore
from lexmove.study.study import Study
from lexmove.study.trial import Ended

PATIENCE_S = 60.0
"""How long the end of a study waits for what its trackers have still to write."""

_HASTE_S = 5.0
"""How long an interrupted one does: `resume` hands over what is missing."""

Scores = Mapping[str, float]


class Tracking:
    """One tracker, and what it has still to be told.

    Args:
        name: of the tracker, for people.
        tracker: what is told.
        about: the study.
    """

    def __init__(self, name: str, tracker: Tracker, about: TrackedStudy) -> None:
        self._name, self._tracker, self._about = name, tracker, about
        self._known: Collection[int] | None = None
        self._waiting: SimpleQueue[TrackedTrial | Scores | None] = SimpleQueue()
        self._failure: str | None = None
        self._num_missed = 0
        self._is_said = False
        self._thread = threading.Thread(target=self._work, name=f"lexmove-{name}", daemon=True)
        self._thread.start()

    def give(self, item: TrackedTrial | Scores) -> None:
        """Something to write, when it is its turn."""
        self._waiting.put(item)

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            try:
                self._write(item)
            except Exception as error:  # noqa: BLE001 - no tracker's fault ends a study
                first = (str(error).strip().splitlines() or [type(error).__name__])[0]
                self._failure = self._failure or f"{type(error).__name__}: {first}"
                self._num_missed += 1

    def _write(self, item: TrackedTrial | Scores) -> None:
        if self._known is None:
            self._known = self._tracker.begin(self._about)
        if not isinstance(item, TrackedTrial):
            self._tracker.end(item)
        elif item.trial_id not in self._known:
            self._tracker.take(item)

    def complaint(self) -> str | None:
        """What went wrong first, once; None where nothing did, or it was said."""
        if self._failure is None or self._is_said:
            return None
        self._is_said = True
        return f"track: {self._name} failed ({self._failure}); the study goes on without it"

    def close(self, patience_s: float) -> str | None:
        """Lets it write what it has; in words what it did not."""
        self._waiting.put(None)
        self._thread.join(patience_s)
        if self._thread.is_alive():
            num = self._waiting.qsize()
            return f"track: {self._name} was left with {num} results to write: it is too slow"
        return f"track: {self._name} lacks {self._num_missed} results" if self._num_missed else None


@contextmanager
def tracked(
    job: JobSpec,
    store: TrialStore,
    study_dir: StudyDir,
    progress: Progress,
    *,
    patience_s: float = PATIENCE_S,
) -> Iterator[Progress]:
    """The progress to tell in the body, from which the job's trackers hear of the study.

    Where the body ends well, the study is finished and they are told its scores.
    """
    if not job.track:
        yield progress
        return
    study = store.load(job.name)
    about = _about(job, study, study_dir)
    trackings = [Tracking(name, MAKERS[name](), about) for name in job.track]
    hand_on = _HandingOn(study, trackings)

    def watched(phase: str, study: Study | None) -> None:
        progress(phase, study)
        if study is not None and study.spec.name == job.name:
            hand_on.see(study)
            _complain(trackings, progress)

    is_well = False
    try:
        yield watched
        is_well = True
        study = store.load(job.name)
        hand_on.see(study)
        scores = scores_of(outcome_of(store, study).best_json())
        for tracking in trackings:
            tracking.give(scores)
    finally:
        until_s = time.monotonic() + (patience_s if is_well else min(patience_s, _HASTE_S))
        for tracking in trackings:
            left = tracking.close(max(0.0, until_s - time.monotonic()))
            _complain([tracking], progress)
            if left is not None:
                progress(left, None)


def _complain(trackings: Collection[Tracking], progress: Progress) -> None:
    for tracking in trackings:
        if (complaint := tracking.complaint()) is not None:
            progress(complaint, None)


class _HandingOn:
    """Gives every trial to all, once, when it has ended; those of before come first."""

    def __init__(self, study: Study, trackings: Collection[Tracking]) -> None:
        self._trackings = trackings
        self._num_seen = study.num_events
        for trial in study.trials:
            if trial.status.is_final:
                self._give(tracked_trial(study, trial))

    def see(self, study: Study) -> None:
        """Reads what has happened since; in the thread that runs the study, for it may go on."""
        events = study.events_since(self._num_seen)
        self._num_seen = study.num_events
        for event in events:
            if isinstance(event, Ended) and event.status.is_final:
                self._give(tracked_trial(study, study.trials[event.trial_id]))

    def _give(self, trial: TrackedTrial) -> None:
        for tracking in self._trackings:
            tracking.give(trial)


def _about(job: JobSpec, study: Study, study_dir: StudyDir) -> TrackedStudy:
    files, hub = job.task.files, job.task.hub
    task = job.task.name or (files.train if files else hub.id if hub else "")
    return TrackedStudy(
        name=job.name,
        metric=plain_name(study.spec.metric),
        goal=study.spec.goal,
        folder=study_dir.root,
        tags={"task": task, "model": job.model.name, "metric": plain_name(study.spec.metric)},
        is_new=not study.trials,
    )
