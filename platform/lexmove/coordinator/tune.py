"""The door to Ray Tune: one Tune trial per segment, in reused workers; translates and delegates.

Tune runs what a coordinator assigns and never decides: no retries, no scheduler, no restore.
A segment that ends by a `TrialError` is a normal Tune trial whose last report names the outcome;
a Tune error therefore always means that the worker died.
"""

import faulthandler
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from pydantic import TypeAdapter
from ray import tune
from ray.tune.callback import Callback
from ray.tune.search import Searcher

from lexmove.coordinator.coordinator import kept_checkpoints
from lexmove.coordinator.evaluation import SegmentOutcome, evaluate
from lexmove.coordinator.stage import Stage, Work
from lexmove.space.search_space import Config
from lexmove.study.trial import Measurement, Segment, TrialStatus

_MEASUREMENT = TypeAdapter(Measurement)
_OUTCOME, _REASON, _MEASURED = "outcome", "reason", "measurement"

_QUIET = {"RAY_AIR_NEW_OUTPUT": "0", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"}
"""What Tune reads from the environment when it starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """What runs at once: `parallel` segments, each with `cpu` CPUs and `gpu` GPUs."""

    parallel: int = 1
    cpu: float = 1.0
    gpu: float = 0.0


def run_stages(stages: Iterator[Stage], works: Mapping[str, Work], *, slots: Slots) -> bool:
    """Runs stage after stage in the same workers; Ray must be initialised.

    Args:
        stages: asked for the next one when all that the last one wanted is done and recorded. The
            coordinator of each must have recovered a study that was begun elsewhere.
        works: what the workers need, by name of the stage; pickled once.
        slots: how much runs at once.

    Returns:
        Whether all stages reached their end and are closed; False when they were interrupted.

    Raises:
        LexmoveError: whatever a coordinator, its proposer or its store raised, or `stages` did.
    """
    runner = _Runner(stages, works)
    if runner.error is None and not runner.is_finished:
        _fit(runner, works, slots)
    if runner.error is not None:
        raise runner.error
    return runner.is_finished


def _fit(runner: "_Runner", works: Mapping[str, Work], slots: Slots) -> None:
    """Lets Tune run until the runner has nothing left."""
    trainable = tune.with_parameters(_run_segment, works=dict(works))
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
                storage_path=str(runner.tune_dir.resolve()),
                callbacks=[_SegmentRecorder(runner)],
                verbose=0,
            ),
        ).fit()


def _segment_name(trial: Any) -> str:
    stage, segment = trial.config["stage"], trial.config["segment"]
    trial_id, after, until = segment["trial_id"], segment["after"], segment["until"]
    return f"{stage}_trial_{trial_id:04d}_{after}_{until}_{trial.trial_id[-5:]}"


def _run_segment(config: dict[str, Any], *, works: dict[str, Work]) -> None:
    """Runs in the worker: evaluates one segment and turns every end of it into a report."""
    work, fields = works[config["stage"]], config["segment"]
    segment = Segment(**{**fields, "config": Config(fields["config"])})
    trial_dir = Path(config["trial_dir"])
    trial_dir.mkdir(parents=True, exist_ok=True)

    last: dict[str, Any] = {}

    def report(measurement: Measurement) -> None:
        said = {**measurement.metrics, _MEASURED: _MEASUREMENT.dump_json(measurement).decode()}
        if measurement.fidelity < segment.until:
            tune.report(said)
        else:
            last.update(said)  # told with the outcome: every report costs a round through Tune

    with _time_limit(work.segment_limit_s, _hang_file(trial_dir)):
        outcome = evaluate(work.objective, segment, trial_dir=trial_dir, report=report)
    tune.report({**last, _OUTCOME: outcome.failure or "", _REASON: outcome.reason})


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
    """Joins the coordinator of each stage to Tune's two hooks, in the driver's process.

    Tune pickles searchers and callbacks when a Tuner is built; this object stands for itself in
    such a copy instead of being copied.
    """

    _registered: "dict[str, _Runner]" = {}  # noqa: RUF012 - one registry for the process, on purpose

    def __init__(self, stages: Iterator[Stage], works: Mapping[str, Work]) -> None:
        self._stages = stages
        self._works = works
        self._key = uuid4().hex
        self._stage: Stage | None = None
        self._asked_at = -1
        self._checkpoints: set[str] = set()
        self.error: Exception | None = None
        self.is_finished = False
        with self._guard():
            self._next_stage()

    @property
    def is_over(self) -> bool:
        """Whether Tune need not ask again."""
        return self.is_finished or self.error is not None

    @property
    def tune_dir(self) -> Path:
        """Where Tune keeps its logs."""
        return self._current.study_dir.tune

    @property
    def _current(self) -> Stage:
        assert self._stage is not None, "asked while a stage runs"
        return self._stage

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
        """Keeps the first error for `run_stages` to raise; Tune would bury it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised again by run_stages
            self.error = self.error or error

    def _next_stage(self) -> None:
        """Goes on to the next stage, or finds that there is none."""
        self._stage = next(self._stages, None)
        self._asked_at = -1
        self.is_finished = self._stage is None
        if self._stage is not None:
            self._checkpoints = {
                measurement.checkpoint
                for trial in self._stage.coordinator.study.trials
                for measurement in trial.measurements
                if measurement.checkpoint is not None
            }

    def next_segment(self) -> tuple[Stage, Segment] | None:
        """The next segment and its stage; None when there is nothing to start now."""
        found = None
        with self._guard():
            while not self.is_over and found is None:
                found = self._assigned()
                if found is None and not self._ended_stage():
                    return None
        return found

    def _assigned(self) -> tuple[Stage, Segment] | None:
        """What the stage's coordinator assigns; None without asking where nothing has changed."""
        coordinator = self._current.coordinator
        if coordinator.study.num_events == self._asked_at:
            return None
        segment = coordinator.assign()
        if segment is None:
            self._asked_at = coordinator.study.num_events
            return None
        self._current.on_change(coordinator.study)
        return self._current, self._with_checkpoint(segment)

    def _ended_stage(self) -> bool:
        """Closes the stage if nothing of it is running, and turns to the next one."""
        if not self._current.coordinator.is_idle:
            return False
        self._current.coordinator.close()
        self._delete_checkpoints()
        self._current.on_change(self._current.coordinator.study)
        self._next_stage()
        return True

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

    def reported(self, trial_id: int, result: dict[str, Any]) -> None:
        """One report of a worker: a measurement, how the segment ended, or both."""
        if self.error is not None:
            return  # what follows an event that was not recorded would tell a wrong story
        if not result.keys() & {_MEASURED, _OUTCOME}:
            return
        coordinator = self._current.coordinator
        with self._guard():
            with coordinator.together():
                if _MEASURED in result:
                    measurement = _MEASUREMENT.validate_json(result[_MEASURED])
                    coordinator.measured(trial_id, measurement)
                    if measurement.checkpoint is not None:
                        self._checkpoints.add(measurement.checkpoint)
                if _OUTCOME in result:
                    outcome = SegmentOutcome(
                        failure=TrialStatus(result[_OUTCOME]) if result[_OUTCOME] else None,
                        reason=result[_REASON],
                    )
                    outcome.record(coordinator, trial_id)
            self._delete_checkpoints()
            self._current.on_change(coordinator.study)

    def _delete_checkpoints(self) -> None:
        """Deletes what no one needs, of what was reported: unreported ones may be in the making."""
        stage = self._current
        kept = kept_checkpoints(stage.coordinator.study, best=stage.kept_best)
        for checkpoint in self._checkpoints - set(kept):
            shutil.rmtree(checkpoint, ignore_errors=True)
        self._checkpoints &= set(kept)

    def lost(self, trial_id: int) -> None:
        """The worker of a segment died."""
        if self.error is not None:
            return
        stage = self._current
        with self._guard():
            hang_file = _hang_file(stage.study_dir.trial(trial_id))
            if hang_file.exists() and hang_file.stat().st_size:
                limit = f"{self._works[stage.name].segment_limit_s:g} s"
                stage.coordinator.failed(
                    trial_id, f"ran into its time limit of {limit} (budget.trial); see {hang_file}"
                )
            else:
                stage.coordinator.preempted(trial_id, "its worker died")
            stage.on_change(stage.coordinator.study)


class _SegmentSearcher(Searcher):
    """Hands Tune the next segment."""

    def __init__(self, runner: _Runner) -> None:
        super().__init__()
        self._runner = runner

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        found = self._runner.next_segment()
        if found is None:
            # Tune's own signature leaves its FINISHED marker, a string, out.
            return cast("None", Searcher.FINISHED) if self._runner.is_over else None
        stage, segment = found
        return {
            "stage": stage.name,
            "trial_dir": str(stage.study_dir.trial(segment.trial_id)),
            "segment": {**_fields(segment), "config": dict(segment.config)},
        }

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
    """Tells the runner what Tune hears from the workers, all of the stage that is on."""

    def __init__(self, runner: _Runner) -> None:
        self._runner = runner

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._runner.reported(trial.config["segment"]["trial_id"], result)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._runner.lost(trial.config["segment"]["trial_id"])


@contextmanager
def _quiet_tune() -> Iterator[None]:
    """Keeps Tune's own console off: lexmove tells the story, and the causes, in one line each.

    And its log files, three for each segment, which say less than the store and cost more.
    """
    logger = logging.getLogger("ray.tune")
    level, before = logger.level, {name: os.environ.get(name) for name in _QUIET}
    logger.setLevel(logging.CRITICAL)
    os.environ.update(_QUIET)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
