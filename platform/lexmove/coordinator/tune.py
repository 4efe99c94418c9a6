"""The door to Ray Tune: one Tune trial per segment, in reused workers; translates and delegates.

Tune runs what the coordinator assigns and never decides: no retries, no scheduler, no restore.
A segment that ends by a `TrialError` is a normal Tune trial whose last report names the outcome;
a Tune error therefore always means that the worker died.
"""

import faulthandler
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from pydantic import TypeAdapter
from ray import tune
from ray.tune.callback import Callback
from ray.tune.search import Searcher

from lexmove.coordinator.coordinator import Coordinator, kept_checkpoints
from lexmove.coordinator.evaluation import SegmentOutcome, evaluate
from lexmove.coordinator.study_dir import StudyDir
from lexmove.space.search_space import Config
from lexmove.study.protocols import Objective
from lexmove.study.study import Study
from lexmove.study.trial import Measurement, Segment, TrialStatus

_MEASUREMENT = TypeAdapter(Measurement)
_OUTCOME, _REASON, _MEASURED = "outcome", "reason", "measurement"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """What runs at once: `parallel` segments, each with `cpu` CPUs and `gpu` GPUs.

    `segment_limit_s` ends a segment that runs longer, in seconds; None for no limit.
    """

    parallel: int = 1
    cpu: float = 1.0
    gpu: float = 0.0
    segment_limit_s: float | None = None


def run_study(
    coordinator: Coordinator,
    objective: Objective,
    *,
    slots: Slots,
    study_dir: StudyDir,
    on_change: Callable[[Study], None],
    kept_best: int = 3,
) -> bool:
    """Runs until the coordinator has nothing left; Ray must be initialised.

    Args:
        coordinator: decides and records; `recover` must have been called on a study that was
            begun elsewhere.
        objective: evaluates the configs; pickled once.
        slots: how much runs at once.
        study_dir: where checkpoints and Tune's logs go.
        on_change: called after every recorded event with the study, in this process.
        kept_best: of how many of the best trials a checkpoint is kept at the end.

    Returns:
        Whether the study reached its end and is closed; False when it was interrupted.

    Raises:
        LexmoveError: whatever the coordinator, its proposer or its store raised.
    """
    runner = _Runner(
        coordinator, slots=slots, study_dir=study_dir, on_change=on_change, kept_best=kept_best
    )
    trainable = tune.with_parameters(
        _run_segment, objective=objective, trials_dir=study_dir.trials, slots=slots
    )
    with runner.registered(), _quiet_tune():
        tune.Tuner(
            tune.with_resources(trainable, {"cpu": slots.cpu, "gpu": slots.gpu}),
            tune_config=tune.TuneConfig(
                search_alg=_SegmentSearcher(runner),
                num_samples=-1,
                max_concurrent_trials=slots.parallel,
                reuse_actors=True,
                trial_dirname_creator=_segment_name,
                trial_name_creator=_segment_name,
            ),
            run_config=tune.RunConfig(
                name=time.strftime("%Y%m%d-%H%M%S-") + uuid4().hex[:4],
                storage_path=str(study_dir.tune.resolve()),
                callbacks=[_SegmentRecorder(runner)],
                verbose=0,
            ),
        ).fit()
    if runner.error is not None:
        raise runner.error
    if runner.is_finished:
        runner.close()
    return runner.is_finished


def _segment_name(trial: Any) -> str:
    segment = trial.config["segment"]
    trial_id, after, until = segment["trial_id"], segment["after"], segment["until"]
    return f"trial_{trial_id:04d}_{after}_{until}_{trial.trial_id[-5:]}"


def _run_segment(
    config: dict[str, Any], *, objective: Objective, trials_dir: Path, slots: Slots
) -> None:
    """Runs in the worker: evaluates one segment and turns every end of it into a report."""
    fields = config["segment"]
    segment = Segment(**{**fields, "config": Config(fields["config"])})
    trial_dir = trials_dir / f"trial_{segment.trial_id:04d}"
    trial_dir.mkdir(parents=True, exist_ok=True)

    def report(measurement: Measurement) -> None:
        tune.report(
            {**measurement.metrics, _MEASURED: _MEASUREMENT.dump_json(measurement).decode()}
        )

    with _time_limit(slots.segment_limit_s, _hang_file(trial_dir)):
        outcome = evaluate(objective, segment, trial_dir=trial_dir, report=report)
    tune.report({_OUTCOME: outcome.failure or "", _REASON: outcome.reason})


def _hang_file(trial_dir: Path) -> Path:
    return trial_dir / ".time_limit.txt"


@contextmanager
def _time_limit(limit_s: float | None, hang_file: Path) -> Iterator[None]:
    """Ends this process when the body outlasts the limit, leaving the stack in `hang_file`.

    faulthandler's timer runs in C: it ends a worker that holds the interpreter lock, too.
    """
    hang_file.unlink(missing_ok=True)
    if limit_s is None:
        yield
        return
    with hang_file.open("w") as file:
        faulthandler.dump_traceback_later(limit_s, exit=True, file=file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
    hang_file.unlink(missing_ok=True)


class _Runner:
    """Joins the coordinator to Tune's two hooks, in the driver's process.

    Tune pickles searchers and callbacks when a Tuner is built; this object stands for itself in
    such a copy instead of being copied.
    """

    _registered: "dict[str, _Runner]" = {}  # noqa: RUF012 - one registry for the process, on purpose

    def __init__(
        self,
        coordinator: Coordinator,
        *,
        slots: Slots,
        study_dir: StudyDir,
        on_change: Callable[[Study], None],
        kept_best: int,
    ) -> None:
        self._coordinator = coordinator
        self._slots = slots
        self._study_dir = study_dir
        self._on_change = on_change
        self._kept_best = kept_best
        self._key = uuid4().hex
        self._asked_at = -1
        self._checkpoints = {
            measurement.checkpoint
            for trial in coordinator.study.trials
            for measurement in trial.measurements
            if measurement.checkpoint is not None
        }
        self.error: Exception | None = None
        self.is_finished = False

    @property
    def is_over(self) -> bool:
        """Whether Tune need not ask again."""
        return self.is_finished or self.error is not None

    def __reduce__(self) -> tuple[Callable[[str], "_Runner | None"], tuple[str]]:
        return _Runner._registered.get, (self._key,)

    @contextmanager
    def registered(self) -> Iterator[None]:
        _Runner._registered[self._key] = self
        try:
            yield
        finally:
            del _Runner._registered[self._key]

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Keeps the first error for `run_study` to raise; Tune would bury it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised again by run_study
            self.error = self.error or error

    def next_segment(self) -> Segment | None:
        """The next segment; None when there is nothing to start now."""
        study = self._coordinator.study
        if self.is_over or study.num_events == self._asked_at:
            return None
        segment = None
        with self._guard():
            segment = self._coordinator.assign()
            if segment is None:
                self._asked_at = study.num_events
                self.is_finished = self._coordinator.is_idle
            else:
                segment = self._with_checkpoint(segment)
                self._on_change(self._coordinator.study)
        return segment

    @staticmethod
    def _with_checkpoint(segment: Segment) -> Segment:
        """The segment from the start, if its checkpoint is gone."""
        if segment.resume_from is None or Path(segment.resume_from).exists():
            return segment
        return Segment(
            trial_id=segment.trial_id,
            config=segment.config,
            seed=segment.seed,
            until=segment.until,
        )

    def reported(self, segment: dict[str, Any], result: dict[str, Any]) -> None:
        """One report of a worker: a measurement, or how the segment ended."""
        if self.error is not None:
            return  # what follows an event that was not recorded would tell a wrong story
        with self._guard():
            if _MEASURED in result:
                measurement = _MEASUREMENT.validate_json(result[_MEASURED])
                self._coordinator.measured(segment["trial_id"], measurement)
                if measurement.checkpoint is not None:
                    self._checkpoints.add(measurement.checkpoint)
            elif _OUTCOME in result:
                outcome = SegmentOutcome(
                    failure=TrialStatus(result[_OUTCOME]) if result[_OUTCOME] else None,
                    reason=result[_REASON],
                )
                outcome.record(self._coordinator, segment["trial_id"])
            else:
                return
            self._delete_checkpoints()
            self._on_change(self._coordinator.study)

    def _delete_checkpoints(self) -> None:
        """Deletes what no one needs, of what was reported: unreported ones may be in the making."""
        kept = kept_checkpoints(self._coordinator.study, best=self._kept_best)
        for checkpoint in self._checkpoints - set(kept):
            shutil.rmtree(checkpoint, ignore_errors=True)
        self._checkpoints &= set(kept)

    def close(self) -> None:
        """Ends the study and deletes the checkpoints that only a paused trial needed."""
        self._coordinator.close()
        self._delete_checkpoints()
        self._on_change(self._coordinator.study)

    def lost(self, segment: dict[str, Any]) -> None:
        """The worker of a segment died."""
        if self.error is not None:
            return
        with self._guard():
            trial_id = segment["trial_id"]
            hang_file = _hang_file(self._study_dir.trial(trial_id))
            if hang_file.exists() and hang_file.stat().st_size:
                limit = f"{self._slots.segment_limit_s:g} s"
                self._coordinator.failed(
                    trial_id, f"ran into its time limit of {limit} (budget.trial); see {hang_file}"
                )
            else:
                self._coordinator.preempted(trial_id, "its worker died")
            self._on_change(self._coordinator.study)


class _SegmentSearcher(Searcher):
    """Hands Tune the coordinator's next segment."""

    def __init__(self, runner: _Runner) -> None:
        super().__init__()
        self._runner = runner

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        segment = self._runner.next_segment()
        if segment is None:
            # Tune's own signature leaves its FINISHED marker, a string, out.
            return cast("None", Searcher.FINISHED) if self._runner.is_over else None
        return {"segment": {**_fields(segment), "config": dict(segment.config)}}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: the recorder hears of it with the segment at hand."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the store is the truth."""


def _fields(segment: Segment) -> dict[str, Any]:
    return {name: getattr(segment, name) for name in Segment.__slots__}


class _SegmentRecorder(Callback):
    """Tells the coordinator what Tune hears from the workers."""

    def __init__(self, runner: _Runner) -> None:
        self._runner = runner

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._runner.reported(trial.config["segment"], result)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._runner.lost(trial.config["segment"])


@contextmanager
def _quiet_tune() -> Iterator[None]:
    """Keeps Tune's own console off: lexmove tells the story, and the causes, in one line each."""
    logger = logging.getLogger("ray.tune")
    level, output = logger.level, os.environ.get("RAY_AIR_NEW_OUTPUT")
    logger.setLevel(logging.CRITICAL)
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    try:
        yield
    finally:
        logger.setLevel(level)
        if output is None:
            del os.environ["RAY_AIR_NEW_OUTPUT"]
        else:
            os.environ["RAY_AIR_NEW_OUTPUT"] = output
