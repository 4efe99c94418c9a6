"""The seam to trackers: what they are told of a study, trial by trial."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lexmove.job.own_code import is_own
from lexmove.results.wording import say_metric
from lexmove.space.domain import Value
from lexmove.study.fidelity import Fidelity
from lexmove.study.study import Study
from lexmove.study.trial import Trial, TrialStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedStudy:
    """What a study is about. `folder` is its own, `tags` are words about it.

    `is_new` tells a study that begins from one that goes on.
    """

    name: str
    metric: str
    goal: str
    folder: Path
    tags: Mapping[str, str]
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedTrial:
    """A trial that has ended: its metrics by fidelity, and the best value of the objective.

    The times are Unix time in seconds.
    """

    trial_id: int
    config: Mapping[str, Value]
    curve: tuple[tuple[Fidelity, Mapping[str, float]], ...]
    value: float | None
    status: TrialStatus
    move: str
    reason: str | None
    started_s: float
    ended_s: float

    @property
    def has_failed(self) -> bool:
        """Whether it has nothing to show."""
        return self.status in (TrialStatus.FAILED, TrialStatus.INFEASIBLE)


class Tracker(Protocol):
    """Writes a study down elsewhere; every call comes from one thread, and may take its time."""

    def begin(self, study: TrackedStudy) -> Collection[int]:
        """Readies it; returns the ids of the trials that it has from before."""
        ...

    def take(self, trial: TrackedTrial) -> None:
        """Writes one trial down."""
        ...

    def end(self, scores: Mapping[str, float]) -> None:
        """The study is finished: what its winner is worth."""
        ...


def plain_name(metric: str) -> str:
    """A metric's name as other tools take it: of a function in a file, no folder and no colon."""
    return say_metric(metric).replace(":", ".") if is_own(metric) else metric


def tracked_trial(study: Study, trial: Trial) -> TrackedTrial:
    """What trackers are told of a trial that has ended."""
    best = study.best_of(trial)
    return TrackedTrial(
        trial_id=trial.trial_id,
        config=dict(trial.config),
        curve=tuple(
            (item.fidelity, {plain_name(name): value for name, value in item.metrics.items()})
            for item in trial.measurements
        ),
        value=None if best is None else best.value,
        status=trial.status,
        move=trial.decision.text,
        reason=trial.reason,
        started_s=trial.started_s,
        ended_s=trial.ended_s or trial.started_s,
    )
